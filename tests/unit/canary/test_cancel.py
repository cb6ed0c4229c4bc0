"""`canary cancel`: whose lock it releases."""

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
from canary.engine.driver import Engine
from canary.exit_codes import ExitCode


@pytest.fixture
def called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """A project whose backend is a folder; what the engine is told."""
    (tmp_path / "Pulumi.yaml").write_text("name: toy\nruntime: python\n", encoding="utf-8")
    (tmp_path / "Pulumi.dev.yaml").write_text("config: {}\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{tmp_path}")
    told: list[tuple[str, ...]] = []

    def call(self: Engine, *words: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        told.append(words)
        return subprocess.CompletedProcess(words, 0, "", "")

    class Folder:
        home, env, folder = None, dict(os.environ), tmp_path

    monkeypatch.setattr("canary.engine.toolchain.find_toolchain", lambda project: Folder())
    monkeypatch.setattr(Engine, "call", call)
    return told


def lock(folder: Path, pid: int, host: str | None = None) -> None:
    file = folder / ".pulumi/locks/organization/toy/dev/1.json"
    file.parent.mkdir(parents=True)
    said: dict[str, Any] = {"pid": pid, "username": "ann", "hostname": host or socket.gethostname(), "timestamp": "now"}
    file.write_text(json.dumps(said), encoding="utf-8")


def test_the_lock_of_a_run_that_is_running_is_not_released(tmp_path: Path, called: list[tuple[str, ...]]) -> None:
    """It may have begun before a rollout, and would write its old routes as soon as they are Pulumi's again."""
    lock(tmp_path, os.getpid())
    done = CliRunner().invoke(app, ["cancel", "--stack", "dev"])
    assert done.exit_code == ExitCode.LOCKED
    assert f"process {os.getpid()}" in done.stderr
    assert "which is running" in done.stderr
    assert called == []


@pytest.mark.parametrize("host", [None, "elsewhere.example"])
def test_the_lock_of_a_run_that_has_ended_is_released(
    tmp_path: Path, called: list[tuple[str, ...]], host: str | None
) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    lock(tmp_path, process.pid, host)
    assert CliRunner().invoke(app, ["cancel", "--stack", "dev"]).exit_code == ExitCode.OK
    assert called == [("cancel", "--yes")]
