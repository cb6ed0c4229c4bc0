"""docs/samples.md is in step with its files and with the program; tests/e2e/test_samples_page.py runs its commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from canary.app import app
from stacks.settings.loading import load_stack, warnings
from stacks.settings.model import Sample
from tests.samples_page import PAGE, PIECES, Step, pieces, steps

ROOT = PAGE.parents[1]
BASE = ROOT / "Pulumi.samples.yaml"
FILES = sorted(PIECES.glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_piece_after_the_stack_of_all_samples_is_a_stack_without_problems(file: Path, tmp_path: Path) -> None:
    tour = tmp_path / "Pulumi.tour.yaml"
    tour.write_text(BASE.read_text() + file.read_text())
    loaded = load_stack(tour)

    assert warnings(loaded.settings, loaded.source) == ()
    (name,) = yaml.safe_load(file.read_text())
    assert name in loaded.settings.services, "it is added to the services"


def test_every_piece_is_shown_and_every_shown_piece_is_a_file() -> None:
    assert sorted(pieces()) == sorted(file.read_text() for file in FILES)
    used = re.findall(r"docs/samples/([\w-]+\.yaml)", PAGE.read_text())
    assert sorted(used) == [file.name for file in FILES], "each is used once, in its step"


def test_every_command_of_canary_on_the_page_exists() -> None:
    known = get_command(app).commands  # type: ignore[attr-defined]
    words = [shlex.split(command) for step in steps() for command in step.commands if command.startswith("canary ")]

    assert len(words) > 20
    for program, name, *options in words:
        assert program == "canary"
        assert name in known
        command = known[name].commands[options[0]] if name == "rollout" else known[name]
        flags = {flag for parameter in command.params for flag in parameter.opts}
        assert {option for option in options if option.startswith("-")} <= flags, (name, options)


@pytest.mark.parametrize("sample", Sample)
def test_every_sample_is_named_on_the_page(sample: Sample) -> None:
    assert sample.value in PAGE.read_text()


def test_the_edits_of_the_page_change_the_file_that_they_are_for(tmp_path: Path) -> None:
    """Each `sed` finds what it replaces in the file as the commands before it left it."""
    tour = tmp_path / "Pulumi.tour.yaml"
    for command in (command for step in steps() for command in step.commands):
        program, *words = shlex.split(command)
        if program == "cat":
            tour.write_text("".join((ROOT / name).read_text() for name in words[: words.index(">")]))
        elif program == "cp":
            tour.write_text((ROOT / words[0]).read_text())
        elif program == "sed":
            script = words[1] if words[0] == "-i" else words[0]
            source = tour if words[0] == "-i" else ROOT / words[1]
            before = source.read_text()
            _, pattern, replacement, _ = re.split(r"(?<!\\)/", script)
            replaced = replacement.replace("&", r"\g<0>").replace(r"\/", "/")
            after = re.sub(pattern, replaced, before, flags=re.MULTILINE)
            assert after != before, command
            tour.write_text(after)
            assert load_stack(tour).settings.services, command


def test_a_step_compares_spaces_as_one_and_anything_where_the_page_has_dots() -> None:
    step = Step(("x",), ("   80 200", "pod=hello-…", "…"))

    assert step.missing("80 200\npod=hello-abc") == []
    assert step.missing("  80  200") == ["pod=hello-…"]
    assert step.missing("80 503\npod=hello-") == ["   80 200"]
