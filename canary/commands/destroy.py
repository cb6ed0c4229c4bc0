"""`canary destroy`: take away all that the stack made."""

from __future__ import annotations

from canary.options import JsonOption, StackOption, YesOption
from canary.ui import command


def destroy(stack: StackOption = None, json: JsonOption = False, yes: YesOption = False) -> None:
    """Delete all that the stack made.

    Shows it, asks, deletes it from the cluster. The stack's file stays as it is.
    """
    with command(json) as ui:
        from canary.engine.driver import Operation
        from canary.engine.session import apply, open_session

        session = open_session(ui, stack)
        session.require_cluster()
        if apply(session, Operation.DESTROY, Operation.DESTROY_PREVIEW, yes):
            session.remove_leftovers()
