"""`canary destroy`: delete everything the stack created."""

from __future__ import annotations

from canary.options import JsonOption, StackOption, YesOption
from canary.ui import command


def destroy(stack: StackOption = None, json: JsonOption = False, yes: YesOption = False) -> None:
    """Delete everything the stack created.

    Shows what would be deleted, asks for confirmation, and deletes it from the cluster. The stack's file is kept.
    """
    with command(json) as ui:
        from canary.engine.driver import Operation
        from canary.engine.session import apply, open_session

        session = open_session(ui, stack)
        session.require_cluster()
        if apply(session, Operation.DESTROY, Operation.DESTROY_PREVIEW, yes):
            session.remove_leftovers()
