"""The namespaces of a sandbox: network, mount, PID and UTS.

A sandbox is one process tree and one veth pair to the host. When its first process exits, the kernel kills the others
and removes mounts, interfaces, routes and iptables chains. Only cgroups are left; `stop` and `sweep` remove them. See
namespaces(7), pid_namespaces(7) and unshare(1).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sandbox.cluster.init import PEER, cgroup_roots, supervisord_command
from sandbox.layout import Layout

CHECKOUT = Path(__file__).resolve().parents[2]
_POLL = 0.02
_UNSHARE = [
    "unshare",
    "--fork",
    "--pid",
    "--net",
    "--mount",
    "--uts",
    "--propagation=private",
    "--kill-child=KILL",
]
T = TypeVar("T")


class NamespaceError(RuntimeError):
    """The namespaces could not be created, connected to the host or stopped."""


@dataclass(frozen=True)
class Running:
    """A running sandbox: the PID of its first process, in the host's PID namespace."""

    pid: int

    def enter(self, command: Sequence[str]) -> list[str]:
        """The command line that runs `command` inside the sandbox (nsenter(1))."""
        return ["nsenter", f"--target={self.pid}", "--mount", "--net", "--pid", "--uts", "--", *command]


def find(layout: Layout) -> Running | None:
    """Find the running sandbox by the command line of its supervisord; None when it does not run.

    No PID is read from a file: after a reboot it could be another process's.
    """
    command_line = "\0".join(supervisord_command(layout)[1:]).encode() + b"\0"
    for process in _processes():
        with contextlib.suppress(OSError):
            if (process / "cmdline").read_bytes().endswith(command_line) and _first_of_its_namespace(process):
                return Running(int(process.name))
    return None


def start(layout: Layout) -> Running:
    """Create the namespaces, connect them to the host, and start supervisord in them.

    Returns once supervisord runs. Raises NamespaceError with the first process's output when it does not.
    """
    sweep(layout)
    layout.logs.mkdir(parents=True, exist_ok=True)
    log = layout.logs / "init.log"
    with log.open("wb") as output:
        unshare = subprocess.Popen(
            [*_UNSHARE, "--", sys.executable, "-m", "sandbox.cluster.init", layout.name],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=CHECKOUT,
            start_new_session=True,
        )
    try:
        first = _wait_for(lambda: _child(unshare), "the first process of the sandbox", 10, unshare)
        _join(layout, first)
        assert unshare.stdin is not None
        unshare.stdin.write(b"joined\n")
        unshare.stdin.close()
        return _wait_for(lambda: find(layout), "the sandbox's supervisord", 20, unshare)
    except BaseException as error:
        unshare.kill()
        unshare.wait()
        sweep(layout)
        output_text = log.read_text(errors="replace").strip()
        if isinstance(error, (NamespaceError, subprocess.CalledProcessError, OSError)):
            raise NamespaceError(f"{error}\n{output_text}" if output_text else str(error)) from None
        raise


def stop(layout: Layout, running: Running, grace: float = 20) -> None:
    """Stop every process of the sandbox (SIGKILL after `grace` seconds), and remove what the kernel leaves.

    Raises NamespaceError when the first process does not exit.
    """
    with contextlib.suppress(ProcessLookupError):
        os.kill(running.pid, signal.SIGTERM)
        if not _gone(running.pid, grace):
            os.kill(running.pid, signal.SIGKILL)
    if not _gone(running.pid, 10):
        raise NamespaceError(f"process {running.pid}, the first of sandbox {layout.name}, still runs after SIGKILL")
    sweep(layout)


def sweep(layout: Layout) -> None:
    """Remove what a stopped sandbox has left on the host: its interface and its cgroups."""
    if Path("/sys/class/net", layout.interface).exists():
        # This can fail: the kernel removes network namespaces, and so the interface, in the background.
        subprocess.run(["ip", "link", "delete", layout.interface], check=False, capture_output=True)
        _until(lambda: not Path("/sys/class/net", layout.interface).exists(), 10)
    for root in cgroup_roots(Path("/proc/self/mountinfo").read_text()):
        _remove_cgroup(root / layout.cgroup)


def leftovers(layout: Layout) -> list[str]:
    """What is left of this sandbox on the host, one line each. `down` and the tests check it."""
    found = [f"process {process.name}" for process in _processes() if _belongs(process, layout)]
    if Path("/sys/class/net", layout.interface).exists():
        found.append(f"interface {layout.interface}")
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if f" {layout.root}/" in line:
            found.append(f"mount {line.split(' ')[4]}")
    for root in cgroup_roots(Path("/proc/self/mountinfo").read_text()):
        if (root / layout.cgroup).exists():
            found.append(f"cgroup {root / layout.cgroup}")
    return found


def _join(layout: Layout, first: int) -> None:
    """Create a veth pair from the host to the network namespace of process `first`, and routes to pods and Services."""
    commands = [
        f"link add {layout.interface} type veth peer name {PEER} netns {first}",
        f"address add {layout.host_link_ip}/30 dev {layout.interface}",
        f"link set {layout.interface} up",
        f"route add {layout.pod_cidr} via {layout.sandbox_link_ip}",
        f"route add {layout.service_cidr} via {layout.sandbox_link_ip}",
    ]
    for command in commands:
        done = subprocess.run(["ip", *command.split()], check=False, capture_output=True, text=True)
        if done.returncode:
            raise NamespaceError(f"ip {command}: {done.stderr.strip()}")


def _child(parent: subprocess.Popen[bytes]) -> int | None:
    with contextlib.suppress(OSError):
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        return int(children[0]) if children else None
    return None


def _first_of_its_namespace(process: Path) -> bool:
    for line in (process / "status").read_text().splitlines():
        if line.startswith("NSpid:"):
            return line.split()[-1] == "1"
    return False


def _processes() -> list[Path]:
    return [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _belongs(process: Path, layout: Layout) -> bool:
    with contextlib.suppress(OSError):
        words = (process / "cmdline").read_bytes().split(b"\0")
        return any(f"{layout.root}/".encode() in word for word in words[1:]) and _nested(process)
    return False


def _nested(process: Path) -> bool:
    status = (process / "status").read_text()
    return any(line.startswith("NSpid:") and len(line.split()) > 2 for line in status.splitlines())


def _remove_cgroup(folder: Path) -> None:
    if not folder.exists():
        return
    children = sorted((path for path in folder.rglob("*") if path.is_dir()), key=lambda path: -len(path.parts))
    for path in [*children, folder]:
        # A killed process leaves its cgroup after a short delay.
        _until(lambda path=path: _rmdir(path), 10)  # type: ignore[misc]


def _rmdir(path: Path) -> bool:
    try:
        path.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _gone(pid: int, seconds: float) -> bool:
    def ended() -> bool:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        return state == "Z"  # exited, but not reaped yet

    return _until(ended, seconds)


def _until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL)
    return True


def _wait_for(look: Callable[[], T | None], what: str, seconds: float, process: subprocess.Popen[bytes]) -> T:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found is not None:
            return found
        if process.poll() is not None:
            raise NamespaceError(f"{what} exited with exit code {process.returncode}")
        time.sleep(_POLL)
    raise NamespaceError(f"{what} did not start within {seconds:.0f} s")
