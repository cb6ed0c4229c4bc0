"""The program's messages: the commands in them name the stack."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pulumi
import pytest
from typer.main import get_command

from canary.app import app
from stacks import program
from stacks.settings.problems import Problem
from stacks.stack_commands import COMMAND, with_stack


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("run `canary up` again", "run `canary up --stack dev` again"),
        ("`canary rollout abort shop` goes back", "`canary rollout abort shop --stack dev` goes back"),
        ("`canary rollout retry shop REASON` first", "`canary rollout retry shop REASON --stack dev` first"),
        ("`canary up --during-rollout shop`", "`canary up --during-rollout shop --stack dev`"),
        (
            "`canary refresh --stack prod`, then `canary up`",
            "`canary refresh --stack prod`, then `canary up --stack dev`",
        ),
        ("`canary sandbox up`, `pulumi up`, this `up`", "`canary sandbox up`, `pulumi up`, this `up`"),
        ("`canary update`, `canary rollout run`", "`canary update`, `canary rollout run`"),
    ],
)
def test_every_command_that_takes_a_stack_names_it(text: str, expected: str) -> None:
    assert with_stack(text, "dev") == expected
    assert with_stack(expected, "dev") == expected


def test_a_warning_and_the_error_of_a_run_name_its_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(pulumi, "get_stack", lambda: "prod")
    monkeypatch.setattr(pulumi.log, "warn", said.append)
    monkeypatch.setattr(pulumi.log, "error", said.append)
    problem = Problem(path="a", what="b", given="", allowed="c", fix="run `canary rollout abort shop`")
    program.warn([problem])
    with pytest.raises(SystemExit):
        program.fail(str(problem))
    assert len(said) == 2
    assert all("`canary rollout abort shop --stack prod`" in one for one in said)


ROOT = Path(__file__).parents[3]
COMMANDS: Any = get_command(app)
WITHOUT_STACK = {"sandbox", "gate"}


@pytest.mark.parametrize("folder", ["stacks", "rollout"])
def test_no_message_names_a_command_that_is_not_completed(folder: str) -> None:
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / folder).rglob("*.py")]
    code = [re.sub(r'"""(?s:.*?)"""', "", text) for text in texts]
    named = {word for text in code for word in re.findall(r"`canary ([a-z]+)", text)} - WITHOUT_STACK
    assert named
    assert all(COMMAND.search(f"`canary {word}{' abort' if word == 'rollout' else ''}`") for word in named), named


@pytest.mark.parametrize("command", ["up", "refresh", "status", "rollout"])
def test_every_command_that_is_completed_takes_a_stack(command: str) -> None:
    found = COMMANDS.commands[command]
    for one in found.commands.values() if command == "rollout" else (found,):
        takes = any("--stack" in parameter.opts for parameter in one.params)
        name = f"rollout {one.name}" if command == "rollout" else command
        assert bool(COMMAND.search(f"`canary {name}`")) is takes, name
