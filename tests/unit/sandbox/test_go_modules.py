"""The Go modules that the sandbox's build builds: pinned sources, versions, names of entries."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from sandbox.builder import go_modules
from sandbox.builder.go_modules import MODULES, Go, GoModule
from tests.unit.sandbox.building import CHECKOUT, GO


def test_a_modules_entry_is_named_after_everything_that_affects_its_programs() -> None:
    module = next(module for module in MODULES if module.name == "etcd")
    names = {
        go_modules.entry_name(module, GO),
        go_modules.entry_name(module, Go(**{**vars(GO), "version": "go1.26.9"})),
        go_modules.entry_name(module, Go(**{**vars(GO), "architecture": "arm64"})),
        go_modules.entry_name(GoModule(**{**vars(module), "tags": "other"}), GO),
        go_modules.entry_name(GoModule(**{**vars(module), "stamps": ("a.b=c",)}), GO),
    }
    assert len(names) == 5
    elsewhere = Go(**{**vars(GO), "program": Path("/opt/go/bin/go"), "module_cache": Path("/elsewhere")})
    assert go_modules.entry_name(module, elsewhere) in names, "where Go is installed must not matter"


@pytest.mark.parametrize("module", MODULES, ids=[module.name for module in MODULES])
def test_each_module_pins_its_sources(module: GoModule) -> None:
    assert module.go_version <= go_modules.needed_go()
    if module.package == "tool" or "require" in (module.folder / "go.mod").read_text():
        assert (module.folder / "go.sum").exists(), "every source must be pinned by a hash"
    for stamp in module.stamps:
        assert "{" not in module.linker_flags, f"{stamp} must be filled in"


def test_every_program_in_apps_is_built() -> None:
    (apps,) = (module for module in MODULES if module.app)
    assert apps.folder == CHECKOUT / "apps"
    mains = {file.parent for file in apps.folder.rglob("*.go") if re.search(r"^package main$", file.read_text(), re.M)}
    assert {folder.name for folder in mains} == set(apps.programs)


def test_a_changed_test_of_a_service_rebuilds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (apps,) = (module for module in MODULES if module.app)
    shutil.copytree(go_modules.APPS, tmp_path / "apps")
    monkeypatch.setattr(go_modules, "APPS", tmp_path / "apps")
    before = go_modules.entry_name(apps, GO)
    with (tmp_path / "apps/echo/echo_test.go").open("a") as file:
        file.write("// changed\n")
    assert go_modules.entry_name(apps, GO) == before
    with (tmp_path / "apps/internal/trace/trace.go").open("a") as file:
        file.write("// changed\n")
    assert go_modules.entry_name(apps, GO) != before, "the programs are built from the shared packages too"


def test_the_kubernetes_programs_report_the_version_in_go_mod() -> None:
    flags = next(module for module in MODULES if module.name == "kubernetes").linker_flags
    assert "version.gitVersion=v1.36.3 " in flags
    assert "version.gitMajor=1 " in flags
    assert flags.endswith("version.gitMinor=36")


def test_helm_is_the_release_that_the_kubernetes_provider_uses() -> None:
    helm = next(module for module in MODULES if module.name == "helm")
    assert f"helm.sh/helm/v3 {helm.version} " in (go_modules.FOLDER / "pulumi-kubernetes" / "go.mod").read_text()
    assert helm.linker_flags.endswith(f"version.version={helm.version}")


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("go1.26.8", (1, 26, 8)), ("1.26", (1, 26)), ("go1.27rc1", (1, 27)), ("go1.26.8-custom", (1, 26, 8)), ("?", (0,))],
)
def test_go_versions_are_compared_by_number(text: str, numbers: tuple[int, ...]) -> None:
    assert go_modules.version_tuple(text) == numbers


def test_the_users_goproxy_applies_and_their_goflags_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOPROXY", "https://proxy.example.org")
    monkeypatch.setenv("GOFLAGS", "-mod=vendor")
    monkeypatch.setenv("GOWORK", "/elsewhere/go.work")
    environment = go_modules.environment_for(GO, Path("/build"))
    assert environment["GOPROXY"] == "https://proxy.example.org"
    assert "-mod=readonly" in environment["GOFLAGS"].split()
    assert environment["GOWORK"] == "off"
    assert environment["CGO_ENABLED"] == "0"
