"""One member of a group in a runner's loop: what is seen of it, and its decisions carried out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from kube.conflicts import ConflictError
from rollout.acting import act, carry_out, handed_over
from rollout.background import Background
from rollout.barrier import Barrier
from rollout.collecting import Collector, ReadLimits
from rollout.decision import Decision, Facts
from rollout.gating_facts import ReadGates
from rollout.group_machine import Member
from rollout.group_record import RolledMember
from rollout.look import Look, StoredRoutesByName, look
from rollout.record import Record
from rollout.routes import RouteRefusedError, VirtualServiceGoneError
from rollout.store import RolloutStore, Stored
from rollout.stored_routes import StoredRoutesError
from rollout.verbs import release_holder
from rollout.watching import RecordWatch

if TYPE_CHECKING:
    from lightkube import Client

FAILED_TRIES = 5
"""After so many writes in a row that are refused, a member cannot be written, and its group goes back."""
FOR_NOW = (404, 409, 429)
"""Answers that say nothing against the next try."""


class MemberRun:
    """What a runner has of one member: `client` is the loop's, `connect` makes those of what runs beside it."""

    def __init__(
        self,
        client: Client,
        connect: Callable[[], Client],
        member: RolledMember,
        holder: str,
        wake: threading.Event,
        background: Background,
        barrier: Barrier,
        limits: ReadLimits | None = None,
        gates: ReadGates | None = None,
    ) -> None:
        self.service = member.service
        self.now = ""
        """The API server's time at the last look."""
        self._client, self._holder = client, holder
        self._background, self._barrier = background, barrier
        self._store = RolloutStore(client, member.namespace, member.service)
        self._collector = Collector(
            client, connect, self._store, holder, barrier, background, limits=limits, gates=gates
        )
        self._watch = RecordWatch(connect, member.namespace, self._store.name, wake.set)
        self._known: StoredRoutesByName = {}
        self._names: tuple[str, ...] = ()
        self._seen: Look | None = None
        self._facts: Facts | None = None
        self._refused = 0
        self._failed = ""

    def watch(self) -> None:
        """Be woken when somebody else writes its record."""
        self._watch.start()

    def look(self, *, lease_held: bool) -> Member:
        """Return what is seen now: the VirtualServices first, the record after them."""
        self._seen = seen = look(self._client, self._store, self._known, self._names)
        stored = seen.stored
        if stored is None:
            self.now = self._store.server_time
            return Member(service=self.service, record=None, facts=Facts(now=self.now))
        self._names = tuple(stored.record.vs_uids)
        sent = self._collector.delivered(stored.record) if lease_held else None
        if sent is not None:
            stored = self._store.write(sent, stored.resource_version)
            self._seen = seen = replace(seen, stored=stored)
            self._collector.noted()
        self._facts = facts = self._collector.facts(seen, stored, lease_held=lease_held)
        self.now = facts.now
        return Member(service=self.service, record=stored.record, facts=facts, failed=self._failed)

    def act(self, decision: Decision, *, lease_held: bool, holds: Callable[[], bool]) -> tuple[bool, Record]:
        """Carry a decision out; return whether something was written, and the record. Raises what `carry_out` does."""
        seen, facts = self._seen, self._facts
        assert seen is not None
        assert facts is not None
        stored = seen.record_or_raise(self.service)
        moves = decision.record is not None or decision.write_routes is not None
        if moves and lease_held and decision.write_routes != "back" and not holds():
            raise ConflictError("the Lease has run out meanwhile")
        if moves:
            before = stored.record
            stored = self._written(seen, decision, lambda: not lease_held or holds())
            self._collector.log(before, facts, decision)
        elif decision.hand_over:
            handed_over(self._client, self._store, seen, self._holder)
        self._collector.scale(decision)
        self._collector.beside(seen, stored, decision, lease_held=lease_held)
        return moves or decision.hand_over, stored.record

    def is_done(self, *, lease_held: bool) -> bool:
        """Return whether its events are sent, its log is written and pods are given back; starts what is left."""
        stored = self._store.read()
        left = stored is not None and bool(stored.record.outbox)
        if stored is not None and left and lease_held:
            sent = self._collector.delivered(stored.record)
            if sent is not None:
                stored = self._store.write(sent, stored.resource_version)
                self._collector.noted()
                left = bool(stored.record.outbox)
            self._collector.send_events(stored.record)
        return self._collector.is_done_beside() and not (left and lease_held)

    def release_holder(self) -> None:
        """Note in the record that its holder has stopped."""
        act(
            self._client,
            self._store.namespace,
            self.service,
            lambda record, now: release_holder(record, self._holder, now),
            by=self._holder,
        )

    def close(self) -> None:
        """Let its threads and connections end."""
        self._watch.close()
        self._background.close(self._close_what_jobs_use)

    def _close_what_jobs_use(self) -> None:
        self._barrier.close()
        self._collector.close()

    def _written(self, seen: Look, decision: Decision, goes_on: Callable[[], bool]) -> Stored:
        try:
            stored = carry_out(self._client, self._store, seen, decision, goes_on=goes_on)
        except Exception as error:
            if _is_refused(error):
                self._refused += 1
                self._failed = " ".join(str(error).split()) if self._refused >= FAILED_TRIES else ""
            raise
        self._refused, self._failed = 0, ""
        return stored


def _is_refused(error: Exception) -> bool:
    """Whether the API server, or what is stored, does not allow the write: another try will not help."""
    import httpx2

    if isinstance(error, httpx2.HTTPStatusError):
        code = error.response.status_code
        return 400 <= code < 500 and code not in FOR_NOW
    return isinstance(error, (VirtualServiceGoneError, RouteRefusedError, StoredRoutesError))
