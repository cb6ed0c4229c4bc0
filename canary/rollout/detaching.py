"""`canary rollout start --detach`: the same command in a process of its own, which this terminal does not end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from canary.command_error import CommandError
from canary.exit_codes import ExitCode
from canary.rollout.place import Place
from canary.rollout.reading import HolderSeen

Seen = TypeVar("Seen")
SECONDS = 20.0
"""For the process to take the Lease: one that a killed holder left is taken over after 15."""
PAUSE = 0.2
LAST_LINES = 20


@dataclass(frozen=True)
class Detached(Generic[Seen]):
    """A runner in the background: what was seen last, its process id, its file, and who has the Lease."""

    seen: Seen
    pid: int
    file: Path
    holder: HolderSeen | None

    @property
    def words(self) -> str:
        """What the process does, and where it writes to."""
        if self.holder is not None and self.holder.renewed and not _is_of(self.holder, self.pid):
            what = f"process {self.pid} waits for {self.holder.name}, which moves it forward"
        else:
            what = f"process {self.pid} moves it forward"
        return f"{what}, and writes to {self.file}"


def detach(
    place: Place,
    anyway: bool,
    look: Callable[[], Seen],
    holder_of: Callable[[Seen], HolderSeen | None],
    has_ended: Callable[[Seen], bool],
) -> Detached[Seen]:
    """Start the runner of what `place` names, and return it once that has begun, or has ended.

    `look` sees the rollout of a service or of a group, `holder_of` who has its Lease. If another holder renews that,
    the process waits for it. Raises CommandError with its output if it ends at once.
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
    while True:
        code = process.poll()  # before the look, which then sees what the process has left
        seen = look()
        found = Detached(seen, process.pid, file, holder_of(seen))
        if _is_of(found.holder, process.pid) or has_ended(seen) or time.monotonic() >= until:
            return found
        if code is not None:
            raise _ended(file, code)
        time.sleep(PAUSE)


def _is_of(holder: HolderSeen | None, pid: int) -> bool:
    """Whether the process has the Lease: the holder's name has its id."""
    return holder is not None and f"/{pid}/" in holder.name


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
