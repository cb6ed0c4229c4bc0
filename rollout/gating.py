"""The rules of a rollout whose strategy has gates: what their verdict on a step means, and what is fixed at the start.

The verdict is a fact (`rollout.gates`): here it holds the step, takes it back, or lets it rise. Nothing known is never
a pass and never a failure.
"""

from __future__ import annotations

from math import exp, log
from typing import Any

from rollout.decision import Decision, Event, Facts, next_record
from rollout.gates.decide import Answer
from rollout.holding import LOOK, by_of, hold_for
from rollout.record import NOT_STARTED, EventType, Held, HoldReason, Record, seconds_between
from rollout.verbs import abort, deadlines_from

NO_DATA_SECONDS = 60.0
"""Numbers are not missed earlier: they are scraped, and asked for, every so often."""

NO_DATA_EVENT = 120.0
"""Seconds without numbers until the event NoData, which calls people: a store that restarts is back before."""

CALM = log(10.0)
"""The logarithm of the e-value below which a suspicion is over; it began at 20."""

_HELD_BY = {
    Answer.SPLIT_WRONG: HoldReason.SPLIT,
    Answer.SUSPECT: HoldReason.SUSPECT,
    Answer.HARM: HoldReason.HARM,
}


def fix(record: Record, facts: Facts) -> Decision | None:
    """Write once what the gates compare with, and the deadlines that follow from it."""
    if record.strategy.gates is None or record.plan.gates is not None or facts.gates_fixed is None:
        return None
    fixed = facts.gates_fixed
    plan = record.plan.with_gates(fixed.plan, fixed.deadline_seconds)
    event = Event(type=EventType.GATES_FIXED, text=fixed.text, data={"tolerance": fixed.plan.tolerance})
    changes: dict[str, Any] = {"plan": plan, "held": None}
    if record.step != NOT_STARTED:  # an earlier rule has no gates, or a person did not wait for them
        changes["deadlines"] = deadlines_from(record, facts.now, record.step, total=False, plan=plan)
    return Decision(why=event.text, record=next_record(record, facts.now, by_of(facts), event, **changes))


def harm(record: Record, facts: Facts) -> str | None:
    """Return the harm that the gates have found in words, None if there is none."""
    verdict = facts.verdict
    if record.strategy.gates is None or verdict is None or verdict.answer is not Answer.HARM:
        return None
    return verdict.reason


def evidence(facts: Facts) -> dict[str, Any]:
    """Return the numbers of a verdict for the data of an event; empty without one."""
    verdict = facts.verdict
    if verdict is None:
        return {}
    metrics = {
        one.name: {
            "requests": {"new": one.counts.n_c, "old": one.counts.n_s},
            "failures": {"new": one.counts.f_c, "old": one.counts.f_s},
            "e": _e(one.log_e),
        }
        for one in verdict.metrics
    }
    return {"e": _e(verdict.log_e), "metrics": metrics}


def waits_for_gates(record: Record) -> bool:
    """Whether a rollout cannot begin to compare yet: nothing is fixed."""
    return record.strategy.gates is not None and record.plan.gates is None


def gates_hold(record: Record, facts: Facts) -> Decision | None:
    """What the gates keep a step for; None if they let it rise."""
    if waits_for_gates(record):
        text = facts.gates_text or "what the old version was like before is asked for"
        if not facts.gates_text:
            return Decision(why=text, numbers=True, wait_seconds=LOOK)
        return _hold_without_numbers(record, facts, text)
    verdict = facts.verdict
    if verdict is None:
        return Decision(why="the first numbers of the step are awaited", numbers=True, wait_seconds=LOOK)
    if verdict.answer is Answer.NO_DATA:
        waited = seconds_between(record.settled_at or facts.now, facts.now)
        if not verdict.has_blocks and waited < NO_DATA_SECONDS:
            return Decision(why=verdict.reason, wait_seconds=LOOK)
        return without_numbers(record, facts, _same(record, HoldReason.NO_DATA, verdict.reason))
    if verdict.answer in _HELD_BY:
        reason = _HELD_BY[verdict.answer]
        return hold_for(record, facts, reason, _same(record, reason, verdict.reason), data=evidence(facts))
    if record.held is not None and record.held.reason is HoldReason.SUSPECT and verdict.log_e >= CALM:
        return hold_for(record, facts, HoldReason.SUSPECT, record.held.text)
    if verdict.answer is Answer.RISE:
        return None
    left = record.plan.steps[record.step].hold_seconds - verdict.observed_seconds
    if left <= 0 and record.strategy.promotes == "hand":
        return hold_for(record, facts, HoldReason.HAND, "a person promotes: `canary rollout promote`")
    if left <= 0:
        return hold_for(record, facts, HoldReason.PROOF, _same(record, HoldReason.PROOF, verdict.reason))
    return _kept(record, facts, left)


def _same(record: Record, reason: HoldReason, text: str) -> str:
    """What it is held for, as it was said first: the numbers change each second, and `status` has them."""
    return record.held.text if record.held is not None and record.held.reason is reason else text


def _kept(record: Record, facts: Facts, left: float) -> Decision:
    """The time of the step runs; what held it is over."""
    if record.held is None:
        return Decision(why=f"step {record.step + 1} is kept", wait_seconds=min(left, LOOK))
    event = Event(type=EventType.HOLD_ENDED, text=f"no longer held: {record.held.text}")
    return Decision(why=event.text, record=next_record(record, facts.now, by_of(facts), event, held=None))


def without_numbers(record: Record, facts: Facts, text: str) -> Decision:
    """Hold, until the step's deadline; or abort, if there were none for the whole step, and long enough to scrape."""
    patience = max(record.plan.steps[record.step].hold_seconds, NO_DATA_SECONDS)
    waited = seconds_between(record.settled_at or facts.now, facts.now)
    if record.strategy.on_no_data == "abort" and waited >= patience:
        cause = Event(type=EventType.NO_DATA, text=text)
        return abort(record, text, by_of(facts), facts.now, cause=cause)
    return _hold_without_numbers(record, facts, text)


def _hold_without_numbers(record: Record, facts: Facts, text: str) -> Decision:
    """Hold, and send the event NoData once if it lasts."""
    held = record.held if record.held is not None and record.held.reason is HoldReason.NO_DATA else None
    if held is None or seconds_between(held.since, facts.now) < NO_DATA_EVENT or _is_told(record, held):
        return hold_for(record, facts, HoldReason.NO_DATA, text)
    event = Event(type=EventType.NO_DATA, text=f"no numbers for {NO_DATA_EVENT:.0f} s: {held.text}")
    return Decision(why=event.text, record=next_record(record, facts.now, by_of(facts), event), wait_seconds=LOOK)


def _is_told(record: Record, held: Held) -> bool:
    """Whether the event NoData was sent since there are no numbers."""
    return any(one.type is EventType.NO_DATA and seconds_between(held.since, one.at) >= 0 for one in record.history)


def _e(log_e: float) -> float:
    """An e-value; beyond what matters its size says nothing."""
    return round(exp(min(log_e, log(1e9))), 4)
