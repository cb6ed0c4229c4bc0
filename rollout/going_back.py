"""The rules that bring a rollout back, whoever sees the reason, and that keep it back. None of them needs the Lease."""

from __future__ import annotations

from typing import Any

from rollout.decision import PULUMI, Decision, Event, Facts, next_record
from rollout.holding import by_of, has_hook, hold_for, until_followed
from rollout.record import FIELD_MANAGER, EventType, HoldReason, Phase, Record, seconds_between
from rollout.verbs import abort, handed_back
from traffic.fields import seconds

UNREADY_SECONDS = 4.0
"""How long no pod of the new version may be ready before the rollout is aborted: all is back within 5 seconds."""

HAND_BACK_SECONDS = 3600.0
"""After the end, spec.http is the rollout's for that long: no `up` that read an older record lives longer."""


def void(record: Record, facts: Facts) -> Decision | None:
    """A record of other VirtualServices than those in the cluster says nothing about these."""
    if record.void_since is None:
        seen = facts.vs_uids
        if seen is None or all(seen.get(name) == uid for name, uid in record.vs_uids.items()):
            return None
        text = "the VirtualServices were deleted or made anew: the record says nothing about these"
        event = Event(type=EventType.RECORD_VOID, text=text)
        written = next_record(record, facts.now, by_of(facts), event, void_since=facts.now)
        return Decision(why=text, record=written, wait_seconds=None)
    return Decision(why=f"the record is void since {record.void_since}", wait_seconds=None)


def must_go_back(record: Record, facts: Facts) -> Decision | None:
    """What brings the requests back without anybody's asking, whoever sees it."""
    now, by = facts.now, by_of(facts)
    if facts.route_annotation == record.abort_annotation:
        return abort(record, "an abort wrote the routes and could not write the record", by, now)
    if not record.target_weight() or facts.ready_from == 0:
        return None  # without pods of `from` there is no way back to take unasked
    if facts.ready_to == 0 and facts.to_unready_seconds >= UNREADY_SECONDS:
        text = f"no pod of {record.target.version} is ready" + (f": {facts.pods_text}" if facts.pods_text else "")
        return abort(record, text, by, now, cause=Event(type=EventType.NO_CAPACITY, text=text))
    harm = harm_in(record, facts)
    if harm is not None and record.strategy.on_harm == "abort":
        return abort(record, harm, by, now, cause=Event(type=EventType.HARM_FOUND, text=harm))
    return None


def harm_in(record: Record, facts: Facts) -> str | None:
    """The broken limit in words; None if there is none, or a person accepted it for this step."""
    accepted = record.promotion is not None and record.promotion.step == record.step and record.promotion.despite_harm
    return None if facts.limits is None or accepted else facts.limits.broken


def back(record: Record, facts: Facts) -> Decision | None:
    """Write the routes of `back`, until they stand and every Envoy has them. Needs no Lease."""
    written = facts.route_annotation == record.annotation
    needed = max(record.from_.ready_pods, 1)
    if record.phase is Phase.UNDOING and not written and (facts.ready_from or 0) < needed:
        text = f"{facts.ready_from or 0} of {needed} pods of {record.from_.version} are ready"
        return hold_for(record, facts, HoldReason.CAPACITY, text, scale={record.from_.version: needed})
    why = f"the routes of {record.from_.version} are to be written"
    missing = until_followed(record, facts, "back", why, HoldReason.INCOMPLETE)
    if missing is not None:
        return missing
    reason = record.ended.reason if record.ended else ""
    undone = record.phase is Phase.UNDOING
    event = Event(type=EventType.UNDONE if undone else EventType.ABORTED, text=reason)
    phase = Phase.UNDONE if undone else Phase.ABORTED
    changed = next_record(record, facts.now, by_of(facts), event, phase=phase, held=None, ended_at=facts.now)
    return Decision(why=f"all requests are at {record.from_.version}", record=changed)


def stale_step(record: Record, facts: Facts) -> Decision | None:
    """Requests at a version that was given up."""
    if facts.route_weights is None or not record.target_weight(facts.route_weights):
        return None
    if (facts.route_annotation or "").startswith(f"{record.id}/") and facts.route_owner == FIELD_MANAGER:
        return Decision(
            why=f"{record.target.version} is barred and gets requests",
            write_routes="back",
            annotation=record.annotation,
            barrier=True,
        )
    return hold_for(record, facts, HoldReason.DRIFT, f"{facts.route_owner} gave {record.target.version} requests")


def close(record: Record, facts: Facts) -> Decision | None:
    """The way back is given up. Moves no requests, so anybody may do it."""
    if kept_for(record, facts.now) > 0:
        return None
    event = Event(type=EventType.CLOSED, text=f"{record.from_.version} is no longer kept as the way back")
    changes: dict[str, Any] = {"phase": Phase.CLOSED, "held": None, "closed_at": facts.now}
    return Decision(why=event.text, record=next_record(record, facts.now, by_of(facts), event, **changes))


def way_back(record: Record, facts: Facts) -> Decision | None:
    """Until then there is nothing to do."""
    return Decision(why=f"{record.from_.version} stays as the way back", wait_seconds=kept_for(record, facts.now))


def after_abort(record: Record, facts: Facts) -> Decision | None:
    """Asked by the holder until they have answered; an answer no changes nothing any more."""
    if not facts.lease_held or "afterAbort" in record.hooks_done or not has_hook(record, "afterAbort"):
        return None
    result = facts.hook_result
    if result is None or result.at != "afterAbort":
        return Decision(why="hooks afterAbort", hook="afterAbort")
    kind = EventType.HOOK_PASSED if result.ok else EventType.HOOK_FAILED
    event = Event(type=kind, text=result.text or "afterAbort")
    changes: dict[str, Any] = {"hooks_done": (*record.hooks_done, "afterAbort")}
    return Decision(why=event.text, record=next_record(record, facts.now, by_of(facts), event, **changes))


def hand_back(record: Record, facts: Facts) -> Decision | None:
    """One hour after the end, spec.http is Pulumi's again."""
    if record.handed_back_at is not None:
        return None
    left = hand_back_in(record, facts.now)
    if left > 0:
        return Decision(why="spec.http stays the rollout's for a while", wait_seconds=left)
    if (facts.route_owner or "").startswith(PULUMI):
        return handed_back(record, by_of(facts), facts.now)
    return Decision(why="spec.http goes back to Pulumi", hand_over=True)


def hand_back_in(record: Record, now: str) -> float:
    """Return the seconds for which spec.http stays the rollout's after its end; 0 or less once it may be given back."""
    return HAND_BACK_SECONDS - seconds_between(record.closed_at or record.ended_at or now, now)


def kept_for(record: Record, now: str) -> float:
    """Return the seconds for which `from` still stays after the end."""
    return seconds(record.strategy.keep_previous) - seconds_between(record.ended_at or now, now)
