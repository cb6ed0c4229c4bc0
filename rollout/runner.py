"""Runs a rollout to its end: looks, decides, carries out, again and again, from any machine and after any kill.

Only the holder of the Lease moves forward; every runner moves back. What takes time (hooks, events, limits, asking the
Envoys) is done beside the loop, and the Lease is renewed in a thread of its own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kube import kubeconfig
from kube.client import query
from kube.kubeconfig import ClusterAccess
from rollout.acting import act
from rollout.background import Background
from rollout.barrier import Barrier
from rollout.collecting import Collector, ReadLimits
from rollout.gating_facts import ReadGates
from rollout.lease import Lease
from rollout.lease_keeper import LeaseKeeper
from rollout.look import NoRolloutError, look
from rollout.pace import BESIDE_SECONDS, ENDS, FLUSH_SECONDS, FREE_SECONDS, ONCE, Pace, Why, is_survived, waits_beside
from rollout.record import Record
from rollout.store import RolloutStore
from rollout.turns import OnLook, Runner, Turn
from rollout.verbs import release_holder
from rollout.watching import RecordWatch

if TYPE_CHECKING:
    from lightkube import Client

__all__ = ["NoRolloutError", "ReadGates", "ReadLimits", "RunEnd", "finish", "run", "send_events"]

logger = logging.getLogger(__name__)

HOLDER_SENDS = 2.0
"""Seconds for which whoever has no Lease leaves the events to the holder."""


@dataclass(frozen=True, kw_only=True)
class RunEnd:
    """How a run has ended: the record as it was last read, and why.

    completed: at its end; aborted: Aborted or Undone; held: nothing is decided yet (`timeout`, `once`, `until_paused`);
    stopped: `stop` was set; lost: another holder has taken the Lease.
    """

    record: Record
    why: Why


class _Loop:
    """A run: its threads, its end, and what it does when nothing answers."""

    def __init__(
        self,
        access: ClusterAccess,
        namespace: str,
        service: str,
        holder: str,
        *,
        timeout: float | None,
        stop: threading.Event,
        on_look: OnLook,
        limits: ReadLimits | None,
        gates: ReadGates | None = None,
        name: str = "",
    ) -> None:
        """`name` is the holder in the record and its history, by default that of the Lease."""
        config = kubeconfig.choose(access)
        wake = threading.Event()
        self._holder = name or holder

        def connect() -> Client:
            return kubeconfig.client(config)

        self._client = connect()
        self._lease_client = connect()
        self.store = RolloutStore(self._client, namespace, service)
        self.keeper = LeaseKeeper(Lease(self._lease_client, namespace, service, holder), holder, wake.set)
        self._pace = Pace(wake, stop, timeout, lambda: self.keeper.lost)
        self.watch = RecordWatch(connect, namespace, self.store.name, wake.set)
        self._background = Background(wake)
        self._barrier = Barrier(connect)
        self.collector = Collector(
            self._client, connect, self.store, self._holder, self._barrier, self._background, limits=limits, gates=gates
        )
        beside = (self.collector, lambda: self.keeper.held, self._holder, on_look)
        self.runner = Runner(self._client, self.store, *beside)

    def first_look(self, access: ClusterAccess) -> Record:
        """Return the record. Raises ClusterUnreachableError with the reason if there is no answer."""
        namespace, service = self.store.namespace, self.store.service

        def ask(client: Client) -> Record:
            return look(client, RolloutStore(client, namespace, service)).record_or_raise(service).record

        return query(access, ask)

    def until_decided(self, seconds: float) -> None:
        """Wait until the Lease is held or its holder is seen to live, for at most so long."""
        self._pace.wait_until(lambda: self.keeper.is_decided, seconds)

    def until(self, record: Record, ends: Callable[[Turn], Why | None]) -> RunEnd:
        """Take turns until `ends` names an end, or the time is over, or `stop` is set, or the Lease is lost."""
        last, why = self._pace.until(self.runner.turn, ends)
        return RunEnd(record=last.record if last is not None else record, why=why)

    def send_what_is_left(self, seconds: float, *, leave_to_holder: float = 0.0) -> None:
        """Deliver the events of the record, for at most so many seconds; first leave them to who holds the Lease."""
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            try:
                stored = self.store.read()
                if stored is None or not stored.record.outbox:
                    return
                if self.keeper.held or time.monotonic() - begun >= leave_to_holder:
                    sent = self.collector.delivered(stored.record)
                    if sent is not None:
                        self.store.write(sent, stored.resource_version)
                        self.collector.noted()
                        continue
                    self.collector.send_events(stored.record)
            except Exception as error:
                if not is_survived(error):
                    raise
            self._pace.wait(0.1)

    def end_what_runs_beside(self, seconds: float) -> None:
        """Wait for the log and for pods that are given back, at most so long."""
        begun = time.monotonic()
        while not self.collector.is_done_beside() and time.monotonic() - begun < seconds:
            self._pace.wait(0.1)

    def tell_that_it_stops(self) -> None:
        """Note in the record that its holder has stopped."""
        try:
            act(
                self._client,
                self.store.namespace,
                self.store.service,
                lambda record, now: release_holder(record, self._holder, now),
                by=self._holder,
            )
        except Exception as error:
            if not is_survived(error):
                raise
            logger.warning("the record does not tell that its holder has stopped: %s", error)

    def close(self) -> None:
        """Give the Lease up, and close all connections."""
        self.watch.close()
        if self.keeper.stop():
            self._lease_client.close()
        self._background.close(self._close_what_jobs_use)
        self._client.close()

    def _close_what_jobs_use(self) -> None:
        self._barrier.close()
        self.collector.close()


def run(
    access: ClusterAccess,
    namespace: str,
    service: str,
    holder: str,
    *,
    once: bool = False,
    timeout: float | None = None,
    stop: threading.Event | None = None,
    on_look: OnLook = lambda record, decision: None,
    until_paused: bool = False,
    limits: ReadLimits | None = None,
    gates: ReadGates | None = None,
) -> RunEnd:
    """Move the rollout of a service until it is completed or has gone back, or one of the other ends of `RunEnd`.

    It waits for the Lease while another holder has it, and survives an API server that does not answer. `once`: do what
    is due now, as for a CronJob; `timeout` in seconds; `until_paused` ends it when the rollout is paused. `on_look` is
    called in this thread with the record and the decision, before that is carried out.

    Raises NoRolloutError, RecordError, NameTakenError, and ClusterUnreachableError if the first look fails.
    """

    def ends(turn: Turn) -> Why | None:
        if turn.acted or waits_beside(turn.decision):
            return None
        if turn.record.phase in ENDS:
            return ENDS[turn.record.phase]
        paused = until_paused and turn.record.paused is not None and not turn.record.phase.goes_back
        return "held" if once or paused or turn.record.void_since is not None else None

    given: dict[str, Any] = {"timeout": timeout, "stop": stop or threading.Event(), "on_look": on_look}
    loop = _Loop(access, namespace, service, holder, limits=limits, gates=gates, name=ONCE if once else "", **given)
    try:
        record = loop.first_look(access)
        loop.keeper.start()
        loop.watch.start()
        if once and not record.phase.goes_back:
            loop.until_decided(FREE_SECONDS)
        end = loop.until(record, ends)
        if end.why in ("stopped", "held") and loop.keeper.held and not once:
            loop.tell_that_it_stops()
        if end.why != "lost":
            loop.send_what_is_left(FLUSH_SECONDS if end.why in ("completed", "aborted") else HOLDER_SENDS)
            loop.end_what_runs_beside(BESIDE_SECONDS)
        return end
    finally:
        loop.close()


def finish(
    access: ClusterAccess,
    namespace: str,
    service: str,
    by: str,
    *,
    timeout: float = 60.0,
    on_look: OnLook = lambda record, decision: None,
) -> RunEnd:
    """Bring a rollout that goes back (Aborting, Undoing) to its end, without the Lease; `held` if it takes longer.

    Call it after `acting.act` with abort or undo. Raises what `run` raises.
    """

    def ends(turn: Turn) -> Why | None:
        if turn.acted or waits_beside(turn.decision):
            return None
        if turn.record.phase in ENDS:
            return ENDS[turn.record.phase]
        return None if turn.record.phase.goes_back and turn.record.void_since is None else "held"

    loop = _Loop(access, namespace, service, by, timeout=timeout, stop=threading.Event(), on_look=on_look, limits=None)
    try:
        record = loop.first_look(access)
        loop.keeper.start()
        end = loop.until(record, ends)
        loop.send_what_is_left(FLUSH_SECONDS, leave_to_holder=HOLDER_SENDS)
        loop.end_what_runs_beside(BESIDE_SECONDS)
        return end
    finally:
        loop.close()


def send_events(access: ClusterAccess, namespace: str, service: str, by: str, *, seconds: float = 2.0) -> int:
    """Deliver the events that a record still has, without the Lease, and return how many are left after `seconds`.

    For whoever writes records and is no runner, such as `up`: at its end nobody may come who sends them. A receiver may
    get one twice, by the same id, if a runner sends it too. Raises what `run` raises.
    """
    given: dict[str, Any] = {"timeout": None, "stop": threading.Event(), "on_look": lambda record, decision: None}
    loop = _Loop(access, namespace, service, by, limits=None, **given)
    try:
        if loop.first_look(access).outbox:
            loop.send_what_is_left(seconds)
        return len(loop.first_look(access).outbox)
    finally:
        loop.close()
