"""Runs the rollouts of namespaces, each in a thread of its own, without a stack's file: the runner in the cluster.

It reads the records there again and again, takes the Leases that are free, and leaves a rollout alone that nobody has
started, unless its strategy says `autoStart`. A record or a namespace that cannot be read does not stop the others.
Whatever kills it, the next one goes on: all that it knows is in the records.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from kube.server_clock import ServerClock
from rollout import runner
from rollout.going_back import hand_back_in, kept_for
from rollout.holding import has_hook
from rollout.lease import Lease
from rollout.prometheus_readings import Connect, PrometheusReadings
from rollout.record import Phase, Record, RecordError
from rollout.runner import RunEnd
from rollout.store import LABEL, RolloutStore, Stored, name_of
from rollout.turns import OnLook

if TYPE_CHECKING:
    from lightkube import Client

    from kube.kubeconfig import ClusterAccess

logger = logging.getLogger(__name__)

LOOK_EVERY = 2.0
"""Seconds between two readings of the records."""
FIRST_REST, LONGEST_REST = 2.0, 60.0
"""Seconds for which a rollout is left alone after a run that changed nothing: doubled each time."""
HAND_OVER_SECONDS = 20.0
"""How long the end waits for the runs: each notes in its record that it stops, and gives its Lease up."""


class Service(NamedTuple):
    """A service by its namespace and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


Say = Callable[[Service, str], None]
"""Tells what is no change of a record: that one is taken, or cannot be read."""


def to_do(record: Record, now: str) -> str | None:
    """Return what a rollout needs a runner for at the API server's time `now`, in words; None for nothing."""
    if record.void_since is not None or record.phase.goes_back:
        return _going_back(record, now)
    if record.phase is Phase.PENDING and record.started_at is None:
        return "it starts by itself" if record.strategy.auto_start else None
    if record.phase is Phase.COMPLETED:
        return "the way back is given up" if kept_for(record, now) <= 0 else None
    return "it goes on" if record.phase.active else _routes(record, now)


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


@dataclass
class _Known:
    """What is known of one service: who moves it here, and until when it is left alone."""

    lease: Lease
    thread: threading.Thread | None = None
    end: RunEnd | Exception | None = None
    generation: int = 0
    rest: float = 0.0
    rests_until: float = 0.0
    said: str = ""

    @property
    def runs(self) -> bool:
        return self.thread is not None and self.thread.is_alive()


@dataclass
class Found:
    """What one reading has found: the records, and what could not be read, in words by namespace or service."""

    records: dict[Service, Stored] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)


class Supervisor:
    """Runs the rollouts of `namespaces`, as `holder`; `client` is for its own reading, by one thread alone.

    `connect` opens the Prometheus for limits and gates. `on_look` is told of each look at a rollout, in the thread that
    runs it, `say` of what else happens. `move` is `rollout.runner.run`.
    """

    def __init__(
        self,
        access: ClusterAccess,
        client: Client,
        namespaces: Sequence[str],
        holder: str,
        connect: Connect,
        *,
        on_look: Callable[[Service], OnLook] = lambda service: lambda record, decision: None,
        say: Say = lambda service, text: None,
        move: Callable[..., RunEnd] = runner.run,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._access = access
        self._client = client
        self._namespaces = namespaces
        self._holder = holder
        self._connect = connect
        self._on_look = on_look
        self._say = say
        self._move = move
        self._clock = clock
        self._server = ServerClock.of(client)
        self._known: dict[Service, _Known] = {}
        self._records: dict[Service, Stored] = {}
        self._broken: dict[str, str] = {}
        self._stop = threading.Event()

    @property
    def running(self) -> tuple[Service, ...]:
        """The services whose rollouts are run at the moment."""
        return tuple(service for service, known in self._known.items() if known.runs)

    def stop(self) -> None:
        """Let all runs end; may be called by a signal's handler."""
        self._stop.set()

    def run(self, turned: Callable[[bool], object] = lambda succeeded: None) -> None:
        """Run until `stop` is called, then hand everything over. `turned` is told each time if a reading succeeded."""
        try:
            while not self._stop.is_set():
                turned(self.turn())
                self._stop.wait(LOOK_EVERY)
        finally:
            self._stop.set()
            self._join(HAND_OVER_SECONDS)

    def once(self) -> int:
        """Take one look at each rollout that needs it, one action each, and return how many could not be moved."""
        found = self._read()
        due = [(service, stored) for service, stored in found.records.items() if self._is_due(service, stored)]
        for service, stored in due:
            self._begin(service, stored, once=True)
        self._join(None)
        self._tell_ends()
        failed = [known for known in self._known.values() if isinstance(known.end, Exception)]
        return len(failed) + len(found.broken)

    def turn(self) -> bool:
        """Read the records once, and begin what is due and free; return whether any namespace could be read."""
        self._tell_ends()
        found = self._read()
        for service, stored in found.records.items():
            if self._is_due(service, stored) and self._is_free(service):
                self._begin(service, stored)
        return len(found.broken.keys() & set(self._namespaces)) < len(self._namespaces)

    def _read(self) -> Found:
        found = Found()
        for namespace in self._namespaces:
            try:
                for name, item in self._listed(namespace):
                    service = Service(namespace, name)
                    try:
                        found.records[service] = self._record(service, item)
                    except RecordError as error:
                        found.broken[str(service)] = _one_line(error)
            except Exception as error:
                if not is_no_answer(error):
                    raise
                found.broken[namespace] = f"its records cannot be read: {_one_line(error)}"
        self._records = found.records
        self._tell_broken(found)
        return found

    def _record(self, service: Service, item: Any) -> Stored:
        """The record in a ConfigMap, which is not parsed again if it is the one of the reading before."""
        known = self._records.get(service)
        if known is not None and known.resource_version == str(item.metadata.resourceVersion):
            return replace(known, server_time=self._server.of_last_answer())
        return RolloutStore(self._client, *service).record_in(item)

    def _listed(self, namespace: str) -> Iterator[tuple[str, Any]]:
        from lightkube.resources.core_v1 import ConfigMap

        labels: dict[str, Any] = {LABEL: None}
        for item in self._client.list(ConfigMap, namespace=namespace, labels=labels):
            service = (item.metadata.labels or {}).get(LABEL, "") if item.metadata is not None else ""
            if item.metadata is not None and item.metadata.name == name_of(service):
                yield service, item

    def _is_due(self, service: Service, stored: Stored) -> bool:
        if service not in self._known:
            lease = Lease(self._client, service.namespace, service.name, self._holder)
            self._known[service] = _Known(lease)
        known, record = self._known[service], stored.record
        if known.runs:
            return False
        if record.generation != known.generation:
            known.rests_until = 0.0  # somebody has written it since
        if self._clock() < known.rests_until:
            return False
        return bool(record.outbox) or to_do(record, stored.server_time) is not None

    def _is_free(self, service: Service) -> bool:
        """Take the Lease if nobody has it, or if its holder does not live any more."""
        try:
            return self._known[service].lease.acquire()
        except Exception as error:
            if not is_no_answer(error):
                raise
            self._rest(service, f"its Lease cannot be taken: {_one_line(error)}")
            return False

    def _begin(self, service: Service, stored: Stored, *, once: bool = False) -> None:
        known, record = self._known[service], stored.record
        why = to_do(record, stored.server_time)
        if why is not None:
            self._tell(service, f"{record.id}: {why}")
        known.generation, known.end = record.generation, None
        known.thread = threading.Thread(
            target=self._run, args=(service, known, why is not None, once), name=str(service), daemon=True
        )
        known.thread.start()

    def _run(self, service: Service, known: _Known, moves: bool, once: bool) -> None:
        """In a thread of its own: only what is in `known` tells how it has ended."""
        place = (self._access, service.namespace, service.name, self._holder)
        readings = PrometheusReadings(self._connect)
        try:
            if not moves:  # a run would start it
                runner.send_events(*place)
                return
            known.end = self._move(
                *place,
                once=once,
                stop=self._stop,
                on_look=self._on_look(service),
                limits=readings.limits,
                gates=readings.gates,
            )
        except Exception as error:  # noqa: BLE001 - a thread's error would be lost; it is told, and tried again
            known.end = error
        finally:
            readings.close()

    def _tell_ends(self) -> None:
        """Say how runs have ended, and let those rest that changed nothing."""
        for service, known in self._known.items():
            if known.thread is None or known.thread.is_alive():
                continue
            known.thread = None
            end = known.end
            if isinstance(end, Exception):
                self._rest(service, f"the run has failed: {type(end).__name__}: {_one_line(end)}")
            elif end is not None and end.record.generation != known.generation:
                known.generation, known.rest, known.said = end.record.generation, 0.0, ""
                known.rests_until = self._clock() + FIRST_REST
            else:
                self._rest(service, "")

    def _rest(self, service: Service, text: str) -> None:
        known = self._known[service]
        known.rest = min(max(known.rest * 2, FIRST_REST), LONGEST_REST)
        known.rests_until = self._clock() + known.rest
        self._tell(service, text)

    def _tell(self, service: Service, text: str) -> None:
        """Say something of a rollout, once."""
        known = self._known[service]
        if text and text != known.said:
            known.said = text
            self._say(service, text)

    def _tell_broken(self, found: Found) -> None:
        for where, text in found.broken.items():
            if self._broken.get(where) != text:
                logger.warning("%s: %s", where, text)
        for where in self._broken.keys() - found.broken.keys():
            logger.info("%s: can be read again", where)
        self._broken = found.broken

    def _join(self, seconds: float | None) -> None:
        until = None if seconds is None else time.monotonic() + seconds
        for known in self._known.values():
            if known.thread is not None:
                known.thread.join(None if until is None else max(until - time.monotonic(), 0.0))


def is_no_answer(error: Exception) -> bool:
    """Whether the API server did not answer, or refused: the next reading may be better."""
    import httpx2

    from kube.server_clock import ServerTimeUnknownError

    return isinstance(error, (httpx2.HTTPError, OSError, TimeoutError, ServerTimeUnknownError))


def _one_line(error: Exception) -> str:
    from kube.client import MORE_INFORMATION

    return " ".join(str(error).partition(MORE_INFORMATION)[0].split())
