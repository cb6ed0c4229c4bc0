"""`canary check`: what is wrong with the stacks, without a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from canary.command_error import CommandError
from canary.exit_codes import ExitCode
from canary.options import JsonOption
from canary.ui import command

if TYPE_CHECKING:
    from rich.console import Console

    from canary.check.result import Result

Stacks = Annotated[
    list[str] | None, typer.Option("--stack", "-s", help="A stack; repeatable; default: every stack with a file.")
]
State = Annotated[
    Path | None, typer.Option("--state", metavar="FILE", help="A file of `pulumi stack export`, instead of stacks.")
]


def check(stack: Stacks = None, json: JsonOption = False, state: State = None) -> None:
    """Report what is wrong with the stacks.

    Needs no cluster, engine or credentials: mistakes in the stacks' files, Istio objects that the API server would
    refuse by the schemas and rules of Istio's CRDs, and findings of the policies. With --state, the objects and the
    policies of a state. Exits with 2 for mistakes, with 9 if a mandatory policy is violated.
    """
    with command(json) as ui:
        from canary.check.result import code_of

        if stack and state:
            raise CommandError("--stack and --state are both given", ExitCode.CONFIG, fix="keep one of them")
        results = _of_state(state) if state else _of_stacks(stack)
        code = code_of(results)
        document = {"code": int(code), "results": {result.name: result.as_json() for result in results}}
        ui.result(document, lambda console: _show(console, results))
        if code is not ExitCode.OK:
            raise typer.Exit(code)


def _of_stacks(given: list[str] | None) -> list[Result]:
    from canary.check.result import check_stack
    from canary.project import choose_stack, find_project

    project = find_project()
    stacks = [choose_stack(project, stack, lambda: None) for stack in given or project.stacks]
    if not stacks:
        raise CommandError(
            f"{project.root} has no stacks", ExitCode.CONFIG, fix="create a file Pulumi.<stack>.yaml for each"
        )
    return [check_stack(project, stack) for stack in dict.fromkeys(stacks)]


def _of_state(file: Path) -> list[Result]:
    from canary.check.result import check_state

    return [check_state(file)]


def _show(console: Console, results: list[Result]) -> None:
    for number, result in enumerate(results):
        if number:
            console.print()
        headline, *problems = result.lines
        console.print(headline, markup=False, style="bold", soft_wrap=True)
        for problem in problems:
            console.print(problem, markup=False, soft_wrap=True)
