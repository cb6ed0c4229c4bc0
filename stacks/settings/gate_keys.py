"""Keys of gates as other tools name them, or written at another place, and where a stack's file says the same."""

from __future__ import annotations

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
    {"interval", "threshold", "failureLimit", "maxWeight", "stepWeight", "minRequests", "count", "successCondition"}
)
"""Keys of engines that compare a rate with a threshold every now and then."""
MEASURED = frozenset({"metrics", "metric", "analysis", "templates", "queries"})
SLOW = frozenset({"p50", "p90", "p95", "p99", "threshold", "max", "percentile", "quantile", "limit", "thresholdRange"})


def gates_elsewhere(location: Location, value: Any) -> Finding | None:
    """Return the message for `gates` where no strategy is; None for any other key."""
    key = str(location[-1])
    if key != GATES or (location[0] not in ("services", GATES) and location[-3:-2] != ("steps",)):
        return None
    if location[-2:-1] == ("rollout",) and location[0] == "services":
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
    if location[-3:-2] == (GATES,) and location[-2] == "latency" and key in SLOW:
        return (
            "no duration is too long by itself: the new version's slow requests are compared with the old one's",
            "remove it; `tail` says how many of the old version's are called slow, such as tail: 1%",
        )
    if location[-3:-2] == (GATES,) and location[-2] == "limits":
        return "there is no such limit; the only one is `errors`", "write errors: 2%, for example, instead"
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


def _of_the_strategy() -> set[str]:
    names = {field.alias or name for name, field in RolloutStrategy.model_fields.items()}
    return names - {field.alias or name for name, field in RolloutGates.model_fields.items()}
