"""How long the gates take: requests and minutes until harm of a ratio is found, and until the next weight is proved.

The formulas are those of a sequential test that must climb by `b`, and grows by `g` with the variance `v` a request:
90 % of the runs are over by then. Simulated they are right within a fifth, except where the answer is two or three
blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor, inf, log, log10, sqrt

from rollout.gates.blocks import ERRORS
from rollout.gates.plan import GateMetric, GatePlan
from rollout.gates.proof import TINY, nearest
from traffic.fields import LONGEST_DURATION
from traffic.model.rollout_gates import HIGHEST_TOLERANCE

QUANTILE = 1.28
"""Of the normal distribution: 90 % of the runs are faster."""

OVERHEAD = 2.0
"""What the mixture over alternatives and starts costs, in nats."""

LEAST_BLOCKS = 2
"""Harm is never found earlier: at least two blocks must agree."""

RATIOS = (2.0, 5.0, 10.0)
"""Ratios of failure rates that a plan speaks of."""

LONGEST = 60.0 * LONGEST_DURATION
"""Minutes of the longest deadline that a stack's file can have."""

DEADLINE_FACTOR, PROOF_FACTOR = 3.0, 2.0
"""The deadline `auto`: so many times the step's `for`, and so many times the minutes to the proof."""

LEAST_RATE = 1e-6
"""Failure rate that is assumed of a stable version that never failed."""


@dataclass(frozen=True)
class Growth:
    """How a test's log e-value grows with each request of the service: mean and variance."""

    g: float
    v: float


def harm_growth(rate: float, share: float, ratio: float, tolerated: float = 1.0) -> Growth:
    """Return how harm grows when the canary has `share` of the requests and fails `ratio` times as often as `rate`."""
    theta = share * ratio / (1 - share + share * ratio)
    null = share * tolerated / (1 - share + share * tolerated)
    failing = min(rate * (1 - share + share * ratio), 1.0)
    hit, miss = log(theta / null), log((1 - theta) / (1 - null))
    return Growth(failing * (theta * hit + (1 - theta) * miss), failing * (theta * hit**2 + (1 - theta) * miss**2))


def proof_growth(rate: float, share: float, difference: float) -> Growth:
    """Return how the proof against `difference` grows when both versions fail with `rate`."""
    x = nearest(1 - share, share, rate, rate, difference)
    means, variances = zip(*(_log_ratio(rate, null) for null in (x, x + difference)), strict=True)
    parts = (1 - share, share)
    return Growth(
        sum(part * mean for part, mean in zip(parts, means, strict=True)),
        sum(part * variance for part, variance in zip(parts, variances, strict=True)),
    )


def _log_ratio(rate: float, null: float) -> tuple[float, float]:
    """Mean and variance of log(likelihood at `rate` / likelihood at `null`) of one request that fails with `rate`."""
    failed, passed = log(rate / null), log((1 - rate) / (1 - null))
    mean = rate * failed + (1 - rate) * passed
    return mean, rate * failed**2 + (1 - rate) * passed**2 - mean**2


def requests(growth: Growth, climb: float, before: Growth = Growth(0.0, 0.0)) -> float:
    """Return after how many requests 90 % of the runs have climbed by `climb`; `before` is what they already have."""
    g, v = growth.g, growth.v
    missing = climb - before.g + QUANTILE * sqrt(before.v)
    if missing <= 0:
        return 0.0
    if g <= 0 or v <= 0:
        return inf
    root = (QUANTILE + sqrt(QUANTILE**2 + 4 * g / v * (climb + g * before.v / v - before.g))) / (2 * g / v)
    return max((root**2 - before.v) / v, 0.0)


def harm_requests(plan: GatePlan, metric: GateMetric, share: float, ratio: float) -> float:
    """Return the requests of the service until harm of `ratio` is found by one metric."""
    if not 0 < share < 1 or ratio <= metric.tolerated:
        return inf
    growth = harm_growth(_rate(metric), share, ratio, metric.tolerated)
    return requests(growth, log(1 / (metric.share * plan.alpha)) + OVERHEAD) * _phi(metric)


@dataclass(frozen=True, kw_only=True)
class StepForecast:
    """What a step can decide. Times are minutes at the planned traffic, `inf` where it never can.

    `found` is by ratio the time until such harm of errors is found; `smallest` is the smallest of them that is found
    within the step's `for`. `proof` is the time until the next weight is proved if both versions are the same, with
    what the steps before have shown; None if nothing is to be proved. `deadline` is the step's.
    """

    step: int
    weight: float
    hold: float
    found: dict[float, float]
    smallest: float | None
    proof: float | None
    deadline: float

    @property
    def minutes(self) -> float:
        """Return how long the step takes if nothing is wrong."""
        return max(self.hold, self.proof or 0.0)


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A step that cannot decide before its deadline: what is wrong, and the ways out, each of which is enough."""

    step: int
    what: str
    ways_out: tuple[str, ...]


def forecast(
    plan: GatePlan, per_second: float, deadlines: Sequence[float | None] | None = None
) -> tuple[StepForecast, ...]:
    """Return what each step of a plan can decide at `per_second` requests of the service.

    `deadlines` are those of the steps in seconds, None for `auto`.
    """
    return tuple(_forecasts(plan, per_second, deadlines or [None] * len(plan.steps)))


def _forecasts(plan: GatePlan, per_second: float, deadlines: Sequence[float | None]) -> Iterator[StepForecast]:
    errors = next((metric for metric in plan.metrics if metric.name == ERRORS), plan.metrics[0])
    block = plan.block_seconds / 60
    behind: list[tuple[float, float]] = []  # share and requests of the steps before
    for number, step in enumerate(plan.steps):
        share, hold = step.weight / 100, step.hold_seconds / 60
        found = {
            ratio: max(_minutes(harm_requests(plan, errors, share, ratio), per_second), LEAST_BLOCKS * block)
            for ratio in RATIOS
        }
        proof = _minutes_to_proof(plan, number, per_second, behind)
        given = deadlines[number]
        auto = max(DEADLINE_FACTOR * hold, PROOF_FACTOR * (proof or 0.0))
        one = StepForecast(
            step=number,
            weight=step.weight,
            hold=hold,
            found=found,
            smallest=min((ratio for ratio, minutes in found.items() if minutes <= hold), default=None),
            proof=proof,
            deadline=auto if given is None else given / 60,
        )
        yield one
        behind.append((share, min(one.minutes, one.deadline) * 60 * per_second))


def _minutes_to_proof(
    plan: GatePlan, number: int, per_second: float, behind: Sequence[tuple[float, float]]
) -> float | None:
    """The time until all metrics are proved for the weight after a step; None if none is to be."""
    if plan.promote != "proof":
        return None
    times = [
        _minutes(proof_requests(plan, metric, number, behind), per_second)
        for metric in plan.metrics
        if plan.difference(metric, number) is not None
    ]
    return max(times, default=None)


def proof_requests(
    plan: GatePlan, metric: GateMetric, number: int, behind: Sequence[tuple[float, float]] = ()
) -> float:
    """Return the requests of the service in a step until the next weight is proved by one metric.

    `behind` are the steps before: the canary's share in each and the requests of the service.
    """
    difference = plan.difference(metric, number)
    if difference is None or difference >= 1 - _rate(metric) - TINY:
        return 0.0
    phi = _phi(metric)
    growths = [(proof_growth(_rate(metric), share, difference), n / phi) for share, n in behind if 0 < share < 1]
    before = Growth(sum(one.g * n for one, n in growths), sum(one.v * n for one, n in growths))
    share, climb = plan.steps[number].weight / 100, log(1 / plan.beta)
    if not 0 < share < 1:
        return 0.0 if before.g - QUANTILE * sqrt(before.v) >= climb else inf
    return requests(proof_growth(_rate(metric), share, difference), climb, before) * phi


def refusals(
    plan: GatePlan, per_second: float, deadlines: Sequence[float | None] | None = None, total: float | None = None
) -> tuple[Refusal, ...]:
    """Return the steps that cannot decide before their deadline, and the rollout if not before `total` seconds."""
    forecasts = forecast(plan, per_second, deadlines)
    found = [_refusal(plan, one, per_second) for one in forecasts if one.proof is not None and one.proof > one.deadline]
    minutes = sum(one.minutes for one in forecasts)
    if not found and total is not None and minutes > total / 60:
        longest = max(forecasts, key=lambda one: one.minutes)
        what = f"all steps together take about {_said(minutes)}, and the deadline of the rollout is {_said(total / 60)}"

        def is_enough(changed: GatePlan) -> bool:
            return sum(one.minutes for one in forecast(changed, per_second, deadlines)) <= total / 60

        ways = _ways_out(plan, longest.step, is_enough, minutes, "total")
        found.append(Refusal(step=longest.step, what=what, ways_out=ways))
    return tuple(found)


def _refusal(plan: GatePlan, one: StepForecast, per_second: float) -> Refusal:
    after = plan.steps[one.step + 1].weight
    proof = one.proof if one.proof is not None else inf
    what = (
        f"step {one.step + 1}: at {per_second:.3g} requests/s and {one.weight:g} %, that {after:g} % is safe "
        f"takes about {_said(proof)} to prove, and its deadline is {_said(one.deadline)}"
    )

    def is_enough(changed: GatePlan) -> bool:
        minutes = _minutes_to_proof(changed, one.step, per_second, ())
        return minutes is None or minutes <= one.deadline

    return Refusal(step=one.step, what=what, ways_out=_ways_out(plan, one.step, is_enough, proof, "step"))


Enough = Callable[[GatePlan], bool]
"""Whether a changed plan decides in time."""


def _ways_out(plan: GatePlan, step: int, is_enough: Enough, minutes: float, key: str) -> tuple[str, ...]:
    """What a person may change; only what helps is named. `key` is that of the deadline, which is too short."""
    longer = _whole(minutes * 1.2) if minutes < inf else ""
    ways = [f"a deadline of {longer} or more, deadline: {{{key}: {longer}}}"] if minutes * 1.2 <= LONGEST else []
    weight = _enough_weight(plan, step, is_enough)
    if weight is not None:
        ways.append(f"a weight of {weight:g} in {'this step' if key == 'step' else f'step {step + 1}'}")
    tolerance = _enough_tolerance(plan, is_enough)
    if tolerance is not None:
        ways.append(f"tolerance: {_rounded_up(100 * tolerance)}% or more")
    if is_enough(plan.model_copy(update={"promote": "time"})):
        ways.append("promote: time, which asks for no harm within `for` and for no proof")
    return tuple(ways)


def _enough_weight(plan: GatePlan, number: int, is_enough: Enough) -> float | None:
    """The smallest multiple of 5 below the next weight with which the step is in time."""
    after = plan.steps[number + 1].weight if number + 1 < len(plan.steps) else 0.0
    for weight in range(5 * int(plan.steps[number].weight // 5 + 1), ceil(after), 5):
        changed = plan.steps[number].model_copy(update={"weight": float(weight)})
        steps = (*plan.steps[:number], changed, *plan.steps[number + 1 :])
        if is_enough(plan.model_copy(update={"steps": steps})):
            return float(weight)
    return None


def _enough_tolerance(plan: GatePlan, is_enough: Enough) -> float | None:
    """The smallest tolerance, in steps of a quarter, up to ten times the planned one, that is proved in time."""
    for quarters in range(5, 41):
        tolerance = plan.tolerance * quarters / 4
        metrics = tuple(
            metric.model_copy(update={"margin": tolerance}) if metric.name == ERRORS else metric
            for metric in plan.metrics
        )
        if tolerance <= HIGHEST_TOLERANCE / 100 and is_enough(plan.model_copy(update={"metrics": metrics})):
            return tolerance
    return None


def _rate(metric: GateMetric) -> float:
    return min(max(metric.stable_rate, LEAST_RATE), 1 - LEAST_RATE)


def _phi(metric: GateMetric) -> float:
    return max(metric.phi_history or 1.0, 1.0)


def _minutes(number: float, per_second: float) -> float:
    return number / per_second / 60 if per_second > 0 else (inf if number > 0 else 0.0)


def _said(minutes: float) -> str:
    """A time in words."""
    if minutes > LONGEST:
        return "longer than anybody waits"
    return f"{minutes:.1f} min" if minutes < 10 else f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _rounded_up(value: float) -> str:
    """A number with two digits that is not smaller."""
    scale = 10.0 ** (1 - floor(log10(value)))
    return f"{ceil(value * scale - 1e-9) / scale:g}"


def _whole(minutes: float) -> str:
    """A duration as a stack's file has it."""
    return f"{ceil(minutes)}m" if minutes < 120 else f"{ceil(minutes / 60)}h"
