"""The first process in a sandbox's namespaces: sets up /proc, /run and the network, then execs supervisord.

`namespaces.start` runs it as `python -m sandbox.cluster.init NAME`. It waits for a line on standard input: the host has
moved its end of the veth pair into this network namespace. The namespaces take all mounts and interfaces with them.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from sandbox.layout import Layout, layout

INOTIFY_INSTANCES = 1024
"""Each Envoy, and each of Istio's agents, watches files; by default a user may have 128 instances of inotify, and the
next pods fail at their start (kind: "Known issues", "Pod errors due to too many open files")."""

BRIDGE = "sb0"
PEER = "eth0"  # the sandbox's end of the veth pair


def main() -> None:
    """Set up the namespaces, then replace this process with supervisord."""
    here = layout(sys.argv[1])
    if sys.stdin.readline().strip() != "joined":
        sys.exit("the command that started this sandbox exited before the network was connected")
    _mounts(here)
    _network(here)
    raise_limit(Path("/proc/sys/fs/inotify/max_user_instances"), INOTIFY_INSTANCES)
    socket.sethostname(here.node)
    _cgroups(here)
    os.execv(sys.executable, supervisord_command(here))  # noqa: S606  a list, no shell


def supervisord_command(layout: Layout) -> list[str]:
    """The command line of the sandbox's supervisord. `namespaces.find` looks for it."""
    return [
        sys.executable,
        "-m",
        "supervisor.supervisord",
        "--nodaemon",
        "--configuration",
        str(layout.config / "supervisord.conf"),
    ]


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def _mounts(layout: Layout) -> None:
    _run("mount", "--make-rshared", "/")  # inside the sandbox only: unshare made the host's mounts private
    _run("mount", "-t", "proc", "proc", "/proc")
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    for folder in ("/run/lock", "/run/netns", "/run/cni"):
        Path(folder).mkdir(exist_ok=True)
    # Some daemons write to /var/log regardless of their configuration.
    layout.logs.mkdir(parents=True, exist_ok=True)
    _run("mount", "--bind", str(layout.logs), "/var/log")


def _network(layout: Layout) -> None:
    prefix = layout.pod_cidr.split("/")[1]
    _run("ip", "link", "set", "lo", "up")
    _run("ip", "address", "add", f"{layout.sandbox_link_ip}/30", "dev", PEER)
    _run("ip", "link", "set", PEER, "up")
    _run("ip", "link", "add", BRIDGE, "type", "bridge")
    _run("ip", "address", "add", f"{layout.node_ip}/{prefix}", "dev", BRIDGE)
    _run("ip", "link", "set", BRIDGE, "up")
    # The kernel needs a route to a Service's address before kube-proxy's rules translate it to a pod's.
    _run("ip", "route", "add", layout.service_cidr, "dev", BRIDGE)
    for key, value in {
        "net/ipv4/ip_forward": "1",
        "net/bridge/bridge-nf-call-iptables": "1",  # for Services between pods on this bridge
    }.items():
        file = Path("/proc/sys") / key
        if file.exists():
            file.write_text(value)


def raise_limit(file: Path, least: int) -> None:
    """Raise a limit of the kernel that is lower; it is the machine's, so that it is never lowered."""
    with suppress(OSError):  # not writable here: as many pods as it allows
        if int(file.read_text()) < least:
            file.write_text(str(least))


def cgroup_roots(mountinfo: str) -> list[Path]:
    """The mount points of the cgroup hierarchies in a /proc/self/mountinfo (v1: one per controller; v2: one)."""
    roots = []
    for line in mountinfo.splitlines():
        fields, _, tail = line.partition(" - ")
        if tail.split(" ")[0] in ("cgroup", "cgroup2"):
            roots.append(Path(fields.split(" ")[4]))
    return roots


def _cgroups(layout: Layout) -> None:
    """Create the kubelet's cgroup root, which must exist in every hierarchy."""
    for root in cgroup_roots(Path("/proc/self/mountinfo").read_text()):
        folder = root / layout.cgroup
        folder.mkdir(exist_ok=True)
        _inherit_cpuset(root, folder)


def _inherit_cpuset(root: Path, folder: Path) -> None:
    for name in ("cpuset.cpus", "cpuset.mems"):  # empty by default in v1, and then no process can join
        if (folder / name).exists() and not (folder / name).read_text().strip():
            (folder / name).write_text((root / name).read_text())
    subtree = folder / "cgroup.subtree_control"
    if subtree.exists():
        controllers = (folder / "cgroup.controllers").read_text().split()
        subtree.write_text(" ".join(f"+{controller}" for controller in controllers))


if __name__ == "__main__":
    main()
