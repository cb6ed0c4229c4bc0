"""Carries out what persons, and `up`, ask of a group: its record first, by compare-and-swap, then its members."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kube.conflicts import ConflictError
from kube.server_clock import ServerClock
from rollout.acting import TRIES, Acted, NotCarriedOutError, act
from rollout.decision import Decision, RefusedError
from rollout.group_members import PlannedGroup
from rollout.group_record import GroupRecord
from rollout.group_store import GroupStore, records_of
from rollout.group_verbs import RUNNING, GroupDecision, abort_group, begin_group, undo_group
from rollout.record import Record

if TYPE_CHECKING:
    from lightkube import Client


class LeftGroupError(Exception):
    """The service's rollout is none of its group's any more: it goes back alone."""


Decide = Callable[[GroupRecord | None, dict[str, Record], str], GroupDecision]
"""From the group's record, those of its services, and the API server's time."""


def start(client: Client, group: PlannedGroup, by: str, *, anyway: bool = False) -> GroupRecord:
    """Write the record of a group whose services are to begin, and return it; the one that is there if it goes on.

    Raises RefusedError (`begin_group`), NotCarriedOutError, RecordError, and httpx2's errors.
    """

    def decide(known: GroupRecord | None, records: dict[str, Record], at: str) -> GroupDecision:
        return begin_group(known, group.name, records, by, at, anyway=anyway)

    return act_on_group(client, group, decide)[0]


def take_back(
    client: Client,
    group: PlannedGroup,
    reason: str,
    by: str,
    *,
    member: Record | None = None,
    undo: bool | None = False,
) -> tuple[GroupRecord, str]:
    """Write that a group goes back, and return its record and what was done; `group_runner.finish_group` ends it.

    A group that nobody has started gets its record by this. `member` is the service for which it goes back, None if a
    person asked for the group. `undo` is for after the end; None: an undo if it has ended, else an abort.

    Raises LeftGroupError, and as `start` does.
    """
    service = None if member is None else member.service

    def decide(known: GroupRecord | None, records: dict[str, Record], at: str) -> GroupDecision:
        begun = begin_group(known, group.name, records, by, at, checked=False)
        current = begun.group or known
        assert current is not None
        ids = {(one.service, one.rollout) for one in current.members}
        if member is not None and (member.service, member.id) not in ids:
            raise LeftGroupError(f"{member.service} is not in the present rollout of the group {group.name}")
        if undo or (undo is None and current.phase not in RUNNING):
            return undo_group(current, reason, by, at, member=service)
        return abort_group(current, reason, by, at, member=service)

    record, said = act_on_group(client, group, decide)
    return record, said


def act_on_group(client: Client, group: PlannedGroup, decide: Decide) -> tuple[GroupRecord, str]:
    """Look, decide, and write the group's record; on conflicts up to 5 times. Return it, and what was decided."""
    store = GroupStore(client, group.namespace, group.name)
    for _ in range(TRIES):
        records, stored = records_of(client, group.members), store.read()
        at = ServerClock.of(client).of_last_answer()
        decision = decide(None if stored is None else stored.group, records, at)
        if decision.group is None:
            if stored is None:
                raise RefusedError(f"the group {group.name} has no rollout", "run `canary up`, which writes it")
            return stored.group, decision.why
        try:
            written = (
                store.create(decision.group) if stored is None else store.write(decision.group, stored.resource_version)
            )
        except ConflictError:
            continue
        return written.group, decision.why
    raise NotCarriedOutError(
        f"the record of the group {group.name} was written by somebody else {TRIES} times meanwhile\n"
        "    fix:  run the same command again; `canary rollout status` names the holder"
    )


def each_member(
    client: Client,
    group: PlannedGroup,
    decide: Callable[[Record, str], Decision | None],
    *,
    by: str,
) -> list[Acted]:
    """Carry a verb out on each member, a callee first, and return what was done; None leaves a member as it is.

    All are decided before the first is written, so that a member that refuses leaves all as they are. A kill in
    between leaves the group held: nothing moves until all members say yes. Raises what `acting.act` raises.
    """
    records = records_of(client, group.members)
    at = ServerClock.of(client).of_last_answer()
    chosen = [
        member
        for member in group.members
        if member.service in records and decide(records[member.service], at) is not None
    ]
    return [act(client, one.namespace, one.service, _whatever(decide), by=by) for one in chosen]


def is_member_of(record: Record, group: PlannedGroup) -> bool:
    """Whether a service's record says that it goes with this group."""
    return record.plan.group is not None and record.plan.group.name == group.name


def _whatever(decide: Callable[[Record, str], Decision | None]) -> Callable[[Record, str], Decision]:
    def decided(record: Record, at: str) -> Decision:
        return decide(record, at) or Decision(why=f"{record.service}: nothing to do")

    return decided
