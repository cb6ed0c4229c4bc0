"""The state machine of a rollout: from the record and the facts to the next decision, without a clock or a cluster.

A decision writes the record first, then the routes. Whoever carries it out reads the VirtualServices, then the record,
then decides: only then does the precondition on resourceVersion keep a holder that was stopped in between from bringing
an aborted version back. Only the Lease's holder moves forward; anybody moves back. `verbs` has what persons ask for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from rollout.decision import Decision, Event, Facts, HookPoint, HookResult, LimitResult, RefusedError, next_record
from rollout.record import (
    FIELD_MANAGER,
    NOT_STARTED,
    Deadlines,
    EventType,
    Held,
    HoldReason,
    Paused,
    Phase,
    Record,
    Stage,
    seconds_between,
)
from rollout.verbs import (
    abort,
    approve,
    begin,
    deadlines_from,
    handed_back,
    pause,
    promote,
    release_holder,
    resume,
    retry,
    supersede,
    undo,
)
from traffic.fields import seconds

__all__ = [
    "Decision",
    "Facts",
    "HookResult",
    "LimitResult",
    "RefusedError",
    "abort",
    "advance",
    "approve",
    "begin",
    "handed_back",
    "needed_pods",
    "pause",
    "pins",
    "promote",
    "release_holder",
    "resume",
    "retry",
    "supersede",
    "undo",
]

UNREADY_SECONDS = 5.0
"""How long no pod of the new version may be ready before the rollout is aborted."""

HAND_BACK_SECONDS = 3600.0
"""After the end, spec.http is the rollout's for that long: no `up` that read an older record lives longer."""

LOOK = 1.0
"""Seconds until the next look, where nothing but a look tells that something has changed."""

HOOK_WAIT = 10.0
"""Seconds until a hook that said no is asked again."""

PULUMI = "pulumi-kubernetes"

EVENT_OF = {
    HoldReason.APPROVAL: EventType.APPROVAL_NEEDED,
    HoldReason.CAPACITY: EventType.NO_CAPACITY,
    HoldReason.DRIFT: EventType.DRIFT,
    HoldReason.HARM: EventType.HARM_FOUND,
    HoldReason.HOOK: EventType.HOOK_FAILED,
    HoldReason.INCOMPLETE: EventType.ABORT_INCOMPLETE,
    HoldReason.NO_DATA: EventType.NO_DATA,
}
"""Events of the reasons to hold; StepHeld for all others."""

FOR_PERSONS = (HoldReason.APPROVAL, HoldReason.HAND, HoldReason.WINDOW)
"""What a step may wait for beyond its own deadline: no fault of the release is behind it."""


def advance(record: Record, facts: Facts) -> Decision:
    """Return the next decision: the same for everybody who sees the same record and the same facts."""
    void = _void(record, facts)
    if void is not None:
        return void
    for rule in _RULES[record.phase]:
        decision = rule(record, facts)
        if decision is not None:
            return decision
    return Decision(why=f"{record.id} is {record.phase.value}", wait_seconds=LOOK if record.phase.active else None)


def needed_pods(record: Record, step: int) -> int:
    """Return the ready pods of the new version that `step` needs.

    The highest weight of all rules counts: how many of the requests a rule gets is not known.
    """
    planned = record.plan.steps[step]
    headroom = record.plan.rules[planned.rule].strategy.capacity.headroom
    share = record.target_weight(planned.weights) / 100
    return max(math.ceil(round(share * record.from_.ready_pods * headroom, 6)), 1 if share else 0)


def pins(record: Record) -> dict[str, int]:
    """Return, by version, the number of pods that nothing may go below while the record wants them."""
    if not record.phase.active or record.void_since is not None:
        return {}
    found = {record.from_.version: record.from_.ready_pods}
    if record.step != NOT_STARTED and not record.phase.goes_back:
        found[record.target.version] = needed_pods(record, record.step)
    return found


# What ends everything


def _void(record: Record, facts: Facts) -> Decision | None:
    """A record of other VirtualServices than those in the cluster says nothing about these."""
    if record.void_since is None:
        seen = facts.vs_uids
        if seen is None or all(seen.get(name) == uid for name, uid in record.vs_uids.items()):
            return None
        text = "the VirtualServices were deleted or made anew: the record says nothing about these"
        event = Event(type=EventType.RECORD_VOID, text=text)
        written = next_record(record, facts.now, _by(facts), event, void_since=facts.now)
        return Decision(why=text, record=written, wait_seconds=None)
    return Decision(why=f"the record is void since {record.void_since}", wait_seconds=None)


def _must_go_back(record: Record, facts: Facts) -> Decision | None:
    """What brings the requests back without anybody's asking, whoever sees it."""
    now, by = facts.now, _by(facts)
    if facts.route_annotation == record.abort_annotation:
        return abort(record, "an abort wrote the routes and could not write the record", by, now)
    if not record.target_weight() or not facts.ready_from:
        return None  # the way back leads to pods, or it is none
    if facts.ready_to == 0 and facts.to_unready_seconds >= UNREADY_SECONDS:
        text = f"no pod of {record.target.version} is ready" + (f": {facts.pods_text}" if facts.pods_text else "")
        return abort(record, text, by, now, cause=Event(type=EventType.NO_CAPACITY, text=text))
    harm = _harm(record, facts)
    if harm is not None and record.strategy.on_harm == "abort":
        return abort(record, harm, by, now, cause=Event(type=EventType.HARM_FOUND, text=harm))
    return None


def _harm(record: Record, facts: Facts) -> str | None:
    accepted = record.promotion is not None and record.promotion.step == record.step and record.promotion.despite_harm
    return None if facts.limits is None or accepted else facts.limits.broken


# Back


def _back(record: Record, facts: Facts) -> Decision | None:
    """Write the routes of `back`, until they stand and every Envoy has them. Needs no Lease."""
    written = facts.route_annotation == record.annotation
    needed = max(record.from_.ready_pods, 1)
    if record.phase is Phase.UNDOING and not written and (facts.ready_from or 0) < needed:
        text = f"{facts.ready_from or 0} of {needed} pods of {record.from_.version} are ready"
        return _held(record, facts, HoldReason.CAPACITY, text, scale={record.from_.version: needed})
    if not written or facts.route_weights != record.wanted:
        return Decision(
            why=f"the routes of {record.from_.version} are to be written",
            write_routes="back",
            annotation=record.annotation,
            barrier=True,
        )
    if facts.envoys_follow is None:
        return Decision(why="the Envoys are to follow", barrier=True)
    if not facts.envoys_follow:
        text = facts.envoys_text or "not every Envoy has the routes"
        return _held(record, facts, HoldReason.INCOMPLETE, text, barrier=True)
    reason = record.ended.reason if record.ended else ""
    undone = record.phase is Phase.UNDOING
    event = Event(type=EventType.UNDONE if undone else EventType.ABORTED, text=reason)
    phase = Phase.UNDONE if undone else Phase.ABORTED
    changed = next_record(record, facts.now, _by(facts), event, phase=phase, held=None, ended_at=facts.now)
    return Decision(why=f"all requests are at {record.from_.version}", record=changed)


def _stale_step(record: Record, facts: Facts) -> Decision | None:
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
    return _held(record, facts, HoldReason.DRIFT, f"{facts.route_owner} gave {record.target.version} requests")


# Forward: the holder's rules, the first that says something decides


def _only_the_holder(record: Record, facts: Facts) -> Decision | None:
    return None if facts.lease_held else Decision(why="another holder moves it forward", wait_seconds=LOOK)


def _start(record: Record, facts: Facts) -> Decision | None:
    if record.started_at is not None:
        return None
    changes: dict[str, Any] = {
        "started_at": facts.now,
        "holder": facts.holder,
        "deadlines": deadlines_from(record, facts.now, NOT_STARTED, total=True),
    }
    events = [Event(type=EventType.STARTED, text=f"{record.from_.version} to {record.target.version}")]
    if _foreign(facts) or (facts.route_weights is not None and facts.route_weights != record.wanted):
        text = f"{facts.route_owner or 'somebody'} changed the routes since `up`"
        changes["paused"] = Paused(by=_by(facts), reason=text, at=facts.now, kind="drift")
        events += [Event(type=EventType.DRIFT, text=text), Event(type=EventType.PAUSED, text=text)]
    return Decision(why=events[-1].text, record=next_record(record, facts.now, _by(facts), *events, **changes))


def _take_over(record: Record, facts: Facts) -> Decision | None:
    if facts.holder is None or facts.holder == record.holder:
        return None
    text = f"{facts.holder} goes on" + (f" after {record.holder}" if record.holder else "")
    event = Event(type=EventType.HOLDER_TAKEN, text=text, data={"before": record.holder})
    return Decision(why=text, record=next_record(record, facts.now, facts.holder, event, holder=facts.holder))


def _end_of_pause(record: Record, facts: Facts) -> Decision | None:
    if record.paused is None or record.paused.until is None or seconds_between(record.paused.until, facts.now) < 0:
        return None
    return resume(record, _by(facts), facts.now)


def _deadline(record: Record, facts: Facts) -> Decision | None:
    """A deadline aborts or pauses. Paused, only the total one counts, and only if it aborts."""
    limit = record.strategy.deadline
    waits = record.held is not None and record.held.reason in FOR_PERSONS
    if _over(record.deadlines.total_at, facts):
        text = f"the rollout has not ended within {limit.total}"
    elif record.paused is None and not waits and _over(record.deadlines.step_at, facts):
        text = f"step {record.step + 1} has not ended by its deadline"
    else:
        return None
    text += f": {record.held.text}" if record.held else ""
    event = Event(type=EventType.DEADLINE_EXCEEDED, text=text)
    if limit.then == "abort":
        return abort(record, text, _by(facts), facts.now, cause=event)
    if record.paused is not None:
        return None
    return _paused(record, facts, "deadline", text, event)


def _pause_at_harm(record: Record, facts: Facts) -> Decision | None:
    harm = _harm(record, facts)
    if harm is None or not record.target_weight() or record.paused is not None:
        return None
    if record.phase is Phase.COMPLETED:
        return _held(record, facts, HoldReason.HARM, harm)
    return _paused(record, facts, "harm", harm, Event(type=EventType.HARM_FOUND, text=harm))


def _drift(record: Record, facts: Facts) -> Decision | None:
    """Somebody else changed the routes: the weight stays as they made it until a person resumes or aborts."""
    if record.step == NOT_STARTED:
        return None
    seen = record.held is not None and record.held.reason is HoldReason.DRIFT
    moved = record.stage in (None, Stage.OBSERVING) and facts.route_weights not in (None, record.wanted)
    if not moved and not (_foreign(facts) and not seen):
        return None
    if seen and record.paused is not None:
        return Decision(why=f"paused: {record.paused.reason}", wait_seconds=LOOK)
    text = f"{facts.route_owner or 'somebody'} changed the routes"
    if record.phase is Phase.COMPLETED or record.paused is not None:
        return _held(record, facts, HoldReason.DRIFT, text)
    held = Held(reason=HoldReason.DRIFT, text=text, since=facts.now)
    return _paused(record, facts, "drift", text, Event(type=EventType.DRIFT, text=text), held=held)


def _write(record: Record, facts: Facts) -> Decision | None:
    """Make the routes agree with the record, which is ahead of them."""
    if record.stage not in (Stage.WRITING, Stage.SETTLING):
        return None
    if record.paused is not None and record.held is not None and record.held.reason is HoldReason.DRIFT:
        return Decision(why=f"paused: {record.paused.reason}", wait_seconds=LOOK)
    if facts.route_weights is None:
        return Decision(why="the routes could not be read", wait_seconds=LOOK)
    if facts.route_weights != record.wanted or facts.route_annotation != record.annotation:
        return Decision(
            why=f"step {record.step + 1} is to be written",
            write_routes="step",
            annotation=record.annotation,
            barrier=True,
        )
    if facts.envoys_follow is None:
        return Decision(why="the Envoys are to follow", barrier=True)
    if not facts.envoys_follow:
        text = facts.envoys_text or "not every Envoy has the routes"
        return _held(record, facts, HoldReason.SETTLING, text, barrier=True, stage=Stage.SETTLING)
    event = Event(type=EventType.SETTLED, text=f"every Envoy has step {record.step + 1}")
    changes = {"stage": Stage.OBSERVING, "settled_at": facts.now, "held": None}
    return Decision(why=event.text, record=next_record(record, facts.now, _by(facts), event, **changes))


def _after_step(record: Record, facts: Facts) -> Decision | None:
    if record.step == NOT_STARTED:
        return None
    return _hook_once(record, facts, "afterStep", f"afterStep/{record.step}")


def _hold(record: Record, facts: Facts) -> Decision | None:
    """What keeps the weight: a pause, the time of the step, missing numbers, a person who has not said go on."""
    if record.paused is not None:
        return Decision(why=f"paused: {record.paused.reason}", wait_seconds=LOOK)
    if record.step == NOT_STARTED or _promoted(record):
        return None
    if facts.limits is not None and facts.limits.no_data:
        return _held(record, facts, HoldReason.NO_DATA, "there are no numbers")
    planned = record.plan.steps[record.step]
    left = planned.hold_seconds - _observed(record, facts)
    if left > 0:
        return Decision(why=f"step {record.step + 1} is kept", wait_seconds=left)
    if record.strategy.promote == "hand":
        return _held(record, facts, HoldReason.HAND, "a person promotes: `canary rollout promote`")
    if planned.approve and all(approval.step != record.step for approval in record.approvals):
        return _held(record, facts, HoldReason.APPROVAL, "a person approves: `canary rollout approve`")
    return None


def _complete(record: Record, facts: Facts) -> Decision | None:
    if not record.is_last_step:
        return None
    asked = _hook(record, facts, "beforeEnd")
    if asked is not None:
        return asked
    text = f"{record.target.version} has its last weight; {record.from_.version} stays for a while"
    event = Event(type=EventType.COMPLETED, text=text)
    changes = {
        "phase": Phase.COMPLETED, "stage": None, "held": None, "ended_at": facts.now, "deadlines": Deadlines(),
    }  # fmt: skip
    return Decision(why=text, record=next_record(record, facts.now, _by(facts), event, **changes))


def _rise(record: Record, facts: Facts) -> Decision | None:
    """The next step: window, pods, routes that could be read, hook; then the record, then the routes."""
    full = record.promotion is not None and record.promotion.full
    step = len(record.plan.steps) - 1 if full else record.step + 1
    planned = record.plan.steps[step]
    strategy = record.plan.rules[planned.rule].strategy
    if not facts.window_open:
        return _held(record, facts, HoldReason.WINDOW, "the window for steps is closed")
    needed = needed_pods(record, step)
    scale = {record.target.version: needed} if strategy.capacity.scale else {}
    if facts.ready_to is None or facts.ready_to < needed:
        ready = "an unknown number" if facts.ready_to is None else facts.ready_to
        text = f"{ready} of {needed} pods of {record.target.version} are ready"
        text += f": {facts.pods_text}" if facts.pods_text else ""
        return _held(record, facts, HoldReason.CAPACITY, text, scale=scale)
    if facts.route_weights is None:
        return Decision(why="the routes could not be read", wait_seconds=LOOK)
    asked = _hook(record, facts, "beforeStep", step)
    if asked is not None:
        return asked
    text = f"step {step + 1} of {len(record.plan.steps)}: {record.target.version} {planned.weight:g} %"
    event = Event(type=EventType.STEP_WRITTEN, text=text, data={"weights": planned.weights})
    changes = {
        "phase": Phase.PROGRESSING, "stage": Stage.WRITING, "step": step, "wanted": planned.weights, "held": None,
        "settled_at": None, "promotion": None, "deadlines": deadlines_from(record, facts.now, step, total=False),
    }  # fmt: skip
    written = next_record(record, facts.now, _by(facts), event, routes=True, **changes)
    return Decision(
        why=text, record=written, write_routes="step", annotation=written.annotation, barrier=True, scale=scale
    )


# After the end


def _close(record: Record, facts: Facts) -> Decision | None:
    """The way back is given up. Moves no requests, so anybody may do it."""
    left = seconds(record.strategy.keep_previous) - seconds_between(record.ended_at or facts.now, facts.now)
    if left > 0:
        return Decision(why=f"{record.from_.version} stays as the way back", wait_seconds=left)
    event = Event(type=EventType.CLOSED, text=f"{record.from_.version} is no longer kept as the way back")
    changes = {"phase": Phase.CLOSED, "held": None, "closed_at": facts.now}
    return Decision(why=event.text, record=next_record(record, facts.now, _by(facts), event, **changes))


def _after_abort(record: Record, facts: Facts) -> Decision | None:
    """Asked by the holder until they have answered; an answer no changes nothing any more."""
    if not facts.lease_held or "afterAbort" in record.hooks_done or not _has_hook(record, "afterAbort"):
        return None
    result = facts.hook_result
    if result is None or result.at != "afterAbort":
        return Decision(why="hooks afterAbort", hook="afterAbort")
    kind = EventType.HOOK_PASSED if result.ok else EventType.HOOK_FAILED
    event = Event(type=kind, text=result.text or "afterAbort")
    changes = {"hooks_done": (*record.hooks_done, "afterAbort")}
    return Decision(why=event.text, record=next_record(record, facts.now, _by(facts), event, **changes))


def _hand_back(record: Record, facts: Facts) -> Decision | None:
    """One hour after the end, spec.http is Pulumi's again."""
    if record.handed_back_at is not None:
        return None
    left = HAND_BACK_SECONDS - seconds_between(record.closed_at or record.ended_at or facts.now, facts.now)
    if left > 0:
        return Decision(why="spec.http stays the rollout's for a while", wait_seconds=None)
    if (facts.route_owner or "").startswith(PULUMI):
        return handed_back(record, _by(facts), facts.now)
    return Decision(why="spec.http goes back to Pulumi", hand_over=True, wait_seconds=None)


# What the rules have in common


def _by(facts: Facts) -> str:
    return facts.holder or "istio-canary"


def _foreign(facts: Facts) -> bool:
    owner = facts.route_owner
    return owner is not None and owner != FIELD_MANAGER and not owner.startswith(PULUMI)


def _over(at: str | None, facts: Facts) -> bool:
    return at is not None and seconds_between(at, facts.now) >= 0


def _promoted(record: Record) -> bool:
    return record.promotion is not None and (record.promotion.step == record.step or record.promotion.full)


def _observed(record: Record, facts: Facts) -> float:
    if facts.observed_seconds is not None:
        return facts.observed_seconds
    return seconds_between(record.settled_at or facts.now, facts.now)


def _held(record: Record, facts: Facts, reason: HoldReason, text: str, **more: Any) -> Decision:
    """Hold, with an event when the reason is a new one. `stage` is the record's; the rest of `more` the decision's."""
    wait = more.pop("wait_seconds", LOOK)
    changes = {"stage": more.pop("stage")} if "stage" in more else {}
    if record.held is not None and record.held.reason is reason:
        return Decision(why=text, wait_seconds=wait, **more)
    event = Event(type=EVENT_OF.get(reason, EventType.STEP_HELD), text=text, data={"reason": reason.value})
    held = Held(reason=reason, text=text, since=facts.now)
    written = next_record(record, facts.now, _by(facts), event, held=held, **changes)
    return Decision(why=text, record=written, wait_seconds=wait, **more)


def _paused(record: Record, facts: Facts, kind: Any, text: str, cause: Event, **changes: Any) -> Decision:
    paused = Paused(by=_by(facts), reason=text, at=facts.now, kind=kind)
    event = Event(type=EventType.PAUSED, text=text)
    written = next_record(record, facts.now, _by(facts), cause, event, paused=paused, **changes)
    return Decision(why=text, record=written, wait_seconds=LOOK)


def _has_hook(record: Record, at: HookPoint, step: int | None = None) -> bool:
    index = max(record.step if step is None else step, 0)
    strategy = record.plan.rules[record.plan.steps[index].rule].strategy
    return any(hook.at == at for hook in strategy.hooks)


def _hook(record: Record, facts: Facts, at: HookPoint, step: int | None = None) -> Decision | None:
    """None if the hooks at that point say yes, or there are none; else ask, hold or abort."""
    if not _has_hook(record, at, step):
        return None
    result = facts.hook_result
    if result is None or result.at != at:
        return Decision(why=f"hooks {at}", hook=at)
    if result.ok:
        return None
    text = f"hook {at}: {result.text}"
    if result.then == "abort":
        return abort(record, text, _by(facts), facts.now, cause=Event(type=EventType.HOOK_FAILED, text=text))
    return _held(record, facts, HoldReason.HOOK, text, hook=at, wait_seconds=HOOK_WAIT)


def _hook_once(record: Record, facts: Facts, at: HookPoint, key: str) -> Decision | None:
    if key in record.hooks_done or not _has_hook(record, at):
        return None
    asked = _hook(record, facts, at)
    if asked is not None:
        return asked
    event = Event(type=EventType.HOOK_PASSED, text=f"hook {at}")
    changes = {"hooks_done": (*record.hooks_done, key), "held": None}
    return Decision(why=event.text, record=next_record(record, facts.now, _by(facts), event, **changes))


Rule = Callable[[Record, Facts], Decision | None]

_RUNNING: tuple[Rule, ...] = (
    _must_go_back, _only_the_holder, _start, _take_over, _end_of_pause, _deadline, _pause_at_harm, _drift, _write,
    _after_step, _hold, _complete, _rise,
)  # fmt: skip

_RULES: dict[Phase, tuple[Rule, ...]] = {
    Phase.PENDING: _RUNNING,
    Phase.PROGRESSING: _RUNNING,
    Phase.COMPLETED: (_must_go_back, _drift, _pause_at_harm, _close),
    Phase.CLOSED: (_hand_back,),
    Phase.ABORTING: (_back,),
    Phase.UNDOING: (_back,),
    Phase.ABORTED: (_stale_step, _after_abort, _hand_back),
    Phase.UNDONE: (_stale_step, _hand_back),
}
