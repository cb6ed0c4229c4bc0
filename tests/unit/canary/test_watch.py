"""`canary status --watch`: what one refresh reads, how it is shown, and the loop."""

from __future__ import annotations

import io
import json
import math
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from rich.console import Console

from canary import telemetry
from canary.command_error import CommandError
from canary.engine.session import Session
from canary.exit_codes import ExitCode
from canary.status import RuleState, ServiceState, VersionState
from canary.ui import Ui
from canary.watch import loop
from canary.watch.loop import watch
from canary.watch.reading import Traffic, VersionRow, WatchState, as_json, assemble, read_traffic
from canary.watch.table import render
from metrics.prometheus import PrometheusError
from stacks.settings.model import Settings
from tests.unit.canary.made_up_traffic import NOW, PROMETHEUS_IS_DOWN, QUERIES, AnsweringPrometheus, settings_of

HEADER_RULE = {"match": [{"headers": {"qa": {"exact": "yes"}}}], "to": "two"}
SETTINGS = settings_of("one", "two", route=[HEADER_RULE, {"to": {"one": 90, "two": 10}}])
LIVE = ServiceState(
    "shop",
    "web",
    "canary",
    True,
    (VersionState("one", "shop-one", 4, 4, "shop:1"), VersionState("two", "shop-two", 0, 1, "shop:2")),
    (
        RuleState("1. header rule", {"two": 100}, {"two": 100}),
        RuleState("2. default", {"one": 70, "two": 30}, {"one": 90, "two": 10}),
    ),
    "pending",
)
FULL = Traffic(
    requests={"one": 90.0, "two": 10.0},
    share={"one": 0.9, "two": 0.1},
    success_rate={"one": 1.0, "two": 0.5},
    p95={"one": 40.0, "two": 4.0},
)


def rows(
    live: ServiceState | str = LIVE, traffic: Traffic | str = FULL, settings: Settings = SETTINGS
) -> dict[str, VersionRow]:
    (service,) = assemble(
        settings,
        live if isinstance(live, str) else {"shop": live},
        traffic if isinstance(traffic, str) else {"shop": traffic},
        31.0,
    )
    return {row.name: row for row in service.versions}


def state(live: ServiceState | str = LIVE, traffic: Traffic | str = FULL) -> WatchState:
    of_cluster = live if isinstance(live, str) else {"shop": live}
    of_traffic = traffic if isinstance(traffic, str) else {"shop": traffic}
    return WatchState("dev", NOW, 31.0, assemble(SETTINGS, of_cluster, of_traffic, 31.0))


def shown(watched: WatchState, width: int = 160) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(render(watched))
    return cast(io.StringIO, console.file).getvalue()


def cells(watched: WatchState, version: str, width: int = 160) -> list[str]:
    """The cells of a version's row without its name: weight, share, requests, success, p95, pods."""
    rows = (re.split(r"\s{2,}", line.strip()) for line in shown(watched, width).splitlines())
    return next(row[-6:] for row in rows if version in row[:2])


def test_a_refresh_asks_prometheus_once_for_each_value() -> None:
    prometheus = AnsweringPrometheus(
        {
            "requests": {"one": 90.0, "two": 10.0},
            "share": {"one": 0.9, "two": 0.1},
            "success_rate": {"one": 1.0, "two": math.nan},
            "p95": {"one": 40.0, "two": math.inf},
        }
    )

    read = read_traffic(prometheus, QUERIES, SETTINGS, 10.5)

    assert prometheus.asked == [f"{word} shop.web 10500ms" for word in ("requests", "share", "success_rate", "p95")]
    assert read == {
        "shop": Traffic(
            requests={"one": 90.0, "two": 10.0},
            share={"one": 0.9, "two": 0.1},
            success_rate={"one": 1.0},
            p95={"one": 40.0},
        )
    }, "what is not a number is not known"


def test_a_row_has_the_live_weight_of_the_default_rule_and_not_the_configured_one() -> None:
    assert rows() == {
        "one": VersionRow(
            name="one", weight=70, requests=90.0, share=0.9, success_rate=1.0, p95=40.0, pods_ready=4, pods_desired=4
        ),
        "two": VersionRow(
            name="two", weight=30, requests=10.0, share=0.1, success_rate=0.5, p95=4.0, pods_ready=0, pods_desired=1
        ),
    }


def test_the_other_rules_are_told_since_their_requests_are_part_of_the_share() -> None:
    (service,) = state().services
    assert service.other_rules == ("rule 1 (header rule): two 100 %",)
    assert "shop: rule 1 (header rule): two 100 % (its requests are part of the share)" in shown(state())


NO_REQUESTS = "shop: Prometheus has counted no requests to it in the last 31 s; fix: "
NO_VIRTUAL_SERVICE = "shop: the cluster has no VirtualService with weights for its default rule"
IDLE = replace(FULL, requests={"one": 90.0, "two": 0.0}, success_rate={"one": 1.0}, p95={"one": 40.0})
ALL_IDLE = Traffic(requests={"one": 0.0, "two": 0.0})
ONLY_ONE = Traffic(requests={"one": 90.0}, share={"one": 1.0}, success_rate={"one": 1.0}, p95={"one": 40.0})

MISSING: list[tuple[str, ServiceState | str, Traffic | str, list[str], list[str]]] = [
    ("all is known", LIVE, FULL, ["30 %", "10.0 %", "10.0", "50.00 %", "4.0 ms", "0 of 1"], []),
    ("no requests to a version", LIVE, IDLE, ["30 %", "10.0 %", "0.0", "-", "-", "0 of 1"], []),
    ("no requests at all", LIVE, ALL_IDLE, ["30 %", "-", "0.0", "-", "-", "0 of 1"], []),
    (
        "an unreachable Prometheus", LIVE, "Prometheus cannot be queried: connection refused",
        ["30 %", *["no data"] * 4, "0 of 1"], ["Prometheus cannot be queried: connection refused"],
    ),
    ("an empty Prometheus", LIVE, Traffic(), ["30 %", *["no data"] * 4, "0 of 1"], [NO_REQUESTS]),
    (
        "a version that Prometheus does not know", LIVE, ONLY_ONE,
        ["30 %", *["no data"] * 4, "0 of 1"], ["shop two: Prometheus has counted no requests to it in the last 31 s"],
    ),
    (
        "no duration", LIVE, replace(FULL, p95={"one": 40.0}),
        ["30 %", "10.0 %", "10.0", "50.00 %", "no data", "0 of 1"], ["shop two: Prometheus has no p95 of it"],
    ),
    (
        "an unreachable cluster", "cannot reach the cluster", FULL,
        ["no data", "10.0 %", "10.0", "50.00 %", "4.0 ms", "no data"], ["cannot reach the cluster"],
    ),
    (
        "an unreachable cluster and no requests", "cannot reach the cluster", IDLE,
        ["no data", "10.0 %", "0.0", "-", "-", "no data"], ["cannot reach the cluster"],
    ),
    (
        "no routes", replace(LIVE, rules=tuple(replace(rule, live={}) for rule in LIVE.rules)), FULL,
        ["no data", "10.0 %", "10.0", "50.00 %", "4.0 ms", "0 of 1"], [NO_VIRTUAL_SERVICE],
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("live", "traffic", "of_two", "problems"), [row[1:] for row in MISSING], ids=[row[0] for row in MISSING]
)
def test_what_is_missing_is_told_and_never_shown_as_zero_or_success(
    live: ServiceState | str, traffic: Traffic | str, of_two: list[str], problems: list[str]
) -> None:
    watched = state(live, traffic)

    assert cells(watched, "two") == of_two
    assert [text[: len(start)] for text, start in zip(watched.problems, problems, strict=True)] == problems
    for problem in problems:
        assert f"no data: {problem}" in shown(watched)
    (service,) = as_json(watched)["services"]
    version = service["versions"][1]
    unknown = any(value is None for name, value in version.items() if name != "problem")
    assert (version["problem"] is not None) == unknown, "null has a reason, and only null"


def test_a_version_of_the_past_that_still_gets_requests_is_shown() -> None:
    found = rows(traffic=replace(FULL, requests={**FULL.requests, "old": 1.0, "older": 0.0}))

    assert list(found) == ["one", "two", "old"], "older has no requests any more"
    assert (found["old"].weight, found["old"].pods_ready) == (0, None)
    assert (
        found["old"].problems[0]
        == "shop old: the version gets requests but is not in the config, so its pods are unknown"
    )


def test_one_version_has_all_the_weight() -> None:
    settings = settings_of("one")
    live = replace(LIVE, versions=LIVE.versions[:1], rules=(RuleState("1. default", {"one": 100}, {"one": 100}),))
    assert {name: (row.weight, row.problems) for name, row in rows(live, ONLY_ONE, settings).items()} == {
        "one": (100, ())
    }


def test_a_success_rate_is_never_rounded_up_to_100_percent() -> None:
    almost = replace(FULL, success_rate={"one": 1.0, "two": 0.999999})
    assert cells(state(traffic=almost), "one")[3] == "100.00 %"
    assert cells(state(traffic=almost), "two")[3] == "99.99 %"


def test_no_number_is_cut_on_a_terminal_of_80_columns() -> None:
    large = replace(
        FULL, requests={"one": 123_456.7, "two": 0.0}, success_rate={"one": 1.0}, p95={"one": 12_345.0, "two": 1.0}
    )
    watched = state(traffic=large)
    (service,) = watched.services
    watched = replace(watched, services=(replace(service, name="a-service-with-a-name-of-some-length"),))

    assert cells(watched, "one", 80) == ["70 %", "90.0 %", "123456.7", "100.00 %", "12345 ms", "4 of 4"]
    assert "…" not in shown(watched, 80)


@pytest.mark.parametrize("width", [20, 40, 71])
def test_a_terminal_that_is_too_narrow_for_the_table_shows_every_name_and_number(width: int) -> None:
    text = " ".join(shown(state(), width).split())

    assert "shop one: weight 70 %, share 90.0 %, requests/s 90.0, success 100.00 %" in text
    assert "shop two: weight 30 %" in text
    assert "…" not in text


def test_json_is_one_document_with_units_in_the_names() -> None:
    document = as_json(state())

    assert json.loads(json.dumps(document)) == document
    assert (document["stack"], document["time"], document["window_seconds"]) == ("dev", "2025-06-15T15:06:40Z", 31.0)
    assert document["services"][0]["versions"][1] == {
        "name": "two",
        "weight_percent": 30,
        "share_percent": 10.0,
        "requests_per_second": 10.0,
        "success_percent": 50.0,
        "p95_milliseconds": 4.0,
        "pods_ready": 0,
        "pods_desired": 1,
        "problem": None,
    }


@dataclass
class Loop:
    """The loop with a cluster and a Prometheus in their places; `pauses` are what it waited."""

    monkeypatch: pytest.MonkeyPatch
    cluster: list[ServiceState | CommandError] = field(default_factory=lambda: [LIVE])
    prometheus: list[AnsweringPrometheus | CommandError] = field(
        default_factory=lambda: [AnsweringPrometheus({"requests": FULL.requests})]
    )
    pauses: list[float] = field(default_factory=list)
    opened: int = 0

    def run(self, refreshes: int, json: bool = True, window: float | None = None) -> None:
        reads: Iterator[ServiceState | CommandError] = iter([*self.cluster, *self.cluster[-1:] * refreshes])

        def look(settings: Settings) -> tuple[ServiceState, ...]:
            found = next(reads)
            if isinstance(found, CommandError):
                raise found
            return (found,)

        @contextmanager
        def connect(session: Session, timeout: float = 5.0) -> Iterator[AnsweringPrometheus]:
            found = self.prometheus[min(self.opened, len(self.prometheus) - 1)]
            self.opened += 1
            if isinstance(found, CommandError):
                raise found
            with found:
                yield found

        def pause(seconds: float) -> None:
            self.pauses.append(seconds)
            if len(self.pauses) == refreshes:
                raise KeyboardInterrupt

        self.monkeypatch.setattr(loop, "look_at_services", look)
        self.monkeypatch.setattr(telemetry, "open_prometheus", connect)
        self.monkeypatch.setattr(telemetry, "queries_of", lambda settings: QUERIES)
        session = Session(Ui(json), cast(Any, None), "dev", cast(Any, Loaded(SETTINGS)))
        watch(Ui(json), session, 1.0, window, pause)


@dataclass
class Loaded:
    settings: Settings


@pytest.fixture
def watching(monkeypatch: pytest.MonkeyPatch) -> Loop:
    return Loop(monkeypatch)


def documents(capsys: pytest.CaptureFixture[str]) -> list[Mapping[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_each_refresh_is_a_line_of_json_until_ctrl_c(watching: Loop, capsys: pytest.CaptureFixture[str]) -> None:
    watching.run(3)

    found = documents(capsys)
    assert [document["services"][0]["versions"][0]["requests_per_second"] for document in found] == [90.0] * 3
    assert all(0 <= pause <= 1 for pause in watching.pauses)
    assert watching.opened == 1, "the connection stays open"
    (prometheus,) = watching.prometheus
    assert isinstance(prometheus, AnsweringPrometheus)
    assert prometheus.is_closed
    assert prometheus.asked[0] == "requests shop.web 31s", "two scrape intervals of 15 s, and a second"


def test_a_small_weight_is_shown_with_a_share_of_as_many_decimals() -> None:
    rules = (RuleState("2. default", {"one": 99.95, "two": 0.05}, {"one": 99.95, "two": 0.05}),)
    live = replace(LIVE, rules=rules)
    traffic = replace(FULL, share={"one": 0.99946, "two": 0.00054})
    settings = settings_of("one", "two", route=[{"to": {"one": 99.95, "two": 0.05}}])
    watched = WatchState("dev", NOW, 31.0, assemble(settings, {"shop": live}, {"shop": traffic}, 31.0))

    text = shown(watched)
    for words in ("99.95 %", "0.05 %", "99.95 %"):
        assert words in text


def test_without_a_terminal_the_tables_follow_each_other(watching: Loop, capsys: pytest.CaptureFixture[str]) -> None:
    watching.run(2, json=False)
    assert capsys.readouterr().out.count("stack dev at ") == 2


@pytest.mark.parametrize("json", [True, False])
def test_a_reader_that_has_read_enough_ends_it_with_success(
    json: bool, watching: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        watching.run(3, json=json)

    assert watching.pauses == []


def test_a_new_weight_is_shown_at_the_next_refresh(watching: Loop, capsys: pytest.CaptureFixture[str]) -> None:
    changed = replace(LIVE, rules=(LIVE.rules[0], replace(LIVE.rules[1], live={"one": 50, "two": 50})))
    watching.cluster = [LIVE, changed]
    watching.run(2)

    weights = [[row["weight_percent"] for row in document["services"][0]["versions"]] for document in documents(capsys)]
    assert weights == [[70, 30], [50, 50]]


def test_a_prometheus_that_stops_answering_is_told_and_asked_again(
    watching: Loop, capsys: pytest.CaptureFixture[str]
) -> None:
    down = AnsweringPrometheus({"requests": PROMETHEUS_IS_DOWN})
    off = CommandError("Prometheus is off for stack dev", ExitCode.CONFIG, fix="turn it on", details=("note: why",))
    watching.prometheus = [down, off, AnsweringPrometheus({"requests": FULL.requests})]
    watching.run(3)

    found = documents(capsys)
    assert found[0]["problems"] == [
        "Prometheus cannot be queried: connection refused; fix: check that its pod is running"
    ]
    assert found[1]["problems"] == ["Prometheus is off for stack dev; note: why; fix: turn it on"]
    assert found[2]["services"][0]["versions"][0]["requests_per_second"] == 90.0
    assert [document["services"][0]["versions"][0]["weight_percent"] for document in found] == [70, 70, 70]
    assert down.is_closed


def test_a_cluster_that_stops_answering_is_told_but_one_that_never_answered_ends_it(
    watching: Loop, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = CommandError("cannot reach the cluster", ExitCode.UNREACHABLE)
    watching.cluster = [LIVE, gone]
    watching.run(2)

    found = documents(capsys)
    assert "cannot reach the cluster" in found[1]["problems"]
    assert found[1]["services"][0]["versions"][0]["requests_per_second"] == 90.0

    watching.cluster, watching.pauses = [gone], []
    with pytest.raises(CommandError, match="cannot reach the cluster"):
        watching.run(2)


@pytest.mark.parametrize("window", [1.0, 29.9])
def test_a_window_that_cannot_hold_two_scrapes_is_refused(window: float, watching: Loop) -> None:
    with pytest.raises(CommandError) as caught:
        watching.run(1, window=window)
    assert caught.value.code == ExitCode.CONFIG
    assert "allowed: at least 30 s" in str(caught.value)
    assert "fix: write --window 30s" in str(caught.value)


def test_an_error_of_another_kind_is_not_hidden(watching: Loop) -> None:
    watching.prometheus = [AnsweringPrometheus({"requests": cast(PrometheusError, 7)})]
    with pytest.raises(AttributeError):
        watching.run(1)
