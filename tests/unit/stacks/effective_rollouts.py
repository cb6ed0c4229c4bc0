"""What an `up` makes of a rollout's stack, in short forms for tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rollout.schedule import rule_key
from stacks.rollout_asks import AskKind
from stacks.rollout_states import RolloutState
from stacks.settings.model import Settings
from stacks.with_rollouts import Effective, with_rollouts
from tests.unit.stacks.rollout_stacks import COHORT, EVERYBODY, FILE, NEW, OLD, TESTERS, stack, version

THREE = {OLD: version(1), NEW: version(2), "version-3": version(3)}
THIRD = {**EVERYBODY, "to": "version-3"}
CHANGED_OLD, CHANGED_NEW = {OLD: version(11), NEW: version(2)}, {OLD: version(1), NEW: version(22)}
FROZEN = {
    "a timeout": stack({**EVERYBODY, "timeout": "6s"}),
    "a new rule": stack(TESTERS, EVERYBODY),
    "a new cohort": stack(COHORT, EVERYBODY),
}
"""Changes of the route that wait for the end of a rollout."""


def effective(settings: Settings, given: RolloutState | None = None, **keys: Any) -> Effective:
    """What an `up` of these settings makes of the service `shop`, whose rollout is in the given state."""
    return with_rollouts(settings, {} if given is None else {"shop": given}, FILE, **keys)


def weights(found: Effective) -> dict[str, Mapping[str, float]]:
    """The weights above 0 of each rule, by its key."""
    route = found.settings.services["shop"].route
    return {rule_key(rule): {name: one for name, one in rule.weights.items() if one > 0} for rule in route}


def everybody(found: Effective) -> Mapping[str, float]:
    """The weights of the rule without a match."""
    return weights(found)["default"]


def kinds(found: Effective) -> list[AskKind]:
    """What the `up` asks of the rollout, in order."""
    return [ask.kind for ask in found.asks]


def refusal(found: Effective) -> str:
    """The only refusal."""
    assert found.problems, "nothing is refused"
    (problem,) = found.problems
    assert problem.file == FILE
    assert problem.fix
    return str(problem)
