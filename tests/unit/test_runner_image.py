"""The image of the runner: the Dockerfile, `make images` and the sandbox build the same, with what it imports alone."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.builder import runner_image
from sandbox.builder.commands import BuildError
from sandbox.builder.oci import File
from stacks.settings.rollout_runner import RUNNER_IMAGE

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "runner/Dockerfile").read_text(encoding="utf-8")
NEEDED = """
import sys
import rollout.runner, rollout.supervisor, rollout.gate_reader, rollout.limits, rollout.prometheus_readings
import metrics.prometheus, metrics.queries, httpx, httpx2, lightkube
import canary.command_line, canary.commands.rollout, canary.rollout.running
print("\\n".join(sorted(sys.modules)))
"""
"""What `canary rollout run` imports until it has judged a step."""


def imported() -> set[str]:
    """The top packages of all modules that a running runner has."""
    done = subprocess.run([sys.executable, "-c", NEEDED], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_the_runner_imports_what_its_image_has_and_nothing_else() -> None:
    of = importlib.metadata.packages_distributions()
    pinned = {re.sub("[-_.]+", "-", name).lower() for name, _ in runner_image.pinned()}
    missing = {
        name
        for name in imported() - sys.stdlib_module_names
        for library in of.get(name, [])
        if library != "istio-canary" and re.sub("[-_.]+", "-", library).lower() not in pinned
    }
    # click is for the command lines of httpx, where it is installed; the others are of this environment's start.
    assert missing - {"click", "_distutils_hack", "setuptools", "pkg_resources"} == set()
    own = {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()}
    assert imported() & own <= set(runner_image.PACKAGES)
    assert not imported() & {"pulumi", "stacks", "components", "scipy", "numpy", "plotly"}


def test_its_libraries_are_the_releases_of_the_project_with_their_hashes() -> None:
    def entries(file: str) -> dict[str, set[str]]:
        text = (ROOT / file).read_text(encoding="utf-8")
        found = re.findall(r"^([a-z0-9._-]+==\S+).*?\n((?:    --hash=\S+.*\n)+)", text, re.MULTILINE)
        return {name: set(re.findall(r"sha256:[0-9a-f]{64}", hashes)) for name, hashes in found}

    ours, project = entries("runner/requirements.txt"), entries("requirements.txt")
    assert len(ours) > 20
    assert all(ours.values()), "each has a hash"
    assert {name: hashes for name, hashes in project.items() if name in ours} == ours


def test_the_dockerfile_copies_the_code_that_the_sandboxs_image_has_and_runs_it_alike() -> None:
    (recipe,) = runner_image.recipes(ROOT / "runner", "amd64")
    copied = re.findall(r"^COPY (\S+) /opt/canary/(\S+)$", DOCKERFILE, re.MULTILINE)
    assert copied == [(name, name) for name in runner_image.PACKAGES]
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {line.removeprefix("!") for line in ignored if line.startswith("!")} == {
        *runner_image.PACKAGES,
        "runner/requirements.txt",
    }
    assert re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE) == [recipe.user] == ["65532:65532"]
    (entrypoint,) = re.findall(r"^ENTRYPOINT (.*)$", DOCKERFILE, re.MULTILINE)
    assert tuple(json.loads(entrypoint)) == recipe.entrypoint
    (environment,) = re.findall(r"^ENV (.*)$", DOCKERFILE, re.MULTILINE)
    assert dict(word.split("=") for word in environment.split()) == runner_image.ENVIRONMENT
    assert "--require-hashes" in DOCKERFILE


def test_a_stacks_runner_is_the_image_that_is_built() -> None:
    done = subprocess.run(
        ["make", "--dry-run", "image-runner", "CONTAINERS=podman"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    (built,) = [line for line in done.stdout.splitlines() if line.startswith("podman build")]
    assert built == f"podman build --file runner/Dockerfile --tag {RUNNER_IMAGE} ."
    assert runner_image.REFERENCE == RUNNER_IMAGE


def test_changed_code_is_another_image(monkeypatch: pytest.MonkeyPatch) -> None:
    before = runner_image.entry_name("amd64")
    assert runner_image.entry_name("amd64") == before
    assert runner_image.entry_name("arm64") != before
    monkeypatch.setattr(runner_image, "PACKAGES", ("kube",))
    assert runner_image.entry_name("amd64") != before


def test_a_library_of_another_release_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"typer is .*, and requirements.txt of the runner has 0.0.1"):
        runner_image._copy_library("typer", "0.0.1", tmp_path)
    with pytest.raises(BuildError, match="fix: install what the project is tested with: make setup"):
        runner_image._copy_library("no-such-library", "1", tmp_path)


def test_programs_stay_programs(tmp_path: Path) -> None:
    (tmp_path / "usr/local/bin").mkdir(parents=True)
    (tmp_path / "usr/local/bin/python3").touch(mode=0o755)
    (tmp_path / "usr/local/bin/text").touch(mode=0o644)
    (recipe,) = runner_image.recipes(tmp_path, "amd64")
    modes = {one.path: one.mode for one in recipe.contents if isinstance(one, File)}
    assert modes == {"/usr/local/bin/python3": 0o755, "/usr/local/bin/text": 0o644}
