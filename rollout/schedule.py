"""The planned steps of a service's rollout: the weights of all its rules at each step, before it and after an abort.

Pure: what the rules say, and where their requests go now. Rules rise one after the other in the route's order, so that
a cohort comes before everybody; with `together` they rise at once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rollout.planned import Plan, PlannedCounters, PlannedEnvoys, PlannedRule, PlannedStep
from traffic.model import RolloutStep, RolloutStrategy, Rule, ServiceRouting
from traffic.proportions import DECIMALS, percent_words
from traffic.words import OTHERWISE, rule_words

ByVersion = Mapping[str, float]
"""Percent of a rule's requests by version."""


class ScheduleError(Exception):
    """A rollout cannot be planned from where the requests go now. Says why, what is allowed and the fix."""


@dataclass(frozen=True)
class Schedule:
    """What a rollout does: its rules, its steps, and the weights before them and after an abort, by rule key.

    `origin` is the version that it goes from, None if all requests are at `target` already; then there are no steps.
    """

    target: str
    origin: str | None
    rules: tuple[PlannedRule, ...]
    steps: tuple[PlannedStep, ...]
    start: dict[str, dict[str, float]]
    back: dict[str, dict[str, float]]

    def plan(
        self,
        routes: str,
        places: Mapping[str, Mapping[str, tuple[int, ...]]] | None = None,
        envoys: PlannedEnvoys | None = None,
        counters: PlannedCounters | None = None,
    ) -> Plan:
        """Return the plan for a record; `routes` is the name of the ConfigMap with the routes of its steps.

        `places` are those of `rollout.places.places`.

        Raises pydantic's ValidationError if there are no steps.
        """
        parts = [one.model_dump(mode="json", by_alias=True) for one in (*self.rules, *self.steps)]
        text = json.dumps([parts, self.start, self.back], sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        return Plan(
            digest=digest,
            routes=routes,
            rules=self.rules,
            steps=self.steps,
            start=self.start,
            back=self.back,
            places={key: dict(found) for key, found in (places or {}).items()},
            envoys=envoys,
            counters=counters,
        )


@dataclass(frozen=True)
class _Rising:
    """A rule of the rollout, with the weights of the new version that lie ahead, None for a step that is behind it."""

    planned: PlannedRule
    origin: str | None
    target: str
    now: ByVersion

    def at(self, weight: float) -> dict[str, float]:
        """The weights of both versions when the new one has `weight`."""
        if self.origin is None:
            return {self.target: 100.0}
        return {self.origin: round(100.0 - weight, DECIMALS), self.target: float(weight)}

    @property
    def reached(self) -> float:
        return self.now.get(self.target, 0.0)


def rule_key(rule: Rule) -> str:
    """Return what names a rule in the weights of a rollout: `default`, or a hash of its matches.

    It depends neither on the rule's place nor on its name, destination and other actions.
    """
    if not rule.match:
        return OTHERWISE
    matches = [
        one.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True) for one in rule.match
    ]
    text = json.dumps(sorted(matches, key=lambda one: json.dumps(one, sort_keys=True)), sort_keys=True)
    return f"match-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def at_weights(rule: Rule, weights: ByVersion) -> Rule:
    """Return the rule with these weights in percent instead of its rollout; all else stays."""
    to = {version: int(weight) if float(weight).is_integer() else weight for version, weight in weights.items()}
    return rule.model_copy(update={"to": to, "rollout": None, "from_version": None})


def route_at(service: ServiceRouting, weights: Mapping[str, ByVersion]) -> tuple[Rule, ...]:
    """Return the service's route with the weights of a rollout, by rule key; other rules stay as they are."""
    keys = [rule_key(rule) for rule in service.route]
    return tuple(
        at_weights(rule, weights[key]) if key in weights else rule
        for rule, key in zip(service.route, keys, strict=True)
    )


def schedule(
    name: str, service: ServiceRouting, strategies: Mapping[str, RolloutStrategy], now: Mapping[str, ByVersion]
) -> Schedule | None:
    """Return the rollout of the service `name`; None if no rule has one.

    `strategies` are the named ones. `now` is where the requests of each rule of the route in the cluster go, in percent
    by rule key, also of those without a rollout. It is empty before the first `up` of all: then a rule begins with its
    end, unless it has a `from`. A rule that is new in a route begins where its requests are, at the weights of the
    default rule. Steps below the weight of now are left out, and the last one at it. Raises ScheduleError if a rule's
    requests go to a third version, if rules come from different versions, or if it is not known where a new rule's
    requests go.
    """
    rising = list(_rising(name, service, strategies, now))
    if not rising:
        return None
    origin = _one_origin(name, rising)
    # A rule that has arrived goes back, too, if the others do.
    rising = [_Rising(one.planned, origin, one.target, one.now) for one in rising]
    together = any(one.planned.strategy.together for one in rising)
    start = {one.planned.key: _pair(one) for one in rising}
    return Schedule(
        target=rising[0].target,
        origin=origin,
        rules=tuple(one.planned for one in rising),
        steps=tuple(_together(rising, start) if together else _one_by_one(rising, start)) if origin else (),
        start=start,
        back={one.planned.key: one.at(0.0) for one in rising} if origin else start,
    )


def _rising(
    name: str, service: ServiceRouting, strategies: Mapping[str, RolloutStrategy], now: Mapping[str, ByVersion]
) -> Iterator[_Rising]:
    for rule in service.route:
        if rule.rollout is None:
            continue
        strategy = strategies[rule.rollout] if isinstance(rule.rollout, str) else rule.rollout
        key, target = rule_key(rule), str(rule.to)
        where = f"{name}, rule {rule_words(rule)}"
        weights = {version: weight for version, weight in _before(where, rule, key, now).items() if weight > 0}
        origin = _origin(where, rule, target, weights)
        yield _Rising(PlannedRule(key=key, text=rule_words(rule), strategy=strategy), origin, target, weights)


def _before(where: str, rule: Rule, key: str, now: Mapping[str, ByVersion]) -> ByVersion:
    """Where the requests of a rule go before the rollout."""
    if key in now:
        return now[key]
    if rule.from_version is not None:
        return {rule.from_version: 100.0}
    if not now:
        return {str(rule.to): 100.0}
    if OTHERWISE not in now:
        raise ScheduleError(
            f"{where}: the rule is new, and the route in the cluster has no default rule that would tell where its "
            "requests go now\n"
            "    allowed: a rule with `from`\n"
            "    fix:     write `from` with the version that gets these requests now"
        )
    return now[OTHERWISE]


def _origin(where: str, rule: Rule, target: str, weights: ByVersion) -> str | None:
    """The version that the rule comes from; None if all its requests are at the target."""
    others = [version for version in weights if version != target]
    said = rule.from_version
    if len(others) > 1 or (others and said is not None and others != [said]):
        words = ", ".join(f"{version} {percent_words(weight)}" for version, weight in weights.items())
        raise ScheduleError(
            f"{where}: the requests go to {words} now, and a rollout goes from one version to one other"
            f"{f': from {said} to {target}' if said else ''}\n"
            f"    allowed: requests at {said or 'one version'}, at {target}, or at both\n"
            "    fix:     first move the requests to one of these by weights without rollout, then add the rollout"
        )
    return others[0] if others else None


def _one_origin(name: str, rising: list[_Rising]) -> str | None:
    origins = dict.fromkeys(one.origin for one in rising if one.origin is not None)
    if len(origins) > 1:
        places = "; ".join(f"{one.planned.text}: from {one.origin}" for one in rising if one.origin is not None)
        raise ScheduleError(
            f"{name}: its rules come from different versions ({places}), and one rollout goes between two\n"
            "    allowed: rules with rollout whose requests go to the same version now\n"
            "    fix:     remove the rollout of all rules but those that come from one version, and add it afterwards"
        )
    return next(iter(origins), None)


def _pair(one: _Rising) -> dict[str, float]:
    return one.at(one.reached)


def _one_by_one(rising: list[_Rising], start: Mapping[str, dict[str, float]]) -> Iterator[PlannedStep]:
    weights = dict(start)
    for index, one in enumerate(rising):
        for step in one.planned.strategy.steps:
            if _is_past(step, one):
                continue
            weights = {**weights, one.planned.key: one.at(step.weight)}
            yield PlannedStep(
                rule=index,
                weight=step.weight,
                weights=weights,
                hold_seconds=step.hold_seconds,
                approve=step.approve,
            )


def _is_past(step: RolloutStep, one: _Rising) -> bool:
    """Whether a rule is beyond a step. One that is at its weight still keeps it, and asks for its approval.

    So it is if the record of a rollout is lost in the middle: the time at this weight is not known any more.
    """
    return step.weight < one.reached or (step.weight == one.reached and step is one.planned.strategy.steps[-1])


def _together(rising: list[_Rising], start: Mapping[str, dict[str, float]]) -> Iterator[PlannedStep]:
    """All rules have the same steps, which a check of the settings asks for."""
    weights = dict(start)
    for step in rising[0].planned.strategy.steps:
        behind = [index for index, one in enumerate(rising) if not _is_past(step, one)]
        if not behind:
            continue
        weights = {**weights, **{rising[index].planned.key: rising[index].at(step.weight) for index in behind}}
        yield PlannedStep(
            rule=behind[0], weight=step.weight, weights=weights, hold_seconds=step.hold_seconds, approve=step.approve
        )
