"""`canary rollout report`: every decision of a rollout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from canary.options import JsonOption, StackOption
from canary.rollout.options import ContextOption, NamespaceOption, ServiceArgument
from canary.ui import command

Html = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write an HTML page that needs no network to this file.")
]


def report(
    service: ServiceArgument,
    stack: StackOption = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    html: Html = None,
    json: JsonOption = False,
) -> None:
    """Print what a rollout did and why: each decision with its time, its author and its numbers.

    From the rollout's history and its log of decisions, which the cluster keeps.
    """
    with command(json) as ui:
        from canary.rollout.place import place_of
        from canary.rollout.report import as_json, read_report, show, write_page

        place = place_of(ui, service, stack, namespace, context)
        found = read_report(place)
        file = None if html is None else write_page(html, place, found)
        ui.result(as_json(place, found, file), lambda console: show(console, found, file))
