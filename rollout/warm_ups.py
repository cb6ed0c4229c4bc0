"""The warm-ups of a rollout's pods: what the record keeps of them, what latency leaves out, and that in words.

A pod is new for some time after it has become ready, also one whose container was restarted. All pods of the new
version are new when it gets its first requests, however long they have been ready: until then nothing warmed them up.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from math import inf

from rollout.decision import Decision, Event, Facts, next_record
from rollout.gates.blocks import LATENCY
from rollout.gates.warm_up import Span, is_used_up, left_out
from rollout.holding import by_of
from rollout.record import NOT_STARTED, EventType, Record, WarmUp, seconds_between

BEFORE_END = 5.0
"""Seconds before the end of a warm-up from which on it is looked whether other pods have started in it."""

MOST = 100
"""Warm-ups that a record keeps; pods that become ready within one another's are one."""


def note(record: Record, facts: Facts) -> Decision | None:
    """Note that pods have become ready: the holder does, as long as more may be left out of the step."""
    seconds = _warm_up_seconds(record)
    if not seconds or not facts.lease_held or record.step == NOT_STARTED:
        return None
    new = [one for one in facts.pods_started if 0 <= seconds_between(one.ready_at, facts.now) < seconds]
    if not new or is_used_up(spans_by_step(record).get(record.step, ()), seconds):
        return None
    known, last = record.warm_ups, record.warm_ups[-1] if record.warm_ups else None
    if last is not None and seconds_between(facts.now, last.until) > BEFORE_END:
        return None  # whatever has started meanwhile is noted at its end: one write, and one event, for many pods
    newest = max(new, key=lambda one: _at(one.ready_at))
    until = datetime.fromisoformat(newest.ready_at) + timedelta(seconds=seconds)
    since = min((one.ready_at for one in new), key=_at)
    if last is not None and until <= datetime.fromisoformat(last.until):
        return None
    if last is not None and seconds_between(since, last.until) >= 0:
        known, since = known[:-1], min(last.since, since, key=_at)
    one = WarmUp(since=since, until=until.isoformat(), version=newest.version, pod=newest.pod)
    text = f"pod {newest.pod} of {newest.version} is new: latency leaves its first {seconds:g} s out"
    event = Event(type=EventType.POD_STARTED, text=text, data={"pod": newest.pod, "version": newest.version})
    written = next_record(record, facts.now, by_of(facts), event, warm_ups=(*known, one)[-MOST:])
    return Decision(why=text, record=written)


def spans(record: Record) -> tuple[Span, ...]:
    """Return all times that are left out of latency."""
    return tuple(span for of_step in spans_by_step(record).values() for span in of_step)


def spans_by_step(record: Record) -> dict[int, tuple[Span, ...]]:
    """Return the same by step."""
    seconds = _warm_up_seconds(record)
    if not seconds:
        return {}
    new = [Span(_at(one.since), _at(one.until)) for one in record.warm_ups]
    if record.periods:
        first = _at(record.periods[0].settled_at)
        new.append(Span(first, first + seconds))
    stood = [
        (one.step, Span(_at(one.settled_at), inf if one.until is None else _at(one.until))) for one in record.periods
    ]
    return left_out(new, stood, seconds)


def words(record: Record, now: str) -> str:
    """Return what is left out of latency at `now` and why, or that no more is; empty if all counts."""
    of_step, at = spans_by_step(record).get(record.step, ()), _at(now)
    present = next((one for one in of_step if one.start <= at < one.end), None)
    if present is not None:
        who = next((one for one in reversed(record.warm_ups) if _at(one.since) <= at < _at(one.until)), None)
        what = f"pod {who.pod} of {who.version} warms up" if who else f"{record.target.version} has its first requests"
        return f"left out while {what} ({present.end - at:.0f} s)"
    if of_step and is_used_up(of_step, _warm_up_seconds(record)):
        long = sum(one.seconds for one in of_step)
        return f"counts again: pods keep starting, and {long:.0f} s of this step are left out"
    return ""


def _warm_up_seconds(record: Record) -> float:
    """How long a pod is new; 0 where latency is not compared."""
    plan = record.plan.gates
    judged = plan is not None and any(one.name == LATENCY for one in plan.metrics)
    return plan.latency_warmup if plan is not None and judged else 0.0


def _at(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()
