"""Every stack file of the cases and of docs/routing.md goes through every command that needs no cluster."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from canary.app import app
from canary.exit_codes import ExitCode

ROOT = Path(__file__).parents[3]
FILES = [
    file
    for folder in ("tests/cases", "docs/routing")
    for file in sorted((ROOT / folder).rglob("*.yaml"))
    if isinstance(content := yaml.safe_load(file.read_text(encoding="utf-8")), dict)
    and "istio-canary:services" in content.get("config", {})
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one stack, `case`."""
    shutil.copy(ROOT / "Pulumi.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str) -> tuple[int, str]:
    """Run a command on the stack; returns its exit code and stdout."""
    result = CliRunner().invoke(app, [*words, "--stack", "case"])
    assert result.exception is None or isinstance(result.exception, SystemExit), (words, result.exception)
    return result.exit_code, result.stdout


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_file_is_explained_checked_rendered_and_compared(file: Path, project: Path) -> None:
    shutil.copy(file, project / "Pulumi.case.yaml")
    services = yaml.safe_load(file.read_text(encoding="utf-8"))["config"]["istio-canary:services"]
    code, checked = run("check", "--json")
    assert code in (ExitCode.OK, ExitCode.CONFIG, ExitCode.POLICY), checked
    if code == ExitCode.CONFIG:
        return
    for service in services:
        for words in (("explain", service), ("explain", service, "--json")):
            code, printed = run(*words)
            assert code in (ExitCode.OK, ExitCode.CONFIG), printed
            assert printed or code == ExitCode.CONFIG
    code, rendered = run("render", "--skip-charts", "--json")
    assert code == ExitCode.OK
    assert json.loads(rendered)["items"], "the stack has objects"
    before = project / "before"
    before.mkdir()
    shutil.copy(file, before / "Pulumi.case.yaml")
    code, compared = run("diff", str(before), str(project), "--json", "--no-policies")
    assert code == ExitCode.OK, compared
