"""The project's own services in apps/: runs Go's checks and tests, and builds the programs of their images."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sandbox.builder.go_modules import MODULES, environment_for, find_go

(APPS,) = (module for module in MODULES if module.app)
LARGEST_IMAGE = 20 * 1024 * 1024


def _go(*arguments: str) -> None:
    go = find_go()
    assert go is not None, "the sandbox needs Go, too"
    environment = environment_for(go, Path())
    del environment["GOCACHE"]  # Go's default cache makes the second run fast
    done = subprocess.run(
        [str(go.program), *arguments, "./..."],
        cwd=APPS.folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", ["vet", "test"])
def test_the_services_pass_go(command: str) -> None:
    _go(command)


def test_the_programs_fit_into_small_images(tmp_path: Path) -> None:
    _go("build", f"-ldflags={APPS.linker_flags}", "-o", f"{tmp_path}/")
    assert {program.name for program in tmp_path.iterdir()} == set(APPS.programs)
    for program in tmp_path.iterdir():
        assert program.stat().st_size < LARGEST_IMAGE, f"{program.name} is the only file of its images"
