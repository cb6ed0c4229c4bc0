"""Checks of rollouts: their strategies, and the rules, versions and services that they are to move."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from stacks.checks import rollout_means
from stacks.checks.rollout_gates import check_gates, different_gates, gates_without_value
from stacks.checks.rollout_places import check_places, is_open_webhook
from stacks.checks.view import Service, View, block, entries
from stacks.rollout_words import duration_words
from stacks.settings.model import Settings
from stacks.settings.problems import Finding, Location, key_path, nearest, shown
from traffic.fields import seconds
from traffic.hashing import hash_of
from traffic.model import OUTSIDE, RolloutStrategy, Rule
from traffic.model.outside import kind_of_version
from traffic.model.rollout_fields import AUTO
from traffic.proportions import number_words, percent_words
from traffic.words import OTHERWISE, rule_words

STRATEGY_OF_FILE: TypeAdapter[RolloutStrategy] = TypeAdapter(RolloutStrategy)


class Rolled(NamedTuple):
    """A rule with a rollout: its service, its place, the rule, and its strategy, None if that is not known."""

    service: Service
    location: Location
    rule: Rule
    strategy: RolloutStrategy | None


class Strategies:
    """The strategies of a stack's values by name, None where one is malformed."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.given = block(values.get("rollouts"))

    @cached_property
    def named(self) -> dict[str, RolloutStrategy | None]:
        """The strategies by name."""
        return {name: _read(one) for name, one in self.given.items()}

    def of(self, rule: Rule) -> RolloutStrategy | None:
        """The strategy of a rule; None if it is unknown or malformed."""
        return self.named.get(rule.rollout) if isinstance(rule.rollout, str) else rule.rollout


def check(view: View) -> Iterator[Finding]:
    """Yield what is wrong with strategies, and with the rules that name them."""
    strategies = Strategies(view.values)
    yield from gates_without_value((("rollouts", name), given) for name, given in strategies.given.items())
    for name, strategy in strategies.named.items():
        if strategy is not None:
            yield from _check_strategy(strategy, ("rollouts", name), view)
    for service in view.services.values():
        yield from _check_given(service)
        rolled = list(rolled_rules(service, strategies))
        for one in rolled:
            if isinstance(one.rule.rollout, str):
                yield from _check_name(one.rule.rollout, one.location, strategies)
            elif one.strategy is not None:
                yield from _check_strategy(one.strategy, (*one.location, "rollout"), view)
            yield from _check_whole(one)
            yield from _check_versions(one)
        if rolled:
            yield from _check_service(service, rolled[0])
            yield from _check_pair(rolled)
            yield from _check_together(rolled)
            yield from different_gates([((*one.location, "rollout"), one.strategy) for one in rolled])


def _read(value: Any) -> RolloutStrategy | None:
    try:
        return STRATEGY_OF_FILE.validate_python(value, by_name=False, by_alias=True)
    except ValidationError:
        return None


def _check_given(service: Service) -> Iterator[Finding]:
    """A rule whose rollout has no value would lead all of its requests to the new version at once."""
    rules = [block(rule) for rule in entries(service.given.get("route"))]
    places = (((*service.location, "route", index, "rollout"), rule.get("rollout")) for index, rule in enumerate(rules))
    yield from gates_without_value(places)
    for index, rule in enumerate(rules):
        if "rollout" in rule and rule["rollout"] is None:
            yield Finding(
                (*service.location, "route", index, "rollout"),
                "the key has no value",
                f"a name in {key_path(('rollouts',))}, or a strategy with its steps",
                "write the strategy, such as {steps: [{weight: 10, for: 10m}, {weight: 100}]}",
                "null",
            )


def rolled_rules(service: Service, strategies: Strategies) -> Iterator[Rolled]:
    """Yield the rules of a service that have a rollout."""
    for index, rule in enumerate(service.rules):
        if rule is not None and rule.rollout is not None:
            yield Rolled(service, (*service.location, "route", index), rule, strategies.of(rule))


def _check_name(name: str, location: Location, strategies: Strategies) -> Iterator[Finding]:
    if name in strategies.given:
        return
    near, known = nearest(name, strategies.given), ", ".join(strategies.given)
    yield Finding(
        (*location, "rollout"),
        f"there is no strategy {name!r}{f'; the nearest is {near!r}' if near else ''}",
        f"the names in {key_path(('rollouts',))}: {known or 'none is defined'}; or a strategy with its steps",
        f"write {near}" if near else f"define {name} in {key_path(('rollouts',))}",
        shown(name),
    )


def _check_strategy(strategy: RolloutStrategy, location: Location, view: View) -> Iterator[Finding]:
    yield from _check_steps(strategy, location)
    yield from check_gates(strategy, location, view)
    yield from _check_deadlines(strategy, location)
    yield from check_places(strategy, location)
    for index, hook in enumerate(strategy.hooks):
        if hook.at == "afterAbort" and "then" in hook.model_fields_set:
            yield Finding(
                (*location, "hooks", index, "then"),
                "no effect: after an abort there is nothing left to hold or to abort",
                "then with beforeStep, afterStep or beforeEnd",
                "remove it",
                shown(hook.then),
            )


def _check_steps(strategy: RolloutStrategy, location: Location) -> Iterator[Finding]:
    highest = 0.0
    for index, step in enumerate(strategy.steps):
        if step.weight <= highest:
            yield Finding(
                (*location, "steps", index, "weight"),
                f"the weight does not rise: the step before has {percent_words(highest)}",
                "weights that rise from step to step; the last one is where the rule ends",
                "remove this step, or put the steps in order"
                if highest >= 100
                else f"write a weight above {number_words(highest)}, or remove this step",
                number_words(step.weight),
            )
        highest = max(highest, step.weight)


def _check_deadlines(strategy: RolloutStrategy, location: Location) -> Iterator[Finding]:
    deadline = strategy.deadline
    total, place = seconds(deadline.total), (*location, "deadline")
    if strategy.hold_seconds >= total:
        yield Finding(
            (*place, "total"),
            f"the steps alone are kept for {duration_words(strategy.hold_seconds)}, so the rollout could not end "
            "before its deadline",
            "a total above the sum of all `for`",
            f"write total: {_hours(2 * strategy.hold_seconds)}, for example",
            deadline.total,
        )
    if deadline.step == AUTO:
        return
    for index, step in enumerate(strategy.steps):
        if step.hold_seconds >= seconds(deadline.step):
            yield Finding(
                (*location, "steps", index, "for"),
                f"the step could not end before {key_path((*place, 'step'))}, which is {deadline.step}",
                "`for` below the deadline of a step",
                "shorten it, or raise the deadline",
                step.for_ or "",
            )


def _check_whole(rolled: Rolled) -> Iterator[Finding]:
    """All requests of a rule at once leave none at the old version to compare with."""
    strategy = rolled.strategy
    if strategy is None or strategy.steps[0].weight < 100:
        return
    first = strategy.steps[0]
    is_kept = first.hold_seconds > 0 or first.approve or strategy.promotes == "hand"
    if strategy.has_limits and is_kept:
        return
    words = rule_words(rolled.rule)
    whose = "all requests" if words == OTHERWISE else f"all of the cohort ({words})"
    limits = "limits: {errors: 2%}" if strategy.gates is None else "gates: {limits: {errors: 2%}}"
    lacks = "the limits have no time to judge it in" if strategy.has_limits else "there are no limits"
    fixes = [*([] if strategy.has_limits else [limits]), *([] if is_kept else ["a `for` of this step"])]
    yield Finding(
        (*rolled.location, "rollout"),
        f"the first step moves {whose} at once: no old version is left beside the new one to compare with, and {lacks}",
        "a step below 100, or limits, which judge the new version by itself, and a `for` to do it in",
        f"add a step before it, such as {{weight: 50, for: 30m}}, or {' and '.join(fixes)}",
        shown(rolled.rule.rollout) if isinstance(rolled.rule.rollout, str) else "",
    )


def _check_versions(rolled: Rolled) -> Iterator[Finding]:
    versions = rolled.service.versions
    others = [name for name in versions if name != rolled.rule.to]
    only = others[0] if rolled.rule.from_version is None and len(others) == 1 else None
    for key, name in (("to", rolled.rule.to), ("from", rolled.rule.from_version), ("rollout", only)):
        given = versions.get(name) if isinstance(name, str) else None
        if given is not None and kind_of_version(given) == OUTSIDE:
            yield Finding(
                (*rolled.location, key),
                f"{name} is not deployed by this stack: a rollout neither knows its pods nor what they run",
                "rollout between versions with an image",
                "remove rollout, and give the versions weights by hand",
                shown(name),
            )


def _check_service(service: Service, first: Rolled) -> Iterator[Finding]:
    place = (*first.location, "rollout")
    if not service.routing.protocol.is_http:
        yield Finding(
            place,
            f"the service speaks {service.routing.protocol.value}: its connections have no steps",
            "rollout in services of HTTP, HTTP2 or GRPC",
            "remove rollout, and raise the weights by hand",
        )
    if service.given.get("adopt") is True:
        yield Finding(
            (*service.location, "adopt"),
            "with adopt, every `up` overwrites the routes in the cluster: one that read older weights would bring an "
            "aborted version back",
            "adopt in services without rollout",
            "take the objects over by an `up` without rollout, then remove adopt and add the rollout",
            "true",
        )
    if len(service.versions) == 1 and (first.strategy is None or first.strategy.engine == "canary"):
        yield Finding(
            place,
            "the service has a single version, so there is none to come from",
            "at least two versions",
            "keep the version that gets the requests now beside the new one, or remove rollout",
        )


def _check_pair(rolled: list[Rolled]) -> Iterator[Finding]:
    """One record of a service has one release that comes, and one that goes."""
    for key, field in (("to", "to"), ("from", "from_version")):
        named = [(one, getattr(one.rule, field)) for one in rolled if getattr(one.rule, field) is not None]
        for one, name in named[1:]:
            if name != named[0][1]:
                yield Finding(
                    (*one.location, key),
                    f"{key_path((*named[0][0].location, key))} is {named[0][1]}: the rollouts of a service go between "
                    "the same two versions",
                    f"the same `{key}` in all rules with rollout",
                    "roll out one version after the other",
                    shown(name),
                )
    towards = {one.rule.to for one in rolled}
    for one in rolled:
        if one.rule.from_version in towards and one.rule.from_version != one.rule.to:
            yield Finding(
                (*one.location, "from"),
                f"{one.rule.from_version} is also where another rule with rollout leads to",
                "rollouts in one direction",
                "roll out one version after the other",
                shown(one.rule.from_version),
            )


def _check_together(rolled: list[Rolled]) -> Iterator[Finding]:
    first, *others = rolled
    if first.strategy is None:
        return
    for one in others:
        if one.strategy is None or not (first.strategy.together or one.strategy.together):
            continue
        if (one.strategy.together, one.strategy.steps) != (first.strategy.together, first.strategy.steps):
            yield Finding(
                (*one.location, "rollout"),
                f"the rule's steps are not those of {key_path((*first.location, 'rollout'))}, and its strategy or "
                "this one has together: true",
                "the same steps and the same `together` in all rules that rise together",
                "name the same strategy in both rules, or remove `together`",
                shown(one.rule.rollout) if isinstance(one.rule.rollout, str) else "",
            )


def _hours(total: float) -> str:
    """Return a duration of at least as many seconds, in whole hours: `2h`."""
    return f"{max(int(-(-total // 3600)), 1)}h"


def warnings(settings: Settings) -> Iterator[Finding]:
    """Yield what a rollout does not do, though it may be expected."""
    used: set[str] = {one.named for one in settings._engines.values() if one.named is not None}
    for name, service in settings.services.items():
        for index, rule in enumerate(service.route):
            if rule.rollout is not None:
                used |= {rule.rollout} if isinstance(rule.rollout, str) else set()
                yield from _of_rule(settings, name, rule, ("services", name, "route", index))
    yield from rollout_means.warnings(settings)
    for name, strategy in settings.rollouts.items():
        yield from _of_strategy(strategy, ("rollouts", name))
        if name not in used:
            yield Finding(
                ("rollouts", name), "no effect: no rule names it", "rollout: <name> in a rule", "name it, or remove it"
            )


def _of_rule(settings: Settings, service: str, rule: Rule, location: Location) -> Iterator[Finding]:
    if rule.timeout is None:
        yield Finding(
            location,
            "the rule has no timeout, so a new version that hangs is seen late: its requests do not end",
            "a timeout in rules with rollout",
            "add timeout: 10s, or what the slowest request takes",
        )
    if isinstance(rule.to, str) and hash_of(settings.services, service, rule.to) is not None:
        yield Finding(
            (*location, "rollout"),
            "with consistentHash the pods get unequal shares, so the split is not judged",
            "rollout in services without consistentHash",
            "none needed; the weights are those of the requests, not of the users",
        )
    if rule.sticky is not None:
        yield Finding(
            (*location, "sticky"),
            "each step moves new users alone: users with the cookie stay at their version as long as it has a weight",
            "sticky with rollout",
            "none needed if intended",
        )
    if isinstance(rule.rollout, RolloutStrategy):
        yield from _of_strategy(rule.rollout, (*location, "rollout"))


def _of_strategy(strategy: RolloutStrategy, location: Location) -> Iterator[Finding]:
    for index, step in enumerate(strategy.steps[:-1]):
        if step.for_ is None and not step.approve and strategy.promotes == "time":
            yield Finding(
                (*location, "steps", index),
                f"{percent_words(step.weight)} is kept for no time: the next step follows at once",
                "`for` or `approve` in each step but the last",
                "add for: 10m, or remove the step",
            )
    if strategy.on_no_data == "abort" and strategy.limits is None and strategy.gates is None:
        yield Finding(
            (*location, "onNoData"),
            "no effect: without gates and without limits no numbers are asked for",
            "onNoData with gates, or with limits",
            "add limits: {errors: 2%}, or remove it",
            shown(strategy.on_no_data),
        )
    if "on_harm" in strategy.model_fields_set and strategy.limits is None and strategy.gates is None:
        yield Finding(
            (*location, "onHarm"),
            "no effect: without gates and without limits no harm is looked for",
            "onHarm with gates, or with limits",
            "add limits: {errors: 2%}, or remove it",
            shown(strategy.on_harm),
        )
    for index, receiver in enumerate(strategy.notify):
        if is_open_webhook(receiver):
            yield Finding(
                (*location, "notify", index, "url"),
                "everybody who reads the file can post with this URL: its path is a password",
                "a URL with {secret}, and the Secret that has the rest of it",
                "write https://hooks.slack.com/services/{secret}, and secret: {name: rollout-slack, key: path}",
            )
