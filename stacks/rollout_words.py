"""What a rollout will do in words, the same in all commands: `version-1 -> version-2 by rollout careful, …`."""

from __future__ import annotations

from traffic.model import RolloutStrategy, Rule
from traffic.model.rollout_fields import AUTO
from traffic.model.rollout_gates import RolloutGates
from traffic.proportions import number_words, percent_words

NOT_AT_ONCE = "not at once"
"""Said of what changes by steps, not by the `up` that follows a merge."""
BY_RUNNER = "started by the runner in the cluster"
"""Said of a rollout with `autoStart`."""


def strategy_words(rule: Rule) -> str:
    """Return the strategy of a rule with a rollout: `rollout careful`, or `its rollout`."""
    return f"rollout {rule.rollout}" if isinstance(rule.rollout, str) else "its rollout"


def pair_words(rule: Rule, origin: str | None) -> str:
    """Return where a rollout leads: `version-1 -> version-2`; `origin` is None if the file does not tell it."""
    return f"{origin or 'the version that gets the requests now'} -> {rule.to}"


def time_words(strategy: RolloutStrategy) -> str:
    """Return how long a rollout takes without what it waits for: `about 45 min and an approval (at 50 %)`."""
    if strategy.promotes == "hand":
        return "as long as a person decides at each step"
    approved = [percent_words(step.weight) for step in strategy.steps if step.approve]
    waits = (
        f" and {'an approval' if len(approved) == 1 else 'approvals'} (at {', '.join(approved)})" if approved else ""
    )
    least = "at least" if strategy.promotes == "proof" else "about"
    return f"{least} {duration_words(strategy.hold_seconds)}{waits}"


def steps_words(strategy: RolloutStrategy) -> str:
    """Return the steps: `10 % for 10m, 50 % for 10m (approval), 100 %`."""
    parts = []
    for step in strategy.steps:
        kept = f" for {step.for_}" if step.for_ else ""
        parts.append(f"{percent_words(step.weight)}{kept}{' (approval)' if step.approve else ''}")
    return ", ".join(parts)


def gates_words(gates: RolloutGates) -> str:
    """Return what gates ask for, and what they judge: `a step rises when … is proved; errors, … are compared`."""
    tolerance = "its tolerance" if gates.tolerance == AUTO else gates.tolerance
    ends = {
        "proof": f"a step rises when it is proved that the next weight costs the service less than {tolerance}",
        "time": "a step rises after its time, unless the new version is worse",
        "hand": "a person ends each step; a new version that is worse goes back before",
    }
    compared = ["errors"]
    optional = {
        "attempts": gates.attempts.enabled,
        "latency": gates.latency.enabled,
        "clientErrors": gates.client_errors.enabled,
    }
    compared += [name for name, enabled in optional.items() if enabled]
    compared += [metric.name for metric in gates.custom]
    limit = "" if gates.limits is None else f", and at most {gates.limits.errors} of its requests may fail"
    return f"{ends[gates.promote]}; compared with the old version: {', '.join(compared)}{limit}"


def rollout_words(rule: Rule, strategy: RolloutStrategy, origin: str | None, group: str | None = None) -> str:
    """Return what a rule's rollout does: `version-1 -> version-2 by rollout careful, about 45 min, not at once`.

    `group` is the name of the group that its service is rolled out with.
    """
    end = f" (up to {percent_words(strategy.end)})" if strategy.end < 100 else ""
    how = f"by {strategy_words(rule)}, {time_words(strategy)}, {NOT_AT_ONCE}"
    by_runner = f", {BY_RUNNER}" if strategy.auto_start else ""
    return f"{pair_words(rule, origin)}{end} {how}{by_runner}" + (f", together with the group {group}" if group else "")


def duration_words(total: float) -> str:
    """Return a time, rounded to what matters: `45 min`, `30 s`, `2 h 5 min`."""
    if total < 60:
        return f"{number_words(round(total, 3))} s"
    minutes = round(total / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")
