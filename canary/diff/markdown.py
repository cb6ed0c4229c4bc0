"""The comparison as Markdown for the comment of a pull request (GitHub Flavored Markdown)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from canary.diff.rows import GATEWAY, RequestRow, access_note, request_rows, setting_rows
from canary.diff.stack_diff import SideProblems, StackDiff

if TYPE_CHECKING:
    from canary.check.rules import PolicyProblem
    from canary.diff.comparison import Comparison

MARKER = "<!-- istio-canary diff -->"
"""The first line, which is not shown: a workflow finds its comment by it, and updates it."""
LONGEST = 60_000
"""GitHub refuses comments of more than 65,536 characters."""
CUT = "*The rest was cut: run `canary diff` for all of it.*"


def as_markdown(comparison: Comparison) -> str:
    """Return the comment."""
    changed = [diff for diff in comparison.stacks if diff.differs]
    same = [diff.stack for diff in comparison.stacks if not diff.differs]
    parts = [MARKER, _summary(comparison, changed, same)]
    length = len("\n\n".join(parts))
    for diff in changed:
        for part in _stack(diff):
            length += len(part) + 2
            if length > LONGEST:
                return "\n\n".join([*parts, CUT]) + "\n"
            parts.append(part)
    return "\n\n".join(parts) + "\n"


def _summary(comparison: Comparison, changed: Sequence[StackDiff], same: Sequence[str]) -> str:
    sides = f"From {_code(comparison.before)} to {_code(comparison.after)}:"
    if not changed:
        return f"{sides} no stack changes."
    counts = []
    for diff in changed:
        groups = len(diff.traffic.groups)
        what = "cannot be compared" if diff.problems else f"{groups} group{'' if groups == 1 else 's'} of requests"
        counts.append(f"**{_escaped(diff.stack)}** ({what if diff.problems or groups else 'no request'})")
    unchanged = f"; unchanged: {', '.join(map(_escaped, same))}" if same else ""
    return f"{sides} traffic, versions or settings change in {', '.join(counts)}{unchanged}."


def _stack(diff: StackDiff) -> Iterator[str]:
    yield f"### Stack {_escaped(diff.stack)}{' (new)' if diff.is_new else ' (removed)' if diff.is_gone else ''}"
    for side in diff.problems:
        yield _problems(side)
    requests = request_rows(diff)
    if requests:
        rows = [
            [row.service, "" if row.part == "destination" else row.part, row.before, row.after, _code(row.request)]
            for row in requests
        ]
        yield "Requests that change, by what changes:"
        yield _table(("service", "", "before", "after", "for example"), rows)
        yield _by_hand(requests)
    elif not diff.problems:
        yield "No request changes its destination or its effects."
    settings = setting_rows(diff)
    if settings:
        rows = [[row.service, row.what, row.before, row.after] for row in settings]
        count = f"{len(rows)} rule{'' if len(rows) == 1 else 's'}, versions and settings"
        table = _table(("service", "what", "before", "after"), rows)
        yield table if len(rows) <= 8 else _folded(count, table)
    yield from _policies("New policy findings", diff.policies.new)
    yield from _policies("Policy findings that are gone", diff.policies.gone)
    note = access_note(diff)
    if note is not None:
        yield f"**{_escaped(note[0].upper() + note[1:])}.**"
    if not diff.traffic.is_complete:
        yield "*The search for requests was given up at some place: groups may be missing.*"
    for words in diff.unsimulated:
        yield f"Not simulated: {_escaped(words)}"


def _problems(side: SideProblems) -> str:
    text = "\n\n".join(map(str, side.problems))
    return f"{_code(side.revision)} does not load:\n\n{_fenced(text)}"


def _by_hand(rows: Sequence[RequestRow]) -> str:
    lines = []
    for row in rows:
        lines += [f"# {row.service or 'no service'}: {row.before} -> {row.after}", row.curl]
        lines += [f"#   {also}" for also in row.also]
    count = "1 request" if len(rows) == 1 else f"{len(rows)} requests"
    return _folded(f"{count} by hand ({GATEWAY}: the gateway's address)", _fenced("\n".join(lines), "sh"))


def _policies(title: str, found: Sequence[PolicyProblem]) -> Iterator[str]:
    if found:
        rows = [[one.rule, one.enforcement, one.object, f"{one.message}; fix: {one.fix}"] for one in found]
        yield f"{title}:"
        yield _table(("policy", "level", "object", "finding"), rows)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [" | ".join(columns), " | ".join("---" for _ in columns)]
    lines += [" | ".join(cell if cell.startswith("`") else _escaped(cell) for cell in row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line, also in a table, without mentions of people and issues."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*_{}\[\]|~])", r"\\\1", text)
    return re.sub(r"([@#])(?=\w)", r"\1&#8203;", text)


def _code(text: str) -> str:
    """Inline code, also in a table; the fence is longer than the runs of backticks inside."""
    text = " ".join(text.split()).replace("|", "\\|")
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}" if "`" in text else f"{fence}{text}{fence}"


def _fenced(text: str, language: str = "text") -> str:
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def _folded(title: str, text: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"
