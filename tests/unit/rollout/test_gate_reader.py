"""From a record and Prometheus to verdicts: what is fixed at the start, a store that fails, a kill, and the replay."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import pytest

from metrics.prometheus import Prometheus, PrometheusError, Sample, Series
from rollout import gate_samples
from rollout.gate_file import evidence_of, gate_file, unpacked
from rollout.gate_history import read_past
from rollout.gate_packing import Packing
from rollout.gate_reader import GateReader, GateReading
from rollout.gates.decide import Answer
from rollout.gates.replay import ReplayError, differing
from rollout.planned import PlannedCounters
from rollout.record import Record, StepPeriod, WarmUp
from tests.unit.rollout.gates.test_gate_on_samples import Gateway
from tests.unit.rollout.records import GATES, START, later, observing, record_of
from traffic.model.rollout_gates import RolloutGates

PAST = 2400
"""Seconds of requests to the old version before the rollout; the record's times begin after them."""
ZERO = datetime.fromisoformat(START).timestamp() - PAST
COUNTERS = PlannedCounters(source="envoy", scrape_seconds=15.0)
NAMES = {"website.shop": "website.website-istio-ns"}


@dataclass
class Store:
    """A Prometheus that has scraped a gateway, until `now`; `down` is why it does not answer."""

    gateway: Gateway
    down: str = ""
    down_until: float | None = None
    asked: int = 0
    longest: int = 0

    def samples(self, query: str, at: float | None = None) -> Sequence[Series]:
        self._answer()
        if self.down_until is not None and (at is None or at > self.down_until):
            raise PrometheusError("http://prometheus", "too many samples", "ask for less")
        found = self.gateway.read()
        over = re.search(r"\[([0-9]+)s\]$", query)
        assert over is not None, query
        self.longest = max(self.longest, int(over[1]))
        if query.startswith("envoy_server_uptime"):
            return self._late(found.uptimes, int(over[1]), at)
        if "__name__=~" in query:
            return self._late(found.counters, int(over[1]), at)
        return ()

    def instant(self, query: str) -> Sequence[Sample]:
        self._answer()
        assert "upstream_rq_time_bucket" in query
        return [
            Sample({"version": "version-1", "le": le}, 0.0, value)
            for le, value in (("50", 40.0), ("100", 47.0), ("250", 49.9), ("+Inf", 50.0))
        ]

    def _answer(self) -> None:
        self.asked += 1
        if self.down:
            raise PrometheusError("http://prometheus", self.down, "start it")

    def _late(self, series: Sequence[Series], over: int, at: float | None) -> Sequence[Series]:
        newest = max((time for one in series for time, _ in one.points), default=0.0)
        until = newest if at is None else at - ZERO
        return [
            Series(
                {key: value.replace("website.shop", "website.website-istio-ns") for key, value in one.labels.items()},
                tuple((ZERO + time, value) for time, value in one.points if until - over < time <= until),
            )
            for one in series
        ]

    @property
    def client(self) -> Prometheus:
        return cast(Prometheus, self)


def planned(record: Record, **changes: Any) -> Record:
    return record.model_copy(update={"plan": record.plan.model_copy(update={"counters": COUNTERS, **changes})})


def store_with_a_past(canary: float = 0.01, seed: int = 1) -> Store:
    gateway = Gateway(seed=seed, per_second=60, stable=0.01, canary=canary)
    for second in range(PAST):
        gateway.second(second)
    return Store(gateway)


def fixed(store: Store, gates: RolloutGates = GATES) -> Record:
    """A record whose first step every Envoy has since the start, with what is fixed from the store."""
    pending = planned(record_of((10, 50, 100), started_at=START, gates=gates, hold_seconds=60))
    reading = GateReader().read(pending, START, store.client)
    assert reading is not None
    assert reading.fixed is not None, reading.text
    record = planned(
        observing(0, gates=gates, hold_seconds=60),
        gates=reading.fixed.plan,
        deadline_seconds=reading.fixed.deadline_seconds,
    )
    return record.model_copy(update={"periods": (StepPeriod(step=0, settled_at=START),)})


def go_on(store: Store, reader: GateReader, record: Record, begin: int, end: int) -> list[GateReading]:
    """Requests from one second after the start to another, read each 15 s, until harm or a rise."""
    store.gateway.weight = 10
    found = []
    for second in range(begin, end):
        store.gateway.second(PAST + second)
        if second % 15 == 14:
            reading = reader.read(record, later(second + 1), store.client)
            assert reading is not None
            found.append(reading)
            if reading.verdict is not None and reading.verdict.answer in (Answer.HARM, Answer.RISE):
                break
    return found


def answers(readings: list[GateReading]) -> list[Answer]:
    return [one.verdict.answer for one in readings if one.verdict is not None]


def test_the_past_of_the_old_version_is_fixed_at_the_start() -> None:
    record = fixed(store_with_a_past())
    plan = record.plan.gates
    assert plan is not None
    errors = next(one for one in plan.metrics if one.name == "errors")

    assert errors.stable_rate == pytest.approx(0.01, rel=0.1)
    assert plan.tolerance == pytest.approx(errors.stable_rate / 2)
    assert errors.phi_history is not None
    assert plan.block_seconds == 15
    assert plan.latency_bound == 100, "6 % are slower than 100 ms: the nearest to 5 %"
    assert len(record.plan.deadline_seconds) == 3
    assert all(600 <= one <= 86_400 for one in record.plan.deadline_seconds)


def test_a_past_that_cannot_be_read_is_said_and_fixes_nothing() -> None:
    store = store_with_a_past()
    store.down = "connection refused"
    pending = planned(record_of(started_at=START, gates=GATES))
    reading = GateReader().read(pending, START, store.client)

    assert reading is not None
    assert (reading.fixed, reading.verdict) == (None, None)
    assert "connection refused" in reading.text


def test_a_record_that_does_not_say_what_to_compare_is_said() -> None:
    pending = record_of(started_at=START, gates=GATES)
    reading = GateReader().read(pending, START, store_with_a_past().client)

    assert reading is not None
    assert "does not say which counters to compare" in reading.text


def test_a_version_that_fails_six_times_as_often_is_harm() -> None:
    store = store_with_a_past(canary=0.06)
    readings = go_on(store, GateReader(), fixed(store), 0, 1200)

    assert answers(readings)[-1] is Answer.HARM
    assert Answer.RISE not in answers(readings)


@pytest.mark.parametrize(("promote", "least"), [("time", 60), ("proof", 120)])
def test_a_version_that_is_as_good_rises(promote: str, least: int) -> None:
    store = store_with_a_past()
    gates = RolloutGates.model_validate({"promote": promote, "latency": {"enabled": False}})
    readings = go_on(store, GateReader(), fixed(store, gates), 0, 3600)

    assert answers(readings)[-1] is Answer.RISE
    assert len(readings) * 15 >= least


def test_a_store_that_is_down_holds_within_two_scrapes_and_goes_on_afterwards() -> None:
    store, reader = store_with_a_past(), GateReader()
    record = fixed(store)
    before = go_on(store, reader, record, 0, 120)
    store.down = "connection refused"
    down = go_on(store, reader, record, 120, 180)
    store.down = ""
    after = go_on(store, reader, record, 180, 240)

    assert answers(before)[-1] is Answer.HOLD
    assert answers(down)[2:] == [Answer.NO_DATA] * 2
    last = down[-1].verdict
    assert last is not None
    assert "s old: no answer from Prometheus" in last.reason
    assert Answer.NO_DATA not in answers(after)[1:]


def test_another_reader_finds_the_same_after_a_kill() -> None:
    store, reader = store_with_a_past(canary=0.03), GateReader()
    record = fixed(store)
    readings = go_on(store, reader, record, 0, 300)
    last = readings[-1]
    again = GateReader().read(record, later(15 * len(readings)), store.client)

    assert again is not None
    assert last.verdict is not None
    assert again.verdict is not None
    assert again.verdict.answer is last.verdict.answer
    assert again.verdict.log_e == pytest.approx(last.verdict.log_e)
    assert again.decisions is not None
    assert last.decisions is not None
    assert again.decisions.blocks == last.decisions.blocks


def test_another_reader_leaves_the_same_out_of_latency_after_a_kill_and_so_does_the_replay() -> None:
    store, reader = store_with_a_past(), GateReader()
    new = WarmUp(since=later(140), until=later(200), version="version-2", pod="website-x")
    by_hand = RolloutGates(promote="hand")  # so that the step goes on
    record = fixed(store, by_hand).model_copy(update={"warm_ups": (new,)})
    last = go_on(store, reader, record, 0, 300)[-1]
    again = GateReader().read(record, later(300), store.client)

    assert again is not None
    assert again.decisions is not None
    assert last.decisions is not None
    assert again.decisions.blocks == last.decisions.blocks
    without = [round(one.start - ZERO - PAST) for one in last.decisions.blocks if "latency" not in one.metrics]
    assert without == [16, 31, 46, 61, 151, 166, 181, 196], "blocks whose scrapes all overlap a warm-up"
    assert differing(gate_file(unpacked(Packing("website-1").packed(last.decisions))).runs[0]) == ()


def test_what_is_kept_gives_the_same_decisions_again() -> None:
    store = store_with_a_past(canary=0.06)
    reading = go_on(store, GateReader(), fixed(store), 0, 1200)[-1]
    assert reading.decisions is not None
    content = Packing("website-1").packed(reading.decisions)
    kept = gate_file(unpacked(content))

    assert kept.rollout == "website-1"
    assert differing(kept.runs[0]) == ()
    assert kept.runs[0].seen[-1].answer is Answer.HARM
    with pytest.raises(ReplayError, match="has no decisions"):
        gate_file("[]")
    with pytest.raises(ReplayError, match="cannot be read"):
        unpacked(b"no gzip")


def test_the_evidence_has_numbers_bounds_queries_and_samples_by_metric() -> None:
    store, reader = store_with_a_past(), GateReader()
    record = fixed(store)
    readings = go_on(store, reader, record, 0, 300)
    found = evidence_of(record, readings[-1], later(300))
    errors = found["metrics"][0]

    assert (found["rollout"], found["step"], found["answer"]) == ("website-1", 1, "Rise")
    assert errors["name"] == "errors"
    sent = 60 * 15 * len(readings)
    assert sent / 2 < errors["new"]["requests"] + errors["old"]["requests"] < sent
    assert 0 < errors["bound"] < 1
    assert errors["proofE"] is not None
    assert found["splits"][0]["version"] in ("version-1", "version-2")
    assert any("upstream_rq_completed" in one for one in found["queries"])
    assert found["samples"] > 0
    assert found["newest"].startswith("2026-01-05T10:0")


def test_blocks_of_a_time_in_which_the_weights_did_not_stand_are_left_out() -> None:
    store, reader = store_with_a_past(), GateReader()
    record = fixed(store)
    periods = (
        StepPeriod(step=0, settled_at=START, until=later(100)),
        StepPeriod(step=0, settled_at=later(200)),
    )
    moved = record.model_copy(update={"periods": periods, "settled_at": later(200)})
    reading = go_on(store, reader, moved, 0, 300)[-1]

    assert reading.decisions is not None
    spans = [(block.start - ZERO - PAST, block.end - ZERO - PAST) for block in reading.decisions.blocks]
    assert spans
    assert all(end <= 100 + 15 or start >= 200 for start, end in spans)


STOOD = (StepPeriod(step=0, settled_at=START, until=later(400)), StepPeriod(step=1, settled_at=later(460)))


@pytest.mark.parametrize("piece", [3, 7, 20])
def test_hours_are_read_in_pieces_and_are_the_same_as_if_they_were_read_at_once(
    piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_with_a_past(canary=0.015)
    record = fixed(store).model_copy(update={"periods": STOOD, "step": 1, "settled_at": STOOD[1].settled_at})
    go_on(store, GateReader(), record, 0, 1200)
    found, longest = [], []
    for number in (piece, 10_000):
        monkeypatch.setattr(gate_samples, "PIECE", number)
        store.longest = 0
        found.append(GateReader().read(record, later(1200), store.client))
        longest.append(store.longest)
    in_pieces, at_once = found

    assert in_pieces is not None
    assert at_once is not None
    assert in_pieces.decisions == at_once.decisions
    assert in_pieces.verdict == at_once.verdict
    assert at_once.decisions is not None
    assert {block.step for block in at_once.decisions.blocks} == {0, 1}
    assert longest[0] <= 15 * (piece + 10), "a piece, and what the next block needs of the one before"
    assert longest[1] >= 1200


def test_the_past_is_the_same_in_pieces_and_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    store, found = store_with_a_past(), []
    for number in (7, 10_000):
        monkeypatch.setattr(gate_samples, "PIECE", number)
        found.append(fixed(store))
    assert found[0] == found[1]


def test_what_was_read_before_a_piece_fails_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_with_a_past()
    record = fixed(store)
    go_on(store, GateReader(), record, 0, 600)
    monkeypatch.setattr(gate_samples, "PIECE", 8)
    store.down_until = ZERO + PAST + 300
    reader = GateReader()
    first = reader.read(record, later(600), store.client)
    store.down_until, store.longest = None, 0
    second = reader.read(record, later(600), store.client)

    assert first is not None
    assert first.verdict is not None
    assert first.decisions is not None
    assert "too many samples" in first.verdict.reason
    assert 0 < len(first.decisions.blocks) < 20
    again = GateReader().read(record, later(600), store.client)
    assert again is not None
    assert again.decisions is not None
    assert second is not None
    assert second.decisions is not None
    assert second.decisions.blocks == again.decisions.blocks


@dataclass
class Slow(Store):
    """A Prometheus that takes a second for each query. Its gateway sent requests to no cluster, long ago."""

    def samples(self, query: str, at: float | None = None) -> Sequence[Series]:
        found = super().samples(query, at)
        over = re.search(r"\[([0-9]+)s\]$", query)
        assert over is not None
        if query.startswith("envoy_http_no_cluster"):
            uptime = next(iter(self.gateway.read().uptimes))
            labels = {**uptime.labels, "__name__": "envoy_http_no_cluster", "http_conn_manager_prefix": "outbound_80"}
            found = [Series(labels, tuple((ZERO + time, 5.0) for time, _ in uptime.points))]
        begin = (ZERO + PAST + self.asked if at is None else at) - int(over[1])
        return [Series(one.labels, tuple(point for point in one.points if point[0] >= begin)) for one in found]


@pytest.mark.parametrize("long", range(1180, 1210, 2))
def test_queries_that_are_answered_one_after_the_other_find_no_requests_that_were_counted_before(
    long: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rollout.gate_history.LONGEST", float(long))
    store = store_with_a_past()
    pending = planned(record_of((10, 50, 100), started_at=START, gates=GATES, hold_seconds=60))
    past = read_past(pending, GATES, Slow(store.gateway).client, datetime.fromisoformat(START).timestamp())
    assert past.unrouted == 0
    assert past.counts_unrouted
    assert past.histories["errors"].requests == pytest.approx(60 * long, rel=0.05)


def test_callers_that_do_not_count_requests_without_a_cluster_are_said() -> None:
    pending = planned(record_of((10, 50, 100), started_at=START, gates=GATES, hold_seconds=60))
    store = store_with_a_past()
    texts = []
    for client in (
        store.client,
        Slow(store.gateway).client,
        Store(Gateway(seed=1, per_second=0, stable=0, canary=0)).client,
    ):
        reading = GateReader().read(pending, START, client)
        assert reading is not None
        assert reading.fixed is not None
        texts.append(reading.fixed.text)

    assert ["do not count requests that find no cluster" in text for text in texts] == [True, False, False]
