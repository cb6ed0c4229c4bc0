"""docs/samples.md, read: its commands with what they must print, and its pieces of configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "samples.md"
PIECES = PAGE.parent / "samples"
ANYTHING = "…"
"""Stands for any text in a line of what must be printed."""


@dataclass(frozen=True)
class Step:
    """Commands that are run one after the other, and lines that they must print."""

    commands: tuple[str, ...]
    expected: tuple[str, ...]

    def missing(self, output: str) -> list[str]:
        """Return the expected lines that the output does not have; spaces are compared as one."""
        text = _spaced(output)
        return [line for line in self.expected if not re.search(_pattern(line), text)]


def chapters() -> dict[str, tuple[Step, ...]]:
    """Return the steps of the page by the heading that they stand under, in order."""
    parts = re.split(r"^##+ (.+)$", PAGE.read_text(), flags=re.MULTILINE)
    named = {"The samples": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}
    return {heading: found for heading, text in named.items() if (found := tuple(_steps(text)))}


def steps() -> Iterator[Step]:
    """Yield the steps of the page in order."""
    for found in chapters().values():
        yield from found


def _steps(text: str) -> Iterator[Step]:
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    for index, (language, commands) in enumerate(blocks):
        if language == "bash":
            after = blocks[index + 1 : index + 2]
            expected = after[0][1].splitlines() if after and after[0][0] == "text" else []
            yield Step(tuple(commands.splitlines()), tuple(filter(None, expected)))


def pieces() -> list[str]:
    """Return the pieces of configuration that the page shows."""
    return re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def _spaced(text: str) -> str:
    return re.sub(r"[ \t]+", " ", text)


def _pattern(line: str) -> str:
    """Between two words, ANYTHING may be nothing at all."""
    parts = [re.escape(part) for part in _spaced(line).strip().split(f" {ANYTHING} ")]
    return " (.* )?".join(parts).replace(re.escape(ANYTHING), ".*")
