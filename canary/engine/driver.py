"""Pulumi's engine, driven for one stack: runs of the project's program, and small commands.

A run is one call of the CLI with the flags of Pulumi's Automation API: `--client` (where the program is served),
`--exec-kind auto.inline` and `--event-log`. Nothing else is called before or after it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from threading import Event, Thread
from types import FrameType
from typing import TYPE_CHECKING

from canary.engine.events import Diagnostic, Record, ResourceStep
from canary.engine.local_backend import own_state
from canary.engine.toolchain import Toolchain
from canary.project import Project

if TYPE_CHECKING:
    from stacks.settings.loading import StackSettings

POLL_SECONDS = 0.02
OWNER = "ISTIO_CANARY_PID"
"""Environment variable of the engine's process that names the `canary` it works for."""


class Operation(StrEnum):
    """What a run does."""

    PREVIEW = "preview"
    UP = "up"
    REFRESH = "refresh"
    REFRESH_PREVIEW = "refresh preview"
    DESTROY = "destroy"
    DESTROY_PREVIEW = "destroy preview"

    @property
    def runs_program(self) -> bool:
        """Whether the project's program says what is wanted."""
        return self in (Operation.PREVIEW, Operation.UP)

    @property
    def is_preview(self) -> bool:
        """Whether the run changes nothing."""
        return self in (Operation.PREVIEW, Operation.REFRESH_PREVIEW, Operation.DESTROY_PREVIEW)


ARGUMENTS: Mapping[Operation, tuple[str, ...]] = {
    Operation.PREVIEW: ("preview",),
    Operation.UP: ("up", "--yes", "--skip-preview"),
    Operation.REFRESH: ("refresh", "--yes", "--skip-preview"),
    Operation.REFRESH_PREVIEW: ("refresh", "--preview-only"),
    Operation.DESTROY: ("destroy", "--yes", "--skip-preview"),
    Operation.DESTROY_PREVIEW: ("destroy", "--preview-only"),
}


@dataclass
class Outcome:
    """How a run ended. `code` is the CLI's exit status, negative where a signal killed it."""

    operation: Operation
    record: Record
    code: int
    stderr: str
    seconds: float
    interrupted: bool = False
    program_failure: BaseException | None = field(default=None)

    @property
    def ok(self) -> bool:
        """Whether the run did all of its work."""
        return self.code == 0 and not self.interrupted


Show = Callable[[ResourceStep | Diagnostic], None]
Seen = Callable[[ResourceStep | Diagnostic | None], None]
Say = Callable[[str], None]


class Engine:
    """The engine for one stack of a project."""

    def __init__(
        self, project: Project, stack: str, toolchain: Toolchain, say: Say, loaded: StackSettings | None = None
    ) -> None:
        self.project = project
        self.stack = stack
        self._toolchain = toolchain
        self._say = say
        self._loaded = loaded
        self._own = own_state(project, stack, toolchain.home) if toolchain.home else None
        self._env = {
            **toolchain.env,
            **(self._own.env if self._own else {}),
            "PULUMI_AUTOMATION_API": "true",
            "PULUMI_DEBUG_COMMANDS": "true",
            OWNER: str(os.getpid()),
        }
        if self._own:
            self._env.pop("PULUMI_CONFIG_PASSPHRASE", None)

    def run(self, operation: Operation, show: Show) -> Outcome:
        """Run `operation`; `show` gets what happens, from another thread, while it happens."""
        from canary.engine.program import Program, served

        begin = time.monotonic()
        record = Record()
        program = Program(self.project.root, partial(self._check, operation, record), self._loaded)
        os.chdir(self.project.root)
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="canary-")))
            address = stack.enter_context(served(program, operation.runs_program))
            command = self._command(*ARGUMENTS[operation], "--event-log", str(folder / "events"))
            command += [f"--client={address}", "--exec-kind", "auto.inline", *self._config_file()]
            errors = stack.enter_context((folder / "stderr").open("w+", encoding="utf-8"))
            # A group of its own: Ctrl-C at the terminal reaches this process alone, which passes it on.
            process = subprocess.Popen(
                _bound_to_us(operation) + command,
                cwd=self.project.root,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
            seen = _stopping_on_pending(process, record, show)
            with _following(folder / "events", record, seen), self._cancelling(process) as cancelled:
                code = process.wait()
            errors.seek(0)
            stderr = errors.read()
        seconds = time.monotonic() - begin
        return Outcome(operation, record, code, stderr, seconds, cancelled.is_set(), program.failure)

    def _check(self, operation: Operation, record: Record) -> None:
        """Called by the engine, which holds the stack's lock: refuse to go on from a state that is not in order.

        The engine warns of creations that an earlier run left unfinished, and forgets its deletions.
        """
        if operation is Operation.UP and unfinished(self.call("stack", "export").stdout):
            record.pending = True
            raise RuntimeError("an earlier run left operations unfinished")

    def call(self, *arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a small command of the CLI for the stack, with `text` on its stdin."""
        return subprocess.run(
            self._command(*arguments),
            cwd=self.project.root,
            env=self._env,
            input=text or "",
            capture_output=True,
            text=True,
            check=False,
        )

    def create_stack(self) -> subprocess.CompletedProcess[str]:
        """Make the stack in the backend. Where the backend is ours, the stack's file is left as it is."""
        folder = self._own.folder if self._own else self.project.root
        return subprocess.run(
            self._command("stack", "init", "--no-select"),
            cwd=folder,
            env=self._env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def _command(self, *arguments: str) -> list[str]:
        return [str(self._toolchain.pulumi), *arguments, "--non-interactive", "--stack", self.stack]

    def _config_file(self) -> list[str]:
        return ["--config-file", str(self._own.config_file)] if self._own else []

    @contextmanager
    def _cancelling(self, process: subprocess.Popen[bytes]) -> Iterator[Event]:
        """While it lasts, a signal cancels the engine, which ends what it has begun; a second one ends it at once."""
        cancelled = Event()

        def cancel(_number: int, _frame: FrameType | None) -> None:
            if not cancelled.is_set():
                self._say("stopping: what has begun is brought to its end, nothing new begins (again Ctrl-C: at once)")
            else:
                self._say("stopped at once: what was being made may exist without being recorded; `canary up` mends it")
            cancelled.set()
            process.send_signal(signal.SIGINT)

        before = {number: signal.signal(number, cancel) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield cancelled
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def unfinished(export: str) -> bool:
    """Whether a state, as exported, has operations that were begun and not ended."""
    return bool(export) and bool((json.loads(export).get("deployment") or {}).get("pending_operations"))


def _stopping_on_pending(process: subprocess.Popen[bytes], record: Record, show: Show) -> Seen:
    """Show what happens; but where an earlier run left operations unfinished, stop at once: they are mended first."""
    stopped = Event()

    def seen(entry: ResourceStep | Diagnostic | None) -> None:
        if record.pending and not stopped.is_set():
            stopped.set()
            process.send_signal(signal.SIGINT)
        elif entry is not None and not record.pending:
            show(entry)

    return seen


@contextmanager
def _following(log: Path, record: Record, seen: Seen) -> Iterator[None]:
    """While it lasts, read the event log as the engine writes it; at the end, read it to its end."""
    ended = Event()
    thread = Thread(target=_follow, args=(log, record, seen, ended), name="events", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _follow(log: Path, record: Record, seen: Seen, ended: Event) -> None:
    while not log.exists():
        if ended.wait(POLL_SECONDS):
            break
    if not log.exists():
        return
    with log.open(encoding="utf-8") as lines:
        part = ""
        while True:
            last = ended.is_set()
            for line in lines:
                part += line
                if part.endswith("\n"):
                    if '"severity":"debug"' not in part:
                        seen(record.take(part))
                    part = ""
            if last:
                return
            ended.wait(POLL_SECONDS)


def _bound_to_us(operation: Operation) -> list[str]:
    """Prefix of a command that ends when this process is killed, where the system offers it (Linux).

    It is cancelled; but a cancelled destroy keeps in the state what it had begun to delete, and does not say so there.
    A killed one does.
    """
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    ending = "KILL" if operation is Operation.DESTROY else "INT"
    return [setpriv, "--pdeathsig", ending] if setpriv else []
