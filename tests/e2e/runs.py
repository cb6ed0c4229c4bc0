"""A small stack whose runs are killed and interrupted, and its processes."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.e2e.tools import Project, bodies, service, wait_until

STACK = "failures"
ROUTE: list[dict[str, Any]] = [{"to": {"version-1": 50, "version-2": 50}}]


def the_shop(**rest: Any) -> dict[str, Any]:
    return service("shop", host="shop.example", namespace="shop", route=ROUTE, **rest)


def answers(project: Project) -> set[str]:
    """The versions that answer, once all of the gateway has its first route: an `up` does not wait for that."""
    url = project.cluster.layout.gateway_url
    wait_until(lambda: is_open(url), "the gateway's port", 20)
    wait_until(
        lambda: not any(body.startswith("HTTP") for body in bodies(url, 16, host="shop.example")),
        "the gateway's first route with its endpoints",
        20,
    )
    return set(bodies(url, 60, host="shop.example"))


def is_open(url: str) -> bool:
    parts = urlsplit(url)
    with socket.socket() as connection:
        return connection.connect_ex((parts.hostname, parts.port)) == 0


def running_pulumi(folder: Path, engines_only: bool = False) -> list[int]:
    """Process ids of the engine and the providers of this project; a provider outlives a killed engine for minutes."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            words = (process / "cmdline").read_bytes()
            environment = (process / "environ").read_bytes()
        except OSError:
            continue
        program = Path(words.split(b"\0")[0].decode()).name
        is_meant = program == "pulumi" if engines_only else b"pulumi" in words
        if is_meant and str(folder).encode() in environment:
            found.append(int(process.name))
    return found


def kill_all(project: Project, command: subprocess.Popen[str]) -> None:
    """Kill the command, the engine and its providers at once, as in a power failure."""
    for pid in [command.pid, *running_pulumi(project.folder)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def locks(project: Project) -> set[Path]:
    """The locks of runs in the backend: a run's engine has begun when its own is there."""
    return set((project.folder / "backend" / ".pulumi" / "locks").rglob("*.json"))


def kill_half_way(project: Project, verb: str, whom: str, moment: float) -> None:
    """Kill only a command, or all its processes, `moment` seconds after its lock; return when none is running."""
    before = locks(project)
    command = project.popen(verb, "--stack", STACK, "--yes")
    wait_until(lambda: bool(locks(project) - before), "the lock", 30)
    time.sleep(moment)  # any moment must work
    assert command.poll() is None, f"{verb} ended before it was killed"
    if whom == "the command":
        command.kill()
    else:
        kill_all(project, command)
    command.wait()
    wait_until(lambda: not running_pulumi(project.folder, engines_only=True), "the end of the orphaned engine", 30)
