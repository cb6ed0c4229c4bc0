"""The command line: output, streams and exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from canary.app import app
from canary.exit_codes import ExitCode
from canary.ui import Ui

GOOD = """config:
  istio-canary:cluster: {kubeconfig: /nonexistent/kubeconfig}
  istio-canary:services:
    shop:
      hosts: ["*"]
      versions: {one: {image: "shop:1", port: 8080}}
"""
BAD = """config:
  istio-canary:services:
    shop:
      hosts: ["*"]
      versions: {one: {image: "shop:1", port: 808080}}
      route: [{to: {one: 90, two: 20}}]
"""
WITH_STACK = ("preview", "up", "verify", "status", "report", "refresh", "destroy", "cancel")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a valid and an invalid stack, and a pulumi that records its calls."""
    (tmp_path / "Pulumi.yaml").write_text("name: istio-canary\nruntime: python\n", encoding="utf-8")
    (tmp_path / "Pulumi.dev.yaml").write_text(GOOD, encoding="utf-8")
    (tmp_path / "Pulumi.bad.yaml").write_text(BAD, encoding="utf-8")
    pulumi = tmp_path / "bin" / "pulumi"
    pulumi.parent.mkdir()
    pulumi.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/called\nexit 1\n', encoding="utf-8")
    pulumi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{pulumi.parent}:/usr/bin:/bin")
    monkeypatch.setenv("PULUMI_BACKEND_URL", "file:///nonexistent")
    monkeypatch.delenv("PULUMI_STACK", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_the_exit_codes_never_change() -> None:
    assert {code.name: code.value for code in ExitCode} == {
        "OK": 0,
        "FAILED": 1,
        "CONFIG": 2,
        "SPLIT": 3,
        "LOCKED": 4,
        "UNREACHABLE": 5,
        "MACHINE": 6,
        "ABORTED": 7,
        "HELD": 8,
        "POLICY": 9,
        "DIFFERENCES": 10,
        "INTERRUPTED": 130,
    }, "scripts depend on them"


def test_help_names_every_command_and_every_exit_code() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for name in (*WITH_STACK, "check", "explain", "render", "undo", "rollout", "schema", "sandbox"):
        assert f"  {name} " in result.stdout, f"{name} is missing"
    for code in ExitCode:
        assert f" {int(code)} " in " ".join(result.stdout.split()), f"exit code {int(code)} is not explained"


def test_help_imports_no_slow_modules() -> None:
    heavy = ("pulumi", "scipy", "lightkube", "httpx", "ruamel", "pydantic", "grpc", "yaml", "plotly")
    code = (
        "import sys; from canary.app import app; from typer.testing import CliRunner; "
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0; "
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", "--help may take 0.3 s"


@pytest.mark.parametrize("name", WITH_STACK)
def test_every_command_needs_a_stack(name: str, folder: Path) -> None:
    result = run(name)
    assert result.exit_code == ExitCode.CONFIG
    assert "--stack with one of: bad, dev" in result.stderr, "the existing stacks are listed"


@pytest.mark.parametrize("name", WITH_STACK)
def test_every_command_reports_an_unknown_stack(name: str, folder: Path) -> None:
    result = run(name, "--stack", "dve")
    assert result.exit_code == ExitCode.CONFIG
    assert "did you mean --stack dev?" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        *(("preview",), ("up", "--yes"), ("verify",), ("status",), ("destroy", "--yes"), ("explain", "shop")),
        ("undo", "shop", "--yes"),
        ("render",),
    ],
)
def test_invalid_settings_are_reported_before_anything_is_changed(arguments: Sequence[str], folder: Path) -> None:
    result = run(*arguments, "--stack", "bad")
    assert result.exit_code == ExitCode.CONFIG
    assert "Pulumi.bad.yaml:5" in result.stderr, "the port is out of range"
    assert "two" in result.stderr, "the version is not defined"
    assert not (folder / "called").exists(), "the engine was not started"
    assert "Traceback" not in result.stderr


def test_errors_are_json_on_stdout_with_the_option(folder: Path) -> None:
    result = run("preview", "--stack", "bad", "--json")
    error = json.loads(result.stdout)["error"]
    assert error["code"] == result.exit_code == ExitCode.CONFIG
    assert error["kind"] == "config"
    assert "Pulumi.bad.yaml" in error["message"]


@pytest.mark.parametrize("name", ["up", "destroy"])
def test_without_a_terminal_nothing_is_changed_unless_yes_is_given(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kube.client.require", lambda cluster: None)  # the cluster answers: only then destroy asks
    result = run(name, "--stack", "dev")
    assert result.exit_code == ExitCode.CONFIG
    assert f"canary {name} --stack dev --yes" in result.stderr, "the fix is the whole command"
    assert not (folder / "called").exists(), "the engine was not even started"


@pytest.mark.parametrize("arguments", [("status",), ("verify",), ("refresh",), ("destroy", "--yes")])
def test_an_unreachable_cluster_has_its_own_exit_code(arguments: Sequence[str], folder: Path) -> None:
    with (folder / "Pulumi.dev.yaml").open("a", encoding="utf-8") as file:
        file.write("  istio-canary:versionHeader: x-served-version\n")
    result = run(*arguments, "--stack", "dev")
    assert result.exit_code == ExitCode.UNREACHABLE
    assert "/nonexistent/kubeconfig" in result.stderr, "the kubeconfig is named"


@pytest.mark.parametrize("arguments", [("preview", "--stack", "dev"), ("cancel", "--stack", "dev"), ("preview",)])
@pytest.mark.parametrize("content", [b"\x7fELF of another machine (", b"#!/no/such/interpreter\n"])
@pytest.mark.parametrize("with_setpriv", [True, False])
def test_a_pulumi_that_cannot_be_executed_is_named(
    arguments: Sequence[str], content: bytes, with_setpriv: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "bin" / "pulumi").write_bytes(content)
    if not with_setpriv:
        monkeypatch.setattr("canary.engine.driver._ends_with_this_process", lambda operation: [])
    result = run(*arguments)
    assert result.exit_code == ExitCode.CONFIG, result.output
    assert f"{folder}/bin/pulumi cannot be executed" in result.stderr
    assert "install Pulumi for this machine" in result.stderr


def test_an_engine_that_reports_nothing_has_not_succeeded(folder: Path) -> None:
    script = '#!/bin/sh\n[ "$1" = version ] && echo v3.99.0\nexit 0\n'
    (folder / "bin" / "pulumi").write_text(script, encoding="utf-8")
    result = run("preview", "--stack", "dev")
    assert result.exit_code == ExitCode.FAILED
    for words in ("the engine reported nothing", "v3.99.0", "Pulumi 3.200 or newer"):
        assert words in result.stderr


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_lines_to_a_pipe_are_never_wrapped(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    from rich.table import Table

    line = "word " * 1000
    table = Table("path", "value")
    table.add_row("a " * 500, "b " * 500)
    console = getattr(Ui(), name)
    console.print(line)
    console.print(table)
    captured = capsys.readouterr()
    first, *rows = (captured.out if name == "stdout" else captured.err).splitlines()
    assert first.rstrip() == line.rstrip()
    assert len(rows) == 5, "the table's row is a single line between its borders"
    assert max(map(len, rows)) < 2100, "the table is as wide as its content"


def test_verify_needs_the_header_that_names_the_version(folder: Path) -> None:
    result = run("verify", "--stack", "dev", "--gateway", "http://127.0.0.1:1")
    assert result.exit_code == ExitCode.CONFIG
    assert "istio-canary:versionHeader: x-served-version" in result.stderr, "the fix is the line to add"


def test_schema_prints_json(folder: Path) -> None:
    result = run("schema")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["$schema"].startswith("https://json-schema.org/")


@pytest.mark.parametrize("module", ["canary", "canary.app"])
def test_the_package_runs_as_the_command(module: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, "status", "--json", "--none"], capture_output=True, text=True)

    assert done.returncode == ExitCode.CONFIG
    assert "--none" in done.stderr
