"""What a person's verb does: the decision is carried out at once, an abort and an undo are brought to their end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from canary.command_error import CommandError
from canary.exit_codes import ExitCode
from canary.rollout.documents import document
from canary.rollout.errors import explained
from canary.rollout.place import Place, who
from canary.rollout.reading import SECONDS, RolloutSeen, look
from canary.rollout.words import BACK, headline, waits_line

if TYPE_CHECKING:
    from lightkube import Client
    from rich.console import Console

    from canary.ui import Ui
    from rollout.acting import Acted
    from rollout.decision import Decision
    from rollout.lean_verbs import Written
    from rollout.record import Record
    from rollout.runner import RunEnd

Decide = Callable[["Record", str, str], "Decision"]
"""A verb: from the record, who asks, and the API server's time."""

NOT_DURABLE = (
    "the routes go back, but the record of the rollout could not be written: this abort does not last",
    "an `up` or another holder may bring the new version back",
)


def once(written: Written | None, decide: Decide) -> Decide:
    """Return the verb as it is to be carried out after the command's first write: not again if that is in the record.

    `written` is what `first_write` returned.
    """

    def decided(record: Record, by: str, now: str) -> Decision:
        from rollout.decision import Decision

        if written is not None and any(entry.model_dump(mode="json") == written for entry in record.history):
            return Decision(why=written["text"])
        return decide(record, by, now)

    return decided


def perform(ui: Ui, place: Place, decide: Decide, *, then: Callable[[Client], object] = lambda client: None) -> None:
    """Carry out a verb that moves no request by itself, and `then` what belongs to it; print where the rollout is."""
    from kube.client import query

    by = who()

    def act_and_look(client: Client) -> tuple[Acted, RolloutSeen | None]:
        acted = _act(client, place, decide, by)
        then(client)
        return acted, look(client, place)

    with explained(place):
        acted, seen = query(place.cluster, act_and_look, within=SECONDS)
    record = acted.stored.record if seen is None else seen.record
    waits = "" if seen is None else waits_line(seen, place)
    _print(ui, place, record, acted.said, waits)
    if record.outbox and seen is not None and seen.holder_known and not (seen.holder and seen.holder.renewed):
        send_left(ui, place, by)


def send_left(ui: Ui, place: Place, by: str) -> None:
    """Send a verb's events where no runner does; what fails is left to the next one, and is no failure of the verb."""
    from rollout.runner import send_events

    try:
        with explained(place):
            send_events(place.cluster, place.namespace, place.service, by)
    except CommandError as error:
        ui.note(f"note: its events are not sent yet: {' '.join(str(error).split())}")


class _InGroup(Exception):  # noqa: N818 - no error: the group goes back in its place
    """The service is rolled out with a group."""

    def __init__(self, record: Record) -> None:
        self.record = record


def go_back(ui: Ui, place: Place, decide: Decide, *, reason: str = "", undo: bool = False) -> None:
    """Carry out an abort or an undo, and wait until every Envoy follows; a service of a group takes all of it back.

    `reason` is that of the group. Ends the command with 1 if the record could not be written, and with 8 if not every
    Envoy follows in time.
    """
    from kube.client import query

    by = who()
    began, alone = False, False

    def decided(record: Record, who: str, now: str) -> Decision:
        if record.plan.group is not None and not alone:
            raise _InGroup(record)
        return decide(record, who, now)

    try:
        with explained(place):
            try:
                acted = query(place.cluster, lambda client: _act(client, place, decided, by), within=SECONDS)
            except _InGroup as found:
                if _group_goes_back(ui, place, found.record, reason, undo=undo):
                    return
                alone = True
                acted = query(place.cluster, lambda client: _act(client, place, decided, by), within=SECONDS)
            began = True
            record = acted.stored.record
            if not acted.durable:
                _not_durable(ui, place, acted)
            if record.phase.goes_back and record.phase not in BACK and record.void_since is None:
                from rollout.runner import finish  # later than the routes: its imports take longer than the abort

                record = _finished(place, by, record, finish)
    except KeyboardInterrupt:
        raise _interrupted(place, began) from None
    reason = record.ended.reason if record.ended is not None else None
    said = tuple(one for one in acted.said if one != reason and not one.endswith("goes back already"))
    if record.phase in BACK:
        said = (*said, f"all requests are at {record.from_.version}")
    _print(ui, place, record, said, "")
    if record.phase not in BACK:
        held = f": {record.held.text}" if record.held else ""
        ui.fail_text(
            CommandError(
                f"the requests go back to {record.from_.version}, but that has not ended{held}",
                ExitCode.HELD,
                f"run the same command again, or see `{place.command('status')}`",
            )
        )
        raise typer.Exit(ExitCode.HELD)


def _group_goes_back(ui: Ui, place: Place, record: Record, reason: str, *, undo: bool) -> bool:
    """Take the group of a service back, and say so; return False if the service is none of it any more."""
    from canary.rollout.group_place import place_of_group
    from canary.rollout.group_verbs import group_goes_back
    from rollout.group_acting import LeftGroupError

    group = record.plan.group
    assert group is not None
    ui.note(f"{place.service} is rolled out with the group {group.name}: all of it goes back")
    try:
        group_goes_back(ui, place_of_group(place, group), reason, undo=undo, member=record)
    except LeftGroupError:
        ui.note(f"{place.service} is not in the group's present rollout: it goes back alone")
        return False
    return True


def _finished(place: Place, by: str, record: Record, finish: Callable[..., RunEnd]) -> Record:
    """The record once the abort has ended; raises CommandError that says what has been done if it cannot be seen to."""
    try:
        with explained(place):
            return finish(place.cluster, place.namespace, place.service, by).record
    except CommandError as error:
        raise CommandError(
            f"the requests go back to {record.from_.version}, which is recorded; "
            "whether every Envoy follows could not be asked",
            ExitCode.HELD,
            f"whoever runs the rollout sees it to its end; or, with the rights (docs/rights.md): "
            f"`{place.command('abort', 'REASON')}` again",
            (" ".join(error.message.split()),),
        ) from None


def _act(client: Client, place: Place, decide: Decide, by: str) -> Acted:
    from rollout.acting import act

    return act(client, place.namespace, place.service, lambda record, now: decide(record, by, now), by=by)


def _print(ui: Ui, place: Place, record: Record, said: tuple[str, ...], waits: str) -> None:
    sentences = [place.completed(one) for one in said if one]

    def show(console: Console) -> None:
        for sentence in sentences:
            console.print(sentence, markup=False, soft_wrap=True)
        console.print(headline(record), markup=False, style="bold", soft_wrap=True)
        if waits:
            console.print(waits, markup=False, soft_wrap=True)

    ui.result(document(place, record, "; ".join(sentences)), show)


def _not_durable(ui: Ui, place: Place, acted: Acted) -> None:
    """Say loudly that the abort does not last, and end the command as failed."""
    record = acted.stored.record
    failure = CommandError(
        NOT_DURABLE[0],
        ExitCode.FAILED,
        f"`{place.command('abort', 'REASON')}` again, with the right to patch "
        f"ConfigMap {place.namespace}/istio-canary-rollout-{place.service}",
        (*map(place.completed, acted.said), NOT_DURABLE[1]),
    )
    if ui.json:
        ui.result(document(place, record, str(failure), durable=False), lambda console: None)
    ui.fail_text(failure)
    raise typer.Exit(ExitCode.FAILED)


def _interrupted(place: Place, began: bool) -> CommandError:
    again = place.command("abort", "REASON")
    if not began:
        what, fix = "interrupted; whether it was carried out is not known", f"see `{place.command('status')}`"
    else:
        what = "interrupted; the requests go back, and not every Envoy was asked whether it follows"
        fix = f"`{again}` helps it to its end, from any machine"
    return CommandError(what, ExitCode.INTERRUPTED, fix)
