"""Markdown of commands' output: fenced, folded, and cut to the length that a server accepts."""

from __future__ import annotations

import re

_FENCE = re.compile(r"^ {0,3}(`{3,})([^`]*)$")
_TAG = re.compile(r"<(/?)details>")


def fenced(text: str, language: str = "text") -> str:
    """Return `text` as a code block, with a fence that is longer than any run of backticks in it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def folded(summary: str, content: str) -> str:
    """Return `content` as a section that the reader opens."""
    return f"<details><summary>{summary}</summary>\n\n{content}\n\n</details>"


def cut(text: str, limit: int, note: str) -> str:
    """Return `text` with at most `limit` characters: whole lines, what is open closed, and `note` at the end.

    A text within the limit is returned as it is.
    """
    if len(text) <= limit:
        return text
    lines: list[str] = []
    open_fence, open_sections, length = "", 0, 0
    end = f"\n\n{note}\n"
    for line in text.splitlines(keepends=True):
        fence, sections = _after(line, open_fence, open_sections)
        length += len(line)
        if length + len(_closing(fence, sections)) + len(end) > limit:
            break
        lines.append(line)
        open_fence, open_sections = fence, sections
    return "".join(lines).rstrip("\n") + _closing(open_fence, open_sections) + end


def _after(line: str, fence: str, sections: int) -> tuple[str, int]:
    """The fence and the number of sections that are open after `line`."""
    found = _FENCE.match(line.rstrip("\n"))
    if fence:
        closes = found is not None and len(found[1]) >= len(fence) and not found[2].strip()
        return ("" if closes else fence), sections
    if found is not None:
        return found[1], sections
    for tag in _TAG.finditer(line):
        sections += -1 if tag[1] else 1
    return "", sections


def _closing(fence: str, sections: int) -> str:
    return (f"\n{fence}" if fence else "") + "\n\n</details>" * sections
