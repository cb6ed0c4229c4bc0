"""What persons, and `up`, make of a group: pure functions from the group's record to the next one.

A member alone neither goes forward nor back: whoever aborts one aborts its group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from rollout.decision import Decision, RefusedError, phase_text
from rollout.group_record import (
    GroupCause,
    GroupEnded,
    GroupRecord,
    RolledMember,
    at_text,
    different_steps,
    next_group,
    planned_of,
    settled_step,
)
from rollout.record import NOT_STARTED, EventType, Phase, Record

RUNNING = (Phase.PENDING, Phase.PROGRESSING)
BACK = (Phase.ABORTED, Phase.UNDONE)


@dataclass(frozen=True, kw_only=True)
class GroupDecision:
    """What to do: write the group's record, and nothing else after it; or carry the members' decisions out, in order.

    `members` are services and their decisions. `wait_seconds` is the longest useful wait until the next look, None if
    nothing is left to do.
    """

    why: str
    group: GroupRecord | None = None
    members: tuple[tuple[str, Decision], ...] = ()
    wait_seconds: float | None = 0.0


def begin_group(
    previous: GroupRecord | None,
    name: str,
    records: Mapping[str, Record],
    by: str,
    at: str,
    *,
    anyway: bool = False,
    checked: bool = True,
) -> GroupDecision:
    """Return the decision that begins the group's rollout, or goes on with it; `records` are those of its services.

    Services with nothing to move, or whose rollout is completed, are left out. If the group's record was lost in the
    middle, it goes on from where the members are. Raises RefusedError if services are in a rollout of their own, were
    aborted (`anyway`: they are left out), have other steps, or if nothing is left to begin; unless `checked`, for a way
    back, only the last of these.
    """
    if previous is not None and _is_of(previous, records):
        return GroupDecision(why=f"the group {name} goes on")
    mine = {one.service: one for one in records.values() if one.plan.group is not None and one.plan.group.name == name}
    if checked:
        _refuse_others(name, records, mine, anyway=anyway)
    rolling = [one for one in mine.values() if one.phase in RUNNING and one.void_since is None]
    if not rolling:
        raise RefusedError(f"no service of the group {name} has a rollout to begin", "run `canary up`, which writes it")
    order = [member.service for member in planned_of({one.service: one for one in rolling}).members]
    rolling.sort(key=lambda one: order.index(one.service) if one.service in order else len(order))
    different = different_steps(rolling) if checked else ""
    if different:
        raise RefusedError(
            f"the services of the group {name} have different steps: {different}",
            "give them the same steps, or one strategy by its name, and run `canary up`",
        )
    if previous is not None and previous.phase.goes_back and previous.phase not in BACK:
        raise RefusedError(f"the group {name} goes back", "wait for its end: `canary rollout status`")
    step = max(one.step for one in rolling)
    group = GroupRecord(
        name=name,
        namespace=planned_of({rolling[0].service: rolling[0]}).namespace,
        id=f"{name}-{1 if previous is None else int(previous.id.rpartition('-')[2]) + 1}",
        generation=0 if previous is None else previous.generation,
        members=tuple(RolledMember(service=one.service, namespace=one.namespace, rollout=one.id) for one in rolling),
        steps=len(rolling[0].plan.steps),
        phase=Phase.PENDING if step == NOT_STARTED else Phase.PROGRESSING,
        step=step,
        created_at=at,
        history=() if previous is None else previous.history,
    )
    text = f"{', '.join(group.services)} go together, in this order"
    return GroupDecision(why=text, group=next_group(group, EventType.PENDING, text, by, at))


def abort_group(
    group: GroupRecord, reason: str, by: str, at: str, *, member: str | None = None, cause: GroupCause | None = None
) -> GroupDecision:
    """Return the decision that brings all members back, callers first; one that goes back already is helped.

    `member` is the service for which it goes back. Raises `RefusedError` after the group's end.
    """
    if group.phase.goes_back:
        return GroupDecision(why=f"the group {group.name} goes back already")
    if group.phase is Phase.CLOSED:
        raise RefusedError(
            f"the rollout of the group {group.name} is closed: the previous versions may be gone",
            "name them in the stack's file and run `canary up`",
        )
    return _back(group, Phase.ABORTING, "aborted", reason, by, at, member, cause)


def undo_group(group: GroupRecord, reason: str, by: str, at: str, *, member: str | None = None) -> GroupDecision:
    """Return the decision that brings all members back after the group's end. Raises RefusedError in other phases."""
    if group.phase.goes_back:
        return GroupDecision(why=f"the group {group.name} goes back already")
    if group.phase in RUNNING:
        raise RefusedError(
            f"the rollout of the group {group.name} has not ended: undo is for afterwards", "use `canary rollout abort`"
        )
    if group.phase is Phase.CLOSED:
        raise RefusedError(
            f"the rollout of the group {group.name} is closed: the previous versions may be gone",
            "name them in the stack's file and run `canary up`",
        )
    return _back(group, Phase.UNDOING, "undone", reason, by, at, member, None)


def retry_of(record: Record) -> bool:
    """Whether `retry` of the group is about this member: it was taken back."""
    return record.phase in BACK and record.void_since is None


def _back(
    group: GroupRecord,
    phase: Phase,
    kind: Literal["aborted", "undone"],
    reason: str,
    by: str,
    at: str,
    member: str | None,
    cause: GroupCause | None,
) -> GroupDecision:
    whose = f"{member}: " if member else ""
    text = f"all services of the group {group.name} go back, callers first: {whose}{reason}"
    ended = GroupEnded(kind=kind, reason=reason, by=by, at=at, member=member, cause=cause)
    event = EventType.UNDOING if phase is Phase.UNDOING else EventType.ABORTING
    return GroupDecision(why=text, group=next_group(group, event, text, by, at, phase=phase, ended=ended))


def _is_of(group: GroupRecord, records: Mapping[str, Record]) -> bool:
    """Whether the group's record is about the rollouts that its members have now, and none has joined since."""
    ids = {one.service: one.rollout for one in group.members}
    same = all(records[service].id == rollout for service, rollout in ids.items() if service in records)
    joined = any(
        one.plan.group is not None and one.plan.group.name == group.name and one.phase in RUNNING
        for service, one in records.items()
        if service not in ids
    )
    return same and not joined


def _refuse_others(name: str, records: Mapping[str, Record], mine: Mapping[str, Record], *, anyway: bool) -> None:
    alone = [one for one in records.values() if one.service not in mine and one.phase in RUNNING]
    if alone:
        raise RefusedError(
            f"{alone[0].service} is in a rollout that is not of the group {name} ({at_text(alone[0])})",
            f"wait for its end, or abort it: `canary rollout abort {alone[0].service}`",
        )
    taken_back = [one.service for one in mine.values() if one.phase.goes_back]
    if taken_back and not anyway:
        raise RefusedError(
            f"{', '.join(taken_back)} of the group {name} {'was' if len(taken_back) == 1 else 'were'} taken back",
            f"`canary rollout retry {name} REASON` begins again with all of them; or add --anyway, which leaves them",
        )
    moved = [one for one in mine.values() if one.phase in RUNNING and settled_step(one) != NOT_STARTED]
    fresh = [one for one in mine.values() if one.phase is Phase.PENDING and one.started_at is None]
    if moved and fresh:
        raise RefusedError(
            f"{moved[0].service} of the group {name} is at {phase_text(moved[0])} already, and {fresh[0].service} has "
            "not begun",
            f"abort the group, then retry it: `canary rollout abort {name}`",
        )
