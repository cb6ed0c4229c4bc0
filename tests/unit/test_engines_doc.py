"""docs/engines.md: its file loads for both engines, its commands exist, and its answers are those of the service."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from canary.app import app
from rollout.engines.flagger import HOOKS, METRIC
from rollout.engines.losses import LOSSES
from rollout.gate_service.answers import NOT_NOW, document
from rollout.gate_service.judging import UNKNOWN_AFTER, GateAnswer
from rollout.gate_service.watching import HEALTHY
from rollout.gates.decide import Answer
from stacks.settings.engines import engines_of
from stacks.settings.gate_service import GateServiceSettings
from stacks.settings.loading import load, warnings
from stacks.settings.model import Settings
from tests.unit.canary.rollouts import World, run

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "engines.md").read_text(encoding="utf-8")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A project, and an empty cluster."""
    return World(tmp_path, monkeypatch)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def stack(engine: str) -> dict[str, Any]:
    given = yaml.safe_load(blocks("yaml")[0].replace("engine: argo", f"engine: {engine}"))
    return {key.partition(":")[2]: value for key, value in given.items()}


def loaded(engine: str) -> Settings:
    return load(stack(engine))


@pytest.mark.parametrize("engine", ["argo", "flagger"])
def test_the_file_of_the_page_loads_for_both_engines_without_a_warning(engine: str) -> None:
    settings = loaded(engine)
    assert engines_of(settings)["shop"].engine == engine
    assert [one.what for one in warnings(settings) if "rollout" in one.path] == []


def test_every_command_exists_with_its_options() -> None:
    commands: Any = get_command(app)
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    assert len(lines) > 5
    for line in lines:
        program, *words = shlex.split(line)
        assert program == "canary"
        found = commands
        while hasattr(found, "commands"):
            found = found.commands[words.pop(0)]
        flags = {flag for parameter in found.params for flag in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= flags, line


@pytest.mark.parametrize("line", blocks("bash")[0].splitlines())
def test_the_commands_that_say_what_is_lost_run_without_a_cluster(line: str, world: World) -> None:
    config = {f"istio-canary:{key}": one for key, one in stack("argo").items()}
    (world.folder / "Pulumi.prod.yaml").write_text(yaml.safe_dump({"config": config}), encoding="utf-8")
    text = run(*shlex.split(line)[2:]).stdout
    assert "no durable abort" in text
    assert world.server.writes == 0


def test_the_answer_of_the_page_has_the_keys_of_an_answer() -> None:
    (shown,) = map(json.loads, blocks("json"))
    answer = GateAnswer(answer=Answer.HOLD, reason="")
    assert list(shown) == list(document("shop", "shop", answer))
    assert (shown["answer"], shown["pass"], shown["harm"]) == ("Hold", False, False)


def test_every_path_and_status_is_that_of_the_service() -> None:
    for hook in HOOKS:
        assert f"/<service>/{hook}`" in PAGE
    assert f"else {NOT_NOW}" in PAGE
    assert METRIC in PAGE
    assert f"for {HEALTHY:.0f} s" in PAGE
    assert f"for {UNKNOWN_AFTER:.0f} s" in PAGE


def test_who_may_ask_is_as_the_page_says() -> None:
    assert GateServiceSettings().allowed_namespaces == ("argo-rollouts", "flagger-system")
    assert not GateServiceSettings().enabled


def test_what_the_page_says_is_refused_is_refused() -> None:
    refused = {one.key for one in LOSSES if "argo" in one.engines}
    assert {"windows", "hooks", "limits"} <= refused
