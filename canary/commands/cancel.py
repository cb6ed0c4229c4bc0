"""`canary cancel`: release the lock of a run that has ended."""

from __future__ import annotations

from canary.options import JsonOption, StackOption
from canary.ui import command


def cancel(stack: StackOption = None, json: JsonOption = False) -> None:
    """Release the lock of a run that has ended.

    Check first that the run has really ended: one that is still running would go on without its lock.
    """
    with command(json) as ui:
        from canary.command_error import CommandError
        from canary.engine.driver import Engine
        from canary.engine.session import selected_stack
        from canary.engine.toolchain import find_toolchain
        from canary.project import choose_stack, find_project

        project = find_project()
        name = choose_stack(project, stack, lambda: selected_stack(project))
        engine = Engine(project, name, find_toolchain(project), ui.note)
        done = engine.call("cancel", "--yes")
        if done.returncode != 0:
            raise CommandError(f"the lock of stack {name} cannot be released", details=tuple(done.stderr.split("\n")))
        ui.result(
            {"stack": name, "cancelled": True}, lambda console: console.print(f"stack {name} is no longer locked")
        )
