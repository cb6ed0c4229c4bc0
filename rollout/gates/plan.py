"""The plan of a rollout's gates: all that the tests need to know besides blocks. It is fixed when the rollout starts.

Fixed, so that nothing that the rollout itself does to stable moves the goal; and kept in the record, so that any
machine, and a replay years later, comes to the same decisions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import ConfigDict, Field

from rollout.gates.blocks import ATTEMPTS, CLIENT_ERRORS, ERRORS, LATENCY, LIMIT
from rollout.gates.history import History
from rollout.gates.warm_up import WARM_UP
from traffic.fields import Model
from traffic.model.rollout_gates import RolloutGates

if TYPE_CHECKING:
    from rollout.planned import Plan

SUSPICION = 20.0
"""From this e-value on a step does not rise: at most 5 % of good rollouts ever wait for it."""

LEAST_TOLERANCE = 0.001
"""A smaller loss takes days to prove."""

TOLERATED_PART = 0.5
"""Half as much again of stable's failures is tolerated."""

WEIGHT_OF_ERRORS = 2.0
"""Errors decide most, so they get twice the share of alpha of any other metric."""

KNOWN = (ERRORS, ATTEMPTS, LATENCY, CLIENT_ERRORS)
"""Metrics that are no custom ones."""

Part = Annotated[float, Field(ge=0, le=1)]
Percent = Annotated[float, Field(ge=0, le=100)]
FINITE = ConfigDict(allow_inf_nan=False)
"""No NaN: whatever is compared with one seems to be neither too little nor too much."""


class GateMetric(Model):
    """One metric. `share` is its share of alpha, `tolerated` the ratio R0 of failure rates.

    `stable_rate` is what stable failed before the rollout, `phi_history` its scatter, None if unknown. `margin` is what
    the whole service may lose, None for a metric that is not proved. A difference below `least` is no harm.
    """

    model_config = FINITE

    name: str
    share: Annotated[float, Field(gt=0, le=1)]
    tolerated: Annotated[float, Field(ge=1, le=1000)] = 1.0
    stable_rate: Part = 0.0
    phi_history: Annotated[float, Field(ge=0)] | None = None
    margin: Part | None = None
    least: Part = 0.0


class GateStep(Model):
    """One step: `rule` is the key of the rule that rises to `weight`, `weights` are the canary's percent by rule."""

    model_config = FINITE

    rule: str
    weight: Annotated[float, Field(gt=0, le=100)]
    weights: dict[str, Percent]
    hold_seconds: Annotated[float, Field(ge=0)] = 0.0


class GatePlan(Model):
    """Everything that is fixed at the start.

    `alpha` is the probability of a false abort, `beta` that of a wrong promotion at exactly the tolerance. `limit` is
    the absolute limit of errors, a part of 1, and `limit_share` its share of alpha. In `unjudged` are rules whose users
    keep their version, so that their split is not judged. `latency_bound` is in milliseconds.
    """

    model_config = FINITE

    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.01
    beta: Annotated[float, Field(gt=0, lt=1)] = 0.05
    promote: Literal["proof", "time", "hand"] = "proof"
    tolerance: Part = LEAST_TOLERANCE
    block_seconds: Annotated[float, Field(gt=0)] = 15.0
    metrics: Annotated[tuple[GateMetric, ...], Field(min_length=1)]
    steps: Annotated[tuple[GateStep, ...], Field(min_length=1)]
    limit: Part | None = None
    limit_share: Part = 0.0
    unjudged: tuple[str, ...] = ()
    latency_bound: Annotated[float, Field(gt=0)] | None = None
    latency_warmup: Annotated[float, Field(ge=0)] = WARM_UP
    """Seconds that a new pod is left out of latency."""
    unrouted_before: bool = True
    """Whether requests found no cluster before the rollout, so that later ones are not of its making.

    A plan that an earlier version has fixed does not say it: then nobody has looked, and they are not judged.
    """

    @property
    def own_metrics(self) -> tuple[str, ...]:
        """The names of the custom metrics."""
        return tuple(one.name for one in self.metrics if one.name not in KNOWN)

    def has(self, name: str) -> bool:
        """Return whether a metric is compared."""
        return any(one.name == name for one in self.metrics)

    def difference(self, metric: GateMetric, step: int) -> float | None:
        """Return the difference of failure rates that must be excluded before the step after `step`.

        The service loses at most the margin if its next share fails more often by less than this. None if there is
        nothing to prove: after the last step, and for metrics without a margin.
        """
        if metric.margin is None or step + 1 >= len(self.steps):
            return None
        weight = self.steps[step + 1].weight / 100
        return metric.margin / weight


def tolerance_of(stable_rate: float) -> float:
    """Return the tolerance `auto`: the larger one of 0.1 points and half of stable's failure rate."""
    return max(LEAST_TOLERANCE, TOLERATED_PART * stable_rate)


def latency_margin(stable_share: float, tolerated: float) -> float:
    """Return by how much the service's share of slow requests may grow."""
    return (tolerated - 1) * stable_share


def shares(names: Sequence[str]) -> dict[str, float]:
    """Return each metric's share of alpha; they sum to 1. Errors, attempts and latency: 0.5, 0.25 and 0.25."""
    weights = {name: WEIGHT_OF_ERRORS if name == ERRORS else 1.0 for name in names}
    whole = sum(weights.values())
    return {name: weight / whole for name, weight in weights.items()}


def gate_steps(plan: Plan, target: str) -> tuple[GateStep, ...]:
    """Return the steps of a rollout's plan with the percent of `target`, its new version."""
    return tuple(
        GateStep(
            rule=plan.rules[step.rule].key,
            weight=step.weight,
            weights={rule: weights.get(target, 0.0) for rule, weights in step.weights.items()},
            hold_seconds=step.hold_seconds,
        )
        for step in plan.steps
    )


def gate_plan(
    gates: RolloutGates,
    steps: Sequence[GateStep],
    histories: Mapping[str, History],
    *,
    latency_bound: float | None,
    block_seconds: float = 15.0,
    unjudged: Sequence[str] = (),
    unrouted_before: bool = False,
) -> GatePlan:
    """Return the plan for a rollout that starts now.

    `histories` are stable's by metric, of its last hours, and `latency_bound` the bound of slow requests; without it
    latency is not compared. A history that is too short says nothing about tolerance and scatter.
    """
    errors = histories.get(ERRORS)
    tolerance = gates.tolerance_part
    if tolerance is None:
        tolerance = tolerance_of(errors.rate if errors is not None and errors.phi is not None else 0.0)
    tolerated = {ERRORS: 1.0}
    if gates.attempts.enabled:
        tolerated[ATTEMPTS] = gates.attempts.ratio
    if gates.latency.enabled and latency_bound is not None:
        tolerated[LATENCY] = gates.latency.ratio
    if gates.client_errors.enabled:
        tolerated[CLIENT_ERRORS] = gates.client_errors.ratio
    tolerated |= {metric.name: metric.ratio for metric in gates.custom}
    limit = None if gates.limits is None or gates.limits.error_percent is None else gates.limits.error_percent / 100
    of = shares((*tolerated, *((LIMIT,) if limit is not None else ())))
    metrics = []
    for name, ratio in tolerated.items():
        history = histories.get(name)
        rate = history.rate if history is not None else 0.0
        margins = {ERRORS: tolerance, LATENCY: latency_margin(rate, ratio) or None}
        metrics.append(
            GateMetric(
                name=name,
                share=of[name],
                tolerated=ratio,
                stable_rate=rate,
                phi_history=history.phi if history is not None else None,
                margin=margins.get(name),
                least=tolerance if name == ERRORS else 0.0,
            )
        )
    return GatePlan(
        alpha=gates.alpha,
        beta=gates.beta,
        promote=gates.promote,
        tolerance=tolerance,
        block_seconds=block_seconds,
        metrics=tuple(metrics),
        steps=tuple(steps),
        limit=limit,
        limit_share=of.get(LIMIT, 0.0),
        unjudged=tuple(unjudged),
        latency_bound=latency_bound if LATENCY in tolerated else None,
        latency_warmup=gates.latency.warmup_seconds,
        unrouted_before=unrouted_before,
    )
