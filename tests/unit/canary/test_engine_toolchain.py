"""Where the state is kept, which provider is used, and which stack is meant."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from canary.command_error import CommandError
from canary.engine.kubernetes_provider import PROGRAM, provider_line, sdk_version
from canary.engine.local_backend import own_state
from canary.engine.toolchain import find_toolchain
from canary.exit_codes import ExitCode
from canary.project import Project, choose_stack, find_project
from sandbox.build.go_modules import PROVIDER_VERSION

VARIABLES = (
    "KUBECONFIG",
    "PULUMI_ACCESS_TOKEN",
    "PULUMI_BACKEND_URL",
    "PULUMI_CONFIG_PASSPHRASE",
    "PULUMI_CONFIG_PASSPHRASE_FILE",
    "PULUMI_CREDENTIALS_PATH",
    "PULUMI_STACK",
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project on a machine with pulumi, without any login, and with no variables of the developer's."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    executable(tmp_path / "bin" / "pulumi")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    root = tmp_path / "project"
    root.mkdir()
    (root / "Pulumi.yaml").write_text("name: shop\nruntime: python\n", encoding="utf-8")
    (root / "Pulumi.dev.yaml").write_text("# ours\nconfig:\n  shop:x: 1\n", encoding="utf-8")
    (root / "Pulumi.prod.yaml").write_text("config: {}\n", encoding="utf-8")
    return Project(root)


def executable(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n", encoding="utf-8")
    path.chmod(0o755)


def test_without_a_login_the_state_is_kept_in_a_folder_of_our_own(project: Project, tmp_path: Path) -> None:
    found = find_toolchain(project)
    assert found.home == tmp_path / "state" / "istio-canary" / "pulumi"
    assert found.env["PULUMI_BACKEND_URL"] == found.home.as_uri()
    assert any(str(found.home) in note for note in found.notes), "a person must know where the state is"


def choose_variable(project: Project, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("PULUMI_BACKEND_URL", "s3://bucket")


def choose_token(project: Project, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("PULUMI_ACCESS_TOKEN", "pul-0")


def choose_project(project: Project, patch: pytest.MonkeyPatch) -> None:
    (project.root / "Pulumi.yaml").write_text("name: shop\nbackend: {url: s3://bucket}\n", encoding="utf-8")


def choose_login(project: Project, patch: pytest.MonkeyPatch) -> None:
    home = project.root.parent / "home"
    home.mkdir()
    (home / "credentials.json").write_text(json.dumps({"current": "s3://bucket"}), encoding="utf-8")


@pytest.mark.parametrize("choose", [choose_variable, choose_token, choose_project, choose_login])
def test_a_persons_backend_is_left_to_pulumi(choose: Any, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    choose(project, monkeypatch)
    found = find_toolchain(project)
    assert found.home is None, "the state must not be split over two backends"
    assert found.notes == ()


def test_a_missing_pulumi_is_said_with_the_fix(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CommandError) as caught:
        find_toolchain(project)
    assert caught.value.code is ExitCode.CONFIG
    assert "canary sandbox up" in caught.value.fix


def test_pulumi_is_found_where_its_installer_puts_it(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    installed = project.root.parent / "home" / "bin" / "pulumi"
    executable(installed)
    assert find_toolchain(project).pulumi == installed


def test_the_provider_of_the_plugin_cache_is_named_with_the_sdks_version(tmp_path: Path) -> None:
    home = tmp_path / "home"
    env = {"PATH": str(tmp_path / "bin")}
    assert provider_line(env, home) == f"Kubernetes provider {sdk_version()}, which Pulumi downloads first"
    executable(home / "plugins" / f"resource-kubernetes-v{sdk_version()}" / PROGRAM)
    assert provider_line(env, home) == f"Kubernetes provider {sdk_version()}"


def test_a_provider_on_path_is_named_with_its_place(tmp_path: Path) -> None:
    executable(tmp_path / "bin" / PROGRAM)
    line = provider_line({"PATH": str(tmp_path / "bin")}, tmp_path)
    assert line == f"Kubernetes provider of unknown version from PATH ({tmp_path / 'bin' / PROGRAM})"


def test_the_sdk_asks_for_the_provider_that_the_sandbox_builds() -> None:
    assert sdk_version() == PROVIDER_VERSION, "what the tests run is what `pulumi install` fetches"


def test_the_salt_goes_into_a_copy_and_not_into_the_stacks_file(project: Project, tmp_path: Path) -> None:
    before = project.stack_file("dev").read_text(encoding="utf-8")
    own = own_state(project, "dev", tmp_path / "own")
    assert own is not None
    assert own.config_file.read_text(encoding="utf-8") == before
    with own.config_file.open("a", encoding="utf-8") as file:
        file.write("encryptionsalt: v1:abc\n")  # as the engine does
    project.stack_file("dev").write_text(before + "  shop:y: 2\n", encoding="utf-8")
    again = own_state(project, "dev", tmp_path / "own")
    assert again is not None
    text = again.config_file.read_text(encoding="utf-8")
    assert text == before + "  shop:y: 2\nencryptionsalt: v1:abc\n", "what the person wrote, with the salt of before"
    assert "encryptionsalt" not in project.stack_file("dev").read_text(encoding="utf-8")


def test_the_passphrase_is_made_once_and_is_the_owners_alone(project: Project, tmp_path: Path) -> None:
    def passphrase() -> str:
        own = own_state(project, "dev", tmp_path / "own")
        assert own is not None
        path = Path(own.env["PULUMI_CONFIG_PASSPHRASE_FILE"])
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, "it opens the stack's secrets"
        return path.read_text(encoding="utf-8")

    first = passphrase()
    assert len(first) >= 32
    assert passphrase() == first, "another one would not open the state"


@pytest.mark.parametrize("line", ["encryptionsalt: v1:xyz", "secretsprovider: awskms://alias/x"])
def test_a_file_that_settles_its_secrets_is_its_owners(line: str, project: Project, tmp_path: Path) -> None:
    with project.stack_file("dev").open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")
    assert own_state(project, "dev", tmp_path / "own") is None


def test_the_project_is_found_from_a_folder_below_it(project: Project, tmp_path: Path) -> None:
    below = project.root / "docs" / "deep"
    below.mkdir(parents=True)
    assert find_project(below).root == project.root
    with pytest.raises(CommandError, match=r"no Pulumi\.yaml"):
        find_project(tmp_path)


def test_which_stack_is_meant(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_stack(project, None, lambda: "prod") == "prod", "what `pulumi stack select` chose"
    monkeypatch.setenv("PULUMI_STACK", "dev")
    assert choose_stack(project, None, lambda: "prod") == "dev", "the variable goes before it"
    assert choose_stack(project, "acme/shop/prod", lambda: None) == "acme/shop/prod", "the option goes before both"


def test_no_stack_and_an_unknown_one_are_answered_with_those_that_are_there(project: Project) -> None:
    with pytest.raises(CommandError) as nothing:
        choose_stack(project, None, lambda: None)
    assert "--stack with one of: dev, prod" in nothing.value.fix
    with pytest.raises(CommandError) as unknown:
        choose_stack(project, "prd", lambda: None)
    assert "did you mean --stack prod?" in unknown.value.fix
    assert unknown.value.code is ExitCode.CONFIG
