"""`canary preview`: what `up` would change."""

from __future__ import annotations

from typing import Annotated

import typer

from canary.exit_codes import ExitCode
from canary.options import JsonOption, StackOption
from canary.ui import command

ExpectNoChanges = Annotated[
    bool, typer.Option("--expect-no-changes", help="Exit with 1 if `up` would change anything.")
]


def preview(stack: StackOption = None, json: JsonOption = False, expect_no_changes: ExpectNoChanges = False) -> None:
    """Show what `up` would change.

    Lists each resource with the old and new values of its properties. Changes nothing.
    """
    with command(json) as ui:
        from canary.engine.driver import Operation
        from canary.engine.session import open_session, report_of

        outcome = report_of(open_session(ui, stack), Operation.PREVIEW)
        if expect_no_changes and outcome.record.changed:
            raise typer.Exit(ExitCode.FAILED)
