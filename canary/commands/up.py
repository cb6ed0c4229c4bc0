"""`canary up`: deploy the stack."""

from __future__ import annotations

from canary.options import JsonOption, StackOption, YesOption
from canary.ui import command


def up(stack: StackOption = None, json: JsonOption = False, yes: YesOption = False) -> None:
    """Deploy the stack.

    Shows what would change, asks for confirmation, applies it, and waits until everything is ready.
    """
    with command(json) as ui:
        from canary.engine.driver import Operation
        from canary.engine.session import apply, open_session

        apply(open_session(ui, stack), Operation.UP, Operation.PREVIEW, yes)
