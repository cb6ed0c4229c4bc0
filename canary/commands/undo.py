"""`canary undo`: go back to what a service was before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from canary.command_error import CommandError
from canary.exit_codes import ExitCode
from canary.options import JsonOption, StackOption, YesOption
from canary.ui import Ui, command

if TYPE_CHECKING:
    from canary.engine.session import Session
    from canary.undo.change import Change, Draft

Service = Annotated[str, typer.Argument(help="The service that goes back.")]
Version = Annotated[
    str | None,
    typer.Option(
        "--version", help="The version whose image goes back, if several have run another one (recreate, ramped)."
    ),
]
NOTHING_CHANGED = (ExitCode.CONFIG, ExitCode.LOCKED, ExitCode.UNREACHABLE)
"""Exit codes of an `up` that has changed nothing."""


def undo(
    service: Service,
    version: Version = None,
    stack: StackOption = None,
    json: JsonOption = False,
    yes: YesOption = False,
) -> None:
    """Go back to what a service was before.

    By the service's strategy: blueGreen makes the idle version active; recreate and ramped restore the image that a
    version ran before; canary restores the weights before. Changes that one value in the stack's file, shows what `up`
    would change, asks for confirmation, and applies it. If you decline, the file stays as it was.
    """
    with command(json) as ui:
        from canary.engine.session import open_session
        from canary.undo.change import changed_file
        from canary.undo.plan import change_of, named

        session = open_session(ui, stack)
        named(session.settings, service, version)
        if not yes and not ui.can_ask:
            again = f"canary undo {service}{f' --version {version}' if version else ''} --stack {session.stack} --yes"
            raise CommandError(
                "canary undo needs confirmation, but this is not a terminal",
                ExitCode.CONFIG,
                fix=f"run it in a terminal, or add --yes: {again}",
            )
        change = change_of(session, service, version)
        assert session.loaded.source is not None  # it was read from the stack's file
        ui.note(change.words(session.loaded.source))
        with changed_file(session.loaded.source.path, change) as draft:
            _apply(ui, session, change, draft, yes)
        if not draft.kept:
            ui.note(f"{session.loaded.source.name} is as before")


def _apply(ui: Ui, session: Session, change: Change, draft: Draft, yes: bool) -> None:
    """Deploy the changed file; the draft is kept once the cluster may have changed."""
    from canary.engine.driver import Operation
    from canary.engine.session import open_session, report_of

    assert session.loaded.source is not None
    changed = open_session(ui, session.stack)
    if not yes:
        planned = report_of(changed, Operation.PREVIEW)
        if not planned.record.changed:
            draft.keep()
            return
        if not ui.confirm(f"undo {change.service} in stack {session.stack}?"):
            return
    try:
        report_of(changed, Operation.UP, {"undo": change.as_json(session.loaded.source)})
    except CommandError as failure:
        name = session.loaded.source.name
        if failure.code in NOTHING_CHANGED:
            failure.details = (*failure.details, f"{name} is as before")
        else:
            draft.keep()
            failure.details = (*failure.details, f"{name} keeps the change")
        raise
    draft.keep()
