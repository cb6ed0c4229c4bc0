"""What the tests of the sandbox's build share: a progress display that records, and a Go that is not run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox.builder.go_modules import Go
from sandbox.progress import BuildStep

CHECKOUT = Path(__file__).resolve().parents[3]
GO = Go(program=Path("/usr/bin/go"), version="go1.26.8", architecture="amd64", module_cache=Path("/sources"))


class Recorder:
    """A progress display that records steps and messages."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def say(self, message: str) -> None:
        self.steps.append(message)

    @contextmanager
    def step(self, what: str, log: Path | None = None) -> Iterator[BuildStep]:
        self.steps.append(what)
        yield self

    def detail(self, text: str) -> None: ...
