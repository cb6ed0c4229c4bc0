"""What a stack's settings say of its rollouts: the strategy of a rule, and the versions that it goes between.

How far a rollout is, only its record in the cluster knows (`rollout/record.py`); nothing here reads it.
"""

from __future__ import annotations

from rollout.schedule import at_weights
from stacks.settings.model import ServiceSettings, Settings
from traffic.model import RolloutStrategy, Rule


def strategy_of(settings: Settings, rule: Rule) -> RolloutStrategy | None:
    """Return the strategy of a rule of loaded settings, by name or its own; None if it has no rollout."""
    return settings.rollouts[rule.rollout] if isinstance(rule.rollout, str) else rule.rollout


def group_name(settings: Settings, service: str) -> str | None:
    """Return the name of the group that a service is rolled out with; None if it goes alone."""
    return next((name for name, group in settings.rollout_groups.items() if service in group.services), None)


def given_from(service: ServiceSettings, rule: Rule) -> str | None:
    """Return the version that a rule with a rollout comes from, as far as the file tells; else None.

    It is the rule's `from`, or of two versions the other one.
    """
    if rule.rollout is None or rule.from_version is not None:
        return rule.from_version
    others = [name for name in service.versions if name != rule.to]
    return others[0] if len(others) == 1 else None


def not_started(settings: Settings) -> Settings:
    """Return the settings as if no rollout had begun: its rules lead to the version that they come from.

    A rule of which the file does not tell that version stays as it is. For commands that do not ask the cluster.
    """
    services = {
        name: service.model_copy(update={"route": tuple(_not_started(service, rule) for rule in service.route)})
        for name, service in settings.services.items()
        if service.rolled
    }
    return settings.model_copy(update={"services": {**settings.services, **services}}) if services else settings


def _not_started(service: ServiceSettings, rule: Rule) -> Rule:
    origin = given_from(service, rule)
    return rule if origin is None else at_weights(rule, {origin: 100, str(rule.to): 0})
