"""Grafana's dashboard of a service's versions, side by side (Grafana, "Dashboard JSON model")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from string import ascii_uppercase
from typing import TYPE_CHECKING

from metrics.queries import Queries, Scope, Source, label_values, weight_changes

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import dashboard, prometheus, table, timeseries

UID = "istio-canary"
SCOPE = Scope(service="$service", namespace="$namespace")
OVER = "$__rate_interval"

REQUESTS, SHARE, DURATION, NUMBER = "reqps", "percentunit", "ms", "short"
"""Units, by Grafana's names."""

VERSION, WEIGHT = "{{version}}", "{{version}} weight"
"""Grafana's templates for the names of lines."""

GRID, HEIGHT = 24, 8
"""Columns of Grafana's grid, and rows of a panel."""


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A panel with lines over time: their queries by the templates of their names.

    `dashed` is a regular expression for the names of lines that are dashed; `from_zero` begins the axis at 0.
    """

    title: str
    description: str
    unit: str
    lines: Mapping[str, str]
    dashed: str = ""
    from_zero: bool = True


def canary_dashboard(source: Source, data_source_uid: str = "prometheus") -> str:
    """Return the dashboard as JSON; the same arguments give the same text.

    It has variables for namespace and service, which come from the recorded weights (metrics.rules). `data_source_uid`
    is the uid of Grafana's data source for Prometheus. The schema is version 1, which every Grafana reads from files.
    """
    from grafana_foundation_sdk.builders.dashboard import Dashboard, Row
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models.dashboard import DashboardCursorSync

    parts, asked, ids = _Parts(data_source_uid), Queries(source), count(1)
    built = (
        Dashboard("Canary")
        .uid(UID)
        .description("The versions of a service, as their callers see them.")
        .tags(["istio", "canary"])
        .timezone("browser")
        .time("now-30m", "now")
        .refresh("15s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .readonly()
        .with_variable(parts.variable("namespace", label_values("namespace")))
        .with_variable(parts.variable("service", label_values("service", SCOPE.namespace)))
        .annotation(parts.weight_changes())
        .with_row(Row("Now").id(next(ids)))
        .with_panel(parts.versions(asked).id(next(ids)))
    )
    for title, graphs in _rows(asked).items():
        built.with_row(Row(title).id(next(ids)))
        for graph in graphs:
            built.with_panel(parts.graph(graph).span(GRID // len(graphs)).id(next(ids)))
    return JSONEncoder(sort_keys=True, indent=2).encode(built.build())


def _rows(asked: Queries) -> dict[str, tuple[Graph, ...]]:
    return {
        "Traffic": _traffic(asked),
        "Answers": _answers(asked),
        "Connections and pods": _connections(asked),
    }


def _traffic(asked: Queries) -> tuple[Graph, ...]:
    return (
        Graph(
            title="Requests",
            description="Requests a second to each version, with those that reached no pod or whose caller gave up.",
            unit=REQUESTS,
            lines={VERSION: asked.requests(SCOPE, OVER)},
        ),
        Graph(
            title="Share of the requests",
            description="Each version's share of the requests; dashed: its weight in the rule without a match.",
            unit=SHARE,
            lines={VERSION: asked.share(SCOPE, OVER), WEIGHT: asked.weight(SCOPE)},
            dashed="/ weight$/",
        ),
        Graph(
            title="Success rate",
            description="Share of the requests that did not fail, by a status 5xx or a caller that gave up.",
            unit=SHARE,
            lines={VERSION: asked.success_rate(SCOPE, OVER)},
            from_zero=False,
        ),
    )


def _answers(asked: Queries) -> tuple[Graph, ...]:
    quantiles = {f"{VERSION} p{quantile * 100:g}": quantile for quantile in (0.5, 0.95, 0.99)}
    return (
        Graph(
            title="Duration",
            description="Half, 95 % and 99 % of the requests to each version took at most this long.",
            unit=DURATION,
            lines={name: asked.duration(SCOPE, quantile, OVER) for name, quantile in quantiles.items()},
        ),
        Graph(
            title="Responses by code and flags",
            description="Responses a second by status and Envoy's response flags; code 0: the caller gave up.",
            unit=REQUESTS,
            lines={f"{VERSION} {{{{response_code}}}} {{{{response_flags}}}}": asked.responses(SCOPE, OVER)},
        ),
    )


def _connections(asked: Queries) -> tuple[Graph, ...]:
    return (
        Graph(
            title="Retries",
            description="Tries a second that Envoy repeated; its callers see only the last one.",
            unit=REQUESTS,
            lines={VERSION: asked.retries(SCOPE, OVER)},
        ),
        Graph(
            title="Requests that reached no pod",
            description="Requests a second for which no pod was healthy, the connection failed or a limit was reached.",
            unit=REQUESTS,
            lines={VERSION: asked.connection_failures(SCOPE, OVER)},
        ),
        Graph(
            title="Ejected pods",
            description="Pods that outlier detection keeps from getting requests, at the caller that ejected most.",
            unit=NUMBER,
            lines={VERSION: asked.ejections(SCOPE)},
        ),
        Graph(
            title="Ready pods",
            description="Pods that callers can send requests to, at the caller that has most.",
            unit=NUMBER,
            lines={VERSION: asked.pods_ready(SCOPE)},
        ),
    )


class _Parts:
    """Parts of the dashboard that ask one data source."""

    def __init__(self, uid: str) -> None:
        from grafana_foundation_sdk.models.common import DataSourceRef

        self.data_source = DataSourceRef(type_val="prometheus", uid=uid)

    def variable(self, name: str, query: str) -> dashboard.QueryVariable:
        """A choice of one value; its list is read whenever the time range changes."""
        from grafana_foundation_sdk.builders.dashboard import QueryVariable
        from grafana_foundation_sdk.models.dashboard import VariableRefresh, VariableSort

        return (
            QueryVariable(name)
            .label(name)
            .datasource(self.data_source)
            .query(query)
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(VariableSort.ALPHABETICAL_ASC)
            .multi(False)
            .include_all(False)
        )

    def weight_changes(self) -> dashboard.AnnotationQuery:
        """A mark at every change of a weight."""
        from grafana_foundation_sdk.builders.dashboard import AnnotationQuery

        return (
            AnnotationQuery()
            .name("Weights")
            .datasource(self.data_source)
            .enable(True)
            .icon_color("blue")
            .expr(weight_changes(SCOPE, OVER))
            .title_format(f"weight of {VERSION}")
            .text_format("canary routing: the weight changed")
        )

    def graph(self, graph: Graph) -> timeseries.Panel:
        """Lines over time, each version with the same color in all panels; there is no line where nothing is known."""
        from grafana_foundation_sdk.builders.common import VizLegendOptions, VizTooltipOptions
        from grafana_foundation_sdk.builders.dashboard import FieldColor
        from grafana_foundation_sdk.builders.timeseries import Panel
        from grafana_foundation_sdk.models.common import TooltipDisplayMode
        from grafana_foundation_sdk.models.dashboard import DynamicConfigValue, FieldColorModeId

        panel = (
            Panel()
            .title(graph.title)
            .description(graph.description)
            .datasource(self.data_source)
            .unit(graph.unit)
            .height(HEIGHT)
            .span_nulls(False)
            .color_scheme(FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
            .legend(VizLegendOptions().show_legend(True))
            .tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
        )
        for letter, (name, expression) in zip(ascii_uppercase, graph.lines.items(), strict=False):
            panel.with_target(self.query(letter, expression).legend_format(name).range())
        if graph.from_zero:
            panel.min(0)
        if graph.dashed:
            dashes = DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [10, 10]})
            panel.override_by_regexp(graph.dashed, [dashes])
        return panel

    def versions(self, asked: Queries) -> table.Panel:
        """A table with a row for each version and its numbers now."""
        from grafana_foundation_sdk.builders.table import Panel
        from grafana_foundation_sdk.models.dashboard import DataTransformerConfig, DynamicConfigValue
        from grafana_foundation_sdk.models.prometheus import PromQueryFormat

        columns = {
            "weight": (SHARE, asked.weight(SCOPE)),
            "share": (SHARE, asked.share(SCOPE, OVER)),
            "requests": (REQUESTS, asked.requests(SCOPE, OVER)),
            "success rate": (SHARE, asked.success_rate(SCOPE, OVER)),
            "p95": (DURATION, asked.duration(SCOPE, 0.95, OVER)),
            "ready pods": (NUMBER, asked.pods_ready(SCOPE)),
        }
        panel = (
            Panel()
            .title("Versions")
            .description("Each version's numbers now; an empty field: nothing is known.")
            .datasource(self.data_source)
            .unit(NUMBER)
            .span(GRID)
            .height(HEIGHT)
        )
        renamed = {}
        for letter, (name, (unit, expression)) in zip(ascii_uppercase, columns.items(), strict=False):
            panel.with_target(self.query(letter, expression).instant().format(PromQueryFormat.TABLE))
            panel.override_by_name(name, [DynamicConfigValue("unit", unit)])
            renamed[f"Value #{letter}"] = name  # Grafana's name of the column
        return panel.with_transformation(DataTransformerConfig("merge", options={})).with_transformation(
            DataTransformerConfig("organize", options={"excludeByName": {"Time": True}, "renameByName": renamed})
        )

    def query(self, letter: str, expression: str) -> prometheus.Dataquery:
        """A query of a panel, which knows it by a letter."""
        from grafana_foundation_sdk.builders.prometheus import Dataquery

        return Dataquery().ref_id(letter).datasource(self.data_source).expr(expression)
