"""`canary refresh`: make the state what the cluster says."""

from __future__ import annotations

from canary.options import JsonOption, StackOption, YesOption
from canary.ui import command


def refresh(stack: StackOption = None, json: JsonOption = False, yes: YesOption = False) -> None:
    """Take the cluster into the stack's state.

    The next `up` then undoes what was edited by hand. Changes nothing in the cluster.
    """
    with command(json) as ui:
        from canary.engine.driver import Operation
        from canary.engine.session import apply, open_session

        session = open_session(ui, stack)
        session.require_cluster()
        session.mend()
        # Only the state is written: scripts need no --yes for that.
        apply(session, Operation.REFRESH, Operation.REFRESH_PREVIEW, yes or not ui.can_ask)
