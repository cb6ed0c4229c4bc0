"""`canary rollout report`: every decision of a rollout."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from canary.options import JsonOption, StackOption
from canary.rollout.options import ContextOption, NamespaceOption, ServiceArgument
from canary.ui import command

Html = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write an HTML page that needs no network to this file.")
]


Decisions = Annotated[
    Path | None,
    typer.Option("--decisions", metavar="FILE", help="Write what the gates have seen and decided to this file."),
]
Replay = Annotated[
    Path | None,
    typer.Option("--replay", metavar="FILE", help="Decide again from such a file; needs neither cluster nor stack."),
]


def report(
    service: ServiceArgument,
    stack: StackOption = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    html: Html = None,
    decisions: Decisions = None,
    replay: Replay = None,
    json: JsonOption = False,
) -> None:
    """Print what a rollout did and why: each decision with its time, its author and its numbers.

    From the rollout's history and its log of decisions, which the cluster keeps. With --replay, the decisions of the
    gates are made again; ends with 1 if one of them is another now.
    """
    with command(json) as ui:
        _require_one({"--html": html, "--decisions": decisions, "--replay": replay})
        if replay is not None:
            from canary.exit_codes import ExitCode
            from canary.rollout import replaying

            again = replaying.replayed(replay, service)
            ui.result(replaying.as_json(again), lambda console: replaying.show(console, again))
            raise typer.Exit(ExitCode.FAILED if again.differing else ExitCode.OK)
        from canary.rollout.group_place import group_place_of
        from canary.rollout.place import place_of
        from canary.rollout.report import as_json, page, read_report, show, write_page

        group = group_place_of(ui, service, stack, namespace, context)
        if group is not None:
            from canary.rollout.group_showing import refuse_options, show_report

            refuse_options(group, {"--decisions": decisions}, "report")
            show_report(ui, group, html)
            return
        place = place_of(ui, service, stack, namespace, context)
        if decisions is not None:
            from canary.rollout.replaying import write_decisions

            written = write_decisions(decisions, place)
            ui.result({"file": written}, lambda console: console.print(written, markup=False, soft_wrap=True))
            return
        found = read_report(place)
        file = None if html is None else write_page(html, page(place, found))
        ui.result(as_json(place, found, file), lambda console: show(console, found, file))


def _require_one(files: Mapping[str, Path | None]) -> None:
    """Raise CommandError if two of the options are given, of which only one would be followed."""
    given = [option for option, file in files.items() if file is not None]
    if len(given) > 1:
        from canary.command_error import CommandError
        from canary.exit_codes import ExitCode

        what = f"{' and '.join(given)} exclude each other"
        raise CommandError(what, ExitCode.CONFIG, f"run the command with {given[0]}, then with {given[1]}")
