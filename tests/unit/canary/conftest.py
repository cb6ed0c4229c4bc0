"""What the tests of `canary rollout` share: a project and a cluster with a rollout."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.canary.rollouts import World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A project with the stack dev, and an empty cluster."""
    return World(tmp_path, monkeypatch)


@pytest.fixture
def deployed(world: World) -> World:
    """The same after `up`: the rollout of website is Pending."""
    world.up()
    return world
