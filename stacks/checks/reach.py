"""Checks of a route's order: rules and matches that no request reaches, and requests that reach no rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from stacks.checks.view import Service, View, block, entries
from stacks.settings.problems import Finding, Location, key_path, shown
from traffic.model import Match, Rule
from traffic.reach import covers, is_catch_all


def check(view: View) -> Iterator[Finding]:
    """Yield rules and matches that earlier ones cover, and routes without a rule for some requests."""
    for service in view.services.values():
        given = entries(service.given.get("route"))
        yield from _check_order(service.matching, given, (*service.location, "route"))
        yield from _check_end(service, given)


def _check_order(rules: Sequence[Rule | None], given: list[Any], location: Location) -> Iterator[Finding]:
    for index, rule in enumerate(rules):
        if rule is None:
            continue
        earlier = next((at for at, other in enumerate(rules[:index]) if other and covers(other, rule)), None)
        if earlier is None:
            yield from _check_matches(rules[:index], rule, given[index], (*location, index, "match"))
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


def _check_matches(earlier: Sequence[Rule | None], rule: Rule, given: Any, location: Location) -> Iterator[Finding]:
    """Unreachable matches of a rule that has other, reachable ones."""
    if len(rule.match) < 2:
        return
    for index, match in enumerate(rule.match):
        taker = next((at for at, other in enumerate(earlier) if other and covers(other, _only(match))), None)
        wider = next((at for at, other in enumerate(rule.match) if _is_redundant(index, match, at, other)), None)
        if taker is None and wider is None:
            continue
        taken_by = (*location[:-2], taker) if taker is not None else (*location, wider or 0)
        yield Finding(
            (*location, index),
            f"no request reaches this match: {key_path(taken_by)} matches all of its requests",
            "matches for requests that no other match covers",
            f"remove this match, or move the rule before {key_path(taken_by)}"
            if taker is not None
            else "remove this match: the rule matches the same requests without it",
            shown(given["match"][index]),
        )


def _only(match: Match) -> Rule:
    return Rule.model_construct(match=(match,))


def _is_redundant(index: int, match: Match, at: int, other: Match) -> bool:
    """Whether `other` covers `match`; of two equivalent matches, the later one is redundant."""
    if index == at or not covers(_only(other), _only(match)):
        return False
    return at < index or not covers(_only(match), _only(other))


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
