"""The lock of a stack in a self-managed backend: who holds it, and whether the holder still lives.

The engine writes a file for each run, and tells of them when it finds the stack locked (backend/diy/lock.go).
"""

from __future__ import annotations

import os
import re
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from canary.engine.driver import OWNER

HOLDER = re.compile(r"^\s*(\S+): created by (.+)@(\S+) \(pid (\d+)\) at (\S+)\s*$", re.MULTILINE)
LOCKED = "the stack is currently locked by"
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Lock:
    """One run's lock. `url` is where its file lies; `since` is a time as RFC 3339 writes it."""

    url: str
    user: str
    host: str
    pid: int
    since: str

    def __str__(self) -> str:
        return f"{self.user}@{self.host}, process {self.pid}, since {self.since}"

    @property
    def file(self) -> Path | None:
        """The lock's file, where the backend is a folder of this machine."""
        parts = urlsplit(self.url)
        return Path(unquote(parts.path)) if parts.scheme == "file" else None

    @property
    def is_here(self) -> bool:
        """Whether the holder runs, or ran, on this machine."""
        return self.host == socket.gethostname()

    @property
    def is_dead(self) -> bool:
        """Whether the holder ran on this machine, and runs no more."""
        return self.is_here and not _lives(self.pid)

    @property
    def is_orphan(self) -> bool:
        """Whether the holder is an engine whose `canary` is gone: it was cancelled, and is about to end."""
        if not self.is_here:
            return False
        try:
            variables = Path(f"/proc/{self.pid}/environ").read_bytes().split(b"\0")
            parent = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[1]
        except (OSError, IndexError):
            return False
        owner = next((text for text in variables if text.startswith(f"{OWNER}=".encode())), b"")
        return bool(owner) and owner.partition(b"=")[2].decode() != parent

    def free(self) -> bool:
        """Remove the lock's file and what the backend keeps beside it; False where that is not in our hands."""
        if self.file is None:
            return False
        for path in (self.file, self.file.with_name(f"{self.file.name}.attrs")):
            with suppress(FileNotFoundError):
                path.unlink()
        return True


def locks_in(stderr: str) -> tuple[Lock, ...]:
    """Return the locks that the engine's message names; none where it says nothing of locks."""
    if LOCKED not in stderr:
        return ()
    return tuple(Lock(url, user, host, int(pid), since) for url, user, host, pid, since in HOLDER.findall(stderr))


def wait_for_end(pid: int, seconds: float) -> bool:
    """Wait until process `pid` of this machine has ended; whether it did within `seconds`."""
    deadline = time.monotonic() + seconds
    while _lives(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        # A zombie has ended: its parent has only not asked yet.
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except (OSError, IndexError):
        return True
