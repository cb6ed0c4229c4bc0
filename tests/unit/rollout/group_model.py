"""A world with a group for its model test: the group's record, the members' records, their routes, and the Envoys.

Each call to the API server is one step of the exploration, and so is each time that the Envoys follow. All runners
always believe that they hold the Lease; every actor may sleep or be killed between any two calls. All decisions are
those of the real machines. Members are a callee first: its caller must never be further than it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from rollout import group_machine
from rollout.decision import Facts
from rollout.gates.decide import Answer
from rollout.group_machine import Member
from rollout.group_record import GroupRecord
from rollout.group_verbs import GroupDecision, abort_group, begin_group
from rollout.record import FIELD_MANAGER, Phase
from rollout.verbs import abort, pause, resume
from tests.unit.rollout.model_actors import HARM
from tests.unit.rollout.model_world import Records, weight_of
from tests.unit.rollout.records import START, fixed, verdict, weights
from tests.unit.rollout.sample_groups import GROUP, members_of
from tests.unit.rollout.state_search import Explored, search

SERVICES = ("articles", "web-api", "frontend")
RUNNING = (Phase.PENDING, Phase.PROGRESSING)

Advance = Callable[..., GroupDecision]


class Seen(NamedTuple):
    """A member in one look: its record, its routes, and whether every Envoy has them."""

    record: int
    weight: float
    annotation: str
    follows: bool


class Service(NamedTuple):
    """A member in the cluster; `envoys` is the weight that the Envoys have."""

    record: int
    weight: float = 0.0
    annotation: str = ""
    envoys: float = 0.0


class Todo(NamedTuple):
    """What an actor still has in hand of one member: its record, if any, then its routes, if any."""

    member: int
    record: int
    after: int
    weight: float | None
    annotation: str


class Actor(NamedTuple):
    """One process: `seen` grows member by member, then the group is read, then `todo` is carried out.

    `fresh` says for each member whether the resourceVersion of its VirtualService is still the one that was read.
    """

    kind: str
    at: str = "idle"
    seen: tuple[Seen, ...] = ()
    fresh: tuple[bool, ...] = ()
    todo: tuple[Todo, ...] = ()
    runs_left: int = 1


class State(NamedTuple):
    """All of the world."""

    group: int
    services: tuple[Service, ...]
    actors: tuple[Actor, ...]
    harm: str = "none"


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Who is there: runners that begin again after a kill, and late ones, which take one turn at any time.

    `harmful` is the member whose new version may be found to be harmful, `alone` the one that somebody aborts alone.
    Without `kills` every actor may still sleep between any two calls, for as long as it likes.
    """

    members: int = 2
    runners: int = 1
    late: int = 0
    aborts: int = 0
    alone: int | None = None
    pauses: int = 0
    harmful: int | None = None
    gates: bool = False
    kills: bool = True
    steps: tuple[float, ...] = (10, 100)


class Groups:
    """The records of the group that were seen, by number; its history decides nothing."""

    def __init__(self) -> None:
        self.all: list[GroupRecord] = []
        self._numbers: dict[str, int] = {}

    def number(self, group: GroupRecord) -> int:
        bare = group.model_copy(update={"history": ()})
        text = bare.to_json()
        if text not in self._numbers:
            self._numbers[text] = len(self.all)
            self.all.append(bare)
        return self._numbers[text]


class GroupWorld:
    """All steps of all actors, from any state. `advance` is the group's machine, or a broken one."""

    def __init__(self, scenario: Scenario, advance: Advance = group_machine.advance) -> None:
        self.scenario = scenario
        self.records, self.groups = Records(), Groups()
        self._advance = advance
        self._decided: dict[tuple[int, tuple[Seen, ...], bool], GroupDecision] = {}

    def first(self) -> State:
        """Nothing has moved; the group's record is there."""
        one = self.scenario
        begun: dict[str, Any] = {"started_at": START} if one.late else {}
        records = members_of(SERVICES[: one.members], one.steps, gates=one.gates, **begun)
        group = begin_group(None, GROUP, {record.service: record for record in records}, "ann", START).group
        assert group is not None
        actors = (
            [Actor("runner")] * one.runners
            + [Actor("late")] * one.late
            + [Actor("abort")] * one.aborts
            + [Actor("pauser")] * one.pauses
        )
        actors += [Actor("alone")] if one.alone is not None else []
        return State(
            group=self.groups.number(group),
            services=tuple(Service(self.records.number(record)) for record in records),
            actors=tuple(actors),
            harm="none" if one.harmful is None else "possible",
        )

    def successors(self, state: State) -> Iterator[State]:
        """Every state that one step leads to; a kill is a step too, after which a runner begins again."""
        for index, actor in enumerate(state.actors):
            if actor.at == "gone":
                continue
            yield from getattr(self, f"_{actor.kind}")(state, index, actor)
            if self.scenario.kills and actor.at != "idle":
                yield _with_actor(state, index, _over(actor))
        for index, one in enumerate(state.services):
            if one.envoys != one.weight:
                yield _with_service(state, index, one._replace(envoys=one.weight))
        if state.harm in HARM:
            yield state._replace(harm=HARM[state.harm])

    def _runner(self, state: State, index: int, actor: Actor) -> Iterator[State]:
        """It looks at all members in one step; a member's own model has what comes between its parts."""
        if actor.todo:
            yield self._carry_out(state, index, actor)
        elif not actor.seen:
            seen = tuple(_seen(one) for one in state.services)
            yield _with_actor(state, index, actor._replace(at="looking", seen=seen, fresh=(True,) * len(seen)))
        else:
            yield self._decide(state, index, actor)

    def _late(self, state: State, index: int, actor: Actor) -> Iterator[State]:
        """A runner that was stopped in its turn, and goes on at any time; or that does not know of the next one."""
        yield from self._runner(state, index, actor)

    def _abort(self, state: State, index: int, actor: Actor) -> Iterator[State]:
        """A person who aborts the group: its record is read and written in one step."""
        if self.groups.all[state.group].phase in (*RUNNING, Phase.COMPLETED):
            decided = abort_group(self.groups.all[state.group], "it fails", "ann", START).group
            assert decided is not None
            yield _with_actor(state._replace(group=self.groups.number(decided)), index, actor._replace(at="gone"))

    def _alone(self, state: State, index: int, actor: Actor) -> Iterator[State]:
        """Somebody who knows of no group aborts one member."""
        alone = self.scenario.alone or 0
        if actor.todo:
            yield self._carry_out(state, index, actor)
            return
        one = state.services[alone]
        record = self.records.all[one.record]
        if record.phase in RUNNING:
            decided = abort(record, "it fails", "bob", START)
            assert decided.record is not None
            todo = Todo(alone, one.record, self.records.number(decided.record), 0.0, decided.annotation or "")
            fresh = (True,) * len(state.services)
            yield _with_actor(state, index, actor._replace(at="acting", todo=(todo,), fresh=fresh))

    def _pauser(self, state: State, index: int, actor: Actor) -> Iterator[State]:
        """A person who pauses the caller, and resumes it."""
        one = state.services[-1]
        record = self.records.all[one.record]
        if record.phase not in RUNNING:
            return
        if record.paused is not None:
            decided = resume(record, "ann", START).record
        elif actor.runs_left:
            decided = pause(record, "lunch", "ann", START).record
            state = _with_actor(state, index, actor._replace(runs_left=0))
        else:
            return
        assert decided is not None
        yield _with_service(state, len(state.services) - 1, one._replace(record=self.records.number(decided)))

    def _decide(self, state: State, index: int, actor: Actor) -> State:
        decision = self._decision(state.group, actor.seen, state.harm == "seen")
        if decision.group is not None:  # the group was read just now, and is written in one step with that
            return _with_actor(state._replace(group=self.groups.number(decision.group)), index, _over(actor))
        todo = []
        for service, one in decision.members:
            if one.record is None and one.write_routes is None:
                continue
            member = SERVICES.index(service)
            before = actor.seen[member].record
            after = before if one.record is None else self.records.number(one.record)
            weight = None if one.write_routes is None else weight_of(self.records.all[after])
            todo.append(Todo(member, before, after, weight, one.annotation or ""))
        return _with_actor(state, index, actor._replace(at="acting", todo=tuple(todo)) if todo else _over(actor))

    def _carry_out(self, state: State, index: int, actor: Actor) -> State:
        todo, *left = actor.todo
        one = state.services[todo.member]
        if todo.after != todo.record:
            if one.record != todo.record:
                return _with_actor(state, index, _over(actor))  # somebody was faster: all is looked at again
            state = _with_service(state, todo.member, one._replace(record=todo.after))
            rest = (todo._replace(record=todo.after), *left) if todo.weight is not None else tuple(left)
            return _with_actor(state, index, actor._replace(todo=rest) if rest else _over(actor))
        if todo.weight is None or not actor.fresh[todo.member]:
            return _with_actor(state, index, _over(actor))  # 409: resourceVersion is another one
        after = one._replace(weight=todo.weight, annotation=todo.annotation)
        if after != one:
            state = _stale(_with_service(state, todo.member, after), todo.member)
        actor = state.actors[index]
        return _with_actor(state, index, actor._replace(todo=tuple(left)) if left else _over(actor))

    def _decision(self, group: int, seen: tuple[Seen, ...], harm: bool) -> GroupDecision:
        key = (group, seen, harm)
        if key not in self._decided:
            members = [self._member(index, one, harm) for index, one in enumerate(seen)]
            self._decided[key] = self._advance(
                self.groups.all[group], members, now=START, by="runner", lease_held=True
            )  # fmt: skip
        return self._decided[key]

    def _member(self, index: int, seen: Seen, harm: bool) -> Member:
        record = self.records.all[seen.record]
        bad = harm and index == self.scenario.harmful
        gated = record.strategy.gates is not None
        unready = bad and not gated
        facts = Facts(
            now=START,
            lease_held=True,
            ready_to=0 if unready else 4,
            ready_from=4,
            to_unready_seconds=5.0 if unready else 0.0,
            verdict=verdict(Answer.HARM if bad else Answer.RISE, log_e=20.0 if bad else 0.0) if gated else None,
            gates_fixed=fixed(tuple(step.weight for step in record.plan.steps)) if gated else None,
            envoys_follow=seen.follows,
            route_weights=weights(seen.weight),
            route_annotation=seen.annotation,
            route_owner=FIELD_MANAGER,
        )
        return Member(service=record.service, record=record, facts=facts)


def broken(world: GroupWorld, state: State) -> str | None:
    """Which law the state breaks, None if it breaks none."""
    group = world.groups.all[state.group]
    steps = [0.0, *world.scenario.steps]
    for where in ("weight", "envoys"):
        found = [steps.index(getattr(one, where)) - 1 for one in state.services]
        if world.scenario.alone is None and found != sorted(found, reverse=True):
            return f"{where}: a caller is ahead of what it calls: {found}"
        if max(found) > group.step:
            return f"{where}: a member went alone to step {max(found)}, and the group is at {group.step}"
        if not group.phase.goes_back and max(found) - min(found) > 1 and world.scenario.alone is None:
            return f"{where}: members are more than one step apart: {found}"
    for one in state.services:
        record = world.records.all[one.record]
        if record.phase is Phase.ABORTED and one.weight:
            return f"{record.service} is aborted, and has {one.weight:g} %"
    if group.phase is Phase.ABORTED and any(one.envoys for one in state.services):
        return "the group is aborted, and not every service is back"
    return None


def explore(scenario: Scenario, advance: Advance = group_machine.advance) -> Explored[State]:
    """Return what all interleavings and kills of `scenario` lead to; ends at the first violation."""
    world = GroupWorld(scenario, advance)
    return search(
        world.first(), world.successors, lambda state: broken(world, state), lambda state: _right_end(world, state)
    )


def _right_end(world: GroupWorld, state: State) -> str | None:
    """All Completed, or all Aborted, if every Envoy has what that says."""
    phase = world.groups.all[state.group].phase
    records = [world.records.all[one.record] for one in state.services]
    is_right = phase in (Phase.COMPLETED, Phase.ABORTED) and all(
        record.phase is phase and one.envoys == one.weight == weight_of(record)
        for record, one in zip(records, state.services, strict=True)
    )
    return phase.value if is_right else None


def _seen(one: Service) -> Seen:
    return Seen(one.record, one.weight, one.annotation, one.envoys == one.weight)


def _over(actor: Actor) -> Actor:
    """A turn is over, or a process was killed: a runner begins again."""
    return Actor(actor.kind, "idle" if actor.kind in ("runner", "pauser") else "gone", runs_left=actor.runs_left)


def _stale(state: State, member: int) -> State:
    """Nobody's resourceVersion of a VirtualService is fresh any more."""
    actors = tuple(
        one._replace(fresh=(*one.fresh[:member], False, *one.fresh[member + 1 :])) if len(one.fresh) > member else one
        for one in state.actors
    )
    return state._replace(actors=actors)


def _with_actor(state: State, index: int, actor: Actor) -> State:
    return state._replace(actors=(*state.actors[:index], actor, *state.actors[index + 1 :]))


def _with_service(state: State, index: int, one: Service) -> State:
    return state._replace(services=(*state.services[:index], one, *state.services[index + 1 :]))
