"""The checks before the sandbox starts: each problem of the machine has its own message with the fix."""

from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandbox.builder import machine, packages
from sandbox.builder.preflight import STATE_BYTES, Disk, Facts, Feature, PreflightError, Registry, problems

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
        "an unreachable registry",
        {"unreachable_registries": (Registry("the Go module proxy", "dial tcp: timeout", "set GOPROXY"),)},
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


def test_a_machine_with_everything_has_no_problem() -> None:
    assert problems(FINE) == ()


@pytest.mark.parametrize(("name", "facts", "what", "fix"), CASES, ids=[case[0] for case in CASES])
def test_each_problem_has_its_own_message_with_the_fix(name: str, facts: dict[str, Any], what: str, fix: str) -> None:
    found = problems(replace(FINE, **facts))
    assert len(found) == 1, f"{name} must be one problem"
    assert what in found[0].what
    assert fix in found[0].fix


def test_all_problems_are_reported_at_once() -> None:
    all_missing: dict[str, Any] = {}
    for _name, facts, _what, _fix in CASES[1:]:
        all_missing |= facts
    found = problems(replace(FINE, **all_missing))
    assert len(found) == len(CASES) - 2, "an absent Go and an old Go exclude each other"
    text = str(PreflightError(found))
    assert text.startswith(f"{len(found)} problems with this machine")
    assert text.count("fix: ") == len(found)


def test_with_a_full_cache_neither_go_nor_the_disk_space_of_a_build_is_needed() -> None:
    built = replace(FINE, to_build=(), go=None, disks=(Disk(Path("/var"), 3 * GB, 2 * GB),))
    assert problems(built) == ()


def test_a_4_gb_machine_is_large_enough_although_the_kernel_keeps_a_part() -> None:
    assert problems(replace(FINE, memory=int(3.8 * GB))) == (), "the visible memory of a 4 GB machine"


def test_missing_packages_are_no_problem_when_apt_get_can_install_them() -> None:
    assert problems(replace(FINE, packages=("runc",))) == ()


def test_a_package_is_installed_when_its_files_and_commands_exist(tmp_path: Path) -> None:
    there = tmp_path / "plugin"
    there.touch()
    assert packages.Package("plugins", (str(there), "sh")).is_installed()
    assert not packages.Package("plugins", (str(tmp_path / "absent"), "sh")).is_installed()
    assert not packages.Package("tool", ("no-such-command-anywhere",)).is_installed()


def test_installing_packages_removes_none() -> None:
    assert "--no-remove" in packages.install_command(("runc",)), "Docker's own runc must stay"


def test_a_machine_that_is_not_linux_is_not_examined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    assert len(problems(machine.look(tmp_path, None, (), fetch_envoy=False))) == 1


def test_with_a_full_cache_no_registry_is_contacted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_try_go_proxy", lambda go: pytest.fail("the Go proxy was contacted"))
    monkeypatch.setattr(machine, "_try_package_index", lambda: pytest.fail("the Python index was contacted"))
    monkeypatch.setattr(packages, "missing", lambda: ())
    monkeypatch.setattr(machine, "refused_features", lambda: ())
    facts = machine.look(tmp_path / "not" / "there", None, (), fetch_envoy=False)
    assert facts.to_build == ()
    assert sum(disk.needed for disk in facts.disks) == STATE_BYTES
    assert not (tmp_path / "not").exists(), "the check must not change anything"
