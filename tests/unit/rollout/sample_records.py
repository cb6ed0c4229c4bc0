"""Records of a rollout for tests: version-1 to version-2 of website, in three steps."""

from __future__ import annotations

from typing import Any

from rollout.planned import Plan, PlannedRule, PlannedStep
from rollout.record import OutboxEvent, Record, Release
from traffic.model.rollout import RolloutStrategy

NAMESPACE = "website-istio-ns"
NOW = "2026-01-05T10:00:00+00:00"
WEIGHTS = (10, 50, 100)


def strategy(**keys: Any) -> RolloutStrategy:
    """A strategy with keys as in a stack's file."""
    return RolloutStrategy.model_validate({"steps": [{"weight": float(weight)} for weight in WEIGHTS], **keys})


def weights(to: float) -> dict[str, dict[str, float]]:
    return {"default": {"version-1": 100.0 - to, "version-2": float(to)}}


def record(given: RolloutStrategy | None = None, **changes: Any) -> Record:
    """A record with this strategy; `changes` are fields of it."""
    steps = tuple(PlannedStep(rule=0, weight=float(weight), weights=weights(weight)) for weight in WEIGHTS)
    plan = Plan(
        digest="d1",
        routes="istio-canary-rollout-website-routes-d1",
        rules=(PlannedRule(key="default", text="all other requests", strategy=given or strategy()),),
        steps=steps,
        start=weights(0),
        back=weights(0),
    )
    old: dict[str, Any] = {"from": Release(version="version-1", hash="h1", ready_pods=4)}
    made = Record(
        service="website",
        namespace=NAMESPACE,
        id="website-7",
        vs_uids={"website": "uid-of-website", "website-mesh": "uid-of-mesh"},
        target=Release(version="version-2", hash="h2"),
        **old,
        plan=plan,
        wanted=weights(0),
        created_at=NOW,
    )
    return made.model_copy(update=changes)


def event(number: int, kind: str = "StepWritten", text: str = "step 1 of 3", **keys: Any) -> OutboxEvent:
    """An event of the record's generation `number`."""
    given = {"id": f"website-7/{number}/0", "type": kind, "at": NOW, "text": text, "data": {"step": 0}, **keys}
    return OutboxEvent.model_validate(given, strict=False)
