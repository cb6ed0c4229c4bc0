"""Breadth-first search of all states that a model's steps lead to, with the shortest way to what is wrong."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

MOST_STATES = 400_000
"""More states than this are a mistake in the model."""

State = TypeVar("State", bound=Hashable)


@dataclass
class Explored(Generic[State]):
    """What was found: the number of states, the first violation, and states from which no right end is reached.

    `way` leads from the first state to the violation; `ends` are the right ends that are reached.
    """

    states: int = 0
    violation: str | None = None
    way: list[State] = field(default_factory=list)
    stuck: list[State] = field(default_factory=list)
    ends: set[str] = field(default_factory=set)


def search(
    first: State,
    successors: Callable[[State], Iterable[State]],
    broken: Callable[[State], str | None],
    end: Callable[[State], str | None],
) -> Explored[State]:
    """Return what all steps from `first` lead to; ends at the first state that breaks a law.

    `successors` are the states one step further, `broken` is the law that a state breaks, and `end` the name of the
    right end that it is; both are None where there is none.
    """
    parents: dict[State, State | None] = {first: None}
    before: dict[State, list[State]] = {}
    waiting = deque([first])
    while waiting:
        state = waiting.popleft()
        for after in successors(state):
            if after == state:
                continue
            before.setdefault(after, []).append(state)
            if after in parents:
                continue
            parents[after] = state
            wrong = broken(after)
            if wrong is not None:
                return Explored(states=len(parents), violation=wrong, way=_way(after, parents))
            waiting.append(after)
        assert len(parents) <= MOST_STATES, "the model has more states than it should"
    ended = {state: name for state in parents if (name := end(state)) is not None}
    reach = _leading_to(ended, before)
    return Explored(
        states=len(parents), stuck=[state for state in parents if state not in reach], ends=set(ended.values())
    )


def _leading_to(ended: Iterable[State], before: dict[State, list[State]]) -> set[State]:
    """The states from which one of these is reached."""
    reach = set(ended)
    waiting = deque(reach)
    while waiting:
        for earlier in before.get(waiting.popleft(), ()):
            if earlier not in reach:
                reach.add(earlier)
                waiting.append(earlier)
    return reach


def _way(state: State, parents: dict[State, State | None]) -> list[State]:
    way = [state]
    while (earlier := parents[way[-1]]) is not None:
        way.append(earlier)
    return way[::-1]
