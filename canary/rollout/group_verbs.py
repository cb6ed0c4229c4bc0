"""What a person's verb does to a group: to all of its services, or to none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import typer

from canary.command_error import CommandError
from canary.exit_codes import ExitCode
from canary.rollout.errors import explained
from canary.rollout.group_place import SECONDS, GroupPlace
from canary.rollout.group_words import group_document, group_headline, member_lines
from canary.rollout.place import who
from canary.rollout.verb import Decide, send_left
from rollout.record import Phase, Record

if TYPE_CHECKING:
    from lightkube import Client
    from rich.console import Console

    from canary.ui import Ui
    from rollout.group_record import GroupRecord

BACK = (Phase.ABORTED, Phase.UNDONE)


def perform_on_group(
    ui: Ui,
    found: GroupPlace,
    decide: Decide,
    *,
    about: Callable[[Record], bool] = lambda record: True,
    lifts_bars: bool = False,
) -> None:
    """Carry a verb out on each service that it is `about`, a callee first; print where they are.

    All are decided first: a service that refuses leaves all as they are. `lifts_bars`: their routes bar no version
    any more, either.
    """
    from kube.client import query

    by = who()

    def act(client: Client) -> tuple[tuple[str, ...], Mapping[str, Record]]:
        from rollout.group_acting import each_member
        from rollout.group_store import records_of

        done = each_member(
            client, found.group, lambda record, now: decide(record, by, now) if about(record) else None, by=by
        )
        for one in done if lifts_bars else ():
            from rollout.bars import lift_in_routes

            lift_in_routes(client, one.stored.record.namespace, one.stored.record.service)
        said = tuple(f"{one.stored.record.service}: {one.said[0]}" for one in done)
        return said, records_of(client, found.group.members)

    with explained(found.place):
        said, records = query(found.place.cluster, act, within=SECONDS)
    if not records:
        raise no_rollout(found)
    _print(ui, found, None, records, said or ("no service of the group is there for it",))
    _send(ui, found, records, by)


def group_goes_back(
    ui: Ui, found: GroupPlace, reason: str, *, undo: bool = False, member: Record | None = None
) -> None:
    """Bring all services of a group back, callers first, and wait until every Envoy follows.

    `member` is the service that was named. Ends the command with 8 if that takes too long. Raises LeftGroupError if the
    member is none of the group any more.
    """
    from kube.client import query
    from rollout.group_runner import finish_group

    by = who()

    def act(client: Client) -> tuple[GroupRecord, str]:
        from rollout.group_acting import take_back

        return take_back(client, found.group, reason, by, member=member, undo=undo)

    with explained(found.place):
        group, said = query(found.place.cluster, act, within=SECONDS)
        records: Mapping[str, Record] = {}
        if group.phase not in BACK:
            end = finish_group(found.place.cluster, group, by)
            group, records = end.group, end.records
        if not records:
            records = read_records(found)
    ended = group.phase in BACK
    _print(ui, found, group, records, (said, *(("all services are back",) if ended else ())))
    _send(ui, found, records, by)
    if not ended:
        held = "; ".join(f"{one.service}: {one.held.text}" for one in records.values() if one.held is not None)
        ui.fail_text(
            CommandError(
                f"the services of the group {found.name} go back, but that has not ended{f': {held}' if held else ''}",
                ExitCode.HELD,
                f"run the same command again, or see `{found.place.command('status')}`",
            )
        )
        raise typer.Exit(ExitCode.HELD)


def read_records(found: GroupPlace) -> Mapping[str, Record]:
    """Return the records of the group's services."""
    from kube.client import query
    from rollout.group_store import records_of

    return query(found.place.cluster, lambda client: records_of(client, found.group.members), within=SECONDS)


def no_rollout(found: GroupPlace) -> CommandError:
    """Return the error for a group of which no service has a record."""
    return CommandError(
        f"no service of the group {found.name} has a rollout in the cluster",
        ExitCode.CONFIG,
        f"{found.place.up}, which writes it down",
    )


def _send(ui: Ui, found: GroupPlace, records: Mapping[str, Record], by: str) -> None:
    for name, record in records.items():
        if record.outbox:
            send_left(ui, found.of(name), by)


def _print(
    ui: Ui, found: GroupPlace, group: GroupRecord | None, records: Mapping[str, Record], said: tuple[str, ...]
) -> None:
    sentences = [found.place.completed(one) for one in said]

    def show(console: Console) -> None:
        for sentence in sentences:
            console.print(sentence, markup=False, soft_wrap=True)
        if group is not None:
            console.print(group_headline(group), markup=False, style="bold", soft_wrap=True)
        for line in member_lines(found, records):
            console.print(line, markup=False, soft_wrap=True)

    ui.result(group_document(found, group, records, "; ".join(sentences)), show)
