"""The live view of a run on a terminal: the operations in progress and their duration."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table

from canary.engine.events import Diagnostic, ResourceStep

SLOW_SECONDS = 0.5
"""Operations are listed as in progress once they have taken this long."""


class LiveView:
    """Finished operations, and those in progress below them. `show` may be called from any thread."""

    def __init__(self, console: Console, title: str) -> None:
        self._console = console
        self._title = title
        self._begin = time.monotonic()
        self._running: dict[str, tuple[ResourceStep, float]] = {}
        self._spinner = Spinner("dots")
        self._live = Live(self, console=console, refresh_per_second=8, transient=True)

    def __enter__(self) -> LiveView:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def show(self, entry: ResourceStep | Diagnostic) -> None:
        """Show a step or a diagnostic."""
        if isinstance(entry, Diagnostic):
            if entry.is_shown:
                style = "yellow" if entry.severity == "warning" else "dim"
                self._console.print(entry.words, style=style, markup=False)
            return
        if entry.state == "started":
            self._running[entry.urn] = (entry, time.monotonic())
            return
        _, since = self._running.pop(entry.urn, (entry, time.monotonic()))
        if entry.state == "failed":
            self._console.print(f"✗ {entry} ({time.monotonic() - since:.1f} s)", style="red", markup=False)
        elif entry.is_shown:
            self._console.print(f"✓ {entry} ({time.monotonic() - since:.1f} s)", style="green", markup=False)

    def __rich__(self) -> RenderableType:
        now = time.monotonic()
        table = Table.grid(padding=(0, 1))
        table.add_row(self._spinner, f"{self._title} ({now - self._begin:.0f} s)")
        for step, since in list(self._running.values()):
            if now - since > SLOW_SECONDS:
                table.add_row("", f"{step} ({now - since:.0f} s)")
        return table
