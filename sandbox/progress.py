"""Progress of long steps on standard error: what runs, for how long, and where its log is.

`progress()` chooses the display: live lines on a terminal, plain lines elsewhere.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichBars
    from rich.progress import TaskID

HEARTBEAT_SECONDS = 30.0


class BuildStep(Protocol):
    """A running step."""

    def detail(self, text: str) -> None:
        """Show what the step is doing; each call replaces the previous text."""


class Progress(Protocol):
    """A display of steps and messages. Steps may overlap, in one thread or in several."""

    def say(self, message: str) -> None:
        """Print a line that stays on the screen."""

    def step(self, what: str, log: Path | None = None) -> AbstractContextManager[BuildStep]:
        """Show `what` as running until the block ends, then how long it took; `log` is the file with its output."""


def progress(stream: TextIO | None = None) -> Progress:
    """The progress display for `stream` (default: standard error)."""
    stream = sys.stderr if stream is None else stream
    if stream.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        from rich.console import Console

        return TerminalProgress(Console(file=stream, highlight=False))
    return PlainProgress(stream)


def duration(seconds: float) -> str:
    """Format seconds: `0.4 s`, `12 s`, `4 min 37 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


class PlainProgress:
    """Plain lines: the start and the end of each step, and a heartbeat in between."""

    def __init__(self, stream: TextIO, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> None:
        self._stream = stream
        self._heartbeat_seconds = heartbeat_seconds

    def say(self, message: str) -> None:
        print(message, file=self._stream, flush=True)

    @contextmanager
    def step(self, what: str, log: Path | None = None) -> Iterator[BuildStep]:
        self.say(f"{what} ... (log: {log})" if log else f"{what} ...")
        step = _PlainStep()
        started = time.monotonic()
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(self._heartbeat_seconds):
                self.say(f"{what} ... {duration(time.monotonic() - started)}{step.suffix}")

        heart = threading.Thread(target=beat, daemon=True)
        heart.start()
        try:
            yield step
        except BaseException:
            self.say(f"{what}: failed after {duration(time.monotonic() - started)}")
            raise
        else:
            self.say(f"{what}: done in {duration(time.monotonic() - started)}")
        finally:
            ended.set()
            heart.join()


class _PlainStep:
    suffix = ""

    def detail(self, text: str) -> None:
        self.suffix = f", {text}"


class TerminalProgress:
    """A live line for each running step, replaced by a permanent one when the step ends."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._bars: RichBars | None = None
        self._running = 0

    def say(self, message: str) -> None:
        self._console.print(message, markup=False)

    @contextmanager
    def step(self, what: str, log: Path | None = None) -> Iterator[BuildStep]:
        from rich.text import Text

        bars = self._begin()
        task = bars.add_task(what, total=None, detail="", log=f"log: {log}" if log else "")
        started = time.monotonic()
        mark, style, tail = "✗", "red", f", see {log}" if log else ""
        try:
            yield _TerminalStep(bars, task)
            mark, style, tail = "✓", "green", ""
        finally:
            bars.remove_task(task)
            ended = f" {what} ({duration(time.monotonic() - started)}{tail})"
            self._console.print(Text.assemble((mark, style), ended))
            self._end()

    def _begin(self) -> RichBars:
        from rich import progress as rich

        with self._lock:
            self._running += 1
            if self._bars is None:
                self._bars = rich.Progress(
                    rich.SpinnerColumn(),
                    rich.TextColumn("{task.description}", markup=False),
                    rich.TimeElapsedColumn(),
                    rich.TextColumn("{task.fields[detail]}", markup=False),
                    rich.TextColumn("{task.fields[log]}", markup=False, style="dim"),
                    console=self._console,
                    transient=True,
                )
                self._bars.start()
            return self._bars

    def _end(self) -> None:
        with self._lock:
            self._running -= 1
            if self._running == 0 and self._bars is not None:
                self._bars.stop()
                self._bars = None


class _TerminalStep:
    def __init__(self, bars: RichBars, task: TaskID) -> None:
        self._bars = bars
        self._task = task

    def detail(self, text: str) -> None:
        self._bars.update(self._task, detail=text)
