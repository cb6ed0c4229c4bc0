"""Runs the rollouts of namespaces, each in a thread of its own, without a stack's file: the runner in the cluster.

It reads the records there again and again, takes the Leases that are free, and leaves a rollout alone that nobody has
started, unless its strategy says `autoStart`. The services of a group go forward by one run, under the group's Lease.
A record or a namespace that cannot be read does not stop the others. Whatever kills it, the next one goes on: all that
it knows is in the records.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rollout.due import GroupDue, group_to_do, to_do
from rollout.found import Found, FoundGroup, Group, RecordsReader, Service, group_mark, is_no_answer, one_line
from rollout.group_runner import GroupEnd
from rollout.group_store import lease_of
from rollout.lease import Lease
from rollout.moving import Moving
from rollout.record import Record
from rollout.runner import RunEnd

if TYPE_CHECKING:
    from lightkube import Client

LOOK_EVERY = 2.0
"""Seconds between two readings of the records."""
FIRST_REST, LONGEST_REST = 2.0, 60.0
"""Seconds for which a rollout is left alone after a run that changed nothing: doubled each time."""
HAND_OVER_SECONDS = 20.0
"""How long the end waits for the runs: each notes in its record that it stops, and gives its Lease up."""

Subject = Service | Group
"""What is run."""
Say = Callable[[Subject, str], None]
"""Tells what is no change of a record: that one is taken, or cannot be read."""


@dataclass
class _Known:
    """What is known of a service or a group: who moves it here, and until when it is left alone."""

    lease: Lease
    thread: threading.Thread | None = None
    end: RunEnd | GroupEnd | Exception | None = None
    mark: object = None
    """Changes with every write of its records."""
    rest: float = 0.0
    rests_until: float = 0.0
    said: str = ""

    @property
    def runs(self) -> bool:
        return self.thread is not None and self.thread.is_alive()


@dataclass(frozen=True, kw_only=True)
class _Due:
    """A run that is to begin: `why` in words, and what its thread does. `back`: it needs no Lease."""

    subject: Subject
    mark: object
    why: str
    job: Callable[[], RunEnd | GroupEnd | None]
    back: bool = False


class Supervisor:
    """Runs the rollouts of `namespaces`, as `holder`; `client` is for its own reading, by one thread alone.

    `moving` is what the thread of each run does. `say` is told of what is no change of a record.
    """

    def __init__(
        self,
        client: Client,
        namespaces: Sequence[str],
        holder: str,
        moving: Moving,
        *,
        say: Say = lambda subject, text: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._namespaces = namespaces
        self._holder = holder
        self._moving = moving
        self._say = say
        self._clock = clock
        self._reader = RecordsReader(client, namespaces)
        self._known: dict[Subject, _Known] = {}
        self._stop = moving.stop

    @property
    def running(self) -> tuple[Subject, ...]:
        """The services and groups whose rollouts are run at the moment."""
        return tuple(subject for subject, known in self._known.items() if known.runs)

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
        found = self._reader.read()
        for due in self._due(found, once=True):
            self._begin(due)
        self._join(None)
        self._tell_ends()
        failed = [known for known in self._known.values() if isinstance(known.end, Exception)]
        return len(failed) + len(found.broken)

    def turn(self) -> bool:
        """Read the records once, and begin what is due and free; return whether any namespace could be read."""
        self._tell_ends()
        found = self._reader.read()
        for due in self._due(found):
            if due.back or self._is_free(due.subject):
                self._begin(due)
        return len(found.broken.keys() & set(self._namespaces)) < len(self._namespaces)

    def _due(self, found: Found, *, once: bool = False) -> Iterator[_Due]:
        """What is to be begun. Groups first: a service is not run beside its group."""
        with_group: set[Service] = set()
        under_way: set[Service] = set()
        for group in found.groups():
            due = group_to_do(group.group, group.records)
            moved = group.moved(begins=due is not None and due.begins)
            if due is not None and not due.begins:
                under_way |= moved
            if due is not None and self._may_begin(group.name, group.mark) and self._is_all_here(group):
                yield self._due_group(group, due, once=once)
            if self._of(group.name).thread is not None:
                with_group |= moved
        for service, stored in found.records.items():
            record = stored.record
            if service in with_group or not self._may_begin(service, (record.generation,)):
                continue
            if service in under_way and not record.phase.goes_back:
                continue  # whoever moves the group moves it, and sends its events
            why = to_do(record, stored.server_time)
            if why is not None or record.outbox:
                yield self._due_service(service, record, why, once=once)

    def _due_group(self, group: FoundGroup, due: GroupDue, *, once: bool) -> _Due:
        name = group.name.name if group.group is None or due.begins else group.group.id
        return _Due(
            subject=group.name,
            mark=group.mark,
            why=f"{name}: {due.why}",
            job=lambda: self._moving.group(group, begins=due.begins, once=once),
            back=due.back,
        )

    def _due_service(self, service: Service, record: Record, why: str | None, *, once: bool) -> _Due:
        if why is None:  # a run would start it
            return _Due(
                subject=service, mark=(record.generation,), why="", job=lambda: self._moving.send_events(service)
            )
        return _Due(
            subject=service,
            mark=(record.generation,),
            why=f"{record.id}: {why}",
            job=lambda: self._moving.service(service, once=once),
        )

    def _of(self, subject: Subject) -> _Known:
        if subject not in self._known:
            lease = subject.name if isinstance(subject, Service) else lease_of(subject.name)
            self._known[subject] = _Known(
                Lease(self._client, subject.namespace, lease, self._holder, clock=self._clock)
            )
        return self._known[subject]

    def _may_begin(self, subject: Subject, mark: object) -> bool:
        """Whether it is not run here already, and does not rest."""
        known = self._of(subject)
        if known.thread is not None:
            return False
        if mark != known.mark:
            known.rests_until = 0.0  # somebody has written it since
        return self._clock() >= known.rests_until

    def _is_all_here(self, group: FoundGroup) -> bool:
        """Whether all services of a group are in the namespaces of this runner: it has no rights in others."""
        outside = sorted(str(one) for one in group.services if one.namespace not in self._namespaces)
        if outside:
            self._tell(group.name, f"it is left alone: this runner does not move {', '.join(outside)}")
        return not outside

    def _is_free(self, subject: Subject) -> bool:
        """Take the Lease if nobody has it, or if its holder does not live any more."""
        try:
            return self._of(subject).lease.acquire()
        except Exception as error:
            if not is_no_answer(error):
                raise
            self._rest(subject, f"its Lease cannot be taken: {one_line(error)}")
            return False

    def _begin(self, due: _Due) -> None:
        known = self._of(due.subject)
        self._tell(due.subject, due.why)
        known.mark, known.end = due.mark, None
        known.thread = threading.Thread(target=_run, args=(known, due.job), name=str(due.subject), daemon=True)
        known.thread.start()

    def _tell_ends(self) -> None:
        """Say how runs have ended, and let those rest that changed nothing."""
        for subject, known in self._known.items():
            if known.thread is None or known.thread.is_alive():
                continue
            known.thread = None
            end = known.end
            if isinstance(end, Exception):
                self._rest(subject, f"the run has failed: {type(end).__name__}: {one_line(end)}")
                self._give_up(known)
            elif end is not None and _mark_of(end) not in (None, known.mark):
                known.mark, known.rest, known.said = _mark_of(end), 0.0, ""
                known.rests_until = self._clock() + FIRST_REST
            else:
                self._rest(subject, "")

    def _give_up(self, known: _Known) -> None:
        """Give the Lease up: whoever is to do what the run could not need not wait for it."""
        try:
            known.lease.release()
        except Exception as error:
            if not is_no_answer(error):
                raise

    def _rest(self, subject: Subject, text: str) -> None:
        known = self._of(subject)
        known.rest = min(max(known.rest * 2, FIRST_REST), LONGEST_REST)
        known.rests_until = self._clock() + known.rest
        self._tell(subject, text)

    def _tell(self, subject: Subject, text: str) -> None:
        """Say something of a rollout, once."""
        known = self._of(subject)
        if text and text != known.said:
            known.said = text
            self._say(subject, text)

    def _join(self, seconds: float | None) -> None:
        until = None if seconds is None else time.monotonic() + seconds
        for known in self._known.values():
            if known.thread is not None:
                known.thread.join(None if until is None else max(until - time.monotonic(), 0.0))


def _run(known: _Known, job: Callable[[], RunEnd | GroupEnd | None]) -> None:
    """In a thread of its own: only what is in `known` tells how it has ended."""
    try:
        known.end = job()
    except Exception as error:  # noqa: BLE001 - a thread's error would be lost; it is told, and tried again
        known.end = error


def _mark_of(end: RunEnd | GroupEnd) -> object:
    """What the records were marked by when they were read last; None if that was before the run."""
    if isinstance(end, RunEnd):
        return (end.record.generation,)
    return group_mark(end.group, end.records) if end.records else None
