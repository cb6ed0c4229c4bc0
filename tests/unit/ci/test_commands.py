"""What the pipelines call exists: scripts, Make's targets, and the commands of `canary` with their options."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from canary.app import app
from tests.unit.ci.pipelines import ROOT, commands, shell_lines

CANARY = sorted({tuple(arguments) for arguments in commands("canary")})
MODULES = sorted({found for line in shell_lines() for found in re.findall(r"-m ([\w.]+)", line)})
TARGETS = {word for arguments in commands("make") for word in arguments}


@pytest.mark.parametrize("arguments", CANARY, ids=" ".join)
def test_a_command_of_canary_exists_with_its_options(arguments: tuple[str, ...]) -> None:
    group = typer.main.get_command(app)
    name, *rest = arguments
    found = getattr(group, "commands")[name]  # noqa: B009 - typer does not tell that it is a group
    found.make_context(name, rest)


def test_the_review_and_each_run_check_the_stacks() -> None:
    assert {arguments[0] for arguments in CANARY} == {"check", "diff"}


@pytest.mark.parametrize("module", MODULES)
def test_a_script_exists_and_says_how_it_is_called(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert f"usage: python3 -m {module}" in done.stdout


def test_every_shell_script_exists_and_is_executable_or_sourced() -> None:
    named = {found for line in shell_lines() for found in re.findall(r"ci/[\w-]+\.sh", line)}
    scripts = {f"ci/{path.name}" for path in (ROOT / "ci").glob("*.sh")}
    assert named <= scripts
    for script in scripts:
        sourced = any(line == f"source {script}" for line in shell_lines())
        assert os.access(ROOT / script, os.X_OK) is not sourced
        assert "set -euo pipefail" in (ROOT / script).read_text()


def test_every_target_of_make_exists() -> None:
    assert {"setup", "lint", "unit", "e2e"} == TARGETS
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in TARGETS)


@pytest.mark.parametrize("path", sorted((ROOT / "ci").glob("*.py")), ids=lambda path: path.name)
def test_a_script_needs_the_standard_library_alone(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            assert name.partition(".")[0] in sys.stdlib_module_names | {"ci"}, "jobs with a token install nothing"
