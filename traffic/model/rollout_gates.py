"""The gates of a rollout's strategy: what must be known of the new version before its weight rises, or goes back.

The new version is compared with the old one over the same seconds, at the callers' Envoys. How is in `rollout.gates`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, Strict, WithJsonSchema

from traffic.fields import DURATION, DnsLabel, Model, Text, duration, seconds, wrong
from traffic.model.rollout_fields import AUTO, PERCENT_TEXT, percent_text
from traffic.model.rollout_limits import RolloutLimits

OWN_METRICS = ("errors", "attempts", "latency", "limit")
"""Names that no custom metric can have."""

LOWEST_TOLERANCE, HIGHEST_TOLERANCE = 0.01, 50.0
LOWEST_FALSE_ABORT, HIGHEST_FALSE_ABORT = 0.01, 20.0
LOWEST_CONFIDENCE, HIGHEST_CONFIDENCE = 50.0, 99.99
LOWEST_TAIL, HIGHEST_TAIL = 0.3, 50.0
NO_WARM_UP, LONGEST_WARM_UP = "0s", "10m"


def percent(text: str) -> float:
    """Return a percentage such as `2%` as a part of 1."""
    return float(text.rstrip("% ")) / 100


def _between(value: Any, low: float, high: float, too_low: str, too_high: str) -> str:
    """Return `value` if it is a percentage within bounds; the texts say why others do not work."""
    text = str(percent_text(value))
    number = float(text.rstrip("% "))
    allowed = f"a percentage from {low:g}% to {high:g}%"
    if number < low:
        raise wrong(f"{text} is too low: {too_low}", allowed, f"write {low:g}% or more")
    if number > high:
        raise wrong(f"{text} is too high: {too_high}", allowed, f"write {high:g}% or less")
    return text


def tolerance(value: Any) -> Any:
    """Return `value` if it is `auto`, or a percentage that can be proved."""
    if value == AUTO:
        return value
    return _between(
        value,
        LOWEST_TOLERANCE,
        HIGHEST_TOLERANCE,
        "no traffic could prove that so little is lost",
        "half of all requests could fail",
    )


def false_abort(value: Any) -> Any:
    """Return `value` if it is a percentage of good rollouts that may be aborted."""
    return _between(
        value,
        LOWEST_FALSE_ABORT,
        HIGHEST_FALSE_ABORT,
        "harm would hardly ever be found",
        "every fifth good version would be aborted",
    )


def confidence(value: Any) -> Any:
    """Return `value` if it is a confidence of proofs."""
    return _between(
        value,
        LOWEST_CONFIDENCE,
        HIGHEST_CONFIDENCE,
        "a coin would prove as much",
        "no traffic could prove as much",
    )


def tail(value: Any) -> Any:
    """Return `value` if so large a part of the requests can be called slow."""
    return _between(
        value,
        LOWEST_TAIL,
        HIGHEST_TAIL,
        "there would be too few slow requests to compare",
        "slow are less than half of all requests",
    )


def warm_up(value: str) -> str:
    """Return `value` if latency can do without new pods for so long."""
    if re.fullmatch(DURATION, value) and seconds(value) == 0:
        return value
    if re.fullmatch(DURATION, value) and seconds(value) > seconds(LONGEST_WARM_UP):
        raise wrong(
            f"{value} is too long: a slow version would not be seen for three times as long in each step",
            f"a duration from {NO_WARM_UP} to {LONGEST_WARM_UP}",
            f"write {LONGEST_WARM_UP} or less",
        )
    return duration(value)


def own_names(values: tuple[CustomMetric, ...]) -> tuple[CustomMetric, ...]:
    """Return `values` if each has a name of its own."""
    names = [metric.name for metric in values]
    for name in names:
        if name in OWN_METRICS or names.count(name) > 1:
            what = f"{name!r} is a metric of every rollout" if name in OWN_METRICS else f"{name!r} is there twice"
            raise wrong(what, f"names of your own, each once; not {', '.join(OWN_METRICS)}", "rename it")
    return values


_PERCENT = {"type": "string", "pattern": f"^({PERCENT_TEXT})$"}
Tolerance = Annotated[
    str, BeforeValidator(tolerance), WithJsonSchema({"type": "string", "pattern": f"^({AUTO}|{PERCENT_TEXT})$"})
]
FalseAbort = Annotated[str, BeforeValidator(false_abort), WithJsonSchema(_PERCENT)]
Confidence = Annotated[str, BeforeValidator(confidence), WithJsonSchema(_PERCENT)]
Tail = Annotated[str, BeforeValidator(tail), WithJsonSchema(_PERCENT)]
WarmUp = Annotated[str, AfterValidator(warm_up), WithJsonSchema({"type": "string", "pattern": f"^({DURATION})$"})]
Ratio = Annotated[float, Field(ge=1, le=10)]


class ErrorGate(Model):
    """Requests that fail: status 5xx, no pod reached, or given up by their caller. It has no keys, and is always on."""


class AttemptGate(Model):
    """Tries that fail, also those that a retry hides from the caller."""

    enabled: bool = Field(default=True, description="Compare the tries.")
    ratio: Ratio = Field(default=1.5, description="How many times as often as the old version's they may fail.")


class LatencyGate(Model):
    """Requests that are slow: above the bound of Envoy's histogram that `tail` of the old version's are above."""

    enabled: bool = Field(default=True, description="Compare the durations.")
    tail: Tail = Field(default="5%", description="Percent of the old version's requests that are called slow, about.")
    ratio: Ratio = Field(default=1.5, description="How many times as often as the old version it may be slow.")
    warmup: WarmUp = Field(
        default="60s",
        examples=["2m"],
        description="How long a new pod is left out, and the new version from its first requests on; 0s: not at all. "
        "Of one step at most three times as long.",
    )

    @property
    def warmup_seconds(self) -> float:
        """How long a new pod is left out of latency."""
        return seconds(self.warmup)


class CustomMetric(Model):
    """A metric of your own: counters of failures and of requests, in Prometheus, with the label `version`."""

    name: DnsLabel = Field(examples=["empty-carts"], description="Name in reports.")
    failures: Text = Field(
        examples=["shop_carts_empty_total"], description="PromQL for the counters of failures, by `version`."
    )
    requests: Text = Field(examples=["shop_carts_total"], description="PromQL for the counters of all, by `version`.")
    ratio: Ratio = Field(default=1.5, description="How many times as often as the old version it may fail.")


class RolloutGates(Model):
    """What must be known before a step."""

    tolerance: Tolerance = Field(
        default=AUTO,
        examples=["0.2%"],
        description="Percent of its requests that the whole service may lose; auto is the larger one of 0.1 points and "
        "half of the old version's failures.",
    )
    false_abort: FalseAbort = Field(
        default="1%", description="Percent of the rollouts of good versions that may be aborted, all metrics together."
    )
    confidence: Confidence = Field(default="95%", description="Confidence of the proof before each higher weight.")
    promote: Literal["proof", "time", "hand"] = Field(
        default="proof",
        description="What ends a step: proof (the next weight is proved to be safe), time (its `for`, no harm), or "
        "hand (`canary rollout promote`).",
    )
    errors: ErrorGate = Field(default_factory=ErrorGate, description="Requests that fail.")
    attempts: AttemptGate = Field(default_factory=AttemptGate, description="Tries that fail.")
    latency: LatencyGate = Field(default_factory=LatencyGate, description="Requests that are slow.")
    custom: Annotated[tuple[CustomMetric, ...], Field(max_length=10), Strict(False), AfterValidator(own_names)] = Field(
        default=(),
        examples=[[{"name": "empty-carts", "failures": "shop_carts_empty_total", "requests": "shop_carts_total"}]],
        description="Metrics of your own.",
    )
    limits: RolloutLimits | None = Field(
        default=None, examples=[{"errors": "2%"}], description="Absolute limits for the new version."
    )

    @property
    def tolerance_part(self) -> float | None:
        """What the service may lose, as a part of 1; None for auto."""
        return None if self.tolerance == AUTO else percent(self.tolerance)

    @property
    def alpha(self) -> float:
        """The probability of a false abort."""
        return percent(self.false_abort)

    @property
    def beta(self) -> float:
        """The probability of a wrong promotion at exactly the tolerance."""
        return round(1 - percent(self.confidence), 6)
