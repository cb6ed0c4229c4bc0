"""The state machine of a group: from its record and its members to the next decision, without a clock or a cluster.

Forward: when every member is ready for a step, the group's record decides on it; then the members go there one by one,
a callee first, each once every Envoy has the step of the one before. Back: the group's record first, then the members,
a caller first, each once every Envoy follows, or after a while, so that none is kept by another. What a member does is
decided by its own machine (`rollout.machine`): here it is only told how far it may go.

Only the Lease's holder moves a group forward; anybody moves it back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rollout import machine, verbs
from rollout.decision import Decision, Event, Facts
from rollout.gates.together import one_verdict
from rollout.group_record import GroupCause, GroupRecord, next_group, settled_step
from rollout.group_verbs import RUNNING, GroupDecision, abort_group, undo_group
from rollout.holding import LOOK
from rollout.record import EventType, Phase, Record, seconds_between

__all__ = ["BACK_SECONDS", "GroupDecision", "Member", "advance"]

BACK_SECONDS = 5.0
"""How long an abort waits for the caller of a service at most: a harmful callee goes back all the same."""

ENDS = {Phase.ABORTING: Phase.ABORTED, Phase.UNDOING: Phase.UNDONE}


@dataclass(frozen=True, kw_only=True)
class Member:
    """A member as it was seen: its record, None if there is none, and the facts of its own machine.

    `failed` says why its record or its routes cannot be written, if that was tried often enough.
    """

    service: str
    record: Record | None
    facts: Facts
    failed: str = ""


def advance(group: GroupRecord, members: Sequence[Member], *, now: str, by: str, lease_held: bool) -> GroupDecision:
    """Return the next decision; `members` are those of the group's record, in its order."""
    members = _with_one_verdict(members)
    if group.phase in ENDS:
        return _back(group, members, now, by)
    if group.phase in ENDS.values():
        return _each(group, members, "has gone back")
    cause = _must_go_back(group, members, now, by)
    if cause is not None:
        return cause
    if not lease_held:
        return GroupDecision(why="another holder moves the group forward", wait_seconds=LOOK)
    if group.phase in RUNNING and group.holder != by:
        text = f"{by} goes on" + (f" after {group.holder}" if group.holder else "")
        return GroupDecision(why=text, group=next_group(group, EventType.HOLDER_TAKEN, text, by, now, holder=by))
    if group.phase in RUNNING:
        return _forward(group, members, now, by)
    return _after_end(group, members, now, by)


def _with_one_verdict(members: Sequence[Member]) -> tuple[Member, ...]:
    """Harm and suspicion of the gates are the group's."""
    gated = {one.service: one for one in members if one.record is not None and one.record.plan.gates is not None}
    if not gated:
        return tuple(members)
    alpha = min(one.record.plan.gates.alpha for one in gated.values() if one.record and one.record.plan.gates)
    verdicts = one_verdict({service: one.facts.verdict for service, one in gated.items()}, alpha)
    return tuple(
        replace(one, facts=replace(one.facts, verdict=verdicts[one.service])) if one.service in verdicts else one
        for one in members
    )


# Forward


def _forward(group: GroupRecord, members: Sequence[Member], now: str, by: str) -> GroupDecision:
    decisions = _decisions(group, members)
    records = [one.record for one in members if one.record is not None]
    if all(one.phase in (Phase.COMPLETED, Phase.CLOSED) for one in records):
        text = f"{', '.join(group.services)} have their last weights"
        changes: dict[str, Any] = {"phase": Phase.COMPLETED, "ended_at": now}
        return GroupDecision(why=text, group=next_group(group, EventType.COMPLETED, text, by, now, **changes))
    behind = [one.service for one in records if settled_step(one) < group.step]
    steps = [decision.ready for _, decision in decisions]
    if not behind and all(step is not None for step in steps):
        step = min(step for step in steps if step is not None)
        text = (
            f"step {step + 1} of {group.steps}: {', '.join(group.services)}"
            if step < group.steps
            else "all services are at their last step"
        )
        changes = {"phase": Phase.PROGRESSING, "step": step}
        return GroupDecision(why=text, group=next_group(group, EventType.STEP_WRITTEN, text, by, now, **changes))
    why = f"{behind[0]} goes to step {group.step + 1}" if behind else _waits(decisions)
    return GroupDecision(why=why, members=decisions, wait_seconds=_shortest(decisions))


def _decisions(group: GroupRecord, members: Sequence[Member]) -> tuple[tuple[str, Decision], ...]:
    """What each member's own machine decides: it may go to the group's step once all before it are there."""
    found: list[tuple[str, Decision]] = []
    may_go = True
    for member in members:
        if member.record is None:
            continue
        allowed = group.step if may_go else min(member.record.step, group.step)
        decision = machine.advance(member.record, replace(member.facts, group_step=allowed))
        found.append((member.service, _kept(member.record, decision)))
        may_go = may_go and settled_step(member.record) >= group.step
    return tuple(found)


def _kept(record: Record, decision: Decision) -> Decision:
    """Until the group has ended, no member gives up its way back: the others may still need all to go back."""
    if record.phase is not Phase.COMPLETED or decision.record is None or decision.record.phase is not Phase.CLOSED:
        return decision
    why = f"{record.from_.version} stays as the way back until all services have ended"
    return Decision(why=why, wait_seconds=LOOK)


def _waits(decisions: Sequence[tuple[str, Decision]]) -> str:
    """What the group waits for: that of the first member that is not ready."""
    waiting = next(((service, one) for service, one in decisions if one.ready is None), None)
    return f"{waiting[0]}: {waiting[1].why}" if waiting else "all services are ready"


def _shortest(decisions: Sequence[tuple[str, Decision]]) -> float | None:
    waits = [one.wait_seconds for _, one in decisions if one.wait_seconds is not None]
    return min(waits, default=None)


# Back


def _must_go_back(group: GroupRecord, members: Sequence[Member], now: str, by: str) -> GroupDecision | None:
    """Whatever takes one member back takes all of them back."""
    over = group.phase is Phase.CLOSED
    rollouts = {one.service: one.rollout for one in group.members}
    for member in members if not over else ():
        record = member.record
        left = record is None or record.id != rollouts[member.service] or record.void_since is not None
        if left and group.phase is Phase.COMPLETED:
            continue  # its way back is given up: the others keep theirs
        if record is None or left:
            text = f"its rollout {rollouts[member.service]} is no more: it began anew, or was deleted"
            return abort_group(group, text, by, now, member=member.service)
        if member.failed:
            return abort_group(group, f"cannot be written: {member.failed}", by, now, member=member.service)
        found = _back_alone(group, member, record, now, by)
        if found is not None:
            return found
    return None


def _back_alone(group: GroupRecord, member: Member, record: Record, now: str, by: str) -> GroupDecision | None:
    """A member that goes back, or would."""
    if record.phase.goes_back:
        reason = record.ended.reason if record.ended else record.phase.value
        if record.phase in (Phase.UNDOING, Phase.UNDONE) and group.phase is Phase.COMPLETED:
            return undo_group(group, reason, by, now, member=record.service)
        return abort_group(group, reason, by, now, member=record.service)
    facts = replace(member.facts, group_step=min(record.step, group.step))
    decided = machine.advance(record, facts).record
    if decided is None or not decided.phase.goes_back:
        return None
    told = [one for one in decided.outbox if one.id.startswith(f"{decided.id}/{decided.generation}/")]
    cause = next((one for one in told if one.type not in (EventType.ABORTING, EventType.UNDOING)), None)
    own = {"service", "phase", "step", "group"}
    return abort_group(
        group,
        decided.ended.reason if decided.ended else "",
        by,
        now,
        member=record.service,
        cause=None
        if cause is None
        else GroupCause(
            type=cause.type, text=cause.text, data={key: one for key, one in cause.data.items() if key not in own}
        ),
    )


def _back(group: GroupRecord, members: Sequence[Member], now: str, by: str) -> GroupDecision:
    """A caller first: its old version knows nothing of what the callee's new one can do."""
    decisions: list[tuple[str, Decision]] = []
    open_members: list[str] = []
    for member in reversed(members):
        record = member.record
        if record is None or not _is_back_with(group, record):
            continue
        if record.phase in ENDS.values():
            decisions.append((member.service, machine.advance(record, member.facts)))
            continue
        open_members.append(member.service)
        decisions.append((member.service, _back_of(group, member, record, now, by)))
        if not _is_overdue(group, record, now):
            break
    if open_members:
        why = f"{open_members[-1]} goes back"
        return GroupDecision(why=why, members=tuple(decisions), wait_seconds=_shortest(decisions))
    text = f"all services of the group {group.name} are back"
    phase = ENDS[group.phase]
    kind = EventType.UNDONE if phase is Phase.UNDONE else EventType.ABORTED
    return GroupDecision(why=text, group=next_group(group, kind, text, by, now, phase=phase, ended_at=now))


def _is_back_with(group: GroupRecord, record: Record) -> bool:
    """Whether this record still is of the group, and there is a way back."""
    mine = any((one.service, one.rollout) == (record.service, record.id) for one in group.members)
    return mine and record.void_since is None and record.phase is not Phase.CLOSED


def _back_of(group: GroupRecord, member: Member, record: Record, now: str, by: str) -> Decision:
    """The member's own abort, or undo, or what brings it to its end."""
    if record.phase.goes_back:
        return machine.advance(record, member.facts)
    ended = group.ended
    reason = ended.reason if ended is not None else ""
    cause = None
    if ended is None or ended.member != record.service:
        whose = f"{ended.member}: " if ended is not None and ended.member else ""
        reason = f"with the group {group.name}: {whose}{reason}"
    elif ended.cause is not None:
        cause = Event(type=ended.cause.type, text=ended.cause.text, data=ended.cause.data)
    who = ended.by if ended is not None else by
    if group.phase is Phase.UNDOING and record.phase is Phase.COMPLETED:
        return verbs.undo(record, reason, who, now)
    return verbs.abort(record, reason, who, now, cause=cause)


def _is_overdue(group: GroupRecord, record: Record, now: str) -> bool:
    """Whether the services that it calls go back without it; an undo waits for its pods."""
    if group.phase is not Phase.ABORTING:
        return False
    ended = record.ended if record.phase.goes_back else group.ended
    return ended is not None and seconds_between(ended.at, now) >= BACK_SECONDS


# Afterwards


def _each(group: GroupRecord, members: Sequence[Member], why: str) -> GroupDecision:
    """What is left to do is each member's own."""
    decisions = tuple(
        (one.service, machine.advance(one.record, replace(one.facts, group_step=group.step)))
        for one in members
        if one.record is not None and any(one.record.id == known.rollout for known in group.members)
    )
    return GroupDecision(
        why=f"the group {group.name} {why}", members=decisions, wait_seconds=_shortest(decisions)
    )  # fmt: skip


def _after_end(group: GroupRecord, members: Sequence[Member], now: str, by: str) -> GroupDecision:
    records = [one.record for one in members if one.record is not None]
    rollouts = {one.rollout for one in group.members}
    open_members = [one for one in records if one.id in rollouts and one.phase is not Phase.CLOSED]
    if group.phase is Phase.COMPLETED and not open_members:
        text = f"the previous versions of the group {group.name} are no longer kept as the way back"
        return GroupDecision(why=text, group=next_group(group, EventType.CLOSED, text, by, now, phase=Phase.CLOSED))
    return _each(group, members, "has ended")
