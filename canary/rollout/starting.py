"""`canary rollout start`: what speaks against it, the run itself, and how it has ended."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import typer

from canary.command_error import CommandError
from canary.exit_codes import ExitCode
from canary.rollout.documents import document
from canary.rollout.errors import explained
from canary.rollout.group_place import refuse_alone
from canary.rollout.place import Place, who
from canary.rollout.reading import SECONDS, nothing_to_move, read, read_if_any, why_none
from canary.rollout.verb import send_left
from canary.rollout.words import BACK, ENDED, code_of, headline, waits_for, where
from rollout.record import NOT_STARTED, Phase, Record

if TYPE_CHECKING:
    from lightkube import Client

    from canary.ui import Ui
    from rollout.decision import Decision
    from rollout.runner import RunEnd

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Start:
    """How it is started."""

    detach: bool = False
    timeout: float | None = None
    once: bool = False
    anyway: bool = False


@dataclass
class Stopped:
    """Why a run is to stop: a signal, or a pause by the rollout itself."""

    event: threading.Event = field(default_factory=threading.Event)
    by_signal: bool = False

    def stop(self, number: int, frame: object) -> None:
        """Handle a signal; a second one interrupts at once."""
        if self.by_signal:
            raise KeyboardInterrupt
        self.by_signal = True
        self.event.set()


def begin(ui: Ui, place: Place, asked: Start) -> None:
    """Run a rollout to its end, and end the command with the code that tells how; raises CommandError."""
    seen = read_if_any(place)
    if seen is None:
        _without_record(ui, place)
        return
    record = seen.record
    refuse_alone(place, record, "start")
    refuse(ui, place, record, asked.anyway)
    if record.phase in ENDED and not record.outbox:
        _hand_back(ui, place)
        _end(ui, place, record, "")
        return
    if record.phase is Phase.PENDING and not asked.anyway:
        refuse_unready(place, record)
        refuse_undecidable(ui, place, record)
    if asked.detach:
        _detach(ui, place, asked)
        return
    with explained(place):
        end, stopped = _run(ui, place, asked)
    _end(ui, place, end.record, _why(place, end, stopped), interrupted=stopped.by_signal and end.why == "stopped")


def _without_record(ui: Ui, place: Place) -> None:
    """Say that there is no rollout since its end is reached, as after the first `up`: a pipeline goes on then.

    Otherwise raises CommandError.
    """
    from kube.client import query

    with explained(place):
        there = query(place.cluster, lambda client: nothing_to_move(client, place), within=SECONDS)
    if there is None:
        raise why_none(place)
    said = f"{place.service} has nothing to roll out: {there}"
    found = {"stack": place.stack, "service": place.service, "id": None, "said": said}
    ui.result(found, lambda console: console.print(said, markup=False, soft_wrap=True))


def refuse(ui: Ui, place: Place, record: Record, anyway: bool) -> None:
    """Raise CommandError if the stack's file and the record do not belong together, or the record is void."""
    from canary.rollout.since_up import changes, other_target

    if record.void_since is not None:
        raise CommandError(
            f"the rollout {record.id} is void: its VirtualServices were deleted or made anew",
            ExitCode.CONFIG,
            f"{place.up}, which begins a new rollout",
        )
    other = other_target(place, record)
    found = [other] if other else [] if record.phase in ENDED else changes(place, record)
    if not found:
        return
    changed = f"the stack's file has changed since `{place.up}`"
    if other:  # moving on would be against the file
        raise CommandError(
            changed, ExitCode.CONFIG, f"{place.up}, which makes the cluster what the file says", (other,)
        )
    if not anyway and record.started_at is None:
        fix = f"{place.up}, which reads the file; or add --anyway for the rollout as it is in the cluster"
        raise CommandError(changed, ExitCode.CONFIG, fix, tuple(found))
    for text in found:
        ui.note(f"note: {text}; the rollout goes on as it was planned")


def _hand_back(ui: Ui, place: Place) -> None:
    """An hour after the end the routes are Pulumi's again, by whoever looks first; without the right, by another."""
    from kube.client import query
    from rollout.acting import hand_back_if_due

    try:
        with explained(place):
            said = query(
                place.cluster,
                lambda client: hand_back_if_due(client, place.namespace, place.service, who()),
                within=SECONDS,
            )
    except CommandError as error:
        said = f"note: the routes are not handed back to Pulumi: {' '.join(str(error).split())}"
    else:
        if said is not None:
            send_left(ui, place, who())
    if said is not None:
        ui.note(said)


def refuse_unready(place: Place, record: Record) -> None:
    """Raise CommandError if no pod of the new version is ready, and none would be added."""
    from kube.client import query

    with explained(place):
        why = query(place.cluster, lambda client: _unready(client, place, record), within=SECONDS)
    if why is not None:
        raise CommandError(
            f"no pod of {record.target.version} is ready",
            ExitCode.HELD,
            f"correct the version and run {place.up}; or add --anyway, which waits for its pods",
            (why,) if why else (),
        )


def refuse_undecidable(ui: Ui, place: Place, record: Record) -> None:
    """Raise CommandError if the gates of a step cannot decide before its deadline."""
    from canary.rollout.forecasting import forecast, refused

    found = forecast(ui, place, record.plan, record.from_.version, record.target.version, record)
    problem = refused(place, found)
    if problem is not None:
        again = f"; {place.up} reads the file again; or add --anyway, which starts it as it is"
        raise CommandError(problem.message, problem.code, problem.fix + again, problem.details)


def _unready(client: Client, place: Place, record: Record) -> str | None:
    """Why no pod of the new version is ready; None if one is, or if the rollout itself adds them."""
    from rollout.capacity import deployments_of, ready_pods, why_unready
    from traffic.model import version_label

    label = version_label(place.service, record.target.version)
    if ready_pods(client, place.namespace, place.service).get(label):
        return None
    deployments: list[Any] = deployments_of(client, place.namespace, place.service, label)
    if record.strategy.capacity.scale and deployments and all(one.spec.replicas == 0 for one in deployments):
        return None
    return why_unready(client, place.namespace, place.service, label)


def _run(ui: Ui, place: Place, asked: Start) -> tuple[RunEnd, Stopped]:
    from canary.rollout.progress import Progress
    from canary.rollout.prometheus_readings import readings_of
    from rollout.lease import new_holder
    from rollout.runner import run

    stopped, numbers = Stopped(), readings_of(ui, place)

    def on_look(record: Record, decision: Decision) -> None:
        progress.see(record, decision)
        if record.paused is not None and record.paused.kind != "person" and not record.phase.goes_back:
            stopped.event.set()

    try:
        with Progress(ui, place) as progress, signals(stopped):
            end = run(
                place.cluster,
                place.namespace,
                place.service,
                new_holder(),
                once=asked.once,
                timeout=asked.timeout,
                stop=stopped.event,
                on_look=on_look,
                limits=numbers.limits,
                gates=numbers.gates,
            )
    except KeyboardInterrupt:
        raise CommandError(
            "interrupted", ExitCode.INTERRUPTED, f"`{place.command('start')}` goes on, from any machine"
        ) from None
    finally:
        numbers.close()
    return end, stopped


@contextmanager
def signals(stopped: Stopped) -> Iterator[None]:
    """Stop cleanly at the signals that end a process; those that are ignored (nohup) stay so."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    handled = [number for number in SIGNALS if before[number] is not signal.SIG_IGN]
    try:
        for number in handled:
            signal.signal(number, stopped.stop)
        yield
    finally:
        for number in handled:
            signal.signal(number, before[number])


@contextmanager
def unread() -> Iterator[None]:
    """A reader that has gone away changes neither how the rollout has ended nor the exit code."""
    try:
        yield
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # the latter is rich's answer to the former
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _why(place: Place, end: RunEnd, stopped: Stopped) -> str:
    """What is to be said of a run that has not ended the rollout."""
    start = place.command("start")
    if end.why == "lost":
        return f"{end.record.holder or 'another holder'} has taken the rollout over, and moves it forward"
    if end.why == "stopped" and stopped.by_signal:
        at = "before its first step" if end.record.step == NOT_STARTED else f"at {where(end.record)}"
        return (
            f"the rollout stays {at}, and nobody moves it: `{start}` goes on, from any machine with this kubeconfig; "
            f"`{place.command('abort', 'REASON')}` goes back"
        )
    if end.why == "held" and end.record.paused is None:
        held = f" ({place.completed(end.record.held.text)})" if end.record.held else ""
        return f"it has not ended yet{held}: `{start}` goes on"
    return ""


def _end(ui: Ui, place: Place, record: Record, said: str, *, interrupted: bool = False) -> None:
    """Print how the rollout has ended, or where it is; end the command with the code for that."""
    code = ExitCode.INTERRUPTED if interrupted else code_of(record)
    text = said or _after(place, record)

    def show(console: Any) -> None:
        console.print(headline(record), markup=False, style="bold", soft_wrap=True)
        if text:
            console.print(text, markup=False, soft_wrap=True)

    with unread():
        ui.result(document(place, record, "; ".join(filter(None, (headline(record), text)))), show)
    if code is not ExitCode.OK:
        raise typer.Exit(code)


def _after(place: Place, record: Record) -> str:
    """The next command after the end, or at a pause."""
    from canary.rollout.reading import RolloutSeen

    now = record.ended_at or record.created_at
    if record.phase in (Phase.COMPLETED, *BACK) or record.paused is not None:
        return waits_for(RolloutSeen(record=record, now=now), place)
    return ""


def _detach(ui: Ui, place: Place, asked: Start) -> None:
    from canary.rollout.detaching import detach

    found = detach(
        place, asked.anyway, lambda: read(place), lambda seen: seen.holder, lambda seen: seen.record.phase in ENDED
    )
    record = found.seen.record
    watch = f"`{place.command('status', '--watch')}` shows each change"

    def show(console: Any) -> None:
        console.print(headline(record), markup=False, style="bold", soft_wrap=True)
        console.print(f"{found.words}; {watch}", markup=False, soft_wrap=True)

    ui.result({**document(place, record, found.words), "pid": found.pid, "log": str(found.file)}, show)
