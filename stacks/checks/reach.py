"""Checks of a route's order: rules and matches that no request reaches, and requests that reach no rule."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stacks.checks.view import Service, View, block, entries
from stacks.settings.problems import Finding, Location, key_path, shown
from traffic.idle import idle_by
from traffic.model import Match, Rule
from traffic.reach import covers, is_catch_all


def check(view: View) -> Iterator[Finding]:
    """Yield rules and matches that earlier ones cover, and routes without a rule for some requests."""
    for service in view.services.values():
        given = entries(service.given.get("route"))
        yield from _check_order(service, given)
        yield from _check_end(service, given)


def _check_order(service: Service, given: list[Any]) -> Iterator[Finding]:
    rules, location = service.matching, (*service.location, "route")
    for index, rule in enumerate(rules):
        if rule is None:
            continue
        earlier = next((at for at, other in enumerate(rules[:index]) if other and covers(other, rule)), None)
        if earlier is None:
            yield from _check_matches(service, index, rule, given[index])
            continue
        first = rules[earlier]
        assert first is not None
        yield _unreachable((*location, index), key_path((*location, earlier)), first, rule, given[index])


def _unreachable(location: Location, earlier: str, first: Rule, rule: Rule, given: Any) -> Finding:
    if is_catch_all(first):
        what = f"no request reaches this rule: {earlier} matches every request"
        fix = f"move {earlier} to the end of the route"
    elif first.match == rule.match:
        what = f"no request reaches this rule: {earlier} has the same matches"
        fix = "remove one of the two"
    else:
        what = f"no request reaches this rule: {earlier} matches all of its requests"
        fix = f"move this rule before {earlier}"
    return Finding(location, what, "rules in order from the most to the least specific", fix, shown(given))


def _check_matches(service: Service, position: int, rule: Rule, given: Any) -> Iterator[Finding]:
    """Matches without effect in a rule that has others; whether they have one depends on what the whole rule does."""
    if len(rule.match) < 2:
        return
    earlier, is_whole = service.matching[:position], service.rules[position] is not None
    location = (*service.location, "route", position, "match")
    for index, match in enumerate(rule.match):
        given_match = shown(given["match"][index])
        taker = next((at for at, other in enumerate(earlier) if other and covers(other, _only(match))), None)
        if taker is not None:
            by = key_path((*location[:-2], taker))
            yield Finding(
                (*location, index),
                f"no request reaches this match: {by} matches all of its requests",
                "matches for requests that no other match covers",
                f"remove this match, or move the rule before {by}",
                given_match,
            )
        elif (other := idle_by(rule, index) if is_whole else None) is not None:
            by = key_path((*location, other))
            yield Finding(
                (*location, index),
                f"no request reaches this match: {by} matches all of its requests"
                if other < index
                else f"this match has no effect: {by} matches all of its requests, too",
                "matches for requests that no other match covers",
                "remove this match: the rule matches the same requests without it",
                given_match,
            )


def _only(match: Match) -> Rule:
    return Rule.model_construct(match=(match,))


def _check_end(service: Service, given: list[Any]) -> Iterator[Finding]:
    rules = service.matching
    if not rules or any(rule is None or is_catch_all(rule) for rule in rules):
        return
    yield Finding(
        (*service.location, "route"),
        "requests that match none of the rules would get 404",
        "a route whose last rule has no `match` and so matches all remaining requests",
        f"add a last rule, for example `- to: {next(_destinations(given), 'version-1')}`",
    )


def _destinations(given: list[Any]) -> Iterator[str]:
    """The destinations in the route, those of the last rule first."""
    for rule in reversed(given):
        to = block(rule).get("to")
        yield from [to] if isinstance(to, str) else block(to)
