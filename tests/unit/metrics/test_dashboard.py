"""The dashboard that Grafana gets."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from metrics.dashboard import canary_dashboard
from metrics.queries import Source
from tests.metrics_expressions import expressions, filled
from tests.unit.metrics.promtool import check_queries, evaluate
from tests.unit.metrics.recorded import EXACT, Traffic, record

pytestmark = pytest.mark.filterwarnings("ignore:Prefer using dashboardv2")

SHOWN = (
    "Versions",
    "Requests",
    "Share of the requests",
    "Success rate",
    "Duration",
    "Responses by code and flags",
    "Retries",
    "Requests that reached no pod",
    "Ejected pods",
    "Ready pods",
)

both_sources = pytest.mark.parametrize("source", list(Source))


@cache
def text(source: Source) -> str:
    return canary_dashboard(source, "prometheus-of-the-team")


def panels(source: Source) -> list[dict[str, Any]]:
    return [panel for panel in json.loads(text(source))["panels"] if panel["type"] != "row"]


def panel(source: Source, title: str) -> dict[str, Any]:
    return next(panel for panel in panels(source) if panel["title"] == title)


@both_sources
def test_every_number_of_a_version_has_its_panel(source: Source) -> None:
    assert tuple(panel["title"] for panel in panels(source)) == SHOWN


@both_sources
def test_every_panel_says_what_it_shows_and_asks_the_given_data_source(source: Source) -> None:
    for shown in panels(source):
        assert re.fullmatch(r"[A-Z].+\.", shown["description"]), shown["title"]
        assert shown["fieldConfig"]["defaults"]["unit"], shown["title"]
        assert shown["targets"], shown["title"]
        for one in (shown, *shown["targets"]):
            assert one["datasource"] == {"type": "prometheus", "uid": "prometheus-of-the-team"}, shown["title"]
        assert len({target["refId"] for target in shown["targets"]}) == len(shown["targets"])


@both_sources
def test_variables_and_annotations_ask_the_given_data_source(source: Source) -> None:
    dashboard = json.loads(text(source))

    assert dashboard["annotations"]["list"]
    for one in (*dashboard["templating"]["list"], *dashboard["annotations"]["list"]):
        assert one["datasource"]["uid"] == "prometheus-of-the-team"


@both_sources
def test_every_variable_that_is_used_exists(source: Source) -> None:
    variables = {variable["name"]: variable for variable in json.loads(text(source))["templating"]["list"]}
    used = {name for query in expressions(text(source)) for name in re.findall(r"\$(\w+)", query)}

    assert used == {*variables, "__rate_interval", "__rate_interval_ms"}
    assert list(variables) == ["namespace", "service"], "the choice of a service depends on the namespace"
    assert "$namespace" in variables["service"]["query"]
    for variable in variables.values():
        assert not variable["multi"], "the numbers of two services would be added up"


@both_sources
def test_a_line_is_named_by_its_version_and_there_is_none_where_nothing_is_known(source: Source) -> None:
    for shown in panels(source):
        if shown["type"] == "timeseries":
            assert shown["fieldConfig"]["defaults"]["custom"]["spanNulls"] is False, shown["title"]
            assert shown["options"]["legend"]["showLegend"], shown["title"]
            for target in shown["targets"]:
                assert target["legendFormat"].startswith("{{version}}"), shown["title"]


@both_sources
def test_the_weight_is_dashed_beside_the_observed_share(source: Source) -> None:
    shown = panel(source, "Share of the requests")
    (override,) = shown["fieldConfig"]["overrides"]

    assert [target["legendFormat"] for target in shown["targets"]] == ["{{version}}", "{{version}} weight"]
    assert override["matcher"] == {"id": "byRegexp", "options": "/ weight$/"}
    assert override["properties"][0]["value"]["fill"] == "dash"


@both_sources
def test_every_column_of_the_table_has_a_name_and_a_unit(source: Source) -> None:
    shown = panel(source, "Versions")
    renamed = shown["transformations"][1]["options"]["renameByName"]
    units = {
        override["matcher"]["options"]: override["properties"][0] for override in shown["fieldConfig"]["overrides"]
    }

    assert list(renamed) == [f"Value #{target['refId']}" for target in shown["targets"]]
    assert {name: unit["value"] for name, unit in units.items()} == {
        "weight": "percentunit",
        "share": "percentunit",
        "requests": "reqps",
        "success rate": "percentunit",
        "p95": "ms",
        "ready pods": "short",
    }
    assert set(renamed.values()) == set(units)


@both_sources
def test_panels_do_not_overlap_and_have_their_own_ids(source: Source) -> None:
    places = [panel["gridPos"] for panel in json.loads(text(source))["panels"]]
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    ids = [panel["id"] for panel in json.loads(text(source))["panels"]]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len(ids) == len(set(ids))


def test_the_same_dashboard_has_the_same_text() -> None:
    again = canary_dashboard(Source.ISTIO, "prometheus-of-the-team")

    assert again == text(Source.ISTIO)
    assert json.loads(again)["uid"] == "istio-canary"
    assert json.dumps(json.loads(again), sort_keys=True, indent=2) == again


@both_sources
def test_prometheus_can_parse_every_query(source: Source, tmp_path: Path) -> None:
    queries = expressions(text(source))

    assert len(queries) == 6 + 3 + 1 + 4 + 4 + 1
    check_queries([filled(query, "website", "shop") for query in queries], tmp_path)


@both_sources
def test_grafanas_variables_give_the_numbers_of_the_chosen_service(source: Source, tmp_path: Path) -> None:
    query = panel(source, "Requests")["targets"][0]["expr"]
    traffic = [Traffic(version="version-1", kinds=dict.fromkeys(EXACT, 5))]

    expected = 5 * len(EXACT) / 15
    evaluate(record(traffic), {filled(query, "website", "shop"): [({"version": "version-1"}, expected)]}, tmp_path)
