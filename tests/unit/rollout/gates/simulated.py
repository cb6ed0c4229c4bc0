"""Whole rollouts that are drawn at random and judged block by block, as the runner would: steps of 10, 30 and 50 %."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rollout.gates.blocks import ERRORS, Block, Coverage, Observation
from rollout.gates.decide import Answer, Gate, Moment
from rollout.gates.plan import GateMetric, GatePlan, GateStep, tolerance_of
from tests.unit.rollout.gates.drawn import strata

SECONDS = 15.0
WEIGHTS = (10.0, 30.0, 50.0)
HOLD, DEADLINE = 600.0, 7200.0

Rate = Callable[[float], float]
"""Failure rate by the time since the start."""


@dataclass(frozen=True)
class Run:
    """How a rollout ended: the answer that ended it, or Hold at the deadline, and after how many minutes."""

    end: Answer
    minutes: float


def plan_of(stable: float, weights: Sequence[float] = WEIGHTS, phi_history: float | None = None) -> GatePlan:
    """Return the plan of a rollout to 100 % with errors alone, at half of alpha, as beside the other metrics."""
    tolerance = tolerance_of(stable)
    errors = GateMetric(
        name=ERRORS, share=0.5, stable_rate=stable, margin=tolerance, least=tolerance, phi_history=phi_history
    )
    return GatePlan(
        tolerance=tolerance,
        metrics=(errors,),
        steps=tuple(
            GateStep(rule="default", weight=weight, weights={"default": weight}, hold_seconds=HOLD)
            for weight in (*weights, 100.0)
        ),
    )


def run(
    seed: int,
    per_second: float,
    stable: float | Rate,
    canary: float | Rate,
    usual: float | None = None,
    phi_history: float | None = None,
) -> Run:
    """Return how one rollout ends; `usual` is stable's rate before it, if it is not `stable` itself."""
    rng = np.random.default_rng(seed)
    of_stable, of_canary = _rate(stable), _rate(canary)
    plan = plan_of(usual if usual is not None else of_stable(0.0), phi_history=phi_history)
    gate, blocks = Gate(plan), []
    step, settled = 0, 0.0
    for number in range(int(DEADLINE / SECONDS)):
        start, end = number * SECONDS, (number + 1) * SECONDS
        requests = int(rng.poisson(per_second * SECONDS))
        n_c = int(rng.binomial(requests, plan.steps[step].weight / 100))
        n_s = requests - n_c
        row = (n_c, n_s, rng.binomial(n_c, of_canary(start)), rng.binomial(n_s, of_stable(start)))
        blocks.append(Block(start=start, end=end, step=step, metrics={ERRORS: strata(row)}))
        seen = round((end - settled) / SECONDS)
        observation = Observation(blocks=blocks, coverage={step: Coverage(seen=seen, expected=seen, newest=end)})
        verdict = gate.judge(observation, Moment(step=step, settled=settled, now=end))
        if verdict.answer is Answer.HARM:
            return Run(Answer.HARM, end / 60)
        if verdict.answer is Answer.RISE:
            step, settled = step + 1, end
            if step == len(WEIGHTS):
                return Run(Answer.RISE, end / 60)
    return Run(Answer.HOLD, DEADLINE / 60)


def bursts(seed: int, usual: float, during: float, length: float, pods: int = 10, every: float = 1800.0) -> Rate:
    """Return the failure rate of a version each of whose pods fails more often for `length` in each half hour."""
    rng = np.random.default_rng([seed, pods])
    starts = every * np.arange(20)[:, None] + rng.uniform(0, every - length, (20, pods))

    def rate(time: float) -> float:
        failing = int(((starts <= time) & (time < starts + length)).sum())
        return usual + (during - usual) * failing / pods

    return rate


def _rate(rate: float | Rate) -> Rate:
    return rate if callable(rate) else lambda _: rate
