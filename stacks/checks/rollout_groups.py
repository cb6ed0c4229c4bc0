"""Checks of groups of services that are rolled out together: their members, and that these can go step by step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from stacks.checks.rollouts import Rolled, Strategies, rolled_rules
from stacks.checks.view import View, block
from stacks.rollouts import strategy_of
from stacks.settings.model import Settings
from stacks.settings.problems import Finding, Location, key_path, nearest, shown
from stacks.settings.rollout_group import RolloutGroup
from traffic.proportions import percent_words

GROUP: TypeAdapter[RolloutGroup] = TypeAdapter(RolloutGroup)
KEY = "rolloutGroups"
OWN = "group-"
"""Before a group's name in the name of its record, which a service's must not be."""


class Member(NamedTuple):
    """A service of a group, and the place where the group names it."""

    service: str
    location: Location


def check(view: View) -> Iterator[Finding]:
    """Yield what is wrong with groups, and with what their services have in common."""
    strategies, grouped = Strategies(view.values), dict[str, Member]()
    for name, given in block(view.values.get(KEY)).items():
        location: Location = (KEY, name)
        group = _read(given)
        if group is None:
            continue
        yield from _check_name(name, location, view)
        members = [Member(one, (*location, "services", index)) for index, one in enumerate(group.services)]
        for member in members:
            yield from _check_member(member, grouped, view)
            grouped.setdefault(member.service, member)
        yield from _check_alike(members, strategies, view)


def _read(value: Any) -> RolloutGroup | None:
    try:
        return GROUP.validate_python(value, by_name=False, by_alias=True)
    except ValidationError:
        return None


def _check_name(name: str, location: Location, view: View) -> Iterator[Finding]:
    if name in view.services:
        yield Finding(
            location,
            f"{name} is also a service: `canary rollout start {name}` could mean either",
            f"a name that none of {key_path(('services',))} has",
            f"rename the group, to {name}-group, for example",
            shown(name),
        )
    if f"{OWN}{name}" in view.services:
        yield Finding(
            location,
            f"the record of the group would have the name of that of the service {OWN}{name}",
            "a name that is not that of a service without its `group-`",
            "rename the group",
            shown(name),
        )


def _check_member(member: Member, grouped: dict[str, Member], view: View) -> Iterator[Finding]:
    if member.service not in view.services:
        near, known = nearest(member.service, view.services), ", ".join(view.services)
        yield Finding(
            member.location,
            f"there is no service {member.service!r}{f'; the nearest is {near!r}' if near else ''}",
            f"the names in {key_path(('services',))}: {known or 'none is defined'}",
            f"write {near}" if near else "remove it",
            shown(member.service),
        )
    before = grouped.get(member.service)
    if before is not None:
        yield Finding(
            member.location,
            f"{key_path(before.location)} is {member.service}, too: a service goes with one group, at one place in it",
            "each service once in all groups",
            "remove it from one of the two; or make one group of both",
            shown(member.service),
        )


def _check_alike(members: list[Member], strategies: Strategies, view: View) -> Iterator[Finding]:
    """The members go step by step together, and their gates have one error rate."""
    rolled = [
        (member, list(rolled_rules(view.services[member.service], strategies)))
        for member in members
        if member.service in view.services
    ]
    known = [(member, rules) for member, rules in rolled if rules and all(one.strategy for one in rules)]
    for member, rules in known[1:]:
        first, others = known[0]
        if _steps(rules) != _steps(others):
            yield Finding(
                member.location,
                f"{member.service} has the steps {_words(rules)}, and {first.service} {_words(others)}: "
                "the services of a group take each step together",
                "the same weights, `for` and `approve` in all services of a group",
                f"name one strategy in the rules of all: rollout: <name>, with its steps in {key_path(('rollouts',))}",
                shown(member.service),
            )
        elif [one.strategy and one.strategy.gates for one in rules] != [
            one.strategy and one.strategy.gates for one in others
        ]:
            yield Finding(
                member.location,
                f"the gates of {member.service} are others than those of {first.service}: a group has one verdict, "
                "with one rate of false aborts",
                "the same gates in all services of a group, or none",
                f"name one strategy in the rules of all: rollout: <name>, with its gates in {key_path(('rollouts',))}",
                shown(member.service),
            )


def _steps(rules: list[Rolled]) -> list[Any]:
    return [(one.strategy.steps, one.strategy.together) for one in rules if one.strategy is not None]


def _words(rules: list[Rolled]) -> str:
    return "; ".join(
        ", ".join(
            percent_words(step.weight) + (f" for {step.for_}" if step.for_ else "") + (", approve" * step.approve)
            for step in one.strategy.steps
        )
        for one in rules
        if one.strategy is not None
    )


def warnings(settings: Settings) -> Iterator[Finding]:
    """Yield services of a group that take no part in its rollouts, or that keep it from starting by itself."""
    for name, group in settings.rollout_groups.items():
        yield from _without_rollout(name, group, settings)
        yield from _not_by_itself(name, group, settings)


def _without_rollout(name: str, group: RolloutGroup, settings: Settings) -> Iterator[Finding]:
    for index, service in enumerate(group.services):
        if service in settings.services and not settings.services[service].rolled:
            yield Finding(
                (KEY, name, "services", index),
                f"no rule of {service} has a rollout: it takes no part, and a change of its weights comes at once",
                "services with rollout in a rule",
                f"write rollout in the rules of {service}, or remove it from the group",
                shown(service),
            )


def _not_by_itself(name: str, group: RolloutGroup, settings: Settings) -> Iterator[Finding]:
    known = [(index, one) for index, one in enumerate(group.services) if one in settings.services]
    # The strategy of a service's first step decides.
    strategies = {
        index: strategy
        for index, service in known
        for strategy in [strategy_of(settings, rule) for rule in settings.services[service].route if rule.rollout][:1]
        if strategy is not None
    }
    first = next((index for index, one in strategies.items() if one.auto_start), None)
    for index, strategy in strategies.items() if first is not None else ():
        if first is not None and not strategy.auto_start:
            service = group.services[index]
            yield Finding(
                (KEY, name, "services", index),
                f"{group.services[first]} has autoStart, and {service} has not: the group waits for "
                f"`canary rollout start {name}` whenever both begin",
                "autoStart in the strategies of all services of a group, or of none",
                f"name one strategy in the rules of all: rollout: <name>, with autoStart in {key_path(('rollouts',))}",
                shown(service),
            )
