"""`canary rollout status`, `plan` and `report` of a group: its services together, a callee first."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from canary.command_error import CommandError
from canary.exit_codes import ExitCode
from canary.rollout.documents import service_document
from canary.rollout.errors import explained
from canary.rollout.group_place import SECONDS, GroupPlace
from canary.rollout.group_verbs import no_rollout
from canary.rollout.group_words import group_document, group_headline
from canary.rollout.words import clock
from rollout.record import Record

if TYPE_CHECKING:
    from lightkube import Client
    from rich.console import Console

    from canary.rollout.reading import HolderSeen, RolloutSeen
    from canary.ui import Ui
    from rollout.group_record import GroupRecord

LAST_ENTRIES = 5


def read_group(found: GroupPlace) -> tuple[GroupRecord | None, dict[str, RolloutSeen]]:
    """Return the group's record, None if nobody has started it, and its services' rollouts; raises CommandError."""
    from canary.rollout.reading import look
    from kube.client import query

    def ask(client: Client) -> tuple[GroupRecord | None, dict[str, RolloutSeen]]:
        from rollout.group_store import GroupStore

        stored = GroupStore(client, found.group.namespace, found.name).read()
        seen = {one.service: look(client, found.of(one.service)) for one in found.group.members}
        known = {service: one for service, one in seen.items() if one is not None}
        return (None if stored is None else stored.group), known

    with explained(found.place):
        group, seen = query(found.place.cluster, ask, within=SECONDS)
    if not seen:
        raise no_rollout(found)
    return group, seen


def group_holder(seen: Mapping[str, RolloutSeen]) -> HolderSeen | None:
    """Return who has the Lease of a group; a service that goes alone has its own."""
    return next((one.holder for one in seen.values() if one.record.plan.group is not None), None)


def status_document(found: GroupPlace, group: GroupRecord | None, seen: Mapping[str, RolloutSeen]) -> dict[str, Any]:
    """Return the document of `status`."""
    return {
        **group_document(found, group, _records(seen)),
        "services": [service_document(found.of(name), one) for name, one in seen.items()],
        "history": [] if group is None else [one.model_dump(mode="json", by_alias=True) for one in group.history],
    }


def show_status(ui: Ui, found: GroupPlace) -> None:
    """Print where a group and its services are."""
    from canary.rollout.table import show

    group, seen = read_group(found)

    def shown(console: Console) -> None:
        _head(console, found, group)
        for name, one in seen.items():
            console.print()
            show(console, found.of(name), one)

    ui.result(status_document(found, group, seen), shown)


def show_plan(ui: Ui, found: GroupPlace) -> None:
    """Print what a rollout of the group would do, service by service; ends with 2 if one cannot decide in time."""
    from canary.rollout.forecasting import refused
    from canary.rollout.planning import as_json, planned, show

    places = [found.of(one.service) for one in found.group.members]
    plans = [(place, planned(ui, place)) for place in places]
    services = ", ".join(place.service for place in places)

    def shown(console: Console) -> None:
        head = f"{found.name}: {services} go step by step together, in this order; back in the other"
        console.print(head, markup=False, style="bold", soft_wrap=True)
        for place, plan in plans:
            console.print()
            show(console, place, plan)

    ui.result(
        {"stack": found.place.stack, "group": found.name, "services": [as_json(*one) for one in plans]}, shown
    )  # fmt: skip
    problems = [one for one in (refused(place, plan.forecast) for place, plan in plans) if one is not None]
    for problem in problems:
        ui.fail_text(problem)
    if problems:
        raise typer.Exit(problems[0].code)


def show_report(ui: Ui, found: GroupPlace, html: Path | None) -> None:
    """Print every decision of the group, and of its services; with `html` write them to a page, and print its name."""
    from canary.rollout.group_page import group_page
    from canary.rollout.report import as_json, read_report, show, write_page

    group, seen = read_group(found)
    reports = [read_report(found.of(name)) for name in seen]
    history = () if group is None else group.history
    file = None if html is None else write_page(html, group_page(found, group, reports))
    document = {
        **group_document(found, group, _records(seen)),
        "history": [one.model_dump(mode="json", by_alias=True) for one in history],
        "services": [as_json(one.place, one, None) for one in reports],
        "file": file,
    }

    def shown(console: Console) -> None:
        if file is not None:
            console.print(file, markup=False, soft_wrap=True)
            return
        _head(console, found, group, len(history))
        for one in reports:
            console.print()
            show(console, one, None)

    ui.result(document, shown)


def not_started(found: GroupPlace) -> str:
    """Return that nobody has started the group, and how to begin."""
    return f"{found.name}: not started; `{found.place.command('start')}` begins it"


def refuse_options(found: GroupPlace, given: Mapping[str, Any], verb: str) -> None:
    """Raise CommandError for options that are about one service."""
    for option, value in given.items():
        if value:
            service = found.group.members[0].service
            raise CommandError(
                f"{option} is given with a group",
                ExitCode.CONFIG,
                f"name one of its services: `{found.of(service).command(verb, option, shlex.quote(str(value)))}`",
            )


def _head(console: Console, found: GroupPlace, group: GroupRecord | None, entries: int = LAST_ENTRIES) -> None:
    if group is None:
        console.print(not_started(found), markup=False, style="bold", soft_wrap=True)
        return
    console.print(group_headline(group), markup=False, style="bold", soft_wrap=True)
    for entry in group.history[-entries:] if entries else ():
        console.print(f"  {clock(entry.at)}  {entry.type.value}: {entry.text}", markup=False, soft_wrap=True)


def _records(seen: Mapping[str, RolloutSeen]) -> dict[str, Record]:
    return {service: one.record for service, one in seen.items()}
