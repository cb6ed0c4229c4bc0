"""The machine of a rollout, forward: what it waits for, which step it writes, and how it ends."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.decision import HookResult
from rollout.holding import needed_pods
from rollout.machine import advance, pins
from rollout.planned import PlannedRule, PlannedStep
from rollout.record import EventType, HoldReason, Phase, Record, Release, Stage
from tests.unit.rollout.machine_cases import BY_HAND, HELD, HOOKS, events_of
from tests.unit.rollout.records import (
    GATES,
    START,
    aborted,
    aborting,
    completed,
    facts_of,
    fixed,
    later,
    observing,
    record_of,
    strategy_with,
    weights,
)
from traffic.model.rollout import RolloutCapacity


def test_a_rollout_starts_writes_waits_for_the_envoys_and_ends() -> None:
    """One holder, nothing goes wrong: each decision is carried out, and the facts are those of the world after it."""
    record, annotation, routes, seen = record_of((10, 50)), "", weights(0), []
    for _ in range(12):
        looked = facts_of(record, route_weights=routes, route_annotation=annotation)
        decision = advance(record, looked)
        if decision.record is not None:
            seen += [event.value for event in events_of(decision, record)]
            record = decision.record
        if decision.write_routes is not None:
            routes, annotation = record.wanted, decision.annotation or ""

    assert seen == ["Started", "StepWritten", "Settled", "StepWritten", "Settled", "Completed"]
    assert record.phase is Phase.COMPLETED
    assert record.wanted == routes == weights(50), "the last step's weight is the end"


@pytest.mark.parametrize(("ready", "counted"), [(9, 9), (2, 2), (0, 4), (None, 4)])
def test_capacity_is_measured_by_the_pods_that_the_old_version_has_at_the_start(
    ready: int | None, counted: int
) -> None:
    """Its autoscaler may have changed them since `up` planned the rollout, with 4."""
    planned = record_of((10, 50))
    started = advance(planned, facts_of(planned, ready_from=ready)).record
    assert started is not None
    assert started.started_at is not None
    assert started.from_.ready_pods == counted


def test_the_record_is_written_before_the_routes_and_both_name_one_decision() -> None:
    decision = advance(observing(0), facts_of(observing(0)))

    assert decision.record is not None
    assert (decision.record.stage, decision.record.step) == (Stage.WRITING, 1)
    assert decision.record.wanted == weights(50)
    assert (decision.write_routes, decision.barrier) == ("step", True)
    assert decision.annotation == decision.record.annotation == "website-1/6"


@pytest.mark.parametrize(
    ("record", "facts", "why"),
    [
        (observing(0), {"lease_held": False}, "another holder"),
        (observing(0, hold_seconds=60), {"now": later(59)}, "is kept"),
        (observing(0, hold_seconds=60), {"now": later(90), "observed_seconds": 50.0}, "is kept"),
        (observing(0, paused=BY_HAND), {}, "paused: lunch"),
        (observing(0), {"route_weights": None}, "could not be read"),
        (observing(0, hooks=HOOKS[:1]), {}, "hooks beforeStep"),
        (observing(2, hooks=HOOKS[2:3]), {}, "hooks beforeEnd"),
        (observing(0, hooks=HOOKS[1:2]), {}, "hooks afterStep"),
        (observing(0, stage=Stage.WRITING), {"route_weights": None}, "could not be read"),
        (observing(0, stage=Stage.WRITING), {"envoys_follow": None}, "waits for the Envoys"),
        (completed(), {"now": later(3599)}, "stays as the way back"),
        (aborted(), {"now": later(3599)}, "stays the rollout's for a while"),
        (aborted(handed_back_at=START), {"now": later(9999)}, "is Aborted"),
        (aborted(plan=observing(0, hooks=HOOKS[3:]).plan), {"lease_held": False}, "stays the rollout's for a while"),
        (observing(0, void_since=START), {}, "is void"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_nothing_is_written_and_the_reason_is_said(record: Record, facts: dict[str, Any], why: str) -> None:
    decision = advance(record, facts_of(record, **facts))

    assert why in decision.why
    assert (decision.record, decision.write_routes) == (None, None)


def test_the_wait_is_as_long_as_the_step_still_lasts() -> None:
    record = observing(0, hold_seconds=60)

    assert advance(record, facts_of(record, now=later(18))).wait_seconds == 42.0


@pytest.mark.parametrize(("record", "facts", "reason", "event"), HELD.values(), ids=HELD)
def test_a_rollout_that_waits_says_so_once(
    record: Record, facts: dict[str, Any], reason: HoldReason, event: EventType
) -> None:
    first = advance(record, facts_of(record, **facts))
    assert first.record is not None
    assert first.record.held is not None
    assert first.record.held.reason is reason
    assert events_of(first, record) == [event]
    assert first.record.wanted == record.wanted
    assert first.write_routes is None

    second = advance(first.record, facts_of(first.record, **({"route_annotation": first.record.annotation} | facts)))
    assert second.record is None, "one event, not one for each look"
    assert second.write_routes is None


def test_routes_that_were_read_before_another_holder_wrote_are_no_drift() -> None:
    record = observing(1)
    stale = facts_of(record, route_weights=weights(10), route_annotation="website-1/3")

    decision = advance(record, stale)
    assert (decision.record, decision.write_routes) == (None, "step"), "the precondition refuses it if they are stale"


@pytest.mark.parametrize("stage", [Stage.WRITING, Stage.SETTLING])
@pytest.mark.parametrize(
    "seen",
    [{"route_weights": weights(10)}, {"route_annotation": "website-1/3"}, {"route_owner": "pulumi-kubernetes-1"}],
    ids=["old weights", "wanted weights that Pulumi wrote", "owned by Pulumi"],
)
def test_a_killed_holders_step_is_written_by_the_next_one(stage: Stage, seen: dict[str, Any]) -> None:
    record = observing(1, stage=stage, paused=BY_HAND)
    decision = advance(record, facts_of(record, **seen))

    if "route_owner" in seen:
        assert decision.record is not None, "the weights stand under the record's annotation"
        assert decision.record.stage is Stage.OBSERVING
    else:
        assert (decision.record, decision.write_routes) == (None, "step")
        assert decision.annotation == record.annotation


def test_pods_are_asked_for_before_the_weight_rises() -> None:
    record = observing(0)
    assert advance(record, facts_of(record, ready_to=1)).scale == {"version-2": 2}

    alone = observing(0, capacity=RolloutCapacity(scale=False))
    assert advance(alone, facts_of(alone, ready_to=1)).scale == {}


@pytest.mark.parametrize(
    ("pods", "headroom", "needed"),
    [(4, 1.0, [1, 2, 4]), (10, 1.0, [1, 5, 10]), (10, 1.3, [2, 7, 13]), (1, 0.5, [1, 1, 1]), (0, 1.0, [1, 1, 1])],
)
def test_the_pods_that_a_weight_needs_are_rounded_up(pods: int, headroom: float, needed: list[int]) -> None:
    capacity = RolloutCapacity(headroom=headroom)
    record = observing(0, capacity=capacity, from_=Release(version="version-1", hash="h", ready_pods=pods))

    assert [needed_pods(record, step) for step in range(3)] == needed


def test_both_versions_pods_are_kept_until_the_way_back_is_given_up() -> None:
    assert pins(record_of()) == {"version-1": 4}
    assert pins(observing(1)) == {"version-1": 4, "version-2": 2}
    assert pins(completed()) == {"version-1": 4, "version-2": 4}
    assert pins(aborting()) == {"version-1": 4}
    assert pins(aborted()) == pins(completed(phase=Phase.CLOSED)) == {}


def test_rules_rise_one_after_the_other_each_with_its_own_strategy() -> None:
    """The cohort's rule first; the second rule's steps begin while the first stays at its end."""
    strategies = (strategy_with((50,)), strategy_with((20,), promote="hand"))
    texts = ("x-plan: beta", "all requests")
    rules = tuple(
        PlannedRule(key=key, text=text, strategy=strategy)
        for key, text, strategy in zip(("cohort", "rest"), texts, strategies, strict=True)
    )
    end = weights(50, "cohort")
    steps = (
        PlannedStep(rule=0, weight=50, weights=end | weights(0, "rest")),
        PlannedStep(rule=1, weight=20, weights=end | weights(20, "rest")),
    )
    plan = record_of().plan.model_copy(update={"rules": rules, "steps": steps})
    record = observing(0, plan=plan, wanted=steps[0].weights)

    risen = advance(record, facts_of(record))
    assert risen.record is not None
    assert risen.record.wanted == steps[1].weights
    assert risen.record.outbox[-1].text == "step 2 of 2: version-2 20 % of all requests"
    second = risen.record.model_copy(update={"stage": Stage.OBSERVING, "settled_at": START})
    held = advance(second, facts_of(second))
    assert held.record is not None
    assert held.record.held is not None
    assert held.record.held.reason is HoldReason.HAND, "the strategy of the rule that rises counts"


def test_a_hook_that_said_yes_after_a_step_is_not_asked_again() -> None:
    record = observing(0, hooks=HOOKS[1:2])
    assert advance(record, facts_of(record)).hook == "afterStep"

    decision = advance(record, facts_of(record, hook_result=HookResult(at="afterStep", ok=True)))
    assert decision.record is not None
    assert events_of(decision, record) == ["HookPassed"]
    assert advance(decision.record, facts_of(decision.record)).hook is None


def test_another_holder_goes_on_and_says_so() -> None:
    record = observing(0, holder="ci/1/a")
    decision = advance(record, facts_of(record, holder="laptop/2/b"))

    assert decision.record is not None
    assert (decision.record.holder, events_of(decision, record)) == ("laptop/2/b", ["HolderTaken"])
    assert decision.write_routes is None


@pytest.mark.parametrize("uids", [{}, {"website": "uid-2"}])
def test_a_record_of_other_virtual_services_is_void(uids: dict[str, str]) -> None:
    decision = advance(observing(1), facts_of(observing(1), vs_uids=uids))

    assert decision.record is not None
    assert events_of(decision, observing(1)) == ["RecordVoid"]
    assert advance(decision.record, facts_of(decision.record, vs_uids=uids)).record is None


def test_gates_that_are_fixed_in_the_middle_give_the_step_its_time_for_the_proof() -> None:
    record = observing(1, gates=GATES)
    after = advance(record, facts_of(record, gates_fixed=fixed(), now=later(100))).record

    assert after is not None
    assert after.plan.gates == fixed().plan
    assert after.deadlines.step_at == later(100 + 1200)
    assert after.deadlines.total_at == record.deadlines.total_at
