"""Checks of a route's order: rules and matches that no request reaches, and requests that reach no rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from stacks.checks.view import Service, View, block, entries
from stacks.settings.problems import Finding, Location, key_path, shown
from traffic.model import Match, RouteKind, Rule
from traffic.reach import EVERY_REQUEST, covers, is_catch_all
from traffic.simulate import route_hosts


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
    if not rules or any(rule is None or is_catch_all(rule) for rule in rules) or _names_all_hosts(service):
        return
    is_http = service.routing.protocol.is_http
    yield Finding(
        (*service.location, "route"),
        "requests that match none of the rules would get 404"
        if is_http
        else "of the connections that match none of the rules, those at a gateway would be refused, and those from "
        "inside the mesh would go to any version",
        f"a route whose last rule has no `match` and so matches all remaining "
        f"{'requests' if is_http else 'connections'}",
        f"add a last rule, for example `- to: {next(_destinations(given), 'version-1')}`",
    )


def _names_all_hosts(service: Service) -> bool:
    """Whether the rules of a TLS route have every host of the service as a server name."""
    if service.routing.route_kind is not RouteKind.TLS:
        return False
    matches = [match for rule in service.matching if rule is not None for match in rule.match]
    always = (match for match in matches if match.model_copy(update={"sni_hosts": ()}) == EVERY_REQUEST)
    named = {host for match in always for host in match.sni_hosts}
    return set(route_hosts(service.name, service.routing)) <= named


def _destinations(given: list[Any]) -> Iterator[str]:
    """The destinations in the route, those of the last rule first."""
    for rule in reversed(given):
        to = block(rule).get("to")
        yield from [to] if isinstance(to, str) else block(to)
