"""The lock of a stack in a self-managed backend: who holds it, and whether that process is still running.

The engine writes a lock file for each run and lists the files when the stack is locked (backend/diy/lock.go).
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from canary.engine.driver import OWNER

HOLDER = re.compile(r"^\s*(\S+): created by (.+)@(\S+) \(pid (\d+)\) at (\S+)\s*$", re.MULTILINE)
LOCKED = "the stack is currently locked by"
POLL_SECONDS = 0.1
STATE, PARENT, SESSION = 0, 1, 3
"""Places among the fields behind the name in /proc/<pid>/stat (man 5 proc)."""


@dataclass(frozen=True)
class Lock:
    """The lock of one run. `url` is the location of its file; `since` is an RFC 3339 time."""

    url: str
    user: str
    host: str
    pid: int
    since: str

    def __str__(self) -> str:
        return f"{self.user}@{self.host}, process {self.pid}, since {self.since}"

    @property
    def file(self) -> Path | None:
        """The lock's file, or None if the backend is not a local folder."""
        parts = urlsplit(self.url)
        return Path(unquote(parts.path)) if parts.scheme == "file" else None

    @property
    def is_here(self) -> bool:
        """Whether the holder was started on this machine."""
        return self.host == socket.gethostname()

    @property
    def is_dead(self) -> bool:
        """Whether the holder was started on this machine and has ended."""
        return self.is_here and not _is_running(self.pid)

    @property
    def is_orphan(self) -> bool:
        """Whether the holder is an engine whose `canary` was killed: it has been cancelled and is about to end."""
        if not self.is_here:
            return False
        try:
            variables = Path(f"/proc/{self.pid}/environ").read_bytes().split(b"\0")
            parent = _stat(self.pid)[PARENT]
        except (OSError, IndexError):
            return False
        owner = next((text for text in variables if text.startswith(f"{OWNER}=".encode())), b"")
        return bool(owner) and owner.partition(b"=")[2].decode() != parent

    def release(self) -> bool:
        """Remove the lock's file and its attributes file; return False if the backend is not a local folder."""
        if self.file is None:
            return False
        for path in (self.file, self.file.with_name(f"{self.file.name}.attrs")):
            with suppress(FileNotFoundError):
                path.unlink()
        return True


def locks_in(stderr: str) -> tuple[Lock, ...]:
    """Return the locks listed in the engine's message; empty if it is not about locks."""
    if LOCKED not in stderr:
        return ()
    return tuple(Lock(url, user, host, int(pid), since) for url, user, host, pid, since in HOLDER.findall(stderr))


def locks_of(folder: Path, project: str, stack: str) -> tuple[Lock, ...]:
    """Return the locks of a stack whose backend is a folder; one that is just being written has process id 0."""
    found = []
    for file in sorted((folder / ".pulumi" / "locks").rglob(f"{project}/{stack.rpartition('/')[2]}/*.json")):
        try:
            said = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        except ValueError:
            said = {}
        found.append(
            Lock(
                f"file://{quote(str(file))}",
                str(said.get("username", "somebody")),
                str(said.get("hostname", socket.gethostname())),
                int(said.get("pid", 0)),
                str(said.get("timestamp", "just now")),
            )
        )
    return tuple(found)


def end_session(leader: int) -> None:
    """Kill what is left of a dead engine's session on this machine: its providers, which may still be working.

    The engine is the leader of its own session, and a provider notices only after minutes that its engine is gone.
    """
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            if _stat(int(process.name))[SESSION] == str(leader):
                os.kill(int(process.name), signal.SIGKILL)


def wait_for_end(pid: int, seconds: float) -> bool:
    """Wait until process `pid` has ended; return whether it did within `seconds`."""
    deadline = time.monotonic() + seconds
    while _is_running(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        # A zombie has ended; its parent has not collected its status yet.
        return _stat(pid)[STATE] != "Z"
    except (OSError, IndexError):
        return True


def _stat(pid: int) -> list[str]:
    """The fields behind the process's name; raises OSError or IndexError if it has gone."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
