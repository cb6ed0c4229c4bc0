"""`canary rollout start --detach`: the same command in a process of its own, which this terminal does not end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from canary.command_error import CommandError
from canary.exit_codes import ExitCode
from canary.rollout.place import Place
from canary.rollout.reading import RolloutSeen, read
from canary.rollout.words import ENDED

SECONDS = 20.0
"""For the process to take the Lease: one that a killed holder left is taken over after 15."""
PAUSE = 0.2
LAST_LINES = 20


def detach(place: Place, anyway: bool) -> tuple[RolloutSeen, int, Path]:
    """Start the runner, and return the rollout once it has begun, its process id and the file that it writes to.

    Raises CommandError with its output if it ends at once.
    """
    file = _log_file(place)
    words = ["start", place.service, *place.options.split(), *(["--anyway"] if anyway else [])]
    words += ["--prometheus", place.prometheus] if place.prometheus else []
    with file.open("ab") as log:
        process = subprocess.Popen(  # lives on after this command
            [sys.executable, "-m", "canary", "rollout", *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        seen = read(place)
        if _holds(seen, process.pid) or seen.record.phase in ENDED:
            return seen, process.pid, file
        code = process.poll()
        if code is not None:
            raise _ended(file, code)
        time.sleep(PAUSE)
    return seen, process.pid, file


def _holds(seen: RolloutSeen, pid: int) -> bool:
    """Whether the process has the Lease: the holder's name has its id."""
    return seen.holder is not None and f"/{pid}/" in seen.holder.name


def _log_file(place: Place) -> Path:
    base = Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser()
    file = base / "istio-canary" / "rollouts" / f"{place.namespace}.{place.service}.log"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
    except OSError as error:
        raise CommandError(
            f"{file} cannot be written: {error.strerror}",
            ExitCode.FAILED,
            fix="name a folder that can be written with $XDG_STATE_HOME, or leave --detach out",
        ) from None
    return file


def _ended(file: Path, code: int) -> CommandError:
    lines = tuple(file.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:])
    known = ExitCode(code) if code in set(ExitCode) and code else ExitCode.FAILED
    return CommandError(f"the runner ended at once, with {code}; its output is in {file}", known, details=lines)
