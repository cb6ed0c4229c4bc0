"""Warm-ups of a rollout's pods: what the record keeps of them, what latency leaves out, and what status says of it."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.decision import Facts, PodStart
from rollout.gate_samples import seconds_of as at
from rollout.gates.warm_up import Span
from rollout.machine import advance, retry
from rollout.record import EventType, Record, StepPeriod, WarmUp
from rollout.warm_ups import note, spans, spans_by_step, words
from tests.unit.rollout.records import START, aborted, completed, facts_of, gated, later, with_latency


def judged(record: Record | None = None, **changes: Any) -> Record:
    """A record whose gates compare latency; its first step stands since the start."""
    return with_latency(gated(0) if record is None else record, **changes)


def started(pod: str, seconds: float, version: str = "version-2") -> PodStart:
    return PodStart(version=version, pod=pod, ready_at=later(seconds))


def noted(record: Record, now: float, *pods: PodStart, **changes: Any) -> Record | None:
    """The record after the look at `now`, None if nothing is noted."""
    decision = note(record, facts_of(record, now=later(now), pods_started=pods, **changes))
    return None if decision is None else decision.record


def after(record: Record, *looks: tuple[float, tuple[PodStart, ...]]) -> Record:
    for now, pods in looks:
        record = noted(record, now, *pods) or record
    return record


def seconds_of(record: Record) -> list[tuple[float, float]]:
    """What latency leaves out, in seconds since the start."""
    return [(one.start - at(START), one.end - at(START)) for one in spans(record)]


def test_the_new_versions_first_requests_are_left_out_however_old_its_pods_are() -> None:
    assert seconds_of(judged()) == [(0, 60)]
    assert words(judged(), later(26)) == "left out while version-2 has its first requests (34 s)"
    assert words(judged(), later(60)) == ""


@pytest.mark.parametrize("version", ["version-1", "version-2"])
def test_a_pod_of_either_version_that_starts_in_mid_step_is_left_out(version: str) -> None:
    record = after(judged(), (102, (started("website-x", 100, version),)))
    assert record.warm_ups == (WarmUp(since=later(100), until=later(160), version=version, pod="website-x"),)
    assert seconds_of(record) == [(0, 60), (100, 160)]
    assert words(record, later(126)) == f"left out while pod website-x of {version} warms up (34 s)"


def test_a_pod_is_noted_once_and_no_old_one_is() -> None:
    record = after(judged(), (102, (started("website-x", 100),)))
    assert noted(record, 103, started("website-x", 100)) is None
    assert noted(record, 165, started("website-x", 100), started("website-old", -5000)) is None


def test_pods_that_start_one_after_the_other_are_one_warm_up_with_one_write_at_its_end() -> None:
    a, b, c = started("website-a", 100), started("website-b", 130, "version-1"), started("website-c", 300)
    record = after(judged(), (101, (a,)))
    assert noted(record, 131, a, b) is None
    record = after(record, (156, (a, b)), (301, (a, b, c)))
    assert [(one.since, one.until, one.pod) for one in record.warm_ups] == [
        (later(100), later(190), "website-b"),
        (later(300), later(360), "website-c"),
    ]


def test_a_deployment_that_always_has_a_new_pod_is_left_out_for_three_minutes_of_a_step_and_said() -> None:
    record = judged()
    writes = 0
    for second in range(1, 600):
        pods = [started(f"website-{one}", 20.0 * one) for one in range(second // 20 + 1)]
        again = noted(record, second, *pods)
        writes, record = writes + (again is not None), again or record
    assert writes <= 5, "few writes, and few events, whatever the pods do"
    assert seconds_of(record) == [(0, 180)]
    assert len(record.warm_ups) == 1
    assert words(record, later(179)).startswith("left out while pod website-")
    assert words(record, later(200)) == "counts again: pods keep starting, and 180 s of this step are left out"

    periods = (StepPeriod(step=0, settled_at=START, until=later(600)), StepPeriod(step=1, settled_at=later(610)))
    later_step = record.model_copy(update={"step": 1, "periods": periods})
    again = noted(later_step, 611, started("website-30", 600))
    assert again is not None, "the next step has warm-ups of its own"
    assert [one.seconds for one in spans_by_step(again)[1]] == [50]


@pytest.mark.parametrize(
    ("record", "changes"),
    [
        (gated(0), {}),
        (judged(latency_warmup=0.0), {}),
        (judged(), {"lease_held": False}),
        (judged().model_copy(update={"step": -1}), {}),
    ],
    ids=["latency is not compared", "no warm-up is wanted", "another holder", "before the first step"],
)
def test_nothing_is_noted_where_nobody_needs_it(record: Record, changes: dict[str, Any]) -> None:
    assert noted(record, 102, started("website-x", 100), **changes) is None


def test_without_latency_nothing_is_left_out() -> None:
    assert spans(gated(0)) == ()
    assert words(gated(0), START) == ""


def test_a_longer_warm_up_is_that_of_the_plan() -> None:
    record = after(judged(latency_warmup=120.0), (301, (started("website-x", 300),)))
    assert seconds_of(record) == [(0, 120), (300, 420)]


@pytest.mark.parametrize("of", ["running", "completed"])
def test_the_machine_notes_a_new_pod_and_writes_nothing_else(of: str) -> None:
    record = judged() if of == "running" else judged(gated(2))
    if of == "completed":
        record = completed(plan=record.plan, periods=record.periods, from_=record.from_)
    facts: Facts = facts_of(record, now=later(102), pods_started=(started("website-x", 100),))
    decision = advance(record, facts)
    assert decision.record is not None, decision.why
    assert decision.record.warm_ups[0].pod == "website-x"
    assert decision.write_routes is None
    assert decision.record.annotation == record.annotation, "no Envoy gets a new configuration for it"
    assert [one.type for one in decision.record.outbox] == [EventType.POD_STARTED]


def test_a_retry_begins_without_warm_ups() -> None:
    one = WarmUp(since=START, until=later(60), version="version-2", pod="website-x")
    again = retry(aborted(warm_ups=(one,)), "fixed", "ann", later(700)).record
    assert again is not None
    assert again.warm_ups == ()


def test_the_record_keeps_them_for_whoever_goes_on() -> None:
    record = after(judged(), (102, (started("website-x", 100),)))
    read = Record.from_json(record.to_json())
    assert (
        spans(read)
        == spans(record)
        == (
            Span(at(START), at(later(60))),
            Span(at(later(100)), at(later(160))),
        )
    )
