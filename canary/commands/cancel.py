"""`canary cancel`: release the lock of a run that has ended."""

from __future__ import annotations

from canary.options import JsonOption, StackOption
from canary.ui import command


def cancel(stack: StackOption = None, json: JsonOption = False) -> None:
    """Release the lock of a run that has ended.

    Refuses while the run's process is running on this machine. Of a run on another machine, check first that it has
    really ended: it would go on without its lock, and could bring back what a rollout has taken away meanwhile.
    """
    with command(json) as ui:
        from canary.command_error import CommandError
        from canary.engine.driver import Engine
        from canary.engine.locks import locks_of
        from canary.engine.session import selected_stack
        from canary.engine.toolchain import find_toolchain
        from canary.exit_codes import ExitCode
        from canary.project import choose_stack, find_project

        project = find_project()
        name = choose_stack(project, stack, lambda: selected_stack(project))
        engine = Engine(project, name, find_toolchain(project), ui.note)
        folder = engine.backend_folder
        for lock in () if folder is None else locks_of(folder, project.name, name):
            if lock.is_here and not lock.is_dead:
                raise CommandError(
                    f"stack {name} is locked by {lock}, which is running",
                    ExitCode.LOCKED,
                    fix=f"wait for it to end, or end process {lock.pid} (SIGINT lets it finish what has begun)",
                )
        done = engine.call("cancel", "--yes")
        if done.returncode != 0:
            raise CommandError(f"the lock of stack {name} cannot be released", details=tuple(done.stderr.split("\n")))
        ui.result(
            {"stack": name, "cancelled": True}, lambda console: console.print(f"stack {name} is no longer locked")
        )
