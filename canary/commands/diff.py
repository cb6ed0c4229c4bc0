"""`canary diff`: what a change of the stacks' files does, without a cluster."""

from __future__ import annotations

from typing import Annotated

import typer

from canary.command_error import CommandError
from canary.exit_codes import ExitCode
from canary.options import JsonOption
from canary.ui import command

Base = Annotated[str, typer.Argument(help="Before the change: a git revision, or a folder with the stacks' files.")]
Head = Annotated[str | None, typer.Argument(help="After the change; default: the files as they are now.")]
Stacks = Annotated[list[str] | None, typer.Option("--stack", "-s", help="A stack; repeatable; default: all of them.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print Markdown for the comment of a pull request.")]
ExitCodeOption = Annotated[bool, typer.Option("--exit-code", help="Exit with 10 if there are differences.")]
NoPolicies = Annotated[bool, typer.Option("--no-policies", help="Leave the policies out, which takes less time.")]


def diff(
    base: Base,
    head: Head = None,
    stack: Stacks = None,
    json: JsonOption = False,
    markdown: Markdown = False,
    exit_code: ExitCodeOption = False,
    no_policies: NoPolicies = False,
) -> None:
    """Compare two states of the stacks' files.

    Shows which requests go elsewhere, with one request for each change, found by simulation; rules, weights, versions
    and settings that differ; and policy findings that are new or gone. Needs no cluster, and checks nothing out. Exits
    with 0 with or without differences, with 2 if a side has settings that do not load.
    """
    with command(json) as ui:
        from canary.diff.comparison import compare
        from canary.diff.markdown import as_markdown
        from canary.diff.revisions import revision_of
        from canary.diff.terminal import show
        from canary.project import find_project

        if json and markdown:
            raise CommandError("--json and --markdown are both given", ExitCode.CONFIG, fix="keep one of them")
        project = find_project()
        sides = revision_of(project, base), revision_of(project, head)
        comparison = compare(*sides, stack or (), not no_policies)
        if markdown:
            typer.echo(as_markdown(comparison), nl=False)
        else:
            ui.result(comparison.as_json(), lambda console: show(console, comparison))
        if comparison.has_problems:
            raise typer.Exit(ExitCode.CONFIG)
        if exit_code and comparison.differs:
            raise typer.Exit(ExitCode.DIFFERENCES)
