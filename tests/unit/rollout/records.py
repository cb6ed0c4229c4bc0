"""A record to test with: website goes from version-1 to version-2 in some steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rollout.record import Plan, PlannedRule, PlannedStep, Record, Release
from traffic.model.rollout import RolloutStep, RolloutStrategy

START = "2026-01-05T10:00:00+00:00"
RULE = "rule-1"


def weights(weight: float, rule: str = RULE) -> dict[str, dict[str, float]]:
    """The weights of one rule: `weight` percent for version-2, the rest for version-1."""
    return {rule: {"version-1": 100.0 - weight, "version-2": float(weight)}}


def strategy_with(steps: Sequence[float] = (10, 100), **keys: Any) -> RolloutStrategy:
    """A strategy of these weights; `keys` are its other fields."""
    return RolloutStrategy(steps=tuple(RolloutStep(weight=float(one)) for one in steps), **keys)


def record_of(steps: Sequence[float] = (10, 100), *, hold_seconds: float = 0.0, **keys: Any) -> Record:
    """A record that has not started; `keys` are fields of the record, or `strategy`."""
    strategy = keys.pop("strategy", None) or strategy_with(steps)
    planned = [PlannedStep(rule=0, weight=one, weights=weights(one), hold_seconds=hold_seconds) for one in steps]
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
