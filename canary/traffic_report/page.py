"""The page of a traffic report: one HTML file that needs no network."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from canary.telemetry import success_text
from canary.time_options import utc, words
from canary.traffic_report.charts import FONT, Chart, charts, colours
from canary.traffic_report.data import ServiceTraffic, Total, TrafficReport

NO_DATA = '<td class="missing">no data</td>'
DRAW = """
const figures = JSON.parse(document.getElementById("figures").textContent);
const options = {responsive: true, displayModeBar: false, plotlyServerURL: ""};
for (const [place, figure] of Object.entries(figures)) Plotly.newPlot(place, figure.data, figure.layout, options);
"""
"""Without Plotly's buttons, of which one sends the chart to a server."""
STYLE = f"""
:root {{ color-scheme: light; }}
* {{ box-sizing: border-box; }}
body {{ margin: 0; font: 15px/1.5 {FONT}; color: #24292f; background: #fff; }}
main {{ max-width: 1400px; margin: 0 auto; padding: 28px 28px 40px; }}
h1 {{ font-size: 26px; line-height: 1.25; margin: 0 0 4px; }}
h2 {{ font-size: 19px; margin: 36px 0 10px; padding-bottom: 6px; border-bottom: 1px solid #d0d7de; }}
h3 {{ font-size: 15px; margin: 0; }}
p {{ margin: 0; }}
.about, figcaption p, .note {{ color: #57606a; }}
.note {{ font-size: 13px; margin-top: 8px; max-width: 80em; }}
figcaption p {{ font-size: 13px; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: 6px 18px 6px 0; text-align: left; border-bottom: 1px solid #e6e8eb; white-space: nowrap; }}
th {{ font-weight: 600; }}
thead th {{ border-bottom-color: #afb8c1; }}
th[scope=rowgroup] {{ vertical-align: top; }}
.number {{ text-align: right; }}
td.missing {{ color: #9a6700; text-align: right; }}
.swatch {{ display: inline-block; width: 11px; height: 11px; border-radius: 2px; margin-right: 8px; }}
.problems {{ margin-top: 22px; padding: 12px 18px; border-left: 4px solid #bf8700; background: #fff8e5; }}
.problems ul {{ margin: 4px 0 0; padding-left: 20px; }}
.scroll {{ overflow-x: auto; }}
.charts {{ display: grid; gap: 26px 32px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 500px), 1fr)); }}
figure {{ margin: 0; min-width: 0; max-width: 690px; break-inside: avoid; }}
.chart {{ min-height: 330px; }}
.changes {{ margin-top: 18px; }}
@media print {{
  @page {{ size: A4; margin: 12mm; }}
  body {{ font-size: 12px; print-color-adjust: exact; -webkit-print-color-adjust: exact; }}
  main {{ padding: 0; max-width: none; }}
  .charts {{ display: block; }}
  figure {{ margin-bottom: 18px; }}
  .screen {{ display: none; }}
  h2 {{ break-after: avoid; }}
}}
"""


def page(report: TrafficReport) -> str:
    """Return the whole page.

    Its Content-Security-Policy allows the page's own two scripts by their hashes, and nothing from a network.
    """
    from plotly.offline import get_plotlyjs

    library: str = get_plotlyjs()
    drawn = [(service, charts(service, report.grid)) for service in report.services]
    figures = {
        _place(index, place): chart.figure
        for index, (_, found) in enumerate(drawn)
        for place, chart in enumerate(found)
    }
    title = escape(f"Traffic of stack {report.stack}")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_policy(library, DRAW)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<header>
<h1>{title}</h1>
{_about(report)}
</header>
<noscript><p>The charts need JavaScript; the tables do not.</p></noscript>
{_problems(report.problems)}
<section>
<h2>Summary</h2>
{_summary(report)}
</section>
{"".join(_section(index, service, found, report) for index, (service, found) in enumerate(drawn))}
</main>
<script type="application/json" id="figures">{_json(figures)}</script>
<script>{library}</script>
<script>{DRAW}</script>
</body>
</html>
"""


def _policy(*scripts: str) -> str:
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{value}'" for value in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _json(value: Mapping[str, Any]) -> str:
    """JSON that may stand in a script element: no text in it can end the element."""
    from plotly.utils import PlotlyJSONEncoder

    return json.dumps(value, cls=PlotlyJSONEncoder, separators=(",", ":")).replace("<", "\\u003c")


def _about(report: TrafficReport) -> str:
    grid = report.grid
    span = f"{utc(grid.start)} to {utc(grid.end)} ({words(grid.end - grid.start)})"
    points = f"A point every {words(grid.step)}, each over the {words(grid.window)} before it."
    made = f"Made {utc(report.made)} from Prometheus, metrics of {report.metrics.capitalize()}."
    return f'<p class="about">{escape(span)}</p>\n<p class="about">{escape(points)} {escape(made)}</p>'


def _problems(problems: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(problem)}</li>" for problem in problems)
    return f'<section class="problems">\n<h3>Missing data</h3>\n<ul>{items}</ul>\n</section>' if items else ""


def _summary(report: TrafficReport) -> str:
    heads = "".join(
        f'<th scope="col" class="number">{name}</th>' for name in ("requests", "share", "success rate", "p95")
    )
    rows = "".join(_rows(service) for service in report.services)
    return f"""<div class="scroll"><table>
<thead><tr><th scope="col">service</th><th scope="col">version</th>{heads}</tr></thead>
<tbody>{rows}</tbody>
</table></div>
<p class="note">As the callers' proxies counted them. The number of requests is Prometheus' estimate from its scrapes.
A request fails if its response is 5xx or if it gets none; success rate and p95 of no requests do not exist (-).
The share is of all requests to the service: a version that further rules of the route name has more than its weight.
</p>"""


def _rows(service: ServiceTraffic) -> str:
    colour = colours(service.versions)
    rows = []
    for index, version in enumerate(service.versions):
        head = (
            f'<th scope="rowgroup" rowspan="{len(service.versions)}">{escape(service.name)}</th>' if index == 0 else ""
        )
        swatch = f'<span class="swatch" style="background:{colour[version]}"></span>'
        rows.append(f"<tr>{head}<td>{swatch}{escape(version)}</td>{_cells(service.totals[version])}</tr>\n")
    return "".join(rows)


def _cells(total: Total) -> str:
    values = (
        None if total.requests is None else f"{total.requests:,.0f}",
        None if total.share is None else f"{100 * total.share:.2f} %",
        None if total.success_rate is None else success_text(total.success_rate),
        None if total.p95 is None else f"{total.p95:.1f} ms",
    )
    nothing = '<td class="number">-</td>' if total.is_idle else NO_DATA
    return "".join(nothing if value is None else f'<td class="number">{value}</td>' for value in values)


def _section(index: int, service: ServiceTraffic, found: Iterable[Chart], report: TrafficReport) -> str:
    figures = "".join(
        f"""<figure>
<figcaption><h3>{chart.heading}</h3><p>{chart.description}</p></figcaption>
<div class="chart" id="{_place(index, place)}"></div>
</figure>
"""
        for place, chart in enumerate(found)
    )
    return f"""<section>
<h2>{escape(service.name)} <span class="about">in namespace {escape(service.namespace)}</span></h2>
<div class="charts">
{figures}</div>
<p class="note screen">Drag over a chart to zoom in, double-click to zoom out; click in the legend to hide a line.</p>
{_changes(service, report)}
</section>
"""


def _changes(service: ServiceTraffic, report: TrafficReport) -> str:
    if not service.changes:
        return ""
    rows = "".join(
        f'<tr><td class="number">{number}</td><td>{utc(change.time)}</td><td>{escape(str(change))}</td></tr>\n'
        for number, change in enumerate(service.changes, start=1)
    )
    return f"""<div class="changes scroll">
<h3>Changes of the weights (the vertical lines)</h3>
<table>
<thead><tr><th scope="col" class="number">line</th><th scope="col">seen at (within {words(report.grid.step)})</th>
<th scope="col">weights</th></tr></thead>
<tbody>{rows}</tbody>
</table>
</div>"""


def _place(service: int, chart: int) -> str:
    return f"chart-{service + 1}-{chart + 1}"
