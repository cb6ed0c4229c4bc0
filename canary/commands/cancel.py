"""`canary cancel`: free the lock of a run that is gone."""

from __future__ import annotations

from canary.options import JsonOption, StackOption
from canary.ui import command


def cancel(stack: StackOption = None, json: JsonOption = False) -> None:
    """Free the lock of a run that is gone.

    A run that still works would be left without its lock: see first whether it does.
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
            raise CommandError(f"the lock of stack {name} cannot be freed", details=tuple(done.stderr.split("\n")))
        ui.result({"stack": name, "cancelled": True}, lambda console: console.print(f"the stack {name} is free"))
