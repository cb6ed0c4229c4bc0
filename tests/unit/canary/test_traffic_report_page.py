"""The page of a traffic report: valid HTML that needs no network, with the same colours everywhere, and not blank."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from canary.traffic_report.charts import COLOURS, charts, colours
from canary.traffic_report.data import Measure, ServiceTraffic, Total, TrafficReport
from canary.traffic_report.page import page
from tests import chromium
from tests.unit.canary.made_up_traffic import made_up_report

EVIL = '</script><img src=x onerror="alert(1)">&amp;'
VOID = {"meta", "br", "img"}


class Document(HTMLParser):
    """Checks that elements are closed in order; collects ids, attributes that load something, and text by element."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.text: dict[str, list[str]] = {}
        self.policy = ""
        self.feed(html)
        self.close()
        assert self.open == [], "elements are not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.elements.append(tag)
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.loads += [f"{tag} {name}={value}" for name, value in attrs if name in ("src", "href", "action")]
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"] or ""
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        self.text.setdefault(self.open[-1] if self.open else "", []).append(data)


@cache
def html(*names: str) -> str:
    return page(made_up_report(names or ("website",)))


def figures(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="figures">(.*?)</script>', text)
    assert found is not None
    return dict(json.loads(found[1]))


def renamed(report: TrafficReport, **changed: Any) -> TrafficReport:
    return replace(report, services=tuple(replace(service, **changed) for service in report.services))


def test_the_page_is_valid_html_that_loads_nothing() -> None:
    document = Document(html("website", "checkout"))

    assert document.loads == []
    assert len(set(document.ids)) == len(document.ids) == 9, "four charts for each service, and the data"
    assert document.elements[:2] == ["html", "head"]
    assert [document.elements.count(tag) for tag in ("title", "h1", "main")] == [1, 1, 1]
    assert not re.search(r'(?:src|href)="http|@import|url\(', html().split("<script>")[0])


def test_the_policy_of_the_page_forbids_the_network_and_other_scripts() -> None:
    policy = dict(part.strip().split(" ", 1) for part in Document(html()).policy.split(";"))

    assert policy["default-src"] == "'none'", "no connect-src, font-src or frame-src widens it"
    assert set(policy) == {"default-src", "script-src", "style-src", "img-src", "base-uri", "form-action"}
    assert re.fullmatch(r"('sha256-[\w+/=]+'\s?){2}", policy["script-src"])
    assert policy["img-src"] == "data: blob:"


def test_the_page_says_what_it_shows() -> None:
    text = " ".join(" ".join(parts) for element, parts in Document(html()).text.items() if element != "script")

    for words in (
        "Traffic of stack dev",
        "2025-06-15 14:06:40 UTC to 2025-06-15 15:06:40 UTC (1 h)",
        "A point every 15 s, each over the 31 s before it.",
        "Made 2025-06-15 15:06:45 UTC",
        "432,180",
        "99.95 %",
        "44.8 ms",
        "website: no data from",
        "version-1 90 → 70 %, version-2 10 → 30 %",
    ):
        assert words in text, f"{words!r} is missing"


def test_names_cannot_become_html_or_scripts() -> None:
    report = made_up_report()
    lines = {measure: {EVIL: by_version["version-1"]} for measure, by_version in report.services[0].lines.items()}
    evil = replace(
        renamed(
            report, name=EVIL, namespace=EVIL, versions=(EVIL,), lines=lines, totals={EVIL: Total()}, problems=(EVIL,)
        ),
        stack=EVIL,
        metrics=EVIL,
    )
    text = page(evil)

    assert "img" not in Document(text).elements
    assert "<img src=x" not in text
    names = {trace["name"] for figure in figures(text).values() for trace in figure["data"]}
    assert not any("<" in name for name in names), "Plotly would read it as markup"


def test_a_version_has_one_colour_in_the_table_and_in_all_charts() -> None:
    by_name: dict[str, set[str]] = {"version-1": set(), "version-2": set()}
    for figure in figures(html()).values():
        for trace in figure["data"]:
            by_name[trace["name"].split()[0]].add(trace["line"]["color"])

    assert by_name == {"version-1": {COLOURS[0]}, "version-2": {COLOURS[1]}}
    for colour in COLOURS[:2]:
        assert f"background:{colour}" in html()


def test_more_versions_than_colours_begin_again() -> None:
    found = colours([f"version-{number}" for number in range(len(COLOURS) + 1)])
    assert list(found.values()) == [*COLOURS, COLOURS[0]]


def test_gaps_stay_gaps_and_single_points_are_visible() -> None:
    figure = figures(html())["chart-1-1"]
    share = figure["data"][0]

    assert share["connectgaps"] is False
    assert share["y"][101:113] == [None] * 5 + [pytest.approx(share["y"][106])] + [None] * 6
    assert share["marker"]["size"][106] > 0, "a line through one point is nothing"


def test_the_weights_are_dashed_steps_and_each_change_has_a_line_in_every_chart() -> None:
    found = figures(html())
    weights = [trace for trace in found["chart-1-1"]["data"] if trace["name"].endswith("weight")]

    assert [(trace["line"]["dash"], trace["line"]["shape"]) for trace in weights] == [("dash", "hv")] * 2
    for figure in found.values():
        assert [shape["x0"] for shape in figure["layout"]["shapes"]] == [
            "2025-06-15 14:18:55.000",
            "2025-06-15 14:30:55.000",
            "2025-06-15 14:42:55.000",
            "2025-06-15 14:54:55.000",
        ]


@pytest.mark.parametrize(
    ("lowest", "axis"), [(1.0, 99), (0.9951, 99), (0.97, 95), (0.93, 90), (0.6, 50), (0.1, 0), (0.0, 0)]
)
def test_the_axis_of_the_success_rate_begins_below_all_values_and_says_where(lowest: float, axis: int) -> None:
    report = made_up_report()
    line = (lowest, *[1.0] * (len(report.grid.times) - 1))
    service = replace(report.services[0], lines={**report.services[0].lines, Measure.SUCCESS_RATE: {"version-1": line}})
    drawn = charts(service, report.grid)[1].figure["layout"]["yaxis"]

    assert drawn["range"][0] < 100 * lowest
    assert drawn["range"][0] == pytest.approx(axis, abs=4)
    assert drawn["title"]["text"] == "success rate (%)" + (f", from {axis}" if axis else "")


def test_axes_have_units() -> None:
    titles = [figure["layout"]["yaxis"]["title"]["text"] for figure in figures(html()).values()]
    assert titles == ["share (%)", "success rate (%), from 95", "requests a second", "duration (ms)"]
    assert {figure["layout"]["xaxis"]["title"]["text"] for figure in figures(html()).values()} == {"time (UTC)"}


def without_data(service: ServiceTraffic) -> ServiceTraffic:
    return replace(service, lines={measure: {} for measure in Measure}, totals=dict.fromkeys(service.versions, Total()))


def test_a_chart_without_data_says_so() -> None:
    report = made_up_report()
    text = page(replace(report, services=tuple(map(without_data, report.services))))

    for figure in figures(text).values():
        assert figure["data"] == []
        assert "no data" in [note.get("text") for note in figure["layout"]["annotations"]]
    assert text.count('<td class="missing">no data</td>') == 8, "two versions, four columns"


def test_a_version_without_requests_has_no_success_rate_in_the_table() -> None:
    report = renamed(made_up_report(), totals={"version-1": Total(10, 1.0, 1.0, 5.0), "version-2": Total(0.0)})
    row = re.search(r"version-2</td>(.*?)</tr>", page(report))
    assert row is not None
    assert re.findall(r">([^<>]+)</td>", row[1]) == ["0", "-", "-", "-"]


@pytest.fixture(scope="module")
def browser() -> None:
    missing = chromium.require_chromium()
    if missing:
        pytest.skip(missing)


def test_a_browser_draws_the_page_without_a_message(browser: None, tmp_path: Path) -> None:
    file, picture = tmp_path / "report.html", tmp_path / "report.png"
    file.write_text(html(), encoding="utf-8")

    messages = chromium.screenshot(file, picture, (700, 1100))

    assert messages == [], "the console has errors, or the policy refused something"
    found = chromium.colours(picture)
    drawn = [tuple(bytes.fromhex(colour[1:])) for colour in COLOURS]
    swatch = 11 * 11
    for colour in drawn[:2]:
        assert found[(colour[0], colour[1], colour[2])] > 3 * swatch, "the lines of a version are not drawn"
    assert found[(drawn[2][0], drawn[2][1], drawn[2][2])] == 0, "there is no third version"


def test_the_browser_tells_what_the_policy_refuses(browser: None, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(html().replace("</main>", "</main><script>alert(1)</script>"), encoding="utf-8")

    messages = chromium.screenshot(file, tmp_path / "report.png", (700, 300))

    assert len(messages) == 1
    assert "Content Security Policy" in messages[0]
