"""The actors of the model: runners, aborts and an `up`. Each call to the API server is one step of the exploration.

What they decide is decided by the real machine. Reading the record and writing it by compare-and-swap is one step:
a write that fails changes nothing. Any actor may be killed, or sleep for as long as it likes, between any two steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rollout.decision import Decision, Facts, RoutesSeen, deciding
from rollout.gates.decide import Answer
from rollout.machine import advance
from rollout.record import FIELD_MANAGER, Phase, Record
from rollout.verbs import abort, pause, resume, retry, undo
from tests.unit.rollout.model_world import (
    BACK,
    PULUMI,
    Actor,
    ConflictError,
    Mutation,
    Records,
    Routes,
    State,
    Write,
    apply_routes,
    moved,
    weight_of,
)
from tests.unit.rollout.records import START, fixed, verdict, weights

HARM = {"possible": "seen", "seen": "none"}
"""No pod of version-2 is ready any more, and later they are again."""


BACK_FOR_GOOD = (Phase.ABORTED, Phase.UNDONE)
SETTLED = (Phase.COMPLETED, *BACK_FOR_GOOD)
RUNNING = (Phase.PENDING, Phase.PROGRESSING)


class World:
    """All steps of all actors, from any state. Decisions are kept: the machine is a pure function."""

    def __init__(self, mutation: Mutation | None = None) -> None:
        self.mutation = mutation or Mutation()
        self.records = Records()
        self._decided: dict[tuple[int, tuple[Routes, ...], bool, bool], Decision] = {}

    def successors(self, state: State) -> Iterator[State]:
        """Every state that one step of one actor leads to; a kill is a step too."""
        for index, actor in enumerate(state.actors):
            if actor.at == "gone":
                continue
            yield from getattr(self, f"_{actor.kind}")(state, index, actor)
            if actor.at != "idle":
                yield state.with_actor(index, self._killed(actor))
        if state.harm in HARM:
            yield state._replace(harm=HARM[state.harm])
        if self._may_hand_over(state):
            yield self._hand_over(state)

    # A runner, or an abort that waits for its end

    def _runner(self, state: State, index: int, actor: Actor) -> Iterator[State]:
        if actor.at == "writing":
            yield self._write(state, index, actor)
        elif self.mutation.routes_read_first:
            yield self._look(state, index, actor)
        else:
            yield self._look_at_the_record_first(state, index, actor)

    def _look(self, state: State, index: int, actor: Actor) -> State:
        """The VirtualServices one by one, then the record."""
        at = len(actor.seen)
        if at < len(state.routes):
            seen = actor._replace(at="looking", seen=(*actor.seen, state.routes[at]), fresh=(*actor.fresh, True))
            return state.with_actor(index, seen)
        return self._decide(state, index, actor, state.record)

    def _look_at_the_record_first(self, state: State, index: int, actor: Actor) -> State:
        if actor.at == "idle":
            return state.with_actor(index, actor._replace(at="looking", record=state.record))
        seen = actor._replace(seen=state.routes, fresh=(True,) * len(state.routes))
        return self._decide(state, index, seen, actor.record)

    def _decide(self, state: State, index: int, actor: Actor, number: int) -> State:
        decision = self._decision(number, actor.seen, actor.kind == "runner", state.harm == "seen")
        return self._carry_out(state, index, actor, number, decision)

    def _carry_out(self, state: State, index: int, actor: Actor, number: int, decision: Decision) -> State:
        idle = _idle(actor)
        if decision.record is not None:
            if number != state.record:
                return state.with_actor(index, idle)  # compare-and-swap: somebody has written since
            state = self._record_written(state, decision.record)
        if decision.write_routes is None:
            return state.with_actor(index, idle)
        record = self.records.all[state.record if decision.record is not None else number]
        write = Write(weight_of(record), decision.annotation or "", decision.write_routes == "step", record.id)
        return state.with_actor(index, actor._replace(at="writing", seen=(), record=-1, write=write))

    def _record_written(self, state: State, record: Record) -> State:
        weight, before = weight_of(record), weight_of(self.records.all[state.record])
        allowed = state.allowed
        if record.phase.goes_back:
            allowed |= {weight}
        elif weight != before:
            allowed = frozenset({before, weight})
        if record.phase in SETTLED and record.id == "website-1":
            allowed = frozenset({weight})
        return state._replace(record=self.records.number(record), allowed=allowed)

    def _write(self, state: State, index: int, actor: Actor) -> State:
        write = actor.write
        assert write is not None
        blind = actor.kind in ("blind", "forced")  # without a record, or at the last try: its routes overwrite all
        if not blind and self.mutation.precondition and not actor.fresh[write.next]:
            return state.with_actor(index, _idle(actor))  # 409: resourceVersion is another one
        annotation = write.annotation if self.mutation.annotation else None
        state = apply_routes(state, write.next, write.weight, annotation, self.mutation.manager, True)
        if not write.forward and write.rollout == self.records.all[state.record].id:
            fenced = (*state.fenced[: write.next], True, *state.fenced[write.next + 1 :])
            state = state._replace(fenced=fenced)
        actor = state.actors[index]
        if write.next + 1 < len(state.routes):
            return state.with_actor(index, actor._replace(write=write._replace(next=write.next + 1)))
        return state.with_actor(index, _idle(actor))

    def _decision(self, number: int, seen: tuple[Routes, ...], holds: bool, harm: bool) -> Decision:
        key = (number, seen, holds, harm)
        if key not in self._decided:
            self._decided[key] = advance(self.records.all[number], self._facts(number, seen, holds, harm))
        return self._decided[key]

    def _facts(self, number: int, seen: tuple[Routes, ...], holds: bool, harm: bool) -> Facts:
        record = self.records.all[number]
        routes = deciding(record, [self._seen(record, one) for one in seen])
        gated = record.strategy.gates is not None
        unready = harm and not gated  # with gates, harm is what they find
        return Facts(
            now=START,
            lease_held=holds,  # both runners always believe to hold the Lease: the worst case
            ready_to=0 if unready else 4,
            ready_from=4,
            to_unready_seconds=5.0 if unready else 0.0,
            verdict=verdict(Answer.HARM if harm else Answer.RISE) if gated else None,
            gates_fixed=fixed(tuple(step.weight for step in record.plan.steps)) if gated else None,
            envoys_follow=True,
            route_weights=routes.weights,
            route_annotation=routes.annotation,
            route_owner=routes.owner,
        )

    def _seen(self, record: Record, routes: Routes) -> RoutesSeen:
        return RoutesSeen(
            weights=weights(routes.weight),
            annotation=routes.annotation if self.mutation.annotation else record.annotation,
            owner=FIELD_MANAGER if FIELD_MANAGER in routes.owners else PULUMI,
        )

    # A person who aborts, or who undoes what is completed, and waits for the end

    def _abort(self, state: State, index: int, actor: Actor) -> Iterator[State]:
        yield from self._bring_back(state, index, actor, abort)

    def _undo(self, state: State, index: int, actor: Actor) -> Iterator[State]:
        if actor.at != "idle" or self.records.all[state.record].phase is Phase.COMPLETED:
            yield from self._bring_back(state, index, actor, undo)

    def _bring_back(self, state: State, index: int, actor: Actor, verb: Callable[..., Decision]) -> Iterator[State]:
        if actor.at in ("idle", "asking") and len(actor.seen) < len(state.routes):
            after = self._look(state, index, actor)
            yield after.with_actor(index, after.actors[index]._replace(at="asking"))
            return
        if actor.at in ("idle", "asking"):
            decision = verb(self.records.all[state.record], "it fails", "ann", START)
            after = self._carry_out(state, index, actor, state.record, decision)
        elif actor.at == "writing":
            after = self._write(state, index, actor)
        elif self.records.all[state.record].phase in BACK_FOR_GOOD:
            yield state.with_actor(index, actor._replace(at="gone", seen=(), fresh=()))
            return
        else:
            after = self._look(state, index, actor)
        done = after.actors[index]
        yield after.with_actor(index, done._replace(at="waiting" if done.at == "idle" else done.at))

    def _forced(self, state: State, index: int, actor: Actor) -> Iterator[State]:
        """The last try of an abort that others were faster than each time."""
        yield from self._bring_back(state, index, actor, abort)

    # A person who aborts and may not write the record

    def _blind(self, state: State, index: int, actor: Actor) -> Iterator[State]:
        record = self.records.all[state.record]
        if actor.at == "idle":
            write = Write(BACK, record.abort_annotation, False, record.id)
            yield state.with_actor(index, actor._replace(at="writing", write=write))
            return
        after = self._write(state, index, actor)
        done = after.actors[index]
        yield after if done.at == "writing" else after.with_actor(index, done._replace(at="gone"))

    # A person who brings an aborted rollout up again

    def _retry(self, state: State, index: int, actor: Actor) -> Iterator[State]:
        record = self.records.all[state.record]
        if record.phase is Phase.ABORTED:
            after = self._record_written(state, retry(record, "a new try", "ann", START).record or record)
            yield after._replace(fenced=(False,) * len(state.routes)).with_actor(index, actor._replace(at="gone"))

    # A person who pauses and resumes

    def _pauser(self, state: State, index: int, actor: Actor) -> Iterator[State]:
        record = self.records.all[state.record]
        if record.phase not in RUNNING:
            return
        if record.paused is not None:
            yield self._record_written(state, resume(record, "ann", START).record or record)
        elif actor.runs_left:
            after = self._record_written(state, pause(record, "lunch", "ann", START).record or record)
            yield after.with_actor(index, actor._replace(runs_left=0))

    # An `up`: it renders what the record wants, and its provider applies without force

    def _up(self, state: State, index: int, actor: Actor) -> Iterator[State]:
        if actor.at == "idle":
            rendered = weight_of(self.records.all[state.record])
            yield state.with_actor(index, actor._replace(at="rendered", rendered=rendered, fresh=()))
            return
        target = actor.write.next if actor.write else 0
        ended = self._killed(actor)
        if actor.rendered == state.checkpoint:
            yield state.with_actor(index, ended)  # no difference to the checkpoint: nothing is sent
            return
        try:
            after = apply_routes(state, target, actor.rendered, None, PULUMI, False)
        except ConflictError:
            yield state.with_actor(index, ended)
            return
        if target + 1 < len(state.routes):
            going_on = after.actors[index]._replace(write=Write(actor.rendered, "", True, next=target + 1))
            yield after.with_actor(index, going_on)
        else:
            yield after._replace(checkpoint=actor.rendered).with_actor(index, ended)

    # spec.http goes back to Pulumi's manager

    def _may_hand_over(self, state: State) -> bool:
        record = self.records.all[state.record]
        not_started = record.phase is Phase.PENDING and record.started_at is None  # as `acting.hand_back` does
        owners = {owner for routes in state.routes for owner in routes.owners}
        if state.handed_over or owners == {PULUMI} or not (record.phase in BACK_FOR_GOOD or not_started):
            return False
        sleeping = any(actor.kind == "up" and actor.at == "rendered" for actor in state.actors)
        return not sleeping or not self.mutation.hand_over_late

    def _hand_over(self, state: State) -> State:
        for index, routes in enumerate(state.routes):
            state = moved(state, index, routes._replace(owners=frozenset({PULUMI})))
        return state._replace(handed_over=True)

    def _killed(self, actor: Actor) -> Actor:
        """A runner is started again, an `up` as often as it may; an abort is not."""
        if actor.kind == "runner":
            return _idle(actor)
        if actor.kind == "up" and actor.runs_left > 1:
            return Actor("up", runs_left=actor.runs_left - 1)
        return Actor(actor.kind, "gone")


def broken(state: State, record: Record) -> str | None:
    """Which law the state breaks, None if it breaks none."""
    for routes, fenced in zip(state.routes, state.fenced, strict=True):
        if fenced and routes.weight > BACK:
            return f"an aborted version has {routes.weight:g} % again"
        if routes.annotation == record.abort_annotation:
            continue  # the record follows
        if routes.weight not in state.allowed:
            return f"the weight {routes.weight:g} is neither the wanted one nor the one before: {set(state.allowed)}"
        settled = record.stage == "Observing" or record.phase in SETTLED
        if settled and routes.weight != weight_of(record):
            return f"the record says {record.phase} {record.stage or ''}, the weight is {routes.weight:g}"
    return None


def _idle(actor: Actor) -> Actor:
    return Actor(actor.kind, runs_left=actor.runs_left)
