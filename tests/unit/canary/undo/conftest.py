"""What the tests of `canary undo` share: a project, and what takes the place of the engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.canary.undo.undoing import STACK, Runs


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stack's file in a project."""
    (tmp_path / "Pulumi.yaml").write_text("name: istio-canary\nruntime: python\n", encoding="utf-8")
    path = tmp_path / "Pulumi.dev.yaml"
    path.write_text(STACK, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PULUMI_BACKEND_URL", "file:///nonexistent")
    return path


@pytest.fixture
def runs(file: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    """Takes the place of the engine's runs."""
    found = Runs(file)
    monkeypatch.setattr("canary.engine.session.report_of", found)
    return found
