"""The comparison on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from canary.diff.rows import GATEWAY, access_note, request_rows, setting_rows
from canary.diff.stack_diff import StackDiff

if TYPE_CHECKING:
    from rich.console import Console

    from canary.diff.comparison import Comparison


def show(console: Console, comparison: Comparison) -> None:
    """Print the stacks that differ, and in one line those that do not."""
    for diff in comparison.stacks:
        if diff.differs:
            _show_stack(console, diff)
    same = [diff.stack for diff in comparison.stacks if not diff.differs]
    if same:
        console.print(f"no difference: {', '.join(same)}", markup=False)


def _show_stack(console: Console, diff: StackDiff) -> None:
    state = " (new)" if diff.is_new else " (removed)" if diff.is_gone else ""
    console.print(f"stack {diff.stack}{state}", style="bold", markup=False)
    for side in diff.problems:
        console.print(f"{side.revision} does not load:", style="red", markup=False)
        for problem in side.problems:
            console.print(str(problem), markup=False)
    requests = request_rows(diff)
    if requests:
        rows = [[row.service, row.part, row.before, row.after, row.request] for row in requests]
        _table(console, "requests that change", ("service", "what", "before", "after", "for example"), rows)
        console.print(f"by hand ({GATEWAY} is the address of the gateway, see `canary status`):", markup=False)
        for row in requests:
            console.print(f"  {row.curl}", markup=False, soft_wrap=True)
            for also in row.also:
                console.print(f"    {also}", markup=False, style="dim")
    elif not diff.problems:
        console.print("no request changes its destination or its effects")
    settings = setting_rows(diff)
    if settings:
        rows = [[row.service, row.what, row.before, row.after] for row in settings]
        _table(console, "rules, versions and settings", ("service", "what", "before", "after"), rows)
    for title, found in (("new", diff.policies.new), ("gone", diff.policies.gone)):
        if found:
            rows = [[one.rule, one.enforcement, one.object, one.message] for one in found]
            _table(console, f"policy findings: {title}", ("policy", "level", "object", "finding"), rows)
    note = access_note(diff)
    if note is not None:
        console.print(note, style="yellow", markup=False, soft_wrap=True)
    if not diff.traffic.is_complete:
        console.print("the search for requests was given up at some place: groups may be missing", style="yellow")
    for words in diff.unsimulated:
        console.print(f"not simulated: {words}", style="yellow", markup=False, soft_wrap=True)
    console.print()


def _table(console: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(*columns, title=title, title_justify="left")
    previous = None
    for first, *rest in rows:
        table.add_row("" if first == previous else escape(first), *map(escape, rest))
        previous = first
    console.print(table)
