"""What a rollout, or that of a group, needs a runner for, by its record alone: pure functions.

For a runner of many rollouts, which leaves alone what nobody has started, unless the strategy says `autoStart`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from rollout.going_back import hand_back_in, kept_for
from rollout.group_record import GroupRecord, planned_of
from rollout.group_verbs import RUNNING
from rollout.holding import has_hook
from rollout.record import Phase, Record


class GroupDue(NamedTuple):
    """Why a group is moved, in words. `begins`: its record is written first; `back`: that needs no Lease."""

    why: str
    begins: bool = False
    back: bool = False


def to_do(record: Record, now: str) -> str | None:
    """Return what a rollout needs a runner for at the API server's time `now`, in words; None for nothing.

    A service of a group goes forward with the others (`group_to_do`), and nothing is said of that here.
    """
    if record.void_since is not None or record.phase.goes_back:
        return _going_back(record, now)
    if record.plan.group is not None and record.phase in RUNNING:
        return None
    if record.phase is Phase.PENDING and record.started_at is None:
        return "it starts by itself" if record.strategy.auto_start else None
    if record.phase is Phase.COMPLETED:
        return "the way back is given up" if kept_for(record, now) <= 0 else None
    return "it goes on" if record.phase.active else _routes(record, now)


def group_to_do(group: GroupRecord | None, records: Mapping[str, Record]) -> GroupDue | None:
    """Return what a group needs a runner for, None for nothing; `group` is its record, None if it has none.

    `records` are those of its services, by service: of the members of the group's record, and of those that name the
    group now. What is left to do after the end is each service's own (`to_do`), but for the group's own record.
    """
    if group is not None and group.phase in RUNNING:
        return GroupDue("it goes on")
    if group is not None and group.phase in (Phase.ABORTING, Phase.UNDOING):
        return GroupDue("it goes back", back=True)
    if group is not None and group.phase is Phase.COMPLETED:
        rollouts = {one.rollout for one in group.members}
        own = [one for one in records.values() if one.id in rollouts]
        if any(one.phase.goes_back for one in own):
            return GroupDue("it goes back", back=True)
        if all(one.phase is Phase.CLOSED for one in own):
            return GroupDue("the way back is given up")
    return _begins(records)


def _begins(records: Mapping[str, Record]) -> GroupDue | None:
    """Whether rollouts are there that no record of a group is about yet."""
    named = {service: one for service, one in records.items() if one.plan.group is not None}
    waiting = {service: one for service, one in named.items() if one.phase in RUNNING and one.void_since is None}
    if not waiting or any(one.phase.goes_back for one in named.values()):
        return None  # whether the others go without one that was taken back is for a person to decide
    if any(one.started_at is not None for one in waiting.values()):
        return GroupDue("its record is gone, and it goes on from where its services are", begins=True)
    if not all(one.strategy.auto_start for one in waiting.values()):
        return None
    return GroupDue("it starts by itself", begins=True) if _awaited(waiting) <= waiting.keys() else None


def _awaited(waiting: Mapping[str, Record]) -> set[str]:
    """The services that begin together: an `up` writes their records one after the other."""
    named = {service for one in waiting.values() for service in one.plan.begins_with}
    return named or {one.service for one in planned_of(waiting).members}


def _going_back(record: Record, now: str) -> str | None:
    if record.void_since is not None:
        return None
    if record.phase.active:
        return "it goes back"
    if record.phase is Phase.ABORTED and has_hook(record, "afterAbort") and "afterAbort" not in record.hooks_done:
        return "hooks are to be asked"
    return _routes(record, now)


def _routes(record: Record, now: str) -> str | None:
    is_due = record.handed_back_at is None and hand_back_in(record, now) <= 0
    return "its routes are Pulumi's again" if is_due else None
