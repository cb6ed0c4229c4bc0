"""`canary rollout run`: a line for each change of each rollout, the signals, and the files that show that it lives.

What is imported here is what a pod of the runner loads: nothing of stacks, Pulumi or tables.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from canary.command_error import CommandError
from canary.exit_codes import ExitCode
from canary.rollout.first_write import NAME
from canary.rollout.options import PROMETHEUS_VARIABLE
from canary.rollout.place import KubectlAccess

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import FrameType

    from canary.ui import Ui
    from rollout import group_runner
    from rollout.decision import Decision
    from rollout.found import Group, Service
    from rollout.group_record import GroupEntry, GroupRecord
    from rollout.group_verbs import GroupDecision
    from rollout.record import HistoryEntry, Record
    from rollout.supervisor import Subject, Supervisor
    from rollout.turns import OnLook

NO_PROMETHEUS = f"the runner has no Prometheus to ask: give it --prometheus URL, or set ${PROMETHEUS_VARIABLE}"


@dataclass(frozen=True)
class Run:
    """What is run, with which context of the kubeconfig, URL of Prometheus and folder for the files of probes."""

    namespaces: tuple[str, ...]
    context: str | None = None
    prometheus: str | None = None
    once: bool = False
    probe_folder: Path | None = None


class Lines:
    """Prints what happens, from several threads: a line each, or with `as_json` a document."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._lock = threading.Lock()

    def of(self, service: Service) -> OnLook:
        """Return what is told of each look at a rollout, and prints what is new since the look before."""
        seen: dict[Subject, int] = {}

        def on_look(record: Record, decision: Decision) -> None:
            self._new(service, record.id, record.history, record.generation, seen)

        return on_look

    def of_group(self, name: Group) -> group_runner.OnLook:
        """Return the same for looks at a group: what is new of it, and of its services."""
        from rollout.found import Service

        seen: dict[Subject, int] = {}

        def on_look(group: GroupRecord, records: Mapping[str, Record], decision: GroupDecision) -> None:
            self._new(name, group.id, group.history, group.generation, seen)
            for record in records.values():
                service = Service(record.namespace, record.service)
                self._new(service, record.id, record.history, record.generation, seen)

        return on_look

    def say(self, subject: Subject, text: str) -> None:
        """Print something that is no change of the record."""
        self.line(subject, text)

    def line(self, subject: Subject, text: str, **more: str) -> None:
        """Print one line; `more` are the id of the rollout, the time and the type of an event."""
        with self._lock:
            if self._as_json:
                place = {"namespace": subject.namespace, subject.kind: subject.name}
                print(json.dumps({**place, **more, "text": text}))
            else:
                event = f"{more['at']} {more['event']}: " if more else ""
                print(f"{subject}: {event}{text}")
            sys.stdout.flush()

    def _new(
        self,
        subject: Subject,
        name: str,
        history: Iterable[HistoryEntry | GroupEntry],
        generation: int,
        seen: dict[Subject, int],
    ) -> None:
        """Print what a history has since the generation that was seen last."""
        for entry in history:
            if subject in seen and entry.generation > seen[subject]:
                self.line(subject, entry.text, id=name, at=entry.at, event=entry.type.value)
        seen[subject] = generation


def move(ui: Ui, asked: Run) -> None:
    """Run the rollouts until a signal comes, or with `once` take one look; raises CommandError."""
    from kube import kubeconfig
    from kube.kubeconfig import ClusterUnreachableError
    from rollout.lease import new_holder
    from rollout.moving import Moving
    from rollout.prometheus_readings import at_url
    from rollout.supervisor import Supervisor

    for namespace in asked.namespaces:
        if not NAME.fullmatch(namespace):
            raise CommandError(
                "--namespace is not a name of Kubernetes",
                ExitCode.CONFIG,
                fix="see `kubectl get namespaces`",
                details=(f"given:   {namespace}", "allowed: at most 63 lowercase letters, digits and -"),
            )
    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.WARNING)
    access, lines = KubectlAccess(asked.context), Lines(as_json=ui.json)
    try:
        client = kubeconfig.client(kubeconfig.choose(access))
    except ClusterUnreachableError as error:
        raise CommandError(str(error), ExitCode.UNREACHABLE) from None
    with client:
        connect, holder = at_url(asked.prometheus, NO_PROMETHEUS), new_holder()
        moving = Moving(access, holder, connect, on_look=lines.of, on_group_look=lines.of_group)
        supervisor = Supervisor(client, asked.namespaces, holder, moving, say=lines.say)
        _stop_at_signals(supervisor)
        if not asked.once:
            supervisor.run(lambda succeeded: _touch(asked.probe_folder, is_ready=succeeded))
            return
        if supervisor.once():
            raise typer.Exit(ExitCode.FAILED)


def _touch(folder: Path | None, *, is_ready: bool) -> None:
    if folder is not None:
        for name in ("alive", *(["ready"] if is_ready else [])):
            (folder / name).touch()


def _stop_at_signals(supervisor: Supervisor) -> None:
    """The first signal hands everything over; a second one ends the process."""

    def stop(number: int, frame: FrameType | None) -> None:
        supervisor.stop()
        for one in (signal.SIGINT, signal.SIGTERM):
            signal.signal(one, signal.SIG_DFL)

    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, stop)
