"""`canary refresh`: update the stack's state from the cluster."""

from __future__ import annotations

from canary.options import JsonOption, StackOption, YesOption
from canary.ui import command


def refresh(stack: StackOption = None, json: JsonOption = False, yes: YesOption = False) -> None:
    """Update the stack's state from the cluster.

    The next `up` then reverts manual edits. Changes nothing in the cluster.
    """
    with command(json) as ui:
        from canary.engine.driver import Operation
        from canary.engine.session import apply, open_session

        session = open_session(ui, stack)
        session.require_cluster()
        session.recover()
        # Only the state is written, so scripts need no --yes.
        apply(session, Operation.REFRESH, Operation.REFRESH_PREVIEW, yes or not ui.can_ask)
