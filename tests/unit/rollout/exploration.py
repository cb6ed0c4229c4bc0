"""Breadth-first exploration of all states of the model, with the shortest way to what is wrong."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from tests.unit.rollout.model_actors import SETTLED, World, broken
from tests.unit.rollout.model_world import Actor, Mutation, Routes, State, weight_of
from tests.unit.rollout.records import GATES, record_of


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


@dataclass
class Explored:
    """What was found: the number of states, the first violation, and states from which no right end is reached."""

    states: int = 0
    violation: str | None = None
    way: list[State] = field(default_factory=list)
    stuck: list[State] = field(default_factory=list)
    ends: set[str] = field(default_factory=set)


def explore(scenario: Scenario, mutation: Mutation | None = None, most: int = 400_000) -> Explored:
    """Return what all interleavings and kills of `scenario` lead to; ends at the first violation."""
    world = World(mutation)
    first = _first(world, scenario)
    parents: dict[State, State | None] = {first: None}
    before: dict[State, list[State]] = {}
    waiting = deque([first])
    found = Explored()
    while waiting:
        state = waiting.popleft()
        for after in world.successors(state):
            if after == state:
                continue
            before.setdefault(after, []).append(state)
            if after in parents:
                continue
            parents[after] = state
            wrong = broken(after, world.records.all[after.record])
            if wrong is not None:
                return Explored(states=len(parents), violation=wrong, way=_way(after, parents))
            waiting.append(after)
        assert len(parents) <= most, "the model has more states than it should"
    ended = [state for state in parents if _ended_rightly(world, state)]
    reach = set(ended)
    waiting = deque(ended)
    while waiting:
        for earlier in before.get(waiting.popleft(), ()):
            if earlier not in reach:
                reach.add(earlier)
                waiting.append(earlier)
    found.states = len(parents)
    found.stuck = [state for state in parents if state not in reach]
    found.ends = {world.records.all[state.record].phase.value for state in ended}
    return found


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


def _ended_rightly(world: World, state: State) -> bool:
    """Completed, Aborted or Undone, with the weight of it everywhere."""
    record = world.records.all[state.record]
    if record.phase not in SETTLED:
        return False
    return all(routes.weight == weight_of(record) for routes in state.routes)


def _way(state: State, parents: dict[State, State | None]) -> list[State]:
    way = [state]
    while (earlier := parents[way[-1]]) is not None:
        way.append(earlier)
    return way[::-1]
