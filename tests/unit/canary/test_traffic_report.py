"""The data of a traffic report: what is read, when weights changed, and what is said of missing data."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.traffic_report.data import POINTS, Grid, Line, Measure, Total, TrafficReport, as_json, changes, gaps, grid
from canary.traffic_report.reading import read_report
from metrics.prometheus import PrometheusError
from tests.unit.canary.made_up_traffic import (
    NOW,
    PROMETHEUS_IS_DOWN,
    QUERIES,
    AnsweringPrometheus,
    Points,
    settings_of,
)

GRID = grid(NOW - 600, NOW, 15.0)
TIMES = GRID.times
WEIGHTS_MISSING = "shop: Prometheus has no weights"


def all_the_time(value: float) -> Points:
    return [(time, value) for time in TIMES]


def read(prometheus: AnsweringPrometheus, *versions: str) -> TrafficReport:
    return read_report(prometheus, QUERIES, settings_of(*versions), "dev", GRID, NOW)


def full(**changed: Any) -> AnsweringPrometheus:
    """A Prometheus that knows all about version one, with some answers changed, by word: (now, over time)."""
    now: dict[str, Any] = {
        "requests": {"one": 2.0},
        "share": {"one": 1.0},
        "success_rate": {"one": 0.5},
        "p95": {"one": 8.0},
    }
    over_time: dict[str, Any] = {
        word: {"one": all_the_time(value)}
        for word, value in {
            "weight": 1.0, "share": 1.0, "success_rate": 0.5, "requests": 2.0, "p50": 4.0, "p95": 8.0, "p99": 9.0
        }.items()
    }  # fmt: skip
    for word, (instant, line) in changed.items():
        now[word], over_time[word] = instant, line
    return AnsweringPrometheus(now, over_time)


@given(
    st.floats(min_value=100, max_value=1e8),
    st.integers(min_value=1, max_value=60),
    st.floats(min_value=1e9, max_value=2e9),
)
def test_a_line_has_at_most_300_points_not_closer_than_scrapes_and_ends_at_the_end(
    seconds: float, interval: int, end: float
) -> None:
    points = grid(end - seconds, end, interval)

    assert points.step >= interval
    assert len(points.times) <= POINTS + 1
    assert points.times[-1] == end
    assert points.times[0] >= end - seconds - 1e-3, "nothing before the range is asked for"
    assert points.times[0] < end - seconds + points.step, "the range is covered"
    assert points.window >= max(points.step, 2 * interval + 1), "no request between two points is left out"


def test_points_are_put_at_their_time_and_what_is_not_a_number_is_a_gap() -> None:
    points = Grid(0.0, 40.0, 10.0, 31.0)
    assert points.line([(0.0, 1.0), (20.0, math.nan), (30.0, math.inf), (40.0, 0.0)]) == (1.0, None, None, None, 0.0)


def test_a_report_has_the_lines_and_the_totals_of_each_version() -> None:
    prometheus = full()
    report = read(prometheus, "one")

    (service,) = report.services
    assert report.problems == ()
    assert {measure: lines["one"][0] for measure, lines in service.lines.items()} == {
        Measure.WEIGHT: 1.0,
        Measure.SHARE: 1.0,
        Measure.SUCCESS_RATE: 0.5,
        Measure.REQUESTS: 2.0,
        Measure.P50: 4.0,
        Measure.P95: 8.0,
        Measure.P99: 9.0,
    }
    assert service.totals == {"one": Total(1200.0, 1.0, 0.5, 8.0)}, "2 requests a second in 600 s"
    assert f"share shop.web {GRID.window:.0f}s" in prometheus.asked
    assert "share shop.web 600s" in prometheus.asked, "the total is of the whole range"


@pytest.mark.parametrize(
    ("prometheus", "versions", "problems"),
    [
        pytest.param(
            full(),
            ["one", "two"],
            ["shop two: Prometheus has no requests to it in the range"],
            id="nothing of one version",
        ),
        pytest.param(
            AnsweringPrometheus(),
            ["one"],
            ["shop: Prometheus has no requests to it in the range", WEIGHTS_MISSING],
            id="nothing at all",
        ),
        pytest.param(
            full(requests=({"one": math.nan}, {"one": all_the_time(math.nan)})),
            ["one"],
            ["shop: Prometheus has no requests to it in the range"],
            id="not a number",
        ),
        pytest.param(
            full(success_rate=({}, {"one": all_the_time(0.5)})),
            ["one"],
            ["shop one: Prometheus has no success rate of it over the whole range"],
            id="a total is missing",
        ),
        pytest.param(
            full(requests=({"one": 2.0}, {"one": [(time, 2.0) for time in (*TIMES[:10], *TIMES[20:])]})),
            ["one"],
            ["shop: no data from 2025-06-15 14:59:10 UTC to 2025-06-15 15:01:40 UTC (2 min 30 s)"],
            id="a gap",
        ),
        pytest.param(
            full(p99=({}, PROMETHEUS_IS_DOWN)),
            ["one"],
            ["shop: no p99 over time, because the query failed: connection refused"],
            id="a query fails",
        ),
        pytest.param(
            full(requests=(PROMETHEUS_IS_DOWN, {"one": all_the_time(2.0)})),
            ["one"],
            ["shop: no requests a second over the whole range, because the query failed: connection refused"],
            id="a total fails",
        ),
    ],
)
def test_missing_data_is_told_with_its_reason(
    prometheus: AnsweringPrometheus, versions: list[str], problems: list[str]
) -> None:
    found = read(prometheus, *versions).problems
    assert [text[: len(problem)] for text, problem in zip(found, problems, strict=True)] == problems


def test_missing_data_is_never_zero() -> None:
    (service,) = read(full(), "one", "two").services
    assert service.totals["two"] == Total(None, None, None, None)
    assert all("two" not in lines for lines in service.lines.values())


def test_a_version_without_requests_has_no_success_rate_and_that_is_no_problem() -> None:
    idle = full(
        requests=({"one": 0.0}, {"one": all_the_time(0.0)}),
        success_rate=({}, {}),
        p95=({"one": math.nan}, {}),
        share=({"one": math.nan}, {}),
    )
    report = read(idle, "one")

    assert report.problems == ()
    assert report.services[0].totals["one"] == Total(0.0, None, None, None)
    assert report.services[0].totals["one"].is_idle


def test_a_version_that_is_not_in_the_config_is_shown_if_it_had_requests() -> None:
    requests = {"one": 2.0, "old": 1.0, "older": 0.0}
    report = read(full(requests=(requests, {name: all_the_time(rate) for name, rate in requests.items()})), "one")
    assert report.services[0].versions == ("one", "old")


@pytest.mark.parametrize(
    "failing", [("weight",), ("share", "success_rate", "requests")], ids=["the first query", "several in a row"]
)
def test_a_prometheus_that_does_not_answer_ends_the_report(failing: tuple[str, ...]) -> None:
    with pytest.raises(PrometheusError, match="connection refused"):
        read(full(**{word: ({}, PROMETHEUS_IS_DOWN) for word in failing}), "one")


CHANGES: list[tuple[str, dict[str, Line], list[tuple[int, str]]]] = [
    ("no weights", {}, []),
    ("one version", {"one": (1.0, 1.0, 1.0, 1.0)}, []),
    ("a step", {"one": (1.0, 0.9, 0.9, 0.7), "two": (0.0, 0.1, 0.1, 0.3)}, [
        (1, "one 100 → 90 %, two 0 → 10 %"), (3, "one 90 → 70 %, two 10 → 30 %"),
    ]),
    ("rounding", {"one": (0.1 + 0.2, 0.3, 0.3, 0.3)}, []),
    ("a gap with the same weights on both sides", {"one": (1.0, None, None, 1.0)}, []),
    ("a gap in which they changed", {"one": (1.0, None, None, 0.5), "two": (0.0, None, None, 0.5)}, [
        (3, "one 100 → 50 %, two 0 → 50 %"),
    ]),
    ("a version is added", {"one": (1.0, 1.0, 0.9, 0.9), "two": (None, None, 0.1, 0.1)}, [
        (2, "one 100 → 90 %, two 0 → 10 %"),
    ]),
    ("two of three change", {"one": (0.5,) * 4, "two": (0.5, 0.5, 0.5, 0.2), "three": (0.0, 0.0, 0.0, 0.3)}, [
        (3, "two 50 → 20 %, three 0 → 30 %"),
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("weights", "expected"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_the_moments_at_which_weights_changed_are_found(
    weights: dict[str, Line], expected: list[tuple[int, str]]
) -> None:
    found = changes((0.0, 1.0, 2.0, 3.0), weights)
    assert [(int(change.time), str(change)) for change in found] == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ((1.0, 1.0, 1.0, 1.0, 1.0), []),
        ((1.0, None, 1.0, 1.0, 1.0), []),
        ((None, None, None, 1.0, 1.0), [(0.0, 30.0)]),
        ((1.0, 1.0, None, None, None), [(20.0, 40.0)]),
        ((None, None, 1.0, None, None), [(0.0, 20.0)]),
    ],
)
def test_gaps_are_longer_than_one_point(line: Line, expected: list[tuple[float, float]]) -> None:
    points = Grid(0.0, 40.0, 10.0, 31.0)
    assert list(gaps(points, {"one": line})) == expected
    assert list(gaps(points, {"one": line, "two": (0.0,) * 5})) == [], "the other version has data"


def test_the_summary_in_json_has_null_for_what_is_missing() -> None:
    document = as_json(read(full(), "one", "two"), "/tmp/report.html")

    assert document["output"] == "/tmp/report.html"
    assert (document["from"], document["to"]) == ("2025-06-15T14:56:40Z", "2025-06-15T15:06:40Z")
    (service,) = document["services"]
    assert service["versions"] == [
        {"name": "one", "requests": 1200, "share_percent": 100.0, "success_percent": 50.0, "p95_milliseconds": 8.0},
        {"name": "two", "requests": None, "share_percent": None, "success_percent": None, "p95_milliseconds": None},
    ]
    assert service["problems"] == ["shop two: Prometheus has no requests to it in the range"]
