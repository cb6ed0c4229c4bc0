"""What is lost with another engine, and which keys of a strategy it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.engines.losses import LOSSES, impossible, losses
from rollout.engines.target import OtherEngine
from traffic.model.rollout import RolloutCapacity, RolloutDeadline, RolloutStep, RolloutStrategy, RolloutWindow
from traffic.model.rollout_gates import RolloutGates
from traffic.model.rollout_limits import RolloutLimits

STEPS = (RolloutStep(weight=10.0), RolloutStep(weight=100.0))
REFUSED: dict[str, tuple[Any, tuple[OtherEngine, ...]]] = {
    "windows": ((RolloutWindow(from_="09:00", to="16:00"),), ("argo", "flagger")),
    "capacity": (RolloutCapacity(headroom=1.5), ("argo", "flagger")),
    "limits": (RolloutLimits(errors="2%"), ("argo", "flagger")),
    "on_harm": ("pause", ("argo", "flagger")),
    "on_no_data": ("abort", ("argo", "flagger")),
    "on_supersede": ("abort", ("argo", "flagger")),
    "together": (True, ("argo", "flagger")),
    "keep_previous": ("2h", ("flagger",)),
    "promote": ("hand", ("flagger",)),
    "deadline": (RolloutDeadline(step="30m"), ("flagger",)),
}


def strategy(engine: str, **keys: Any) -> RolloutStrategy:
    return RolloutStrategy(**{"steps": STEPS, "engine": engine, **keys})


@pytest.mark.parametrize("engine", ["argo", "flagger"])
@pytest.mark.parametrize("key", REFUSED)
def test_a_key_is_refused_by_the_engines_that_cannot_do_it(key: str, engine: OtherEngine) -> None:
    value, engines = REFUSED[key]
    found = [one.key for one in impossible(strategy(engine, **{key: value}))]
    assert found == ([key] if engine in engines else [])


@pytest.mark.parametrize(
    ("engine", "changes", "keys"),
    [
        ("argo", {"deadline": RolloutDeadline(total="2h")}, ["deadline"]),
        ("argo", {"deadline": RolloutDeadline(then="abort")}, ["deadline"]),
        ("flagger", {"gates": RolloutGates(promote="hand")}, ["promote"]),
        ("flagger", {"steps": (RolloutStep(weight=10.0, approve=True), STEPS[1])}, ["approve"]),
        ("argo", {"steps": (RolloutStep(weight=10.0, approve=True), STEPS[1])}, []),
        ("canary", {"on_harm": "pause", "limits": RolloutLimits(errors="2%")}, []),
    ],
)
def test_what_depends_on_the_value_is_looked_at(engine: str, changes: dict[str, Any], keys: list[str]) -> None:
    assert [one.key for one in impossible(strategy(engine, **changes))] == keys


@pytest.mark.parametrize("engine", ["argo", "flagger"])
def test_a_plain_strategy_with_gates_is_possible(engine: str) -> None:
    assert impossible(strategy(engine, gates=RolloutGates())) == []


@pytest.mark.parametrize("engine", ["argo", "flagger"])
def test_what_is_lost_is_said_once_each(engine: OtherEngine) -> None:
    lines = losses(engine)
    assert len(lines) == len(set(lines)) > 8
    assert any("no durable abort" in line for line in lines)


def test_every_key_is_one_of_a_strategy_or_of_a_step() -> None:
    keys = {one.key for one in LOSSES} - {""}
    assert keys <= {*RolloutStrategy.model_fields, *RolloutStep.model_fields}
