"""Laws of the machine that hold for every strategy, whatever the world looks like and whoever does what."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.decision import Decision, Facts, HookResult, LimitResult, RefusedError
from rollout.gates.decide import Answer
from rollout.holding import needed_pods
from rollout.machine import advance
from rollout.record import FIELD_MANAGER, Phase, Record, Stage
from rollout.verbs import abort, approve, pause, promote, resume, retry, supersede, undo
from tests.unit.rollout.records import GATES, RULE, facts_of, fixed, later, record_of, verdict, weights
from traffic.model.rollout import RolloutDeadline, RolloutHook

POINTS = ("beforeStep", "afterStep", "beforeEnd", "afterAbort")
VERDICTS = [None, *(verdict(answer, observed) for answer in Answer for observed in (0.0, 99.0))]
BROKEN = LimitResult(broken="errors 9 %")

STRATEGIES = st.fixed_dictionaries(
    {
        "promote": st.sampled_from(["time", "hand"]),
        "gates": st.sampled_from([None, GATES]),
        "on_harm": st.sampled_from(["abort", "pause"]),
        "on_supersede": st.sampled_from(["refuse", "abort"]),
        "deadline": st.builds(RolloutDeadline, then=st.sampled_from(["pause", "abort"]), total=st.just("1h")),
        "hooks": st.lists(st.sampled_from(POINTS), unique=True, max_size=2).map(
            lambda points: tuple(RolloutHook(at=at, url="https://ci") for at in points)  # type: ignore[arg-type]
        ),
    }
)
RECORDS = st.builds(
    lambda steps, hold, needs_approval, strategy: record_of(
        sorted(steps), hold_seconds=hold, approve=needs_approval, **strategy
    ),
    st.lists(st.integers(1, 100), min_size=1, max_size=4, unique=True),
    st.sampled_from([0.0, 60.0]),
    st.booleans(),
    STRATEGIES,
)
SEEN = st.fixed_dictionaries(
    {},
    optional={
        "lease_held": st.booleans(),
        "holder": st.sampled_from(["ci/1/a", "laptop/2/b"]),
        "ready_to": st.sampled_from([None, 0, 1, 2, 3]),
        "ready_from": st.sampled_from([None, 0, 2]),
        "to_unready_seconds": st.sampled_from([0.0, 4.0, 6.0]),
        "envoys_follow": st.sampled_from([None, False]),
        "route_weights": st.sampled_from([None, weights(0), weights(33)]),
        "route_annotation": st.sampled_from([None, "website-1/1", "website-1/abort"]),
        "route_owner": st.sampled_from([None, "pulumi-kubernetes-1", "kubectl-edit"]),
        "window_open": st.booleans(),
        "verdict": st.sampled_from(VERDICTS),
        "gates_fixed": st.sampled_from([None, fixed((10, 20, 30, 40))]),
        "gates_text": st.sampled_from(["", "no answer"]),
        "limits": st.sampled_from([BROKEN, LimitResult(no_data=True), LimitResult()]),
        "vs_uids": st.sampled_from([None, {"website": "uid-1"}]),
        "hook_result": st.builds(
            HookResult, at=st.sampled_from(POINTS), ok=st.booleans(), then=st.sampled_from(["hold", "abort"])
        ),
    },
)
VERBS = ["abort", "pause", "resume", "promote", "full", "approve", "undo", "retry", "supersede"]
ACTIONS = st.lists(st.one_of(SEEN, st.just({}), st.just({}), st.sampled_from(VERBS)), max_size=40)


def _said(verb: str, record: Record, at: str) -> Decision:
    who: tuple[str, str] = ("ann", at)
    match verb:
        case "approve":
            return approve(record, *who)
        case "resume":
            return resume(record, *who)
        case "full":
            return promote(record, "urgent", *who, full=True)
    verbs: dict[str, Any] = {
        "abort": abort, "pause": pause, "promote": promote, "undo": undo, "retry": retry, "supersede": supersede,
    }  # fmt: skip
    decision: Decision = verbs[verb](record, "why", *who)
    return decision


class Walk:
    """A record, and routes that are written as decided; checks each decision."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.routes = record.wanted
        self.annotation: str | None = None
        self.seconds = 0.0
        self.events: list[str] = []

    def look(self, **seen: Any) -> Decision:
        own = {"route_weights": self.routes, "route_annotation": self.annotation, "route_owner": FIELD_MANAGER}
        facts = facts_of(self.record, now=later(self.seconds), **(own | seen))
        decision = advance(self.record, facts)
        assert decision == advance(self.record, facts), "the same record and facts, the same decision"
        self._check_forward(facts, decision)
        self.take(decision)
        return decision

    def _check_forward(self, facts: Facts, decision: Decision) -> None:
        after = decision.record
        if after is None or after.step == self.record.step:
            return
        assert facts.lease_held, "only the holder moves forward"
        assert self.record.paused is None
        assert facts.window_open
        assert facts.ready_to is not None
        assert facts.ready_to >= needed_pods(self.record, after.step)
        promotion = self.record.promotion
        despite = promotion is not None and promotion.despite_harm
        harmed = facts.limits is not None and facts.limits.broken is not None
        by_gates = facts.verdict is not None and facts.verdict.answer is Answer.HARM
        harmed = harmed or (by_gates and self.record.strategy.gates is not None)
        if self.record.strategy.gates is not None and promotion is None:
            assert self.record.plan.gates is not None, "nothing rises before it is known what to compare with"
            said = facts.verdict is not None and facts.verdict.answer is Answer.RISE
            assert said or self.record.step == -1, "nothing rises that the gates do not let rise"
        assert despite or not harmed or not self.record.target_weight(), "harm never rises"

    def take(self, decision: Decision) -> None:
        before, after = self.record, decision.record or self.record
        if decision.record is not None:
            assert after.generation == before.generation + 1
            new = [event.id for event in after.outbox if event.id not in self.events]
            assert new, "no write without an event"
            self.events += new
            assert Record.from_json(after.to_json()) == after
            if after.wanted != before.wanted:
                assert after.annotation != before.annotation, "another decision, another annotation"
            if before.phase.goes_back and after.phase is not Phase.PENDING:
                assert after.phase.goes_back, "only a retry leads out"
        if after.phase.goes_back:
            assert after.wanted == after.plan.back
            assert after.bar_of(after.target.hash) is not None
        if decision.write_routes is not None:
            assert (decision.write_routes == "back") == after.phase.goes_back
            assert decision.annotation == after.annotation
            self.routes, self.annotation = after.wanted, decision.annotation
        self.record = after


def walk(record: Record, actions: list[Any]) -> Walk:
    """What becomes of a record by these looks and verbs."""
    made = Walk(record)
    for action in actions:
        made.seconds += 45
        if isinstance(action, dict):
            made.look(**action)
            continue
        with suppress(RefusedError):
            made.take(_said(action, made.record, later(made.seconds)))
    return made


@settings(max_examples=300, deadline=None)
@given(record=RECORDS, actions=ACTIONS)
def test_no_weight_rises_without_the_holder_and_nothing_is_written_without_an_event(
    record: Record, actions: list[Any]
) -> None:
    walk(record, actions)


@settings(max_examples=150, deadline=None)
@given(record=RECORDS, actions=ACTIONS, seen=SEEN)
def test_whoever_has_no_lease_never_raises_a_weight(record: Record, actions: list[Any], seen: dict[str, Any]) -> None:
    walked = walk(record, actions)
    before = walked.record.target_weight()
    decision = walked.look(**(seen | {"lease_held": False}))

    assert walked.record.target_weight() <= before
    assert decision.write_routes != "step"


@settings(max_examples=150, deadline=None)
@given(record=RECORDS, actions=ACTIONS)
def test_from_everywhere_a_rollout_ends_when_the_world_is_well_and_persons_answer(
    record: Record, actions: list[Any]
) -> None:
    walked = walk(record, actions)
    for _ in range(60):
        walked.seconds += 61
        decision = walked.look(hook_result=None, verdict=verdict(Answer.RISE), gates_fixed=fixed((10, 20, 30, 40)))
        if decision.hook is not None:
            answered = HookResult(at=decision.hook, ok=True)
            walked.look(hook_result=answered, verdict=verdict(Answer.RISE), gates_fixed=fixed((10, 20, 30, 40)))
        if walked.record.paused is not None:
            walked.take(resume(walked.record, "ann", later(walked.seconds)))
        if walked.record.phase is Phase.PROGRESSING and walked.record.stage is Stage.OBSERVING:
            walked.take(promote(walked.record, "", "ann", later(walked.seconds)))
    last = walked.record

    assert last.phase in (Phase.COMPLETED, Phase.CLOSED, Phase.ABORTED, Phase.UNDONE), last
    assert walked.routes == last.wanted
    if not last.phase.goes_back:
        assert last.wanted[RULE]["version-2"] == last.plan.steps[-1].weight


@settings(max_examples=100, deadline=None)
@given(record=RECORDS, actions=ACTIONS)
def test_an_abort_is_possible_until_the_end_and_takes_all_requests_back(record: Record, actions: list[Any]) -> None:
    walked = walk(record, actions)
    if walked.record.phase is Phase.CLOSED or walked.record.void_since is not None:
        return
    walked.take(abort(walked.record, "why", "ann", later(walked.seconds)))
    for _ in range(3):
        walked.look(lease_held=False)

    assert walked.record.phase in (Phase.ABORTED, Phase.UNDONE)
    assert walked.routes == weights(0)
