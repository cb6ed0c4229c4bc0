"""Rules whose new destination is reached by a rollout, not at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stacks.settings.model import ServiceSettings, Settings
    from traffic.model import Rule

ByRule = Mapping[tuple[str, int], str]
"""What a rollout does, in words, by service and index of the rule."""


def rollouts_between(before: Settings, after: Settings) -> dict[tuple[str, int], str]:
    """Return what the rollouts of `after` do to requests that go elsewhere in `before`.

    A service that is new goes to the end of its rollouts at once, and has none here.
    """
    return {
        (name, index): words
        for name in after.services
        if name in before.services
        for index, words in _of_service(name, before, after)
    }


def _of_service(name: str, before: Settings, after: Settings) -> Iterator[tuple[int, str]]:
    from rollout.schedule import rule_key
    from stacks.rollout_words import rollout_words
    from stacks.rollouts import group_name, strategy_of

    service = after.services[name]
    olds = {rule_key(rule): rule for rule in before.services[name].route}
    for index, rule in enumerate(service.route):
        strategy = strategy_of(after, rule)
        old = olds.get(rule_key(rule))
        if strategy is not None and _reached(before, old, str(rule.to)) < strategy.end:
            yield index, rollout_words(rule, strategy, _origin(old, service, rule), group_name(after, name))


def _reached(settings: Settings, rule: Rule | None, version: str) -> float:
    """The weight of a version at which a rule ends."""
    from stacks.rollouts import strategy_of

    if rule is None:
        return 0.0
    strategy = strategy_of(settings, rule)
    return min(rule.weights.get(version, 0), strategy.end if strategy else 100.0)


def _origin(old: Rule | None, service: ServiceSettings, rule: Rule) -> str | None:
    """The version that the requests go to before: as the rule says, or as its predecessor does."""
    from stacks.rollouts import given_from

    others = [name for name, weight in (old.weights if old else {}).items() if weight > 0 and name != rule.to]
    if rule.from_version is None and len(others) == 1 and "/" not in others[0]:
        return others[0]
    return given_from(service, rule)
