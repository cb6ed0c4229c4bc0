"""Scenarios of the model, and the exploration of all that they lead to."""

from __future__ import annotations

from dataclasses import dataclass

from tests.unit.rollout.model_actors import SETTLED, World, broken
from tests.unit.rollout.model_world import Actor, Mutation, Routes, State, weight_of
from tests.unit.rollout.records import GATES, record_of
from tests.unit.rollout.state_search import Explored, search


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Who is there, and how many VirtualServices."""

    runners: int = 2
    aborts: int = 1
    blind_aborts: int = 0
    forced_aborts: int = 0
    retries: int = 0
    undos: int = 0
    pauses: int = 0
    ups: int = 1
    virtual_services: int = 1
    harm: bool = False
    gates: bool = False
    hand_over: bool = False
    steps: tuple[float, ...] = (10, 100)


def explore(scenario: Scenario, mutation: Mutation | None = None) -> Explored[State]:
    """Return what all interleavings and kills of `scenario` lead to; ends at the first violation."""
    world = World(mutation)
    return search(
        _first(world, scenario),
        world.successors,
        lambda state: broken(state, world.records.all[state.record]),
        lambda state: _right_end(world, state),
    )


def _first(world: World, scenario: Scenario) -> State:
    count = scenario.virtual_services
    actors = [Actor("runner")] * scenario.runners + [Actor("abort")] * scenario.aborts
    actors += [Actor("blind")] * scenario.blind_aborts + [Actor("forced")] * scenario.forced_aborts
    actors += [Actor("retry")] * scenario.retries + [Actor("undo")] * scenario.undos
    actors += [Actor("pauser")] * scenario.pauses
    if scenario.ups:
        actors.append(Actor("up", runs_left=scenario.ups))
    return State(
        record=world.records.number(record_of(scenario.steps, gates=GATES if scenario.gates else None)),
        routes=(Routes(0.0),) * count,
        actors=tuple(actors),
        allowed=frozenset({0.0}),
        fenced=(False,) * count,
        harm="possible" if scenario.harm else "none",
        handed_over=not scenario.hand_over,
    )


def _right_end(world: World, state: State) -> str | None:
    """Completed, Aborted or Undone, if the weight of it is everywhere."""
    record = world.records.all[state.record]
    if record.phase not in SETTLED or any(routes.weight != weight_of(record) for routes in state.routes):
        return None
    return record.phase.value
