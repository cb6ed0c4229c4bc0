"""The gates of a rollout's strategy: what must be known of the new version before its weight rises, or goes back.

The new version is compared with the old one over the same seconds, at the callers' Envoys. How is in `rollout.gates`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, Strict, WithJsonSchema
from pydantic_core import PydanticCustomError

from traffic.fields import DURATION, DnsLabel, Model, Text, duration, seconds, wrong
from traffic.model.rollout_fields import AUTO, NEARLY_PERCENT, PERCENT_TEXT
from traffic.model.rollout_limits import RolloutLimits

OWN_METRICS = ("errors", "attempts", "latency", "client-errors", "limit")
"""Names that no custom metric can have."""

RATES = r"\b(rate|irate|increase|delta|idelta|deriv|avg_over_time|sum_over_time)\s*\("
LOWEST_TOLERANCE, HIGHEST_TOLERANCE = 0.01, 50.0
LOWEST_FALSE_ABORT, HIGHEST_FALSE_ABORT = 0.01, 20.0
LOWEST_CONFIDENCE, HIGHEST_CONFIDENCE = 50.0, 99.99
LOWEST_TAIL, HIGHEST_TAIL = 0.3, 50.0
NO_WARM_UP, LONGEST_WARM_UP = "0s", "10m"


def percent(text: str) -> float:
    """Return a percentage such as `2%` as a part of 1."""
    return float(text.rstrip("% ")) / 100


def _between(value: Any, low: float, high: float, too_low: str, too_high: str, usual: str) -> str:
    """Return `value` if it is a percentage within bounds.

    The texts say why others do not work; `usual` is written where the nearest bound is not what anybody wants.
    """
    allowed = f"{f'{AUTO}, or ' if usual == AUTO else ''}a percentage from {low:g}% to {high:g}%"
    if not isinstance(value, str) or not re.fullmatch(PERCENT_TEXT, value):
        fits = [one for one in _meant(value) if low <= float(one) <= high]
        texts = [f"{one}%" for one in fits] or [f"{usual}, for example"]
        fix = f"{texts[0]} if the share {value} is meant, or {texts[1]}" if len(texts) > 1 else texts[0]
        raise wrong("this is not a percentage", allowed, f"write {fix}")
    number = float(value.rstrip("% "))
    if number < low:
        fix = f"write {usual}, for example" if low == LOWEST_CONFIDENCE else f"write {low:g}% or more"
        raise wrong(f"{value} is too low: {too_low}", allowed, fix)
    if number > high:
        fix = f"write {usual}, for example" if usual == AUTO else f"write {high:g}% or less"
        raise wrong(f"{value} is too high: {too_high}", allowed, fix)
    return value


def _meant(value: Any) -> list[str]:
    """The numbers of percent that a value may mean that is no percentage: a share first, then the number as it is."""
    found = None if isinstance(value, bool) else re.fullmatch(NEARLY_PERCENT, str(value).lower())
    if found is None:
        return []
    number = found[1].replace(",", ".")
    share = [f"{float(number) * 100:.4g}"] if isinstance(value, float) and 0 < value < 1 else []
    return [one for one in (*share, number) if re.fullmatch(PERCENT_TEXT, f"{one}%")]


def tolerance(value: Any) -> Any:
    """Return `value` if it is `auto`, or a percentage that can be proved."""
    if value == AUTO:
        return value
    low, high = LOWEST_TOLERANCE, HIGHEST_TOLERANCE
    return _between(
        value, low, high, "no traffic could prove that so little is lost", "half of all requests could fail", AUTO
    )


def false_abort(value: Any) -> Any:
    """Return `value` if it is a percentage of good rollouts that may be aborted."""
    low, high = LOWEST_FALSE_ABORT, HIGHEST_FALSE_ABORT
    return _between(
        value, low, high, "harm would hardly ever be found", "every fifth good version would be aborted", "1%"
    )


def confidence(value: Any) -> Any:
    """Return `value` if it is a confidence of proofs."""
    low, high = LOWEST_CONFIDENCE, HIGHEST_CONFIDENCE
    return _between(value, low, high, "a coin would prove as much", "no traffic could prove as much", "95%")


def tail(value: Any) -> Any:
    """Return `value` if so large a part of the requests can be called slow."""
    low, high = LOWEST_TAIL, HIGHEST_TAIL
    return _between(
        value, low, high, "there would be too few slow requests to compare", "slow are less than half of all", "5%"
    )


def warm_up(value: str) -> str:
    """Return `value` if latency can do without new pods for so long."""
    is_duration = re.fullmatch(DURATION, value) is not None
    allowed = f"a duration from {NO_WARM_UP} to {LONGEST_WARM_UP}"
    if is_duration and seconds(value) == 0:
        return value
    if re.fullmatch("[0-9]+ ?[dw]", value) or (is_duration and seconds(value) > seconds(LONGEST_WARM_UP)):
        raise wrong(
            f"{value} is too long: a slow version would not be seen for three times as long in each step",
            allowed,
            f"write {LONGEST_WARM_UP} or less",
        )
    try:
        return duration(value)
    except PydanticCustomError as error:  # it says what is allowed elsewhere, where 0s is not
        context = error.context or {}
        raise wrong(context["what"], f"{allowed}, in ms, s or m", context["fix"]) from None


def as_gates(value: Any) -> Any:
    """Return what a file may say as `gates`; a mapping, in which each key has a default."""
    if value is None or isinstance(value, (dict, RolloutGates)):
        return value
    named = [one for one in ("attempts", "latency", "clientErrors") if isinstance(value, list) and one in value]
    mapping = ", ".join(f"{one}: {{enabled: true}}" for one in named)
    fix = "remove the key" if value is False else f"write {{{mapping}}}{'' if named else ', for the defaults'}"
    raise wrong(
        f"gates is a mapping{'; without the key there are none' if value is False else ''}",
        "a mapping whose keys all have defaults, such as {} or {tolerance: 0.5%}",
        fix,
    )


def always_on(value: Any) -> Any:
    """Return what a file may say as `errors`: nothing, since they are compared in every rollout."""
    if isinstance(value, ErrorGate) or value == {}:
        return value
    raise wrong(
        "errors are always compared, and have no keys of their own",
        "{}; `tolerance` says how much may be lost, and `limits` what is too much, whatever the old version does",
        "remove it; for a limit, write limits: {errors: 2%}",
    )


def own_name(value: str) -> str:
    """Return `value` if it is no metric of every rollout."""
    if value in OWN_METRICS:
        what, allowed = f"{value!r} is a metric of every rollout", f"a name of your own; not {', '.join(OWN_METRICS)}"
        raise wrong(what, allowed, f"write my-{value}, for example")
    return value


def counters(value: str) -> str:
    """Return `value` if it can be PromQL for counters, whose increments are what is compared."""
    allowed = "PromQL for counters that only rise, such as shop_carts_total, or sum by (version) (shop_carts_total)"
    found = re.search(RATES, value)
    if found is not None:
        what = f"{found[1]} makes a rate of the counters, and their increments are computed here"
        raise wrong(what, allowed, f"leave out {found[1]} and its [range]")
    if any(value.count(one) != value.count(other) for one, other in ("()", "[]", "{}")):
        raise wrong(f"{value!r} has a bracket without its other half", allowed, "write shop_carts_total, for example")
    return value


def own_names(values: tuple[CustomMetric, ...]) -> tuple[CustomMetric, ...]:
    """Return `values` if each has a name of its own."""
    names = [metric.name for metric in values]
    for index, name in enumerate(names):
        if name in names[:index]:
            what = f"{name!r} is the name of two metrics"
            raise wrong(what, "names of your own, each once", f"write {name}-{index + 1} for the one at [{index}]")
    return values


_PERCENT = {"type": "string", "pattern": f"^({PERCENT_TEXT})$"}
Tolerance = Annotated[
    str, BeforeValidator(tolerance), WithJsonSchema({"type": "string", "pattern": f"^({AUTO}|{PERCENT_TEXT})$"})
]
FalseAbort = Annotated[str, BeforeValidator(false_abort), WithJsonSchema(_PERCENT)]
Confidence = Annotated[str, BeforeValidator(confidence), WithJsonSchema(_PERCENT)]
Tail = Annotated[str, BeforeValidator(tail), WithJsonSchema(_PERCENT)]
WarmUp = Annotated[str, AfterValidator(warm_up), WithJsonSchema({"type": "string", "pattern": f"^({DURATION})$"})]
Counters = Annotated[Text, AfterValidator(counters)]
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


class ClientErrorGate(Model):
    """Answers 4xx, which a version gives more often when it takes good requests for bad ones."""

    enabled: bool = Field(default=False, description="Compare the answers 4xx.")
    ratio: Ratio = Field(default=1.5, description="How many times as often as the old version's they may be 4xx.")


class CustomMetric(Model):
    """A metric of your own: counters of failures and of requests, in Prometheus, with the label `version`."""

    name: Annotated[DnsLabel, AfterValidator(own_name)] = Field(
        examples=["empty-carts"], description="Name in reports."
    )
    failures: Counters = Field(
        examples=["shop_carts_empty_total"], description="PromQL for the counters of failures, by `version`."
    )
    requests: Counters = Field(
        examples=["shop_carts_total"], description="PromQL for the counters of all, by `version`."
    )
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
    errors: Annotated[ErrorGate, BeforeValidator(always_on)] = Field(
        default_factory=ErrorGate, description="Requests that fail."
    )
    attempts: AttemptGate = Field(
        default_factory=AttemptGate, examples=[{"enabled": True}], description="Tries that fail."
    )
    latency: LatencyGate = Field(
        default_factory=LatencyGate, examples=[{"enabled": True}], description="Requests that are slow."
    )
    client_errors: ClientErrorGate = Field(
        default_factory=ClientErrorGate, examples=[{"enabled": True}], description="Answers 4xx."
    )
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
