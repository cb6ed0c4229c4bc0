"""The machine of a rollout and persons: pauses, approvals, promotions, and changes by hand."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.decision import LimitResult
from rollout.machine import advance
from rollout.record import Approval, Held, HoldReason, Promotion, Record
from tests.unit.rollout.machine_cases import BY_HAND, PAUSED, events_of
from tests.unit.rollout.records import START, facts_of, later, observing, record_of


@pytest.mark.parametrize(("record", "facts", "kind", "event"), PAUSED.values(), ids=PAUSED)
def test_the_weight_stays_until_a_person_decides(record: Record, facts: dict[str, Any], kind: str, event: str) -> None:
    decision = advance(record, facts_of(record, **facts))

    assert decision.record is not None
    assert decision.record.paused is not None
    assert (decision.record.paused.kind, decision.write_routes) == (kind, None)
    assert events_of(decision, record) == [event, "Paused"]
    again = advance(decision.record, facts_of(decision.record, **facts))
    assert (again.record, again.write_routes) == (None, None)


def test_routes_that_were_changed_by_hand_before_the_start_pause_it() -> None:
    decision = advance(record_of(), facts_of(record_of(), route_owner="kubectl-edit"))

    assert events_of(decision, record_of()) == ["Started", "Drift", "Paused"]


def test_a_step_waits_for_a_person_beyond_its_deadline() -> None:
    record = observing(0, approve=True, held=Held(reason=HoldReason.APPROVAL, text="", since=START))

    assert advance(record, facts_of(record, now=later(7200))).record is None


PROMOTED = Promotion(step=0, by="ann", at=START)


@pytest.mark.parametrize(
    ("record", "facts", "step"),
    [
        (observing(0, hold_seconds=600, promotion=PROMOTED), {}, 1),
        (observing(0, promote="hand", promotion=PROMOTED), {}, 1),
        (observing(0, approve=True, promotion=PROMOTED), {}, 1),
        (observing(0, promotion=PROMOTED), {"limits": LimitResult(no_data=True)}, 1),
        (observing(0, hold_seconds=600, promotion=PROMOTED.model_copy(update={"full": True})), {}, 2),
        (observing(0, approve=True, approvals=(Approval(step=0, by="ann", at=START),)), {}, 1),
        (
            observing(0, promotion=PROMOTED.model_copy(update={"despite_harm": True})),
            {"limits": LimitResult(broken="errors 9 %")},
            1,
        ),
    ],
    ids=["its time", "by hand", "approval", "no numbers", "to the end", "approved", "despite harm"],
)
def test_a_person_ends_the_hold(record: Record, facts: dict[str, Any], step: int) -> None:
    decision = advance(record, facts_of(record, **facts))

    assert decision.record is not None
    assert (decision.record.step, decision.record.promotion) == (step, None)


@pytest.mark.parametrize("facts", [{"ready_to": 0}, {"window_open": False}, {"ready_to": None}])
def test_a_promotion_does_not_go_past_pods_and_windows(facts: dict[str, Any]) -> None:
    record = observing(0, promotion=PROMOTED)

    assert advance(record, facts_of(record, **facts)).write_routes is None


def test_a_pause_for_some_time_ends_by_itself() -> None:
    record = observing(0, paused=BY_HAND.model_copy(update={"until": later(60)}))

    assert advance(record, facts_of(record, now=later(59))).record is None
    decision = advance(record, facts_of(record, now=later(60)))
    assert decision.record is not None
    assert (decision.record.paused, events_of(decision, record)) == (None, ["Resumed"])
