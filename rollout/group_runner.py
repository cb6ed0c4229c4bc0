"""Runs the rollout of a group to its end: looks at all members, decides, carries out, again and again.

As `rollout.runner` for one service: from any machine and after any kill. The Lease is the group's; its members have
none of their own meanwhile, since nobody else moves them forward.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kube import kubeconfig
from kube.conflicts import ConflictError
from kube.kubeconfig import ClusterAccess
from rollout.background import Background
from rollout.barrier import Barrier
from rollout.collecting import ReadLimits
from rollout.gating_facts import ReadGates
from rollout.group_machine import advance
from rollout.group_member import MemberRun
from rollout.group_record import GroupRecord
from rollout.group_store import GroupStore, StoredGroup, lease_of
from rollout.group_verbs import GroupDecision
from rollout.lease import Lease
from rollout.lease_keeper import LeaseKeeper
from rollout.pace import BESIDE_SECONDS, ENDS, FLUSH_SECONDS, FREE_SECONDS, ONCE, Pace, Why, is_survived, waits_beside
from rollout.record import Record

if TYPE_CHECKING:
    from lightkube import Client

logger = logging.getLogger(__name__)

OnLook = Callable[[GroupRecord, Mapping[str, Record], GroupDecision], None]
Readings = Callable[[str], "tuple[ReadLimits | None, ReadGates | None]"]
"""Who reads limits and gates, by service: each has its own blocks."""


class NoGroupError(Exception):
    """The group has no record: nobody has started it. Says the fix."""


@dataclass(frozen=True, kw_only=True)
class GroupEnd:
    """How a run has ended: the records as they were last read, and why, as `rollout.runner.RunEnd` says it."""

    group: GroupRecord
    records: Mapping[str, Record]
    why: Why


@dataclass(frozen=True, kw_only=True)
class GroupTurn:
    """One look and what was done: `acted` if another look is useful at once."""

    group: GroupRecord
    records: Mapping[str, Record]
    decision: GroupDecision
    acted: bool

    @property
    def wait_seconds(self) -> float | None:
        """How long nothing is due; None if only the cluster can change that."""
        return self.decision.wait_seconds

    @property
    def waits_beside(self) -> bool:
        """Whether something is asked beside the loop whose answer comes soon."""
        return any(waits_beside(decision) for _, decision in self.decision.members)


class GroupRunner:
    """Takes one turn after the other. `members` are those of the group's record, in its order."""

    def __init__(
        self,
        store: GroupStore,
        members: Sequence[MemberRun],
        holds: Callable[[], bool],
        holder: str,
        on_look: OnLook = lambda group, records, decision: None,
    ) -> None:
        self._store = store
        self._members = {one.service: one for one in members}
        self._holds = holds
        self._holder = holder
        self._on_look = on_look

    def turn(self) -> GroupTurn:
        """Look, decide, and carry out. Raises ConflictError if others were faster, and what `acting.carry_out` does."""
        held = self._holds()
        seen = [member.look(lease_held=held) for member in self._members.values()]
        stored = self._store.read()
        if stored is None:
            raise NoGroupError(f"the record of the group {self._store.group} is gone; fix: start the group again")
        known = [one for one in seen if one.service in stored.group.services]
        decision = advance(stored.group, known, now=self._now(stored), by=self._holder, lease_held=held)
        records = {one.service: one.record for one in seen if one.record is not None}
        self._on_look(stored.group, records, decision)
        if decision.group is not None:
            if not decision.group.phase.goes_back and held and not self._holds():
                raise ConflictError("the Lease has run out meanwhile")
            group = self._store.write(decision.group, stored.resource_version).group
            return GroupTurn(group=group, records=records, decision=decision, acted=True)
        acted, after = self._carry_out(decision, lease_held=held)
        return GroupTurn(group=stored.group, records={**records, **after}, decision=decision, acted=acted)

    def _carry_out(self, decision: GroupDecision, *, lease_held: bool) -> tuple[bool, dict[str, Record]]:
        """Carry the members' decisions out in their order; of a way back, one that fails keeps none of the others."""
        acted, records, errors = False, {}, []
        for service, one in decision.members:
            try:
                did, record = self._members[service].act(one, lease_held=lease_held, holds=self._holds)
            except Exception as error:
                if not is_survived(error):
                    raise
                errors.append(error)
                if one.write_routes != "back":
                    break
                continue
            acted = acted or did
            records[service] = record
        if errors:
            raise errors[0]
        return acted, records

    def _now(self, stored: StoredGroup) -> str:
        return next(iter(self._members.values())).now or stored.server_time


class _Loop:
    """A run: its connections, its threads, its end."""

    def __init__(
        self,
        access: ClusterAccess,
        group: GroupRecord,
        holder: str,
        *,
        timeout: float | None,
        stop: threading.Event,
        on_look: OnLook,
        readings: Readings,
        name: str = "",
    ) -> None:
        config = kubeconfig.choose(access)
        wake = threading.Event()
        self.holder = name or holder

        def connect() -> Client:
            return kubeconfig.client(config)

        self._client, self._lease_client = connect(), connect()
        lease = Lease(self._lease_client, group.namespace, lease_of(group.name), holder)
        self.keeper = LeaseKeeper(lease, holder, wake.set)
        self._pace = Pace(wake, stop, timeout, lambda: self.keeper.lost)
        self.members = [
            MemberRun(
                self._client,
                connect,
                one,
                self.holder,
                wake,
                Background(wake),
                Barrier(connect),
                *readings(one.service),
            )
            for one in group.members
        ]
        self.runner = GroupRunner(
            GroupStore(self._client, group.namespace, group.name),
            self.members,
            lambda: self.keeper.held,
            self.holder,
            on_look,
        )

    def until_decided(self, seconds: float) -> None:
        """Wait until the Lease is held or its holder is seen to live, for at most so long."""
        self._pace.wait_until(lambda: self.keeper.is_decided, seconds)

    def until(self, first: GroupRecord, ends: Callable[[GroupTurn], Why | None]) -> GroupEnd:
        """Take turns until `ends` names an end, or the time is over, or `stop` is set, or the Lease is lost."""
        last, why = self._pace.until(self.runner.turn, ends)
        if last is None:
            return GroupEnd(group=first, records={}, why=why)
        return GroupEnd(group=last.group, records=last.records, why=why)

    def end_what_runs_beside(self, seconds: float) -> None:
        """Wait for events, logs, and pods that are given back, at most so long."""
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            try:
                done = [member.is_done(lease_held=self.keeper.held) for member in self.members]  # begins what is left
                if all(done):
                    return
            except Exception as error:
                if not is_survived(error):
                    raise
            self._pace.wait(0.1)

    def tell_that_it_stops(self) -> None:
        """Note in the members' records that their holder has stopped."""
        for member in self.members:
            try:
                member.release_holder()
            except Exception as error:
                if not is_survived(error):
                    raise
                logger.warning("the record of %s does not tell that its holder has stopped: %s", member.service, error)

    def close(self) -> None:
        """Give the Lease up, and close all connections."""
        if self.keeper.stop():
            self._lease_client.close()
        for member in self.members:
            member.close()
        self._client.close()


def no_readings(service: str) -> tuple[ReadLimits | None, ReadGates | None]:
    """Nobody reads limits and gates: for what goes back."""
    return None, None


def run_group(
    access: ClusterAccess,
    group: GroupRecord,
    holder: str,
    *,
    once: bool = False,
    timeout: float | None = None,
    stop: threading.Event | None = None,
    on_look: OnLook = lambda group, records, decision: None,
    until_paused: bool = False,
    readings: Readings = no_readings,
) -> GroupEnd:
    """Move a group until it is completed or has gone back, or one of the other ends of `rollout.runner.RunEnd`.

    `group` is what `group_acting.start` returned; the other arguments are those of `rollout.runner.run`. Raises
    NoGroupError, RecordError and NameTakenError.
    """

    def ends(turn: GroupTurn) -> Why | None:
        if turn.acted or turn.waits_beside:
            return None
        if turn.group.phase in ENDS:
            return ENDS[turn.group.phase]
        paused = until_paused and any(one.paused is not None for one in turn.records.values())
        return "held" if once or paused else None

    loop = _Loop(
        access,
        group,
        holder,
        timeout=timeout,
        stop=stop or threading.Event(),
        on_look=on_look,
        readings=readings,
        name=ONCE if once else "",
    )
    try:
        loop.keeper.start()
        for member in loop.members:
            member.watch()
        if once and not group.phase.goes_back:
            loop.until_decided(FREE_SECONDS)
        end = loop.until(group, ends)
        if end.why in ("stopped", "held") and loop.keeper.held and not once:
            loop.tell_that_it_stops()
        if end.why != "lost":
            loop.end_what_runs_beside(FLUSH_SECONDS if end.why in ("completed", "aborted") else BESIDE_SECONDS)
        return end
    finally:
        loop.close()


def finish_group(
    access: ClusterAccess,
    group: GroupRecord,
    by: str,
    *,
    timeout: float = 60.0,
    on_look: OnLook = lambda group, records, decision: None,
) -> GroupEnd:
    """Bring a group that goes back to its end, without the Lease; `held` if it takes longer.

    Call it once the group's record says so (`group_acting.act_on_group`). Raises what `run_group` raises.
    """

    def ends(turn: GroupTurn) -> Why | None:
        if turn.acted or turn.waits_beside:
            return None
        if turn.group.phase in ENDS:
            return ENDS[turn.group.phase]
        return None if turn.group.phase.goes_back else "held"

    loop = _Loop(
        access, group, by, timeout=timeout, stop=threading.Event(), on_look=on_look, readings=no_readings
    )  # fmt: skip
    try:
        loop.keeper.start()
        end = loop.until(group, ends)
        loop.end_what_runs_beside(FLUSH_SECONDS if loop.keeper.held else BESIDE_SECONDS)
        return end
    finally:
        loop.close()
