"""Runs Pulumi's engine for one stack.

A run is a single call of the CLI with the flags that Pulumi's Automation API uses: `--client` (the address at which the
program is served), `--exec-kind auto.inline` and `--event-log`.
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
from typing import TYPE_CHECKING, TextIO

from canary.command_error import CommandError
from canary.engine.events import CLUSTER_OUTPUT, STACK_TYPE, Diagnostic, Record, ResourceStep
from canary.engine.local_backend import local_backend
from canary.engine.toolchain import INSTALL, OLDEST, Toolchain
from canary.project import Project

if TYPE_CHECKING:
    from stacks.settings.loading import StackSettings

POLL_SECONDS = 0.02
NOT_EXECUTED = (2, 126, 127)
"""Exit codes of setpriv and the shell for a program that cannot be executed; setpriv runs it as a shell script then."""
OWNER = "ISTIO_CANARY_PID"
"""Environment variable of the engine's process: the process id of the `canary` that started it."""


class Operation(StrEnum):
    """The operation of a run."""

    PREVIEW = "preview"
    UP = "up"
    REFRESH = "refresh"
    REFRESH_PREVIEW = "refresh preview"
    DESTROY = "destroy"
    DESTROY_PREVIEW = "destroy preview"

    @property
    def runs_program(self) -> bool:
        """Whether the operation runs the project's program."""
        return self in (Operation.PREVIEW, Operation.UP)

    @property
    def is_preview(self) -> bool:
        """Whether the operation only shows what would change."""
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
    """The result of a run. `code` is the CLI's exit status, negative if a signal killed it."""

    operation: Operation
    record: Record
    code: int
    stderr: str
    seconds: float
    interrupted: bool = False
    program_failure: BaseException | None = field(default=None)

    @property
    def ok(self) -> bool:
        """Whether the run succeeded."""
        return self.code == 0 and not self.interrupted


ShowEvent = Callable[[ResourceStep | Diagnostic], None]
OnEvent = Callable[[ResourceStep | Diagnostic | None], None]
Note = Callable[[str], None]


class Engine:
    """The engine for one stack of a project. `note` prints a line for the user."""

    def __init__(
        self, project: Project, stack: str, toolchain: Toolchain, note: Note, loaded: StackSettings | None = None
    ) -> None:
        self.project = project
        self.stack = stack
        self._toolchain = toolchain
        self._note = note
        self._loaded = loaded
        self.under_lock: Callable[[], None] = lambda: None
        """Called at the beginning of an `up`, while the engine holds the stack's lock."""
        self.during_rollout: frozenset[str] = frozenset()
        """The services whose route a run may change in the middle of a rollout."""
        self._backend = local_backend(project, stack, toolchain.home) if toolchain.home else None
        self._env = {
            **toolchain.env,
            **(self._backend.env if self._backend else {}),
            "PULUMI_AUTOMATION_API": "true",
            "PULUMI_DEBUG_COMMANDS": "true",
            OWNER: str(os.getpid()),
        }
        if self._backend:
            self._env.pop("PULUMI_CONFIG_PASSPHRASE", None)

    @property
    def backend_folder(self) -> Path | None:
        """The folder of the backend, or None if the backend is not a folder on this machine."""
        return self._toolchain.folder

    def run(self, operation: Operation, show: ShowEvent) -> Outcome:
        """Run `operation` and return its result; `show` is called with events during the run, from another thread.

        Raises CommandError if pulumi cannot be executed, or ends with exit code 0 without having reported anything.
        """
        from canary.engine.program import Program, served

        begin = time.monotonic()
        record = Record()
        program = Program(self.project.root, partial(self._check, operation, record), self._loaded, self.during_rollout)
        os.chdir(self.project.root)
        with ExitStack() as stack:
            temporary = tempfile.TemporaryDirectory(prefix="canary-", ignore_cleanup_errors=True)
            folder = Path(stack.enter_context(temporary))
            address = stack.enter_context(served(program, operation.runs_program))
            command = self._command(*ARGUMENTS[operation], "--event-log", str(folder / "events"))
            command += [f"--client={address}", "--exec-kind", "auto.inline", *self._config_file()]
            errors = stack.enter_context((folder / "stderr").open("w+", encoding="utf-8"))
            process = self._start(_ends_with_this_process(operation) + command, errors, folder)
            on_event = _stopping_on_pending(process, operation, record, show)
            with _following(folder / "events", record, on_event), self._cancelling(process) as cancelled:
                code = process.wait()
            errors.seek(0)
            stderr = errors.read()
        seconds = time.monotonic() - begin
        if not record.has_events and not cancelled.is_set():
            self._explain_silence(operation, code)
        return Outcome(operation, record, code, stderr, seconds, cancelled.is_set(), program.failure)

    def _start(self, command: list[str], errors: TextIO, folder: Path) -> subprocess.Popen[bytes]:
        """Start the engine, whose temporary files are in `folder`.

        The Kubernetes provider writes the kubeconfig to one, with the keys in it, and leaves it there.
        """
        try:
            # A separate process group: Ctrl-C reaches only this process, which cancels the engine.
            return subprocess.Popen(
                command,
                cwd=self.project.root,
                env={**self._env, "TMPDIR": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
        except OSError as error:
            raise self._toolchain.not_executable(error) from None

    def _explain_silence(self, operation: Operation, code: int) -> None:
        """Raise CommandError for a run without any event that ended like a success, or like a failure to execute."""
        if code not in (0, *NOT_EXECUTED):
            return
        version = self._toolchain.call("version", cwd=self.project.root)  # raises if it cannot be executed
        if code == 0:
            named = version.stdout.strip() or "of unknown version"
            raise CommandError(
                f"the engine reported nothing: whether the {operation} of stack {self.stack} was done is unknown",
                fix=f"install Pulumi {OLDEST} or newer ({INSTALL})",
                details=(f"{self._toolchain.pulumi} ({named}) ended with exit code 0, but without any event",),
            )

    def _check(self, operation: Operation, record: Record) -> str | None:
        """Return the uid of the stack's cluster before an `up`; called by the engine while it holds the stack's lock.

        Fails if an earlier run left operations unfinished: the engine itself only warns of unfinished creations, and
        drops unfinished deletions. A preview reads no state, which would take it a fifth of a second.
        """
        if operation is not Operation.UP:
            return None
        state = self.call("stack", "export").stdout
        if unfinished(state):
            record.pending = True
            raise RuntimeError("an earlier run left operations unfinished")
        self.under_lock()
        return cluster_of(state)

    def call(self, *arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a CLI command that is not a run, with `text` on stdin; return its exit code and output."""
        return self._call(*arguments, cwd=self.project.root, text=text or "")

    def output(self, name: str, of: str | None = None) -> subprocess.CompletedProcess[str]:
        """Return the CLI's answer to what an output of the stack is, or of another one by its full name, decrypted."""
        stack = of or self.stack
        asked = ("stack", "output", name, "--show-secrets", "--stack", stack)
        return self._toolchain.call(*asked, cwd=self.project.root, env=self._env)

    def config_value(self, path: str) -> subprocess.CompletedProcess[str]:
        """Return the CLI's answer to what the stack's file has at a path such as `istio-canary:a.b`, decrypted."""
        return self._call("config", "get", "--path", path, *self._config_file(), cwd=self.project.root)

    def create_stack(self) -> subprocess.CompletedProcess[str]:
        """Create the stack in the backend. With a local backend, the stack's file is not changed."""
        folder = self._backend.folder if self._backend else self.project.root
        return self._call("stack", "init", "--no-select", cwd=folder)

    def _call(self, *arguments: str, cwd: Path, text: str = "") -> subprocess.CompletedProcess[str]:
        return self._toolchain.call(*arguments, "--stack", self.stack, cwd=cwd, env=self._env, text=text)

    def _command(self, *arguments: str) -> list[str]:
        return [str(self._toolchain.pulumi), *arguments, "--non-interactive", "--stack", self.stack]

    def _config_file(self) -> list[str]:
        return ["--config-file", str(self._backend.config_file)] if self._backend else []

    @contextmanager
    def _cancelling(self, process: subprocess.Popen[bytes]) -> Iterator[Event]:
        """Let a first signal cancel the engine, which finishes running operations, and a second one terminate it."""
        cancelled = Event()

        def cancel(_number: int, _frame: FrameType | None) -> None:
            if not cancelled.is_set():
                self._note("stopping: waiting for running operations to finish (press Ctrl-C again to stop at once)")
            else:
                self._note("stopped: some resources may exist without being recorded; `canary up` recovers them")
            cancelled.set()
            process.send_signal(signal.SIGINT)

        before = {number: signal.signal(number, cancel) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield cancelled
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def unfinished(export: str) -> bool:
    """Whether an exported state has pending operations."""
    return bool(export) and bool((json.loads(export).get("deployment") or {}).get("pending_operations"))


def cluster_of(export: str) -> str | None:
    """The uid of the cluster that an exported state was last deployed to; None if nothing is deployed, or unknown."""
    resources = (json.loads(export).get("deployment") or {}).get("resources") or [] if export else []
    if not any(resource["type"].startswith("kubernetes:") for resource in resources):
        return None
    outputs: dict[str, str] = next((one.get("outputs") or {} for one in resources if one["type"] == STACK_TYPE), {})
    return outputs.get(CLUSTER_OUTPUT)


def _stopping_on_pending(
    process: subprocess.Popen[bytes], operation: Operation, record: Record, show: ShowEvent
) -> OnEvent:
    """Show events, but end the run if an earlier one left operations unfinished: those are recovered first.

    An `up` ends by itself, since its program refuses to start.
    """
    stopped = Event()

    def on_event(entry: ResourceStep | Diagnostic | None) -> None:
        if record.pending and operation is not Operation.UP and not stopped.is_set():
            stopped.set()
            process.send_signal(signal.SIGINT)
        elif entry is not None and not record.pending:
            show(entry)

    return on_event


@contextmanager
def _following(log: Path, record: Record, on_event: OnEvent) -> Iterator[None]:
    """Read the event log while the engine writes it, and the rest when the block ends."""
    ended = Event()
    thread = Thread(target=_follow, args=(log, record, on_event, ended), name="events", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _follow(log: Path, record: Record, on_event: OnEvent, ended: Event) -> None:
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
                        on_event(record.take(part))
                    part = ""
            if last:
                return
            ended.wait(POLL_SECONDS)


def _ends_with_this_process(operation: Operation) -> list[str]:
    """Prefix of a command that is to end when this process is killed (Linux only).

    The engine is cancelled, except in a destroy: a cancelled destroy keeps resources in the state whose deletion has
    begun, without marking them as pending. A killed one marks them.
    """
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    ending = "KILL" if operation is Operation.DESTROY else "INT"
    return [setpriv, "--pdeathsig", ending] if setpriv else []
