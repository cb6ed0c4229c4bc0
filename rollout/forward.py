"""The rules that move a rollout forward, in the holder's hands only; `machine` has their order."""

from __future__ import annotations

from typing import Any

from rollout.decision import Decision, Event, Facts, is_foreign, next_record, phase_text
from rollout.gating import evidence, gates_hold, waits_for_gates, without_numbers
from rollout.going_back import harm_in
from rollout.holding import (
    LOOK,
    by_of,
    decided_by_group,
    hold_for,
    hook,
    hook_once,
    needed_pods,
    observed,
    over,
    pause_for,
    promoted,
    until_followed,
    until_the_group,
)
from rollout.periods import begun, ended
from rollout.record import (
    NOT_STARTED,
    Deadlines,
    EventType,
    Held,
    HoldReason,
    Phase,
    Record,
    Stage,
    seconds_between,
)
from rollout.verbs import abort, deadlines_from, resume

FOR_OTHERS = (HoldReason.APPROVAL, HoldReason.HAND, HoldReason.WINDOW, HoldReason.GROUP)
"""What a step may wait for beyond its own deadline: no fault of the release is behind it."""


def only_the_holder(record: Record, facts: Facts) -> Decision | None:
    """The rules after this one are the holder's; those of a group's member are the holder's of the group."""
    if record.plan.group is not None and facts.group_step is None:
        return Decision(why=f"the group {record.plan.group.name} moves it forward", wait_seconds=LOOK)
    return None if facts.lease_held else Decision(why="another holder moves it forward", wait_seconds=LOOK)


def start(record: Record, facts: Facts) -> Decision | None:
    """The first look: deadlines begin. Routes that are not as `up` left them are for a person to decide."""
    if record.started_at is not None:
        return None
    text = f"{facts.route_owner or 'somebody'} changed the routes since `up`"
    if facts.route_weights is not None and not record.stands(facts.route_weights):
        return hold_for(record, facts, HoldReason.DRIFT, text)  # no pause: they may have been read before a retry
    pods = facts.ready_from or record.from_.ready_pods  # none ready: no measure
    changes: dict[str, Any] = {
        "started_at": facts.now,
        "from_": record.from_.with_ready_pods(pods),
        "holder": facts.holder,
        "held": None,
        "deadlines": deadlines_from(record, facts.now, NOT_STARTED, total=True),
    }
    started = Event(type=EventType.STARTED, text=f"{record.from_.version} to {record.target.version}")
    if is_foreign(facts.route_owner):
        found = Event(type=EventType.DRIFT, text=text)
        return pause_for(record, facts, "drift", text, started, found, **changes)
    return Decision(why=started.text, record=next_record(record, facts.now, by_of(facts), started, **changes))


def take_over(record: Record, facts: Facts) -> Decision | None:
    """Another holder goes on: its write ends what the one before may still have in hand."""
    if facts.holder is None or facts.holder == record.holder:
        return None
    text = f"{facts.holder} goes on" + (f" after {record.holder}" if record.holder else "")
    event = Event(type=EventType.HOLDER_TAKEN, text=text, data={"before": record.holder})
    return Decision(why=text, record=next_record(record, facts.now, facts.holder, event, holder=facts.holder))


def end_of_pause(record: Record, facts: Facts) -> Decision | None:
    """A pause `--for` some time is over."""
    if record.paused is None or record.paused.until is None or seconds_between(record.paused.until, facts.now) < 0:
        return None
    return resume(record, by_of(facts), facts.now)


def deadline(record: Record, facts: Facts) -> Decision | None:
    """A deadline aborts or pauses. Paused, only the total one counts, and only if it aborts."""
    limit = record.strategy.deadline
    waits = record.held is not None and record.held.reason in FOR_OTHERS
    if over(record.deadlines.total_at, facts):
        text = f"the rollout has not ended within {limit.total}"
    elif record.paused is None and not waits and over(record.deadlines.step_at, facts):
        last = (
            "the first step has not been written"
            if record.step == NOT_STARTED
            else f"{phase_text(record)} has not ended"
        )
        text = f"{last} by its deadline"
    else:
        return None
    text += f": {record.held.text}" if record.held else ""
    event = Event(type=EventType.DEADLINE_EXCEEDED, text=text)
    if limit.then == "abort":
        return abort(record, text, by_of(facts), facts.now, cause=event)
    if record.paused is not None:
        return None
    return pause_for(record, facts, "deadline", text, event)


def pause_at_harm(record: Record, facts: Facts) -> Decision | None:
    """Harm that does not abort: the strategy says pause, or there is no way back."""
    harm = harm_in(record, facts)
    if harm is None or not record.target_weight() or record.paused is not None:
        return None
    if record.phase is Phase.COMPLETED:
        return hold_for(record, facts, HoldReason.HARM, harm)
    return pause_for(record, facts, "harm", harm, Event(type=EventType.HARM_FOUND, text=harm, data=evidence(facts)))


def drift(record: Record, facts: Facts) -> Decision | None:
    """Somebody else changed the routes: the weight stays as they made it until a person resumes or aborts."""
    if record.step == NOT_STARTED:
        return None
    seen = record.held is not None and record.held.reason is HoldReason.DRIFT
    moved = record.stage in (None, Stage.OBSERVING) and not record.stands(facts.route_weights)
    if facts.route_weights is None or (not moved and not (is_foreign(facts.route_owner) and not seen)):
        return None
    if seen and record.paused is not None:
        return Decision(why=f"paused: {record.paused.reason}", wait_seconds=LOOK)
    if _behind(record, facts):
        return _write_again(record, facts)
    text = f"{facts.route_owner or 'somebody'} changed the routes"
    if record.phase is Phase.COMPLETED or record.paused is not None:
        return hold_for(record, facts, HoldReason.DRIFT, text)
    held = Held(reason=HoldReason.DRIFT, text=text, since=facts.now)
    over_by_now = ended(record, facts.now)
    return pause_for(
        record, facts, "drift", text, Event(type=EventType.DRIFT, text=text), held=held, periods=over_by_now
    )


def _behind(record: Record, facts: Facts) -> bool:
    """Whether the routes are those of an earlier decision of a rollout: only rollouts write the annotation.

    They were read before another holder went on, or an abort that slept through a retry has written them.
    """
    name, _, generation = (facts.route_annotation or f"{record.id}/0").partition("/")
    older = generation.isdecimal() and int(generation) < record.route_generation
    return older and name.startswith(f"{record.service}-") and not is_foreign(facts.route_owner)


def _write_again(record: Record, facts: Facts) -> Decision:
    """The precondition refuses it if the routes were only read too early."""
    why = "the routes are those of an earlier decision"
    if not facts.lease_held:
        return Decision(why=why, wait_seconds=LOOK)
    return Decision(why=why, write_routes="step", annotation=record.annotation, barrier=True)


def write(record: Record, facts: Facts) -> Decision | None:
    """Make the routes agree with the record, which is ahead of them."""
    if record.stage not in (Stage.WRITING, Stage.SETTLING):
        return None
    if record.paused is not None and record.held is not None and record.held.reason is HoldReason.DRIFT:
        return Decision(why=f"paused: {record.paused.reason}", wait_seconds=LOOK)
    if facts.route_weights is None:
        return Decision(why="the routes could not be read", wait_seconds=LOOK)
    missing = until_followed(
        record,
        facts,
        "step",
        f"step {record.step + 1} is to be written",
        HoldReason.SETTLING,
        stage=Stage.SETTLING,
    )
    if missing is not None:
        return missing
    event = Event(type=EventType.SETTLED, text=f"every Envoy has step {record.step + 1}")
    changes: dict[str, Any] = {
        "stage": Stage.OBSERVING, "settled_at": facts.now, "held": None, "periods": begun(record, facts.now),
    }  # fmt: skip
    return Decision(why=event.text, record=next_record(record, facts.now, by_of(facts), event, **changes))


def after_step(record: Record, facts: Facts) -> Decision | None:
    """Hooks after a step: the next one waits until they have said yes."""
    if record.step == NOT_STARTED:
        return None
    return hook_once(record, facts, "afterStep", f"afterStep/{record.step}")


def hold(record: Record, facts: Facts) -> Decision | None:
    """What keeps the weight: a pause, the time of the step, missing numbers, a person who has not said go on.

    A step that the group has decided on is finished, also if a person pauses meanwhile: the services differ no longer
    than they must.
    """
    if decided_by_group(record, facts) and (record.paused is None or record.paused.kind == "person"):
        return None
    if record.paused is not None:
        return Decision(why=f"paused: {record.paused.reason}", wait_seconds=LOOK)
    if promoted(record):
        return None
    if record.step == NOT_STARTED:
        return gates_hold(record, facts) if waits_for_gates(record) else None
    if record.strategy.gates is not None:
        return gates_hold(record, facts) or _approval(record, facts)
    if facts.limits is not None and facts.limits.no_data:
        return without_numbers(record, facts, "there are no numbers")
    if facts.limits is not None and facts.limits.awaited:
        return Decision(why="the first numbers of the step are awaited", numbers=True, wait_seconds=LOOK)
    planned = record.plan.steps[record.step]
    left = planned.hold_seconds - observed(record, facts)
    if left > 0:
        return Decision(why=f"step {record.step + 1} is kept", wait_seconds=left)
    if record.strategy.promotes == "hand":
        return hold_for(record, facts, HoldReason.HAND, "a person promotes: `canary rollout promote`")
    return _approval(record, facts)


def _approval(record: Record, facts: Facts) -> Decision | None:
    """None if the step needs no approval, or has it."""
    planned = record.plan.steps[record.step]
    if planned.approve and all(approval.step != record.step for approval in record.approvals):
        return hold_for(record, facts, HoldReason.APPROVAL, "a person approves: `canary rollout approve`")
    return None


def complete(record: Record, facts: Facts) -> Decision | None:
    """After the last step."""
    if not record.is_last_step:
        return None
    if not decided_by_group(record, facts):
        asked = hook(record, facts, "beforeEnd") or until_the_group(record, facts, record.step + 1)
        if asked is not None:
            return asked
    text = f"{record.target.version} has its last weight; {record.from_.version} stays for a while"
    event = Event(type=EventType.COMPLETED, text=text)
    changes: dict[str, Any] = {
        "phase": Phase.COMPLETED, "stage": None, "held": None, "ended_at": facts.now, "deadlines": Deadlines(),
    }  # fmt: skip
    return Decision(why=text, record=next_record(record, facts.now, by_of(facts), event, **changes))


def rise(record: Record, facts: Facts) -> Decision | None:
    """The next step: window, pods, routes that could be read, hook, group; then the record, then the routes."""
    full = record.promotion is not None and record.promotion.full
    last, decided = len(record.plan.steps) - 1, decided_by_group(record, facts)
    step = min(facts.group_step or 0, last) if decided else last if full else record.step + 1
    planned = record.plan.steps[step]
    strategy = record.plan.rules[planned.rule].strategy
    if not facts.window_open and not decided:
        return hold_for(record, facts, HoldReason.WINDOW, "the window for steps is closed")
    needed = needed_pods(record, step)
    scale = {record.target.version: needed} if strategy.capacity.scale else {}
    if facts.ready_to is None or facts.ready_to < needed:
        ready = "an unknown number" if facts.ready_to is None else facts.ready_to
        text = f"{ready} of {needed} pods of {record.target.version} are ready"
        text += f": {facts.pods_text}" if facts.pods_text else ""
        return hold_for(record, facts, HoldReason.CAPACITY, text, scale=scale)
    if facts.route_weights is None:
        return Decision(why="the routes could not be read", wait_seconds=LOOK)
    asked = None if decided else hook(record, facts, "beforeStep", step) or until_the_group(record, facts, step)
    if asked is not None:
        return asked
    text = f"step {step + 1} of {len(record.plan.steps)}: {record.target.version} {planned.weight:g} %"
    text += f" of {record.plan.rules[planned.rule].text}" if len(record.plan.rules) > 1 else ""
    event = Event(type=EventType.STEP_WRITTEN, text=text, data={"weights": planned.weights})
    changes: dict[str, Any] = {
        "phase": Phase.PROGRESSING, "stage": Stage.WRITING, "step": step, "wanted": planned.weights, "held": None,
        "settled_at": None, "promotion": None, "deadlines": deadlines_from(record, facts.now, step, total=False),
        "periods": ended(record, facts.now),
    }  # fmt: skip
    written = next_record(record, facts.now, by_of(facts), event, routes=True, **changes)
    return Decision(
        why=text, record=written, write_routes="step", annotation=written.annotation, barrier=True, scale=scale
    )
