"""`canary rollout start` of a group: what speaks against it, the run itself, and how it has ended."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import typer

from canary.exit_codes import ExitCode
from canary.rollout.errors import explained
from canary.rollout.group_place import SECONDS, GroupPlace
from canary.rollout.group_verbs import no_rollout, read_records
from canary.rollout.group_words import group_code, group_document, group_headline, member_lines
from canary.rollout.place import who
from canary.rollout.starting import Start, Stopped, refuse, refuse_undecidable, refuse_unready, signals, unread
from canary.rollout.words import ENDED, clock
from rollout.record import Phase, Record

if TYPE_CHECKING:
    from lightkube import Client

    from canary.ui import Ui
    from rollout.group_record import GroupRecord
    from rollout.group_runner import GroupEnd
    from rollout.group_verbs import GroupDecision

RUNNING = (Phase.PENDING, Phase.PROGRESSING)


def begin_group(ui: Ui, found: GroupPlace, asked: Start) -> None:
    """Run a group to its end, and end the command with the code that tells how; raises CommandError."""
    with explained(found.place):
        records = read_records(found)
    if not records:
        raise no_rollout(found)
    for name, record in records.items():
        if record.phase in RUNNING:
            refuse(ui, found.of(name), record, asked.anyway)
            if record.phase is Phase.PENDING and not asked.anyway:
                refuse_unready(found.of(name), record)
                refuse_undecidable(ui, found.of(name), record)
    with explained(found.place):
        group = _started(found, asked)
    if asked.detach and group.phase not in ENDED:
        _detach(ui, found, asked)
        return
    with explained(found.place):
        end, stopped = _run(ui, found, group, asked)
    _end(ui, found, end, stopped)


def _started(found: GroupPlace, asked: Start) -> GroupRecord:
    from kube.client import query

    def ask(client: Client) -> GroupRecord:
        from rollout.group_acting import start

        return start(client, found.group, who(), anyway=asked.anyway)

    return query(found.place.cluster, ask, within=SECONDS)


def _detach(ui: Ui, found: GroupPlace, asked: Start) -> None:
    from canary.rollout.detaching import detach
    from canary.rollout.group_showing import group_holder, read_group

    detached = detach(
        found.place,
        asked.anyway,
        lambda: read_group(found),
        lambda seen: group_holder(seen[1]),
        lambda seen: seen[0] is not None and seen[0].phase in ENDED,
    )
    group, seen = detached.seen
    records = {service: one.record for service, one in seen.items()}
    watch = f"`{found.place.command('status', '--watch')}` shows each change"

    def show(console: Any) -> None:
        if group is not None:
            console.print(group_headline(group), markup=False, style="bold", soft_wrap=True)
        for line in (*member_lines(found, records), f"{detached.words}; {watch}"):
            console.print(line, markup=False, soft_wrap=True)

    document = group_document(found, group, records, detached.words)
    ui.result({**document, "pid": detached.pid, "log": str(detached.file)}, show)


def _run(ui: Ui, found: GroupPlace, group: GroupRecord, asked: Start) -> tuple[GroupEnd, Stopped]:
    from canary.rollout.prometheus_readings import readings_of
    from rollout.group_runner import run_group
    from rollout.lease import new_holder

    stopped, progress = Stopped(), GroupProgress(ui, found)

    def on_look(known: GroupRecord, records: Mapping[str, Record], decision: GroupDecision) -> None:
        progress.see(known, records, decision)
        paused = [one for one in records.values() if one.paused is not None and one.paused.kind != "person"]
        if paused and not known.phase.goes_back:
            stopped.event.set()

    with ExitStack() as opened:
        opened.enter_context(signals(stopped))
        readings = {one.service: readings_of(ui, found.of(one.service)) for one in group.members}
        for one in readings.values():
            opened.callback(one.close)
        end = run_group(
            found.place.cluster,
            group,
            new_holder(),
            once=asked.once,
            timeout=asked.timeout,
            stop=stopped.event,
            on_look=on_look,
            readings=lambda service: (readings[service].limits, readings[service].gates),
        )
    return end, stopped


def _end(ui: Ui, found: GroupPlace, end: GroupEnd, stopped: Stopped) -> None:
    code = ExitCode.INTERRUPTED if stopped.by_signal and end.why == "stopped" else group_code(end.group)
    text = _after(found, end)

    def show(console: Any) -> None:
        console.print(group_headline(end.group), markup=False, style="bold", soft_wrap=True)
        for line in (*member_lines(found, end.records), *([text] if text else [])):
            console.print(line, markup=False, soft_wrap=True)

    with unread():
        ui.result(group_document(found, end.group, end.records, text), show)
    if code is not ExitCode.OK:
        raise typer.Exit(code)


def _after(found: GroupPlace, end: GroupEnd) -> str:
    """The next command."""
    command = found.place.command
    if end.why == "lost":
        return "another holder has taken the group over, and moves it forward"
    if end.why in ("held", "stopped"):
        paused = [one for one in end.records.values() if one.paused is not None]
        if paused and paused[0].paused is not None:
            return f"{paused[0].service} is paused: {paused[0].paused.reason}; `{command('resume')}` lets it go on"
        return f"it has not ended: `{command('start')}` goes on; `{command('abort', 'REASON')}` goes back"
    if end.group.phase is Phase.COMPLETED:
        return f"the previous versions stay for a while: until then `{command('undo', 'REASON')}` goes back"
    if end.group.phase.goes_back:
        return f"`{command('retry', 'REASON')}` begins again, or name other versions in the file"
    return ""


class GroupProgress:
    """Told of each look of the runner; prints what is new on stderr, with the service that it is about."""

    def __init__(self, ui: Ui, found: GroupPlace) -> None:
        self._found = found
        self._seen: dict[str, int] = {}
        self._why = ""
        self._is_read = True

    def see(self, group: GroupRecord, records: Mapping[str, Record], decision: GroupDecision) -> None:
        """Print each entry of the histories since the look before."""
        if not self._seen:
            self._line(group_headline(group))
        entries = [(one.at, group.id, one.generation, one.type.value, one.text) for one in group.history]
        for name, record in records.items():
            entries += [(one.at, name, one.generation, one.type.value, one.text) for one in record.history]
        known = dict(self._seen)
        for at, whose, generation, kind, text in sorted(entries, key=lambda entry: entry[0]):
            if known and generation > known.get(whose, 0):
                self._line(f"{clock(at)}  {whose} {kind}: {text}")
            self._seen[whose] = max(self._seen.get(whose, 0), generation)
        if not decision.group and decision.why != self._why:
            self._why = decision.why
            self._line(self._found.place.completed(decision.why))

    def _line(self, text: str) -> None:
        if not self._is_read:
            return
        try:
            print(text, file=sys.stderr, flush=True)
        except (OSError, ValueError):
            self._is_read = False
