"""What a rule must be to be rolled out: it leads to one version, and comes from another one of the same service."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from traffic.model.rule import Rule

WITH_ONE = "rollout with `to: <version>`, the version whose weight the steps raise; `from` is the one it comes from"


def rollout_mistake(rule: Rule) -> tuple[str, str, str] | None:
    """Return why the rule cannot have its `rollout` and `from`, what is allowed, and the fix; None if it can."""
    if rule.rollout is None:
        if rule.from_version is None:
            return None
        return "`from` has no effect without rollout", "`from` in rules with rollout", "remove `from`, or add a rollout"
    if rule.to is None:
        return (
            "rollout has no effect without `to`: no version gets the requests",
            WITH_ONE,
            "remove rollout, or write `to: version-2`, for example",
        )
    if not isinstance(rule.to, str):
        return _of_weights(rule)
    if "/" in rule.to:
        return (
            f"{rule.to} is a destination outside the service, whose pods a rollout neither counts nor scales",
            "rollout to a version of the service itself",
            "remove rollout, or give the service a version of its own",
        )
    if rule.from_version == rule.to:
        return "`from` and `to` are the same version", "two versions", "write the version that gets the requests now"
    return None


def _of_weights(rule: Rule) -> tuple[str, str, str]:
    """Weights and steps cannot both decide; the steps are of a pair of versions."""
    names = list(rule.weights)
    if len(names) > 2:
        what = f"the rule names {len(names)} versions, and a rollout goes from one version to one other"
        return what, WITH_ONE, "write `to` with the new version alone, or remove rollout"
    return (
        "the rule has weights, which the steps of its rollout decide",
        WITH_ONE,
        "write `to` with the new version alone; a last step below 100 is a lasting split",
    )
