"""Lifts bars of earlier releases, which the rollout that a record tells of has not barred."""

from __future__ import annotations

from collections.abc import Sequence

from rollout.decision import Decision, Event, RefusedError, next_record, phase_text
from rollout.record import Bar, EventType, Record


def lift(record: Record, barred: Sequence[Bar], reason: str, by: str, at: str) -> Decision:
    """Return the decision that takes bars of earlier releases out of the record; the rollout that it tells of stays.

    Raises `RefusedError` without a reason, and while a rollout is under way, which is not to end by this.
    """
    if record.phase.active and record.started_at is not None and record.void_since is None:
        raise RefusedError(f"the rollout {record.id} is at {phase_text(record)}", "abort it first, or let it end")
    if not reason.strip():
        raise RefusedError("no reason is given", "say what has changed since the abort")
    names = ", ".join(dict.fromkeys(bar.version for bar in barred))
    text = f"the bar on {names} is lifted by {by}: {reason}"
    bars = tuple(bar for bar in record.bars if bar not in barred)
    event = Event(type=EventType.RETRIED, text=text)
    return Decision(why=text, record=next_record(record, at, by, event, bars=bars))
