"""`canary rollout plan --engine`: what is lost with another engine, line by line; and what other commands say then."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from rollout.engines.losses import losses
from rollout.engines.target import OtherEngine
from tests.unit.canary.rollouts import World, run
from tests.unit.stacks.engine_stacks import values


@pytest.fixture
def moved(world: World, request: pytest.FixtureRequest) -> World:
    """The same project, where another engine moves the rollout of shop."""
    config = {f"istio-canary:{key}": one for key, one in values("argo").items()}
    world.file.write_text(yaml.safe_dump({"config": config}), encoding="utf-8")
    return world


@pytest.mark.parametrize("engine", ["argo", "flagger"])
def test_every_loss_is_a_line(world: World, engine: OtherEngine) -> None:
    text = run("plan", "website", "--stack", "dev", "--engine", engine).stdout
    for line in losses(engine):
        assert f"- {line}"[:60] in text
    assert world.server.writes == 0


def test_what_the_strategy_asks_for_and_the_engine_refuses_is_named(world: World) -> None:
    text = run("plan", "website", "--stack", "dev", "--engine", "flagger").stdout
    assert "refused" in text
    assert "- approve: no approvals" in text
    assert "- approve" not in run("plan", "website", "--stack", "dev", "--engine", "argo").stdout


def test_the_document_has_the_same(moved: World) -> None:
    done = run("plan", "shop", "--stack", "dev", "--engine", "argo", "--json")
    document = json.loads(done.stdout)
    assert (document["service"], document["engine"], document["refused"]) == ("shop", "argo", [])
    assert document["lost"] == losses("argo")


def test_an_engine_that_does_not_exist_is_refused(world: World) -> None:
    done = run("plan", "website", "--stack", "dev", "--engine", "spinnaker", code=2)
    assert "allowed: argo, flagger" in done.stderr


@pytest.mark.parametrize("verb", ["plan", "start"])
def test_other_verbs_say_who_moves_the_rollout(moved: World, verb: str) -> None:
    done = run(verb, "shop", "--stack", "dev", code=2)
    assert "Argo Rollouts moves the rollout of shop" in done.stderr
    assert "engine: canary" in done.stderr


def test_the_page_that_errors_name_exists() -> None:
    assert (Path(__file__).parents[3] / "docs" / "engines.md").is_file()
