"""A command's output: results on stdout, as text or JSON; progress, notes and errors on stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TextIO

import typer

from canary.command_error import CommandError
from canary.exit_codes import ExitCode

if TYPE_CHECKING:
    from rich.console import Console

    from canary.engine.events import Diagnostic, ResourceStep

UNLIMITED = 1_000_000
"""A width in columns at which no line is wrapped."""


@dataclass
class Ui:
    """A command's output. With `json`, stdout gets a single JSON document and nothing else."""

    json: bool = False
    _started: dict[str, float] = field(default_factory=dict)

    @cached_property
    def stdout(self) -> Console:
        """For results."""
        return _console(sys.stdout)

    @cached_property
    def stderr(self) -> Console:
        """For progress, notes and errors."""
        return _console(sys.stderr)

    @property
    def can_ask(self) -> bool:
        """Whether the user can be prompted: both stdin and stderr are terminals."""
        return not self.json and sys.stdin.isatty() and sys.stderr.isatty()

    def note(self, text: str) -> None:
        """Print a note on stderr."""
        self.stderr.print(text, style="dim", markup=False)

    def result(self, document: dict[str, Any], show: Callable[[Console], None]) -> None:
        """Print the result: `document` with --json, else what `show` prints."""
        if self.json:
            print(json.dumps(document, indent=2, default=str))
        else:
            show(self.stdout)

    def fail(self, failure: CommandError) -> None:
        """Print why the command failed."""
        if self.json:
            print(json.dumps(failure.as_json(), indent=2))
            return
        self.fail_text(failure)

    def fail_text(self, failure: CommandError) -> None:
        """Print why the command failed on stderr, also beside a document that tells the result."""
        self.stderr.print("error:", style="bold red", end=" ")
        self.stderr.print(failure.message, markup=False)
        for line in failure.details:
            self.stderr.print(f"  {line}", markup=False)
        if failure.fix:
            self.stderr.print("fix:", style="bold", end=" ")
            self.stderr.print(failure.fix, markup=False)

    def confirm(self, question: str) -> bool:
        """Prompt for confirmation; the default is no."""
        return typer.confirm(question, default=False, err=True)

    @contextmanager
    def progress(self, title: str) -> Iterator[Callable[[ResourceStep | Diagnostic], None]]:
        """Show the progress of a run: a live view on a terminal, else a line for each changed resource."""
        if self.stderr.is_terminal and not self.json:
            from canary.live_view import LiveView

            with LiveView(self.stderr, title) as view:
                yield view.show
        else:
            yield self._line

    def _line(self, entry: ResourceStep | Diagnostic) -> None:
        from canary.engine.events import Diagnostic

        if isinstance(entry, Diagnostic):
            if entry.is_shown:
                self.note(entry.words)
            return
        if entry.state == "started":
            self._started[entry.urn] = time.monotonic()
        elif entry.is_shown:
            seconds = time.monotonic() - self._started.get(entry.urn, time.monotonic())
            self.note(f"{entry} ({seconds:.1f} s)")


def _console(stream: TextIO) -> Console:
    from rich.console import Console

    # Without a terminal, output goes to programs and logs, which need whole lines.
    # `:b:` in a header must not become an emoji.
    return Console(file=stream, highlight=False, emoji=False, width=None if stream.isatty() else UNLIMITED)


@contextmanager
def command(json: bool) -> Iterator[Ui]:
    """Run a command's body; CommandError and Ctrl-C end it with a message and an exit code instead of a traceback."""
    ui = Ui(json)
    try:
        yield ui
    except CommandError as failure:
        ui.fail(failure)
        raise typer.Exit(failure.code) from None
    except KeyboardInterrupt:
        ui.fail(CommandError("interrupted", ExitCode.INTERRUPTED))
        raise typer.Exit(ExitCode.INTERRUPTED) from None
