"""The images of apps/ elsewhere: the Dockerfile and `make images` build the ones that the sandbox has."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sandbox.builder import images
from sandbox.builder.go_modules import MODULES, version_tuple
from sandbox.builder.oci import Recipe

ROOT = Path(__file__).parents[2]
SERVICES = {"echo", *images.SAMPLE_SERVICES}


@dataclass
class Stage:
    """A stage of a Dockerfile: what it starts from, and its instructions."""

    base: str
    instructions: dict[str, str] = field(default_factory=dict)


def _stages() -> dict[str, Stage]:
    """The Dockerfile's stages by name; the last one, which has none, is `final`."""
    stages: dict[str, Stage] = {}
    name = ""
    for line in (ROOT / "apps/Dockerfile").read_text().splitlines():
        instruction, _, arguments = line.partition(" ")
        if instruction == "FROM":
            base, _, alias = arguments.partition(" AS ")
            name = alias or "final"
            stages[name] = Stage(base)
        elif name and line:
            stages[name].instructions[instruction] = arguments
    return stages


def _inherited(stages: dict[str, Stage], name: str, instruction: str) -> str:
    while instruction not in stages[name].instructions:
        name = stages[name].base
    return stages[name].instructions[instruction]


def _make(*variables: str) -> list[tuple[str, ...]]:
    """What `make images` would run, one tuple of words for each call of the container tool."""
    done = subprocess.run(
        ["make", "--dry-run", "images", "CONTAINERS=podman", *variables],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"]},  # variables of the environment would be Make's variables too
    )
    return [tuple(line.split()) for line in done.stdout.splitlines() if line.startswith("podman ")]


@pytest.fixture(scope="module")
def recipes() -> dict[str, Recipe]:
    made = images._apps(Path, "amd64")
    return {recipe.reference: recipe for recipe in made}


def test_make_builds_the_image_of_every_service_from_a_stage_that_runs_it_like_the_sandboxs(
    recipes: dict[str, Recipe],
) -> None:
    stages = _stages()
    built = {}
    for command in _make():
        if "runner/Dockerfile" in command:
            continue  # test_runner_image.py
        found = re.fullmatch(r"podman build --build-arg SERVICE=(\S+) --tag (\S+) apps", " ".join(command))
        assert found, command
        built[found[2]] = stages[found[1]]
        assert _inherited(stages, found[1], "USER") == recipes[found[2]].user
    assert {reference: tuple(json.loads(stage.instructions["ENTRYPOINT"])) for reference, stage in built.items()} == {
        reference: recipe.entrypoint for reference, recipe in recipes.items()
    }


def test_the_images_that_make_builds_have_the_registry_that_is_given_and_are_only_pushed_on_request() -> None:
    built = _make("REGISTRY=registry.example.com/team/")
    assert len(built) == len(SERVICES) + 2, "java-service has two releases, and the runner is no service"
    for command in built:
        assert command[1] == "build"
        assert command[5].startswith("registry.example.com/team/")
    pushed = [command[2] for command in _make("REGISTRY=registry.example.com/team", "PUSH=1") if command[1] == "push"]
    assert pushed == [command[5] for command in built]
    assert _make("PUSH=0") == _make() == _make("PUSH=") == _make("PUSH=false")
    assert _make("PUSH=true") == _make("PUSH=1") != _make()


def test_the_dockerfile_builds_the_service_that_its_argument_names_with_a_go_that_is_new_enough() -> None:
    stages = _stages()
    assert stages["final"] == Stage("${SERVICE}"), "the last stage is the one that is built"
    assert set(stages) >= SERVICES
    version = re.search(r"^ARG GO_VERSION=(\S+)$", (ROOT / "apps/Dockerfile").read_text(), re.MULTILINE)
    (apps,) = (module for module in MODULES if module.app)
    assert version
    assert version_tuple(version[1])[:2] >= apps.go_version[:2]
    copied = {stage.instructions["COPY"] for stage in stages.values() if stage.base == "scratch"}
    assert copied == {f"--from=build /out/{program} /{program}" for program in apps.programs}


def test_the_readme_lists_every_service_with_its_port() -> None:
    rows = re.findall(
        r"^\| `([a-z-]+)` \| (\d+) \|", (ROOT / "apps/README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    go = "".join(file.read_text() for file in (ROOT / "apps/samples").rglob("*.go"))
    ports = dict(re.findall(r'Name:\s*"([a-z-]+)",\s*Listen:\s*":(\d+)"', go))
    assert set(ports) == set(images.SAMPLE_SERVICES)
    assert dict(rows) == {"echo": "8080", **ports}
