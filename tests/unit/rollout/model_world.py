"""A small world for the model test: an API server with one rollout's record and its VirtualServices.

The API server's semantics are those that were measured on a real one (1.36, Istio's CRD, Pulumi's provider 4.25):
a write with a stale resourceVersion is refused; an apply that changes nothing does not move resourceVersion; spec.http
is owned as a whole, and an apply without force is refused (409) if another manager owns it and the value differs.
"""

from __future__ import annotations

from typing import NamedTuple

from rollout.record import FIELD_MANAGER, Record

PULUMI = "pulumi-kubernetes-1a2b3c4d"
BACK = 0.0
"""Weight of version-2 after an abort."""


class Mutation(NamedTuple):
    """What a broken protocol leaves out; each must be found to be wrong."""

    precondition: bool = True
    annotation: bool = True
    own_manager: bool = True
    routes_read_first: bool = True
    hand_over_late: bool = True

    @property
    def manager(self) -> str:
        return FIELD_MANAGER if self.own_manager else PULUMI


class Routes(NamedTuple):
    """A VirtualService: the weight of version-2, the annotation, and who owns spec.http."""

    weight: float
    annotation: str = ""
    owners: frozenset[str] = frozenset({PULUMI})


class Write(NamedTuple):
    """A write of routes that is still to be done: to which VirtualService next, and with what."""

    weight: float
    annotation: str
    forward: bool
    rollout: str = ""
    next: int = 0


class Actor(NamedTuple):
    """One process: where it is, what it has seen, and what it still has in hand.

    `fresh` says for each VirtualService whether its resourceVersion is still the one that was read.
    """

    kind: str
    at: str = "idle"
    seen: tuple[Routes, ...] = ()
    fresh: tuple[bool, ...] = ()
    record: int = -1
    write: Write | None = None
    rendered: float = -1.0
    runs_left: int = 1


class State(NamedTuple):
    """All of the world. `allowed` are the weights that may stand now, `fenced` which routes an abort has written."""

    record: int
    routes: tuple[Routes, ...]
    actors: tuple[Actor, ...]
    allowed: frozenset[float]
    fenced: tuple[bool, ...]
    checkpoint: float = 0.0
    harm: str = "none"
    handed_over: bool = False

    def with_actor(self, index: int, actor: Actor) -> State:
        return self._replace(actors=(*self.actors[:index], actor, *self.actors[index + 1 :]))


class Records:
    """The records that were seen, by number. What was sent and told is left out: it decides nothing."""

    def __init__(self) -> None:
        self.all: list[Record] = []
        self._numbers: dict[str, int] = {}

    def number(self, record: Record) -> int:
        bare = record.model_copy(update={"outbox": (), "history": ()})
        text = bare.to_json()
        if text not in self._numbers:
            self._numbers[text] = len(self.all)
            self.all.append(bare)
        return self._numbers[text]


def weight_of(record: Record) -> float:
    """The weight of version-2 that the record wants."""
    return record.target_weight()


def apply_routes(state: State, index: int, weight: float, annotation: str | None, manager: str, force: bool) -> State:
    """Server-side apply of spec.http, and of the annotation if one is given. Raises `ConflictError` as 409 does."""
    before = state.routes[index]
    same = before.weight == weight
    others = before.owners - {manager}
    if others and not same and not force:
        raise ConflictError
    owners = frozenset({manager}) | (others if same else frozenset())
    after = Routes(weight, before.annotation if annotation is None else annotation, owners)
    return state if after == before else moved(state, index, after)


def moved(state: State, index: int, after: Routes) -> State:
    """The world after a VirtualService has changed: nobody's resourceVersion of it is fresh any more."""
    actors = tuple(
        actor._replace(fresh=(*actor.fresh[:index], False, *actor.fresh[index + 1 :]))
        if len(actor.fresh) > index and actor.fresh[index]
        else actor
        for actor in state.actors
    )
    return state._replace(routes=(*state.routes[:index], after, *state.routes[index + 1 :]), actors=actors)


class ConflictError(Exception):
    """409: the field is another manager's, or the resourceVersion is stale."""
