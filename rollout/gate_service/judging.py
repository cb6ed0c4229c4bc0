"""The verdict on one service's canary: the gates of a rollout, on a record that is made from what the weights tell.

There is no such record in the cluster: the engine has its own state. Evidence is computed again from the samples of
Prometheus, so a gate service that is new begins anew with the weight that stands: that can only hold longer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import exp, log
from typing import Any

from rollout.background import Background
from rollout.decision import Facts
from rollout.engines.target import EngineTarget
from rollout.gate_service.following import Canary, Seen, follow
from rollout.gates.decide import Answer
from rollout.gates.plan import GatePlan
from rollout.gating import evidence
from rollout.gating_facts import GateFacts, ReadGates
from rollout.planned import Plan, PlannedRule, PlannedStep
from rollout.record import Phase, Record, Release, Stage, seconds_between

RULE = "default"
UNKNOWN_AFTER = 10.0
"""Seconds after which an answer that nobody has renewed says nothing."""
NO_CANARY = "no canary gets requests"


@dataclass(frozen=True, kw_only=True)
class GateAnswer:
    """What an engine is told. Only `passes` lets a weight rise, and only `harm` takes it back.

    `e` is how many times better harm explains the numbers. `step` counts from 1; it and `weight` are None if unknown.
    """

    answer: Answer
    reason: str
    e: float = 1.0
    weight: float | None = None
    step: int | None = None
    since: str | None = None
    observed_seconds: float = 0.0
    metrics: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passes(self) -> bool:
        """Whether the weight may rise."""
        return self.answer is Answer.RISE

    @property
    def harm(self) -> bool:
        """Whether the canary is to be taken back."""
        return self.answer is Answer.HARM

    @property
    def is_idle(self) -> bool:
        """Whether no canary gets requests, so that there is nothing to judge."""
        return self.weight == 0


class ServiceGate:
    """The gate of one service's canaries, one after the other."""

    def __init__(
        self,
        target: EngineTarget,
        read: ReadGates,
        clock: Callable[[], float] = time.monotonic,
        beside: Callable[[Callable[[], float]], Background] = lambda clock: Background(threading.Event(), clock),
    ) -> None:
        self.target = target
        self._read, self._clock, self._beside = read, clock, beside
        self._canary: Canary | None = None
        self._plan: GatePlan | None = None
        self._facts: GateFacts | None = None
        self._answer = GateAnswer(answer=Answer.NO_DATA, reason="nothing is known yet")
        self._at = clock()

    @property
    def answer(self) -> GateAnswer:
        """The last answer; if it has not been renewed for too long, that nothing is known."""
        late = self._clock() - self._at
        if late <= UNKNOWN_AFTER:
            return self._answer
        return GateAnswer(answer=Answer.NO_DATA, reason=f"the weights have not been seen for {late:.0f} s")

    def look(self, seen: Seen) -> GateAnswer:
        """Take a look at the weights into account, and return what follows; slow questions run beside it."""
        before, self._canary = self._canary, follow(self._canary, seen, self._weights)
        if self._canary is not None and (before is None or before.began != self._canary.began):
            self._plan = None
            self._facts = GateFacts(self._read, self._beside(self._clock), self._clock)
        self._answer, self._at = self._judged(seen), self._clock()
        return self._answer

    @property
    def _weights(self) -> list[float]:
        return [step.weight for step in self.target.strategy.steps]

    def _judged(self, seen: Seen) -> GateAnswer:
        canary = self._canary
        if canary is None:
            if seen.weight is None:
                return GateAnswer(answer=Answer.NO_DATA, reason="no route divides the requests between the versions")
            return GateAnswer(answer=Answer.HOLD, reason=NO_CANARY, weight=0.0)
        if canary.step is None or canary.settled_at is None:
            what = "the weights are not the same in all routes" if canary.weight is None else f"{canary.weight:g} %"
            return GateAnswer(
                answer=Answer.NO_DATA, reason=f"{what}: it is no step of the strategy", weight=canary.weight
            )
        known = {"weight": canary.weight, "step": canary.step + 1, "since": canary.began}
        if seconds_between(canary.settled_at, seen.at) < 0:
            return GateAnswer(answer=Answer.NO_DATA, reason="the weights were written just now", **known)
        assert self._facts is not None
        record = record_of(self.target, canary, self._plan)
        found = self._facts.look(record, seen.at)
        if found.fixed is not None:
            self._plan = found.fixed.plan
            return GateAnswer(answer=Answer.NO_DATA, reason=found.fixed.text, **known)
        if found.verdict is None or self._plan is None:
            reason = found.text or "the first numbers of the step are awaited"
            return GateAnswer(answer=Answer.NO_DATA, reason=reason, **known)
        verdict = found.verdict
        return GateAnswer(
            answer=verdict.answer,
            reason=verdict.reason,
            e=round(exp(min(verdict.log_e, log(1e9))), 4),
            observed_seconds=round(verdict.observed_seconds, 1),
            metrics=evidence(Facts(now=seen.at, verdict=verdict)).get("metrics", {}),
            **known,
        )


def record_of(target: EngineTarget, canary: Canary, gates: GatePlan | None) -> Record:
    """Return a record as the gates read it: of one rule whose requests go from the stable version to the canary."""
    strategy = target.strategy
    steps = tuple(
        PlannedStep(rule=0, weight=one.weight, weights=_weights(target, one.weight), hold_seconds=one.hold_seconds)
        for one in strategy.steps
    )
    plan = Plan(
        digest="",
        routes="",
        rules=(PlannedRule(key=RULE, text="all requests", strategy=strategy),),
        steps=steps,
        start=_weights(target, 0),
        back=_weights(target, 0),
        counters=target.counters,
        gates=gates,
    )
    return Record(
        service=target.service,
        namespace=target.namespace,
        id=f"{target.service}-{canary.began}",
        target=Release(version=target.canary, hash=""),
        from_=Release(version=target.stable, hash=""),
        plan=plan,
        phase=Phase.PROGRESSING,
        stage=Stage.OBSERVING,
        step=canary.step or 0,
        wanted=_weights(target, canary.weight or 0),
        created_at=canary.began,
        started_at=canary.began,
        settled_at=canary.settled_at,
        periods=canary.periods,
    )


def _weights(target: EngineTarget, weight: float) -> dict[str, dict[str, float]]:
    return {RULE: {target.stable: 100.0 - weight, target.canary: float(weight)}}
