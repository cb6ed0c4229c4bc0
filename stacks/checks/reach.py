"""Checks of a route's order: rules and matches that no request gets to, and requests that get to no rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from stacks.checks.view import Service, View, block, entries
from stacks.settings.problems import Finding, Location, key_path, shown
from traffic.model import Match, Rule
from traffic.reach import covers, is_catch_all


def check(view: View) -> Iterator[Finding]:
    """Yield rules and matches that earlier ones leave nothing to, and routes that leave requests without a rule."""
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
        what = f"no request reaches this rule: {earlier} takes every request"
        fix = f"move {earlier} to the end of the route"
    elif first.match == rule.match:
        what = f"no request reaches this rule: {earlier} has the same matches"
        fix = "take one of the two out"
    else:
        what = f"no request reaches this rule: {earlier} takes all that it asks for"
        fix = f"move this rule before {earlier}"
    return Finding(location, what, "rules from the narrowest to the widest", fix, shown(given))


def _check_matches(earlier: Sequence[Rule | None], rule: Rule, given: Any, location: Location) -> Iterator[Finding]:
    """Matches of a rule, of which others are reached."""
    if len(rule.match) < 2:
        return
    for index, match in enumerate(rule.match):
        taker = next((at for at, other in enumerate(earlier) if other and covers(other, _only(match))), None)
        wider = next((at for at, other in enumerate(rule.match) if _says_nothing_beside(index, match, at, other)), None)
        if taker is None and wider is None:
            continue
        taken_by = (*location[:-2], taker) if taker is not None else (*location, wider or 0)
        yield Finding(
            (*location, index),
            f"no request is left for this match: {key_path(taken_by)} takes all that it asks for",
            "matches that take requests which no other takes",
            f"take this match out, or move the rule before {key_path(taken_by)}"
            if taker is not None
            else "take this match out: the rule takes the same requests without it",
            shown(given["match"][index]),
        )


def _only(match: Match) -> Rule:
    return Rule.model_construct(match=(match,))


def _says_nothing_beside(index: int, match: Match, at: int, other: Match) -> bool:
    """Of two matches that take the same requests, the later one says nothing."""
    if index == at or not covers(_only(other), _only(match)):
        return False
    return at < index or not covers(_only(match), _only(other))


def _check_end(service: Service, given: list[Any]) -> Iterator[Finding]:
    rules = service.matching
    if not rules or any(rule is None or is_catch_all(rule) for rule in rules):
        return
    yield Finding(
        (*service.location, "route"),
        "requests that meet none of the rules would be answered with 404",
        "a route whose last rule takes all requests that are left: a rule without `match`",
        f"add a last rule, for example `- to: {next(_destinations(given), 'version-1')}`",
    )


def _destinations(given: list[Any]) -> Iterator[str]:
    """The destinations that are named, those of the last rule first."""
    for rule in reversed(given):
        to = block(rule).get("to")
        yield from [to] if isinstance(to, str) else block(to)
