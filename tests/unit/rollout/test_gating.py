"""What a verdict means for a step: a suspicion, once there, is only over when the evidence has fallen well below it."""

from __future__ import annotations

from math import log

import pytest

from rollout.gates.decide import Answer
from rollout.machine import advance
from rollout.record import EventType, Held, HoldReason
from tests.unit.rollout.records import START, facts_of, gated, later, verdict

SUSPECTED = Held(reason=HoldReason.SUSPECT, text="the canary may be worse", since=START)


@pytest.mark.parametrize("answer", [Answer.RISE, Answer.HOLD])
@pytest.mark.parametrize("observed", [0.0, 99.0], ids=["the time of the step runs", "it is over"])
def test_a_suspicion_holds_until_the_evidence_is_below_ten(answer: Answer, observed: float) -> None:
    record = gated(0, held=SUSPECTED, hold_seconds=30)
    decision = advance(record, facts_of(record, verdict=verdict(answer, observed, log(10.1))))
    assert decision.record is None, "neither a step, nor another reason"
    assert decision.why == SUSPECTED.text


def test_a_suspicion_that_is_over_lets_the_step_rise() -> None:
    record = gated(0, held=SUSPECTED)
    decision = advance(record, facts_of(record, verdict=verdict(Answer.RISE, 99.0, log(9.9))))
    assert decision.record is not None
    assert decision.record.outbox[-1].type is EventType.STEP_WRITTEN


def test_a_suspicion_that_is_over_in_the_time_of_the_step_is_told() -> None:
    record = gated(0, held=SUSPECTED, hold_seconds=60)
    decision = advance(record, facts_of(record, verdict=verdict(Answer.HOLD, 20.0, log(9.9))))
    assert decision.record is not None
    assert decision.record.held is None
    assert decision.record.outbox[-1].type is EventType.HOLD_ENDED


def test_evidence_that_never_was_a_suspicion_does_not_stop_a_step() -> None:
    record = gated(0)
    decision = advance(record, facts_of(record, verdict=verdict(Answer.RISE, 99.0, log(15))))
    assert decision.record is not None
    assert decision.record.outbox[-1].type is EventType.STEP_WRITTEN


def test_people_are_called_once_if_there_are_no_numbers_for_two_minutes() -> None:
    silent = verdict(Answer.NO_DATA, 20.0)
    first = advance(gated(0), facts_of(gated(0), verdict=silent)).record
    assert first is not None
    assert [one.type for one in first.outbox[-1:]] == [EventType.STEP_HELD]

    assert advance(first, facts_of(first, verdict=silent, now=later(119))).record is None
    called = advance(first, facts_of(first, verdict=silent, now=later(120))).record
    assert called is not None
    assert called.outbox[-1].type is EventType.NO_DATA
    assert called.held == first.held
    assert advance(called, facts_of(called, verdict=silent, now=later(200))).record is None, "once"

    back = advance(called, facts_of(called, verdict=verdict(Answer.HOLD, 20.0), now=later(250))).record
    assert back is not None
    again = advance(back, facts_of(back, verdict=silent, now=later(260))).record
    assert again is not None
    later_still = advance(again, facts_of(again, verdict=silent, now=later(380))).record
    assert later_still is not None
    assert later_still.outbox[-1].type is EventType.NO_DATA, "each time anew"
