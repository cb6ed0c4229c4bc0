"""Keys of rollouts that do not exist yet, and what takes their place."""

from __future__ import annotations

from typing import Any

from stacks.settings.problems import Finding, Location, shown
from stacks.settings.rollout_keys import is_strategy

OF_STRATEGY = ("promote", "limits")
"""Keys of a strategy that decide about its steps."""


def not_there_yet(location: Location, value: Any) -> Finding | None:
    """Return the message for an unknown key that is none yet; None for any other one."""
    if location == ("groups",):
        return Finding(
            location,
            "services cannot be rolled out as a group yet",
            "a rollout for each service",
            "remove it, and name the strategy in the rules of each service",
            shown(value),
        )
    if location[-1:] == ("gates",) and is_strategy(location[:-1]):
        inside = value if isinstance(value, dict) else {}
        kept = {key: inside[key] for key in OF_STRATEGY if key in inside and inside[key] != "proof"}
        texts = [f"{key}: {one if isinstance(one, str) else shown(one)}" for key, one in kept.items()]
        moved = f"write {' and '.join(texts)} in the strategy itself"
        return Finding(
            location,
            "there are no statistical gates yet: nothing would compare the new version with the old one",
            "in the strategy itself: promote: time or hand, limits: {errors: 2%}, and approve in its steps",
            f"{moved}, and remove gates" if kept else "write promote: hand, or limits: {errors: 2%}, instead of gates",
            shown(value),
        )
    return None
