"""`canary up`: deploy the stack."""

from __future__ import annotations

from typing import Annotated

import typer

from canary.options import JsonOption, StackOption, YesOption
from canary.ui import command

DuringRollout = Annotated[
    list[str] | None,
    typer.Option(
        "--during-rollout",
        metavar="SERVICE",
        help="Change the route of this service in the middle of its rollout, which is paused first; repeatable.",
    ),
]


def up(
    stack: StackOption = None,
    json: JsonOption = False,
    yes: YesOption = False,
    during_rollout: DuringRollout = None,
) -> None:
    """Deploy the stack.

    Shows what would change, asks for confirmation, applies it, and waits until everything is ready. Rules with a
    rollout stay where it is: `canary rollout` moves them.
    """
    with command(json) as ui:
        from canary.engine.driver import Operation
        from canary.engine.session import apply, open_session
        from canary.service_named import service_named

        session = open_session(ui, stack)
        for service in during_rollout or ():
            service_named(session.settings, service)
        session.during_rollout = frozenset(during_rollout or ())
        apply(session, Operation.UP, Operation.PREVIEW, yes)
