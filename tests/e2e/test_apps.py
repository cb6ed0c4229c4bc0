"""The sample services in apps/: runs their tests."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sandbox.builder.go_modules import MODULES, environment_for, find_go

APPS = [module for module in MODULES if module.app]


@pytest.mark.parametrize("folder", [app.folder for app in APPS], ids=[app.name for app in APPS])
def test_the_tests_of_each_service_pass(folder: Path) -> None:
    go = find_go()
    assert go is not None, "the sandbox needs Go, too"
    environment = environment_for(go, Path())
    del environment["GOCACHE"]  # Go's default cache makes the second run fast
    done = subprocess.run(
        [str(go.program), "test", "./..."],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
