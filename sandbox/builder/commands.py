"""Runs the tools that build the sandbox, with their output in a log."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_TAIL_LINES = 15
_GRACE_SECONDS = 5.0


class BuildError(RuntimeError):
    """A part of the sandbox could not be built; the message names the part, the reason and the fix."""


def run_logged(
    command: Sequence[str],
    log: Path,
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
    fix: str = "",
) -> None:
    """Run `command`, append its output to `log`, and pass each line to `on_line`.

    The command runs in a new process group, which is killed when this function is interrupted: a build has child
    processes. Raises BuildError with the last lines of output and `fix` when the command fails.
    """
    with log.open("a", encoding="utf-8") as output:
        output.write(f"$ {' '.join(command)}\n")
        output.flush()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            assert process.stdout is not None
            for line in process.stdout:
                output.write(line)
                output.flush()
                if on_line is not None:
                    on_line(line.rstrip("\n"))
            process.wait()
        except BaseException:
            _end(process)
            raise
    if process.returncode:
        text = log.read_text(encoding="utf-8", errors="replace").rsplit("\n$ ", 1)[-1]
        tail = "\n".join(f"    {line}" for line in text.splitlines()[-_TAIL_LINES:])
        raise BuildError(
            f"{' '.join(command[:3])} failed with exit code {process.returncode}. The end of {log}:\n{tail}"
            + (f"\n    fix: {fix}" if fix else "")
        )


def _end(process: subprocess.Popen[str]) -> None:
    for sent in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sent)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)
            return
