"""Who judges canaries: the gates of this project, and small models of Argo Rollouts' and Flagger's own analysis.

Ours is the code of `rollout.gates` itself, with the defaults of `gates: {}`. The models follow the pages and the
sources that their docstrings name; where these leave a choice, the one that is kinder to the other tool is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from benchmarks.gate_streams import HOLD, SCRAPE, SLOW, TOO_SLOW, WEIGHTS, Seen, above
from rollout.gates.blocks import ATTEMPTS, ERRORS, LATENCY, Block, Counts, Coverage, Observation, Stratum
from rollout.gates.decide import Answer, Gate, Moment
from rollout.gates.history import History
from rollout.gates.plan import GatePlan, GateStep, gate_plan
from traffic.model.rollout_gates import RolloutGates

MINUTE = 60.0
"""Seconds between two looks of Argo Rollouts and of Flagger, and the range of their queries."""

SUCCESS_RATES = (0.95, 0.99)
"""Success conditions in Argo Rollouts' documentation, and what Flagger's asks for."""

FAILURE_LIMITS = (0, 3)
"""Argo Rollouts' default, and that of the examples in its documentation."""

_ROUNDING = 1e-3  # of timestamps
_GATEWAY = Stratum("default", "istio-ingress/gateway")


class Action(Enum):
    """What a judge does after an interval."""

    HOLD = "hold"
    RISE = "rise"
    ABORT = "abort"


class Judge(Protocol):
    """One judge of one rollout."""

    def after(self, seen: Seen, settled: float) -> Action:
        """Return what to do after an interval of a step that began at `settled`."""


@dataclass(frozen=True)
class Named:
    """A judge by its name in the table; `create` begins a rollout of a service with this failure rate."""

    name: str
    create: Callable[[float], Judge]


class Ours:
    """The gates of this project with their defaults: errors, attempts and latency, at a proof of each next weight."""

    def __init__(self, rate: float) -> None:
        self._gate = Gate(plan_of(rate))
        self._blocks: list[Block] = []
        self._seen = 0
        self._step = 0

    def after(self, seen: Seen, settled: float) -> Action:
        if seen.step != self._step:
            self._step, self._seen = seen.step, 0
        self._seen += 1
        if seen.n_c + seen.n_s > 0:
            self._blocks.append(block_of(seen))
        coverage = Coverage(seen=self._seen, expected=self._seen, newest=seen.end)
        observation = Observation(blocks=self._blocks, coverage={seen.step: coverage})
        verdict = self._gate.judge(observation, Moment(step=seen.step, settled=settled, now=seen.end))
        return {Answer.HARM: Action.ABORT, Answer.RISE: Action.RISE}.get(verdict.answer, Action.HOLD)


def plan_of(rate: float, weights: Sequence[float] = WEIGHTS) -> GatePlan:
    """Return the plan with all defaults, for a service whose failures and durations were as usual for six hours."""
    requests = 1e6
    histories = {
        ERRORS: History(rate=rate, requests=requests, phi=1.0),
        ATTEMPTS: History(rate=rate, requests=requests, phi=1.0),
        LATENCY: History(rate=above(SLOW), requests=requests, phi=1.0),
    }
    steps = [
        GateStep(rule=_GATEWAY.rule, weight=weight, weights={_GATEWAY.rule: weight}, hold_seconds=HOLD)
        for weight in (*weights, 100.0)
    ]
    return gate_plan(RolloutGates(), steps, histories, latency_bound=SLOW, block_seconds=SCRAPE)


def block_of(seen: Seen) -> Block:
    """Return an interval as a block of the gates; nothing is tried twice, so attempts are the requests."""
    errors = {_GATEWAY: Counts(seen.n_c, seen.n_s, seen.f_c, seen.f_s)}
    latency = {_GATEWAY: Counts(seen.n_c, seen.n_s, seen.slow_c, seen.slow_s)}
    metrics = {ERRORS: errors, ATTEMPTS: errors, LATENCY: latency}
    return Block(start=seen.start, end=seen.end, step=seen.step, metrics=metrics)


class _EachMinute:
    """Sums up the canary's numbers between two looks, each of which is at the last minute."""

    def __init__(self, every: float) -> None:
        self._every = every
        self._due: float | None = None
        self.n = self.f = 0.0
        self.too_slow = 0.0
        self.known = False
        """Whether the canary has ever had a request, so that its counters exist."""

    def add(self, seen: Seen) -> bool:
        """Take an interval into account, and return whether a look is due after it."""
        if self._due is None:
            self._due = seen.start + self._every
        self.n, self.f = self.n + seen.n_c, self.f + seen.f_c
        self.too_slow += seen.too_slow or 0.0
        self.known = self.known or seen.n_c > 0
        return seen.end >= self._due - _ROUNDING

    def clear(self, end: float) -> None:
        """Begin the next minute."""
        self._due = end + self._every
        self.n = self.f = self.too_slow = 0.0


class ArgoRollouts:
    """Argo Rollouts' background analysis by success rate, and steps with `pause: {duration: 10m}`.

    https://argo-rollouts.readthedocs.io/en/stable/features/analysis/: the metric `success-rate`, whose
    `successCondition` is `result[0] >= 0.95`; it fails when more than `failureLimit` (0 unless it is set) measurements
    have failed, and errs at more than `consecutiveErrorLimit` (4) errors in a row. analysis/analysis.go and
    utils/evaluate/evaluate.go: 0 / 0 is NaN, which is not >= 0.95, and failed; without counters the vector is empty,
    `result[0]` cannot be evaluated, and that is an error. Either aborts the rollout. Steps wait for their time alone.
    Kinder than the page: the rate of the whole last minute instead of that of the last two scrapes (`irate`), of the
    canary instead of the service, and the first measurement after a minute.
    """

    ERRORS_IN_A_ROW = 4

    def __init__(self, success: float, failure_limit: int = 0, every: float = MINUTE) -> None:
        self._success, self._limit = success, failure_limit
        self._minute = _EachMinute(every)
        self._failed = self._errors = 0

    def after(self, seen: Seen, settled: float) -> Action:
        minute = self._minute
        if minute.add(seen):
            if not minute.known:
                self._errors += 1
            else:
                self._errors = 0
                succeeded = minute.n > 0 and 1 - minute.f / minute.n >= self._success
                self._failed += not succeeded
            minute.clear(seen.end)
            if self._failed > self._limit or self._errors > self.ERRORS_IN_A_ROW:
                return Action.ABORT
        return Action.RISE if seen.end - settled >= HOLD - _ROUNDING else Action.HOLD


class Flagger:
    """Flagger's analysis with the values of its documentation: interval 1m, threshold 5, success rate and duration.

    https://docs.flagger.app/usage/how-it-works and https://docs.flagger.app/usage/metrics: `request-success-rate` of at
    least 99 %, and `request-duration`, the 99th percentile, of at most 500 ms. pkg/controller/scheduler.go: at each
    interval it first looks whether `threshold` checks have failed, and rolls back; then it checks. A check that fails
    halts the advancement, and is never forgotten. "No values found" is a failed check. 500 ms is a bound of Istio's
    histogram, so that the percentile is above it when more than 1 % of the requests are.
    A step lasts ten minutes as for the others, which takes the webhook `confirm-traffic-increase`.
    """

    THRESHOLD = 5

    def __init__(self, success: float = 0.99, slow: float = 0.01, every: float = MINUTE) -> None:
        self._success, self._slow = success, slow
        self._minute = _EachMinute(every)
        self._failed = 0

    def after(self, seen: Seen, settled: float) -> Action:
        minute = self._minute
        if not minute.add(seen):
            return Action.HOLD
        n, f, too_slow = minute.n, minute.f, minute.too_slow
        minute.clear(seen.end)
        if self._failed >= self.THRESHOLD:
            return Action.ABORT
        if n <= 0 or 1 - f / n < self._success or too_slow / n > self._slow:
            self._failed += 1
            return Action.HOLD
        return Action.RISE if seen.end - settled >= HOLD - _ROUNDING else Action.HOLD


def tuned_success(rate: float) -> float:
    """Return a success rate that suits a service: 99 %, or twice its usual failures where these are more."""
    return min(max(SUCCESS_RATES), 1 - 2 * rate)


def tuned_others(every: float = MINUTE) -> tuple[Named, ...]:
    """Return the judges that are not ours, with conditions that a person has set for the service."""

    def argo(limit: int) -> Named:
        name = f"Argo Rollouts tuned, limit {limit}"
        return Named(name, lambda rate: ArgoRollouts(tuned_success(rate), limit, every))

    flagger = Named("Flagger tuned", lambda rate: Flagger(tuned_success(rate), every=every))
    return (*map(argo, FAILURE_LIMITS), flagger)


def others(every: float = MINUTE) -> tuple[Named, ...]:
    """Return the judges that are not ours; `every` are the seconds between two of their looks."""

    def argo(success: float, limit: int) -> Named:
        name = f"Argo Rollouts {success:g}, limit {limit}"
        return Named(name, lambda rate: ArgoRollouts(success, limit, every))

    argos = [argo(success, limit) for success in SUCCESS_RATES for limit in FAILURE_LIMITS]
    return (*argos, Named("Flagger", lambda rate: Flagger(every=every)))


def judges(*, tuned: bool = False) -> tuple[Named, ...]:
    """Return all judges, ours first; `tuned` are conditions of the others that a person has set for each service."""
    return (Named("canary rollout", Ours), *(tuned_others() if tuned else others()))


def too_slow_of(bound: float | None, slow: float, requests: float) -> float | None:
    """Return how many of the canary's requests were above TOO_SLOW, if that follows from those above `bound`."""
    if bound == TOO_SLOW:
        return slow
    if bound is not None and bound < TOO_SLOW and slow <= 0.01 * requests:
        return 0.0  # the percentile is below the bound
    return None
