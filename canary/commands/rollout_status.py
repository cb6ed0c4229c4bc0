"""`canary rollout status`: how far the rollouts are, and what they wait for."""

from __future__ import annotations

from typing import Annotated

import typer

from canary.options import JsonOption, StackOption
from canary.rollout.options import ContextOption, NamespaceOption
from canary.ui import command

Service = Annotated[
    str | None, typer.Argument(help="The service, or a group of services; default: every service of the stack.")
]
Watch = Annotated[
    bool, typer.Option("--watch", "-w", help="Print a line for each change, until the rollout has ended or Ctrl-C.")
]


def status(
    service: Service = None,
    stack: StackOption = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    watch: Watch = False,
    json: JsonOption = False,
) -> None:
    """Show how far a rollout is.

    Its phase and step, the weights that it wants and those that the routes have, what it waits for and the command that
    helps, who moves it forward, its deadlines, and what happened last. With --watch and --json, one document on each
    line.
    """
    with command(json) as ui:
        from canary.command_error import CommandError
        from canary.exit_codes import ExitCode
        from canary.rollout.documents import status_document
        from canary.rollout.group_place import group_place_of
        from canary.rollout.place import place_of
        from canary.rollout.reading import read
        from canary.rollout.table import show

        if service is None:
            if watch or namespace is not None:
                option = "--watch" if watch else "--namespace"
                raise CommandError(
                    f"{option} is given without a service",
                    ExitCode.CONFIG,
                    fix=f"name the service: canary rollout status SERVICE {option}",
                )
            from canary.rollout.listing import list_rollouts

            list_rollouts(ui, stack)
            return
        group = group_place_of(ui, service, stack, namespace, context)
        if group is not None:
            if watch:
                from canary.rollout.group_watching import watch_group

                watch_group(ui, group)
                return
            from canary.rollout.group_showing import show_status

            show_status(ui, group)
            return
        place = place_of(ui, service, stack, namespace, context)
        if watch:
            from canary.rollout.watching import watch as watch_rollout

            watch_rollout(ui, place)
            return
        seen = read(place)
        ui.result(status_document(place.stack, [(place, seen)]), lambda console: show(console, place, seen))
