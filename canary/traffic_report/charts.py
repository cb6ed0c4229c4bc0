"""The charts of a traffic report, as Plotly's figures: data and layout, without a page around them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any

from canary.traffic_report.data import Grid, Line, Measure, ServiceTraffic

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5195", "#000000")
"""Okabe and Ito's palette, which colour-blind people can tell apart; yellow is left out, since the page is white."""

INK, GRID_LINE, MARK = "#24292f", "#e6e8eb", "#6e7781"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
HEIGHT = 330
FLOORS = (0.99, 0.95, 0.9, 0.8, 0.5, 0.0)
"""Where the axis of the success rate may begin, so that a small loss is visible."""
TITLES = {Measure.P50: ("p50", "dot"), Measure.P95: ("p95", "solid"), Measure.P99: ("p99", "dash")}
MARKS = 20
"""Up to this many changes of weights have their number on the chart."""


@dataclass(frozen=True)
class Chart:
    """A heading, a sentence on what is drawn, and Plotly's figure as JSON-like data."""

    heading: str
    description: str
    figure: Mapping[str, Any]


def colours(versions: Iterable[str]) -> dict[str, str]:
    """Return the colour of each version, the same in all charts."""
    return {version: COLOURS[index % len(COLOURS)] for index, version in enumerate(versions)}


def charts(service: ServiceTraffic, grid: Grid) -> tuple[Chart, ...]:
    """Return the charts of one service: split, success rate, requests and durations."""
    drawing = _Drawing(service, grid)
    return (
        Chart(
            "Split of the requests",
            "Share of each version in all requests; dashed: its weight.",
            drawing.figure(drawing.split(), {"title": "share (%)", "range": [-2, 103]}, numbered=True),
        ),
        Chart(
            "Success rate",
            "Requests that did not fail, as callers saw them; a gap: no requests, or no data.",
            drawing.figure(drawing.lines(Measure.SUCCESS_RATE, 100, ":.3f"), drawing.success_axis()),
        ),
        Chart(
            "Requests",
            "Requests a second to each version.",
            drawing.figure(
                drawing.lines(Measure.REQUESTS, 1, ":.2f"), {"title": "requests a second", "rangemode": "tozero"}
            ),
        ),
        Chart(
            "Duration",
            "How long the callers waited: dotted p50, solid p95, dashed p99.",
            drawing.figure(drawing.durations(), {"title": "duration (ms)", "rangemode": "tozero"}),
        ),
    )


class _Drawing:
    """Draws the lines of one service."""

    def __init__(self, service: ServiceTraffic, grid: Grid) -> None:
        self._service = service
        self._grid = grid
        self._colours = colours(service.versions)
        self._times = [_utc(time) for time in grid.times]

    def split(self) -> list[Any]:
        """The observed share of each version, and its weight as dashed steps."""
        traces = self.lines(Measure.SHARE, 100, ":.2f", " share")
        for version, line in self._lines(Measure.WEIGHT):
            style = {"dash": "dash", "width": 1.5, "shape": "hv"}
            traces.append(self._trace(version, line, 100, ":.4~f", " weight", style))
        return traces

    def lines(self, measure: Measure, scale: float, form: str, suffix: str = "") -> list[Any]:
        """A line for each version that has values."""
        return [self._trace(version, line, scale, form, suffix, {}) for version, line in self._lines(measure)]

    def durations(self) -> list[Any]:
        """Three lines for each version."""
        return [
            self._trace(version, line, 1, ":.1f", f" {title}", {"dash": dash, "width": 2 if dash == "solid" else 1.3})
            for version in self._service.versions
            for measure, (title, dash) in TITLES.items()
            if (line := self._known(measure, version)) is not None
        ]

    def success_axis(self) -> Mapping[str, Any]:
        """An axis up to 100 %, from the nearest floor below all values, which its title names."""
        values = [value for _, line in self._lines(Measure.SUCCESS_RATE) for value in line if value is not None]
        lowest = min(values, default=0.0)
        floor = 100 * next((floor for floor in FLOORS if lowest >= floor), 0.0)
        margin = (100 - floor) / 30
        title = "success rate (%)" if floor == 0 else f"success rate (%), from {floor:g}"
        return {"title": title, "range": [floor - margin, 100 + margin]}

    def figure(self, traces: list[Any], y_axis: Mapping[str, Any], numbered: bool = False) -> Mapping[str, Any]:
        """The figure of some lines, with a vertical line at each change of the weights."""
        import plotly.graph_objects as go

        axis = {"gridcolor": GRID_LINE, "zeroline": False, "linecolor": GRID_LINE, "ticks": "outside", "ticklen": 4}
        axis |= {"tickcolor": GRID_LINE, "automargin": True}
        grid = self._grid
        bounds = [_utc(grid.times[0]), _utc(grid.end)]
        figure = go.Figure(traces)
        figure.update_layout(
            template="none",
            height=HEIGHT,
            margin={"l": 60, "r": 16, "t": 36, "b": 44},
            font={"family": FONT, "size": 12, "color": INK},
            paper_bgcolor="white",
            plot_bgcolor="white",
            hovermode="x unified",
            showlegend=True,
            legend={"orientation": "h", "yanchor": "bottom", "y": 1.07, "x": 0, "xanchor": "left"},
            xaxis={**axis, "type": "date", "range": bounds, "title": "time (UTC)", "showgrid": False},
            yaxis={**axis, **y_axis},
        )
        self._mark_changes(figure, numbered)
        if not traces:
            figure.update_yaxes(showticklabels=False, range=[0, 1])
            text = {"text": "no data", "showarrow": False, "font": {"size": 16, "color": MARK}}
            figure.add_annotation(xref="paper", yref="paper", x=0.5, y=0.5, **text)
        document: Mapping[str, Any] = figure.to_plotly_json()
        return document

    def _mark_changes(self, figure: Any, numbered: bool) -> None:
        for number, change in enumerate(self._service.changes, start=1):
            time = _utc(change.time)
            figure.add_shape(
                type="line", xref="x", yref="paper", x0=time, x1=time, y0=0, y1=1,
                line={"color": MARK, "width": 1, "dash": "dot"}, layer="below",
            )  # fmt: skip
            if numbered and len(self._service.changes) <= MARKS:
                label = {"text": str(number), "showarrow": False, "font": {"size": 11, "color": MARK}}
                figure.add_annotation(x=time, y=1, yref="paper", yanchor="bottom", **label)

    def _trace(self, version: str, line: Line, scale: float, form: str, suffix: str, style: Mapping[str, Any]) -> Any:
        import plotly.graph_objects as go

        values = [None if value is None else value * scale for value in line]
        alone = _alone(line)
        return go.Scatter(
            x=self._times,
            y=values,
            name=escape(version + suffix),
            mode="lines+markers" if any(alone) else "lines",
            connectgaps=False,
            line={"color": self._colours[version], "width": 2, **style},
            marker={"color": self._colours[version], "size": [5 if each else 0 for each in alone]},
            hovertemplate=f"%{{y{form}}}",
        )

    def _lines(self, measure: Measure) -> list[tuple[str, Line]]:
        found = ((version, self._known(measure, version)) for version in self._service.versions)
        return [(version, line) for version, line in found if line is not None]

    def _known(self, measure: Measure, version: str) -> Line | None:
        line = self._service.lines[measure].get(version, ())
        return line if any(value is not None for value in line) else None


def _alone(line: Line) -> list[bool]:
    """Whether each point stands between gaps, where a line alone would not show it."""
    padded = (None, *line, None)
    return [
        value is not None and before is None and after is None
        for before, value, after in zip(padded, padded[1:], padded[2:], strict=False)
    ]


def _utc(time: float) -> str:
    """A moment as Plotly reads it; without an offset, so that the browser does not move it to its own time zone."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
