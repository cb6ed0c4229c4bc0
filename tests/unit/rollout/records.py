"""A record to test with: website goes from version-1 to version-2 in some steps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from rollout.decision import Facts, GatesFixed
from rollout.gates.decide import Answer, Verdict
from rollout.gates.plan import GateMetric, GatePlan, GateStep
from rollout.planned import Plan, PlannedRule, PlannedStep
from rollout.record import FIELD_MANAGER, Deadlines, Phase, Record, Release, Stage, StepPeriod
from rollout.verbs import abort
from traffic.model.rollout import RolloutStep, RolloutStrategy
from traffic.model.rollout_gates import RolloutGates

START = "2026-01-05T10:00:00+00:00"
RULE = "rule-1"


def weights(weight: float, rule: str = RULE) -> dict[str, dict[str, float]]:
    """The weights of one rule: `weight` percent for version-2, the rest for version-1."""
    return {rule: {"version-1": 100.0 - weight, "version-2": float(weight)}}


def strategy_with(steps: Sequence[float] = (10, 100), **keys: Any) -> RolloutStrategy:
    """A strategy of these weights; `keys` are its other fields."""
    return RolloutStrategy(steps=tuple(RolloutStep(weight=float(one)) for one in steps), **keys)


def record_of(
    steps: Sequence[float] = (10, 100), *, hold_seconds: float = 0.0, approve: bool = False, **keys: Any
) -> Record:
    """A record that has not started; `keys` are fields of the record, or of its strategy."""
    own = {key: keys.pop(key) for key in list(keys) if key in RolloutStrategy.model_fields}
    strategy = strategy_with(steps, **own)
    planned = [
        PlannedStep(rule=0, weight=one, weights=weights(one), hold_seconds=hold_seconds, approve=approve)
        for one in steps
    ]
    plan = Plan(
        digest="d1",
        routes="istio-canary-rollout-website-routes-1",
        rules=(PlannedRule(key=RULE, text="all requests", strategy=strategy),),
        steps=tuple(planned),
        start=weights(0),
        back=weights(0),
    )
    given: dict[str, Any] = {
        "service": "website",
        "namespace": "website-istio-ns",
        "id": "website-1",
        "vs_uids": {"website": "uid-1"},
        "target": Release(version="version-2", hash="hash-2"),
        "from_": Release(version="version-1", hash="hash-1", ready_pods=4),
        "plan": plan,
        "wanted": weights(0),
        "created_at": START,
    }
    return Record(**(given | keys))


GATES = RolloutGates()


def fixed(steps: Sequence[float] = (10, 50, 100)) -> GatesFixed:
    """What the gates compare with, once it is known."""
    rising = tuple(GateStep(rule=RULE, weight=one, weights={RULE: one}) for one in steps)
    plan = GatePlan(metrics=(GateMetric(name="errors", share=1.0, margin=0.001),), steps=rising)
    return GatesFixed(plan=plan, deadline_seconds=(1200.0,) * len(steps), text="errors of version-1: 0.1 %")


def gated(step: int = 0, **keys: Any) -> Record:
    """A record whose step is observed, with gates that are fixed."""
    record = observing(step, **({"gates": GATES} | keys))
    plan = fixed()
    fixed_plan = record.plan.model_copy(update={"gates": plan.plan, "deadline_seconds": plan.deadline_seconds})
    return record.model_copy(update={"plan": fixed_plan, "periods": (StepPeriod(step=step, settled_at=START),)})


def verdict(answer: Answer, observed: float = 0.0, log_e: float = 0.0) -> Verdict:
    """A verdict of the gates on the current step."""
    return Verdict(
        answer=answer, reason=f"the gates say {answer}", log_e=log_e, observed_seconds=observed, has_blocks=observed > 0
    )


def later(seconds: float) -> str:
    """The time that many seconds after the start."""
    return (datetime.fromisoformat(START) + timedelta(seconds=seconds)).isoformat()


def observing(step: int = 0, **keys: Any) -> Record:
    """A record whose step is written and followed by every Envoy since the start."""
    steps = keys.pop("steps", (10, 50, 100))
    given: dict[str, Any] = {
        "phase": Phase.PROGRESSING,
        "stage": Stage.OBSERVING,
        "step": step,
        "wanted": weights(steps[step]),
        "started_at": START,
        "settled_at": START,
        "generation": 5,
        "route_generation": 4,
        "deadlines": Deadlines(step_at=later(600), total_at=later(86400)),
    }
    return record_of(steps, **(given | keys))


def completed(**keys: Any) -> Record:
    """A record that has ended well at the start."""
    given: dict[str, Any] = {"phase": Phase.COMPLETED, "stage": None, "ended_at": START, "deadlines": Deadlines()}
    return observing(2, **(given | keys))


def aborting(**keys: Any) -> Record:
    """A record whose abort is written, and whose routes may be."""
    decided = abort(observing(1), "it fails", "ann", START).record
    assert decided is not None
    return decided.model_copy(update={"outbox": (), "history": (), **keys})


def aborted(**keys: Any) -> Record:
    """A record whose abort is done since the start."""
    return aborting(**({"phase": Phase.ABORTED, "ended_at": START} | keys))


def facts_of(record: Record, **changes: Any) -> Facts:
    """The facts of a world that is as the record wants it, seen by the holder; `changes` are fields of the facts."""
    given: dict[str, Any] = {
        "now": START,
        "lease_held": True,
        "ready_to": 4,
        "ready_from": 4,
        "envoys_follow": True,
        "route_weights": record.wanted,
        "route_annotation": record.annotation,
        "route_owner": FIELD_MANAGER,
        "vs_uids": {"website": "uid-1"},
    }
    return Facts(**(given | changes))
