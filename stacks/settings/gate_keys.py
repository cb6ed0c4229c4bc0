"""Keys of gates as other tools name them, or written at another place, and where a stack's file says the same."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from stacks.settings.problems import Finding, Location, key_path, shown
from traffic.model import RolloutStrategy
from traffic.model.rollout_gates import RolloutGates

GATES = "gates"
SAME: Mapping[str, str] = {
    "retries": "attempts",
    "tries": "attempts",
    "durations": "latency",
    "duration": "latency",
    "4xx": "clientErrors",
    "badRequests": "clientErrors",
}
"""By a usual name, the key of gates that says the same."""
NO_THRESHOLD = frozenset(
    {
        *("interval", "initialDelay", "iterations", "count", "maxWeight", "stepWeight"),
        *("threshold", "thresholdRange", "successCondition", "failureCondition"),
        *("failureLimit", "inconclusiveLimit", "consecutiveErrorLimit", "consecutiveSuccessLimit"),
        *("minRequests", "minimumRequests", "minSamples"),
    }
)
"""Keys of engines that compare a rate with a threshold every now and then."""
OF_SUCCESS = frozenset({"request-success-rate", "successRate", "success"})
LEAST_SUCCESS = 50.0
"""Percent of success below which a number is none that anybody asks for."""
OF_FAILURES = frozenset({"5xx", "errorRate", "error-rate", "failures", "failureRate"})
"""What others limit; here the failures are compared, and limited by `limits`."""
OF_DURATIONS = frozenset({"request-duration", "p50", "p90", "p95", "p99"})
OF_LATENCY = frozenset({"warmup", "warmUp", "warm-up", "tail"})
"""Keys of latency, written one level too high."""
SAYS_WARM_UP = frozenset({"slowStart", "initialDelay", "initialDelaySeconds", "gracePeriod", "delay", "warmUpSeconds"})
"""Keys of latency by which others let new pods warm up."""
ALWAYS = {
    "split": "the split is judged where one rule alone leads to both versions",
    "noCluster": "requests that found no cluster are always judged",
    "grpc": "a call of gRPC is always judged by its own status",
}
"""What has no key, since nobody chooses it."""
MEASURED = frozenset({"metrics", "metric", "analysis", "templates", "queries"})
SLOW = frozenset({"p50", "p90", "p95", "p99", "threshold", "max", "percentile", "quantile", "limit", "thresholdRange"})


def gates_elsewhere(location: Location, value: Any) -> Finding | None:
    """Return the message for `gates` where no strategy is; None for any other key."""
    if str(location[-1]) not in (GATES, "rolloutGates"):
        return None
    where = "beside `steps`, once for all of them" if location[-3:-2] == ("steps",) else "in a rollout's strategy"
    strategies = f"{key_path(('rollouts',))}.<name>, or in the rollout of a rule"
    return Finding(
        location,
        f"gates are written {where}",
        f"`gates` beside `steps` in {strategies}",
        f"move it there: gates: {shown(value)}",
        shown(value),
    )


def said_of_gates(location: Location, value: Any) -> tuple[str, str] | None:
    """Return what is wrong with an unknown key of gates, and the fix; None if it is none that others have.

    `location` is that of the key; the mapping around it is `gates`, or one in it.
    """
    key = str(location[-1])
    if location[-2:-1] == (GATES,):
        return _of_gates(key, value)
    if location[-3:-2] == (GATES,) and location[-2] == "latency" and key in SAYS_WARM_UP:
        return "there is no such key; its name here is `warmup`", "rename it to `warmup`"
    if location[-3:-2] == (GATES,) and location[-2] == "latency" and key in SLOW:
        return (
            "no duration is too long by itself: the new version's slow requests are compared with the old one's",
            "remove it; `tail` says how many of the old version's are called slow, such as tail: 1%",
        )
    if location[-3:-2] == (GATES,) and location[-2] == "limits":
        return "there is no such limit; the only one is `errors`", _instead_of_limit(key, value)
    if location[-3:-2] == ("custom",) and key in ("query", "expr", "promql"):
        return "a metric has two counters: of failures, and of all requests", "write them as `failures` and `requests`"
    return None


def _of_gates(key: str, value: Any) -> tuple[str, str] | None:
    text = value if isinstance(value, str) else shown(value)
    if key == "deadline" and not isinstance(value, dict):
        text = f"{{step: {text}}}"
    if key in SAME:
        return f"there is no such key; its name here is `{SAME[key]}`", f"rename it to `{SAME[key]}`"
    if key in _of_the_strategy():
        return f"`{key}` is a key of the strategy, not of its gates", f"write {key}: {text} beside `gates`"
    if key == "for":
        return "`for` is a key of a step", "write it beside the step's weight"
    if key in OF_LATENCY:
        return f"`{key}` is a key of `latency`", f"write latency: {{{'tail' if key == 'tail' else 'warmup'}: {text}}}"
    if key in OF_SUCCESS | OF_FAILURES:
        what = "failures are compared without more, and an absolute limit is one of `limits`"
        limit = _limit(key, value)
        fix = "write limits: {errors: 2%}, for example" if limit is None else f"write limits: {{errors: {limit}}}"
        return what, fix
    if key in OF_DURATIONS:
        return (
            "no duration is too long by itself: the new version's slow requests are compared with the old one's",
            "remove it; `latency` says how many of the old version's are called slow, such as latency: {tail: 1%}",
        )
    if key in ALWAYS:
        return f"there is no such key: {ALWAYS[key]}", "remove it"
    if key == "enabled":
        return (
            "there is no such key: gates compare wherever `gates` is written",
            "remove it" if value is True else "remove it; a strategy without `gates` compares nothing",
        )
    if key in NO_THRESHOLD:
        return (
            "the numbers are looked at after every block, and there is no threshold to set",
            "remove it; for an absolute limit, write limits: {errors: 2%}",
        )
    if key in MEASURED:
        return (
            "errors, attempts and latency are measured without more; metrics of your own are in `custom`",
            "remove it, or write custom: [{name: empty-carts, failures: shop_carts_empty_total, "
            "requests: shop_carts_total}], for example",
        )
    return None


def _limit(key: str, value: Any) -> str | None:
    """The limit of failures that a rate of others means, such as 1% for 99 or 0.99 of success; None if none."""
    text = value if isinstance(value, str) else shown(value)
    found = re.fullmatch(r"([0-9]{1,2}(?:\.[0-9]{1,4})?) ?(%?)", text)
    if found is None:
        return None
    number = float(found[1])
    if key not in OF_SUCCESS:
        return f"{found[1]}%" if number else None
    percent = number * 100 if number < 1 and not found[2] else number
    return f"{round(100 - percent, 4):g}%" if percent >= LEAST_SUCCESS else None


def _instead_of_limit(key: str, value: Any) -> str:
    """What limits what somebody wants to limit."""
    if key in ("latency", "duration", *OF_DURATIONS):
        return "remove it; `latency` beside `limits` compares slow requests with the old version's"
    if key == "clientErrors" or SAME.get(key) == "clientErrors":
        return "remove it, and write clientErrors: {enabled: true} beside `limits`, which compares them"
    limit = _limit(key, value) if key in OF_SUCCESS | OF_FAILURES else None
    return "write errors: 2%, for example, instead" if limit is None else f"write errors: {limit} instead"


def said_beside_gates(key: str, value: Any) -> tuple[str, str] | None:
    """Return what is wrong with a key of gates that is written in the strategy, and the fix; None for other keys."""
    names = {field.alias or name for name, field in RolloutGates.model_fields.items()} - {"errors"}
    text = value if isinstance(value, str) else shown(value)
    if key in OF_LATENCY:
        inner = f"latency: {{{'tail' if key == 'tail' else 'warmup'}: {text}}}"
        return f"`{key}` is a key of the gates' `latency`", f"write it in gates: {{{inner}}}"
    if key in names:
        return f"`{key}` is a key of `gates`", f"write it in gates: {{{key}: {text}}}"
    return None


def _of_the_strategy() -> set[str]:
    names = {field.alias or name for name, field in RolloutStrategy.model_fields.items()}
    return names - {field.alias or name for name, field in RolloutGates.model_fields.items()}
