"""Checks of a route's order: rules and matches that no request reaches, and requests that reach no rule."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stacks.checks.view import Service, View, block, entries
from stacks.settings.problems import Finding, Location, key_path, shown
from traffic.idle import idle_by
from traffic.model import Match, RouteKind, Rule
from traffic.reach import EVERY_REQUEST, covers, is_catch_all
from traffic.simulate import route_hosts


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
