"""What the rules of a rollout's machine have in common: holding with an event, pausing, asking hooks, needed pods."""

from __future__ import annotations

import math
from typing import Any, Literal

from rollout.decision import Decision, Event, Facts, HookPoint, next_record
from rollout.record import EventType, Held, HoldReason, Paused, PauseKind, Record, seconds_between
from rollout.verbs import abort

LOOK = 1.0
"""Seconds until the next look, where nothing but a look tells that something has changed."""

HOOK_WAIT = 10.0
"""Seconds until a hook that said no is asked again."""

EVENT_OF = {
    HoldReason.APPROVAL: EventType.APPROVAL_NEEDED,
    HoldReason.CAPACITY: EventType.NO_CAPACITY,
    HoldReason.DRIFT: EventType.DRIFT,
    HoldReason.HARM: EventType.HARM_FOUND,
    HoldReason.HOOK: EventType.HOOK_FAILED,
    HoldReason.INCOMPLETE: EventType.ABORT_INCOMPLETE,
    HoldReason.SPLIT: EventType.SPLIT_WRONG,
    HoldReason.SUSPECT: EventType.SUSPECT,
}
"""Events of the reasons to hold; StepHeld for all others."""


def needed_pods(record: Record, step: int) -> int:
    """Return the ready pods of the new version that `step` needs.

    The highest weight of all rules counts: how many of the requests a rule gets is not known.
    """
    planned = record.plan.steps[step]
    headroom = record.plan.rules[planned.rule].strategy.capacity.headroom
    return pods_for(record.target_weight(planned.weights), record.from_.ready_pods, headroom)


def pods_for(weight: float, ready_from: int, headroom: float) -> int:
    """Return the ready pods of the new version that `weight` percent need, by those of the version before."""
    share = weight / 100
    return max(math.ceil(round(share * ready_from * headroom, 6)), 1 if share else 0)


def by_of(facts: Facts) -> str:
    """Who decides, for the history."""
    return facts.holder or "istio-canary"


def over(at: str | None, facts: Facts) -> bool:
    """Whether a time has come; None never does."""
    return at is not None and seconds_between(at, facts.now) >= 0


def promoted(record: Record) -> bool:
    """Whether a person ended the hold of this step."""
    return record.promotion is not None and (record.promotion.step == record.step or record.promotion.full)


def observed(record: Record, facts: Facts) -> float:
    """The seconds of the step that count."""
    if facts.observed_seconds is not None:
        return facts.observed_seconds
    return seconds_between(record.settled_at or facts.now, facts.now)


def hold_for(record: Record, facts: Facts, reason: HoldReason, text: str, **more: Any) -> Decision:
    """Hold, with an event when the reason is a new one. `stage` is the record's; the rest of `more` the decision's.

    `data` goes into the event.
    """
    wait, data = more.pop("wait_seconds", LOOK), more.pop("data", {})
    changes: dict[str, Any] = {"stage": more.pop("stage")} if "stage" in more else {}
    if record.held is not None and record.held.reason is reason:
        return Decision(why=text, wait_seconds=wait, **more)
    event = Event(type=EVENT_OF.get(reason, EventType.STEP_HELD), text=text, data={"reason": reason.value, **data})
    held = Held(reason=reason, text=text, since=facts.now)
    written = next_record(record, facts.now, by_of(facts), event, held=held, **changes)
    return Decision(why=text, record=written, wait_seconds=wait, **more)


def until_followed(
    record: Record, facts: Facts, routes: Literal["step", "back"], why: str, reason: HoldReason, **more: Any
) -> Decision | None:
    """None once the wanted routes stand by the record's decision and every Envoy has them.

    Else the decision that gets there: to write them (`why`), to ask the Envoys, or to hold for `reason`, with `more` as
    for `hold_for`.
    """
    if not record.stands(facts.route_weights) or facts.route_annotation != record.annotation:
        return Decision(why=why, write_routes=routes, annotation=record.annotation, barrier=True)
    if facts.envoys_follow is None:
        return Decision(why="waits for the Envoys to follow", barrier=True)
    if facts.envoys_follow:
        return None
    text = facts.envoys_text or "not every Envoy has the routes"
    return hold_for(record, facts, reason, text, barrier=True, **more)


def decided_by_group(record: Record, facts: Facts) -> bool:
    """Whether the group of the rollout has decided on a step that this service does not have yet."""
    return record.plan.group is not None and facts.group_step is not None and facts.group_step > record.step


def until_the_group(record: Record, facts: Facts, step: int) -> Decision | None:
    """None if the rollout may go to `step`: it has no group, or that has decided so. Else it is ready, and waits."""
    group = record.plan.group
    if group is None or decided_by_group(record, facts):
        return None
    text = f"the other services of the group {group.name} are awaited"
    return hold_for(record, facts, HoldReason.GROUP, text, ready=step)


def pause_for(record: Record, facts: Facts, kind: PauseKind, text: str, *causes: Event, **changes: Any) -> Decision:
    """Keep the weight until a person resumes; `causes` are the events that tell why."""
    paused = Paused(by=by_of(facts), reason=text, at=facts.now, kind=kind)
    event = Event(type=EventType.PAUSED, text=text)
    written = next_record(record, facts.now, by_of(facts), *causes, event, paused=paused, **changes)
    return Decision(why=text, record=written, wait_seconds=LOOK)


def has_hook(record: Record, at: HookPoint, step: int | None = None) -> bool:
    """Whether the strategy of `step`, by default the current one, has a hook at that point."""
    index = max(record.step if step is None else step, 0)
    strategy = record.plan.rules[record.plan.steps[index].rule].strategy
    return any(hook.at == at for hook in strategy.hooks)


def hook(record: Record, facts: Facts, at: HookPoint, step: int | None = None) -> Decision | None:
    """None if the hooks at that point say yes, or there are none; else ask, hold or abort."""
    if not has_hook(record, at, step):
        return None
    result = facts.hook_result
    if result is None or result.at != at:
        return Decision(why=f"hooks {at}", hook=at)
    if result.ok:
        return None
    text = f"hook {at}: {result.text}"
    if result.then == "abort":
        return abort(record, text, by_of(facts), facts.now, cause=Event(type=EventType.HOOK_FAILED, text=text))
    return hold_for(record, facts, HoldReason.HOOK, text, hook=at, wait_seconds=HOOK_WAIT)


def hook_once(record: Record, facts: Facts, at: HookPoint, key: str) -> Decision | None:
    """As `hook`, and the record keeps that they said yes."""
    if key in record.hooks_done or not has_hook(record, at):
        return None
    asked = hook(record, facts, at)
    if asked is not None:
        return asked
    event = Event(type=EventType.HOOK_PASSED, text=f"hook {at}")
    changes: dict[str, Any] = {"hooks_done": (*record.hooks_done, key), "held": None}
    return Decision(why=event.text, record=next_record(record, facts.now, by_of(facts), event, **changes))
