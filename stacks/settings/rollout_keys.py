"""Keys of rollouts as other tools name them, or written at another place, and where a stack's file says the same."""

from __future__ import annotations

from typing import Any

from stacks.settings.gate_keys import said_beside_gates, said_of_gates
from stacks.settings.problems import Location, shown

Meant = tuple[str, str]
"""What is wrong with a key, and the fix."""
SAYS_WEIGHT = ("setWeight", "stepWeight", "percent", "percentage")
SAYS_FOR = ("pause", "duration", "hold", "interval", "bake", "wait")
MEANT = {"manual": "hand", "auto": "proof", "automatic": "proof", "rollback": "abort", "revert": "abort"}
"""By another word for a choice, the choice, where it is one."""
SAYS_LIMITS = ("analysis", "metrics", "successRate", "errorRate")


def said_of_rollout(location: Location, value: Any) -> Meant | None:
    """Return what is wrong with an unknown key of a rollout, and the fix; None if it is none that others have."""
    key = str(location[-1])
    if location[0] == "services" and len(location) == 3 and key == "rollout":
        return "a rollout is one of a rule", "write it beside `to` in the rule whose requests are to move"
    if "gates" in location[:-1]:
        return said_of_gates(location, value)
    if is_strategy(location[:-1]):
        return _of_strategy(location, key, value)
    if len(location) > 2 and location[-3] == "steps" and is_strategy(location[:-3]):
        return _of_step(key, value)
    return None


def is_strategy(location: Location) -> bool:
    """Return whether a location is that of a rollout's strategy."""
    return (len(location) == 2 and location[0] == "rollouts") or location[-1:] == ("rollout",)


def _of_strategy(location: Location, key: str, value: Any) -> Meant | None:
    in_rule = location[0] == "services"
    if key in ("from", "to"):
        where = (
            f"write {key}: {_text(value)} beside `rollout`" if in_rule else f"write `{key}` in the rules that name it"
        )
        return f"`{key}` is a key of the rule, not of its strategy", where
    if key in ("strategy", "name") and in_rule and isinstance(value, str):
        return (
            "a strategy is named alone: nothing is laid over it",
            f"write rollout: {value}; for other steps or options, define another strategy",
        )
    if key == "timeout" and in_rule:
        return "`timeout` is a key of the rule, not of its strategy", f"write timeout: {_text(value)} beside `rollout`"
    if key in SAYS_LIMITS:
        return "there is no such key; the new version's failures are judged by `limits`", "write limits: {errors: 2%}"
    return said_beside_gates(key, value)


def _of_step(key: str, value: Any) -> Meant | None:
    if key in SAYS_WEIGHT:
        return "there is no such key; its name here is `weight`", f"rename it to `weight`: {_text(value)}"
    if key in SAYS_FOR:
        duration = value.get("duration") if isinstance(value, dict) else value
        if duration is None or duration == "":
            return "there is no such key", "write approve: true in the step before it, which then waits for a person"
        return (
            "there is no such key; how long a weight is kept is its `for`",
            f"write for: {_text(duration)} beside its weight",
        )
    return None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else shown(value)
