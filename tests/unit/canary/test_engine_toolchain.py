"""Which state backend, which provider and which stack are used."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from canary.command_error import CommandError
from canary.engine.kubernetes_provider import PROGRAM, provider_line, sdk_version
from canary.engine.local_backend import local_backend
from canary.engine.toolchain import find_toolchain
from canary.exit_codes import ExitCode
from canary.project import Project, choose_stack, find_project
from sandbox.builder.go_modules import PROVIDER_VERSION

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
    """A project on a machine with pulumi, without a login and without the developer's environment variables."""
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


def test_without_a_login_the_state_is_kept_in_a_local_backend(project: Project, tmp_path: Path) -> None:
    found = find_toolchain(project)
    assert found.home == tmp_path / "state" / "istio-canary" / "pulumi"
    assert found.env["PULUMI_BACKEND_URL"] == found.home.as_uri()
    assert any(str(found.home) in note for note in found.notes), "the user must know where the state is"


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
def test_a_configured_backend_is_used(choose: Any, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    choose(project, monkeypatch)
    found = find_toolchain(project)
    assert found.home is None, "the state must not be split over two backends"
    assert found.notes == ()


def test_a_missing_pulumi_is_reported_with_the_fix(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CommandError) as caught:
        find_toolchain(project)
    assert caught.value.code is ExitCode.CONFIG
    assert "canary sandbox up" in caught.value.fix


def test_pulumi_is_found_in_the_folder_of_its_installer(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    installed = project.root.parent / "home" / "bin" / "pulumi"
    executable(installed)
    assert find_toolchain(project).pulumi == installed


def test_the_provider_from_the_plugin_cache_has_the_sdks_version(tmp_path: Path) -> None:
    home = tmp_path / "home"
    env = {"PATH": str(tmp_path / "bin")}
    assert provider_line(env, home) == f"Kubernetes provider {sdk_version()}, to be downloaded by Pulumi"
    executable(home / "plugins" / f"resource-kubernetes-v{sdk_version()}" / PROGRAM)
    assert provider_line(env, home) == f"Kubernetes provider {sdk_version()}"


def test_a_provider_on_path_is_named_with_its_path(tmp_path: Path) -> None:
    executable(tmp_path / "bin" / PROGRAM)
    line = provider_line({"PATH": str(tmp_path / "bin")}, tmp_path)
    assert line == f"Kubernetes provider of unknown version from PATH ({tmp_path / 'bin' / PROGRAM})"


def test_the_sdk_requires_the_provider_that_the_sandbox_builds() -> None:
    assert sdk_version() == PROVIDER_VERSION, "the tests must run the provider that `pulumi install` fetches"


def test_the_salt_is_written_to_a_copy_and_not_to_the_stacks_file(project: Project, tmp_path: Path) -> None:
    before = project.stack_file("dev").read_text(encoding="utf-8")
    backend = local_backend(project, "dev", tmp_path / "local")
    assert backend is not None
    assert backend.config_file.read_text(encoding="utf-8") == before
    with backend.config_file.open("a", encoding="utf-8") as file:
        file.write("encryptionsalt: v1:abc\n")  # as the engine does
    project.stack_file("dev").write_text(before + "  shop:y: 2\n", encoding="utf-8")
    updated = local_backend(project, "dev", tmp_path / "local")
    assert updated is not None
    text = updated.config_file.read_text(encoding="utf-8")
    assert text == before + "  shop:y: 2\nencryptionsalt: v1:abc\n", "the changed file, with the earlier salt"
    assert "encryptionsalt" not in project.stack_file("dev").read_text(encoding="utf-8")


def test_the_passphrase_is_generated_once_and_readable_only_by_its_owner(project: Project, tmp_path: Path) -> None:
    def passphrase() -> str:
        backend = local_backend(project, "dev", tmp_path / "local")
        assert backend is not None
        path = Path(backend.env["PULUMI_CONFIG_PASSPHRASE_FILE"])
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, "it decrypts the stack's secrets"
        return path.read_text(encoding="utf-8")

    first = passphrase()
    assert len(first) >= 32
    assert passphrase() == first, "another one would not decrypt the state"


@pytest.mark.parametrize("line", ["encryptionsalt: v1:xyz", "secretsprovider: awskms://alias/x"])
def test_a_file_with_a_salt_or_secrets_provider_is_used_as_it_is(line: str, project: Project, tmp_path: Path) -> None:
    with project.stack_file("dev").open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")
    assert local_backend(project, "dev", tmp_path / "local") is None


def test_the_project_is_found_from_a_subfolder(project: Project, tmp_path: Path) -> None:
    below = project.root / "docs" / "deep"
    below.mkdir(parents=True)
    assert find_project(below).root == project.root
    with pytest.raises(CommandError, match=r"no Pulumi\.yaml"):
        find_project(tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"name: caf\xe9\n", "is not UTF-8"),
        (b"name: [", "is not YAML"),
        (b"runtime: python\n", "names no project"),
        (None, "cannot be read: Is a directory"),
    ],
)
def test_an_unusable_pulumi_yaml_is_reported_with_its_path(content: bytes | None, words: str, project: Project) -> None:
    path = project.root / "Pulumi.yaml"
    path.unlink()
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(CommandError, match=words) as caught:
        find_toolchain(project)
    assert caught.value.code is ExitCode.CONFIG
    assert str(path) in caught.value.message


def test_the_stack_is_the_option_else_the_variable_else_the_selected_one(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choose_stack(project, None, lambda: "prod") == "prod", "selected with `pulumi stack select`"
    monkeypatch.setenv("PULUMI_STACK", "dev")
    assert choose_stack(project, None, lambda: "prod") == "dev", "the variable overrides the selection"
    assert choose_stack(project, "acme/shop/prod", lambda: None) == "acme/shop/prod", "the option overrides both"


def test_a_missing_or_unknown_stack_is_reported_with_the_known_ones(project: Project) -> None:
    with pytest.raises(CommandError) as missing:
        choose_stack(project, None, lambda: None)
    assert "--stack with one of: dev, prod" in missing.value.fix
    with pytest.raises(CommandError) as unknown:
        choose_stack(project, "prd", lambda: None)
    assert "did you mean --stack prod?" in unknown.value.fix
    assert unknown.value.code is ExitCode.CONFIG
