"""Keys of rollouts that do not exist yet, and what takes their place."""

from __future__ import annotations

from typing import Any

from stacks.settings.problems import Finding, Location, shown


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
    return None
