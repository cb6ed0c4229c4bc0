"""Runs of the real engine with a program of components only, which needs neither cluster nor provider."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from canary.app import app
from canary.exit_codes import ExitCode
from sandbox.cluster.pulumi_home import pulumi_home

pytestmark = pytest.mark.usefixtures("cluster")  # the sandbox builds the engine

PROGRAM = """
import pulumi

class Thing(pulumi.ComponentResource):
    def __init__(self, name):
        super().__init__("test:index:Thing", name)
        self.register_outputs({{}})

{body}
"""
TWO_THINGS = 'Thing("one")\nThing("two")\npulumi.export("answer", 42)'
STACK_FILE = "# a comment\nconfig:\n  other:number: 1\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("PULUMI_BACKEND_URL", "PULUMI_ACCESS_TOKEN", "PULUMI_STACK", "PULUMI_CONFIG_PASSPHRASE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", f"{pulumi_home() / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "home"))  # without a login
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "Pulumi.yaml").write_text("name: test\nruntime: python\n", encoding="utf-8")
    (tmp_path / "Pulumi.dev.yaml").write_text(STACK_FILE, encoding="utf-8")
    write_program(tmp_path, TWO_THINGS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_program(folder: Path, body: str) -> None:
    (folder / "__main__.py").write_text(PROGRAM.format(body=body), encoding="utf-8")


def write_lock(path: Path, pid: int, user: str, host: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    holder = {"pid": pid, "username": user, "hostname": host, "timestamp": "2026-01-01T00:00:00Z"}
    path.write_text(json.dumps(holder), encoding="utf-8")


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, [*arguments, "--stack", "dev"])


def test_a_new_stack_is_deployed_and_its_file_is_not_changed(folder: Path) -> None:
    first = run("up", "--yes", "--json")
    assert first.exit_code == ExitCode.OK, first.output
    document = json.loads(first.stdout)
    assert document["changes"] == {"create": 2}
    assert document["outputs"] == {"answer": 42}
    assert (folder / "Pulumi.dev.yaml").read_text(encoding="utf-8") == STACK_FILE, "no salt, no reformatting"
    second = run("up", "--yes")
    assert "nothing changed, 2 unchanged" in second.stdout


def test_the_lock_of_a_killed_run_is_released_with_a_note(folder: Path) -> None:
    run("up", "--yes")
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    lock = folder / "state/istio-canary/pulumi/.pulumi/locks/organization/test/dev/killed.json"
    holder = {
        "pid": process.pid,
        "username": "me",
        "hostname": socket.gethostname(),
        "timestamp": "2026-01-01T00:00:00Z",
    }
    lock.write_text(json.dumps(holder), encoding="utf-8")
    result = run("up", "--yes")
    assert result.exit_code == ExitCode.OK, result.output
    note = f"released the lock of a run that was killed (me@{socket.gethostname()}, process {process.pid}"
    assert note in result.stderr
    assert not lock.exists()


def test_the_lock_of_another_machine_is_respected_until_it_is_cancelled(folder: Path) -> None:
    run("up", "--yes")
    lock = folder / "state/istio-canary/pulumi/.pulumi/locks/organization/test/dev/other.json"
    write_lock(lock, 1, "her", "elsewhere.example")
    refused = run("up", "--yes")
    assert refused.exit_code == ExitCode.LOCKED
    assert "her@elsewhere.example, process 1, since 2026-01-01T00:00:00Z" in refused.stderr
    assert "canary cancel --stack dev" in refused.stderr
    assert run("cancel").exit_code == ExitCode.OK
    assert run("up", "--yes").exit_code == ExitCode.OK, "the command in the message releases the lock"


def test_a_crash_of_the_program_is_one_error_without_traceback(folder: Path) -> None:
    write_program(folder, "1 / 0")
    result = run("preview")
    assert result.exit_code == ExitCode.FAILED
    assert "division by zero" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_preview_lists_the_changes_and_can_fail_on_them(folder: Path) -> None:
    run("up", "--yes")
    write_program(folder, 'Thing("one")')
    result = run("preview", "--expect-no-changes")
    assert "- Thing two" in result.stdout
    assert "1 to delete, 1 unchanged" in result.stdout
    assert result.exit_code == ExitCode.FAILED
