"""Sticky rules as plain steps for Envoy: Istio's weights do not know users, so a sticky rule becomes several routes.

A user who was sent to a version gets a cookie with its name; requests with the cookie go to that version as long as it
has any weight. All other requests follow the weights. So a new weight only moves new users, and a version at 0 loses
its users.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from traffic.fields import seconds
from traffic.model import Match, Route, RouteDestination, Rule, Sticky, StringMatch


@dataclass(frozen=True)
class StickyStep:
    """A rule that is not sticky, and the `set-cookie` header of its responses by destination."""

    rule: Rule
    set_cookie: Mapping[str, str] = field(default_factory=dict)


def steps(rule: Rule) -> tuple[StickyStep, ...]:
    """Return the rule as steps, in order: for a sticky rule, one for each version with weight, then the weights.

    A rule that is not sticky is a single step. All steps keep the rule's other actions.
    """
    if rule.sticky is None:
        return (StickyStep(rule),)
    versions = [version for version, weight in rule.weights.items() if weight > 0]
    shares = rule.shares
    kept = [
        StickyStep(
            rule.model_copy(
                update={
                    "match": _with_cookie(rule, rule.sticky, version),
                    "to": _alone(version, shares[version]),
                    "sticky": None,
                }
            )
        )
        for version in versions
    ]
    cookies = {version: set_cookie(rule.sticky, version) for version in versions}
    return (*kept, StickyStep(rule.model_copy(update={"sticky": None}), cookies))


def steps_of(route: Route) -> list[tuple[int, StickyStep]]:
    """Return the steps of all rules in order, each with the index of its rule."""
    return [(index, step) for index, rule in enumerate(route) for step in steps(rule)]


def set_cookie(sticky: Sticky, destination: str) -> str:
    """Return the `set-cookie` header that keeps a user on `destination` (RFC 6265)."""
    return f"{sticky.cookie}={destination}; Max-Age={seconds(sticky.ttl):.0f}; Path=/; HttpOnly; SameSite=Lax"


def sticky_cookie(header: str) -> str | None:
    """Return the cookie's name if a `set-cookie` header is one that keeps users; None if somebody else made it."""
    found = re.fullmatch(r"([^=;]+)=[^;]+; Max-Age=[0-9]+; Path=/; HttpOnly; SameSite=Lax", header)
    return found[1] if found else None


def _alone(version: str, share: RouteDestination) -> str | dict[str, RouteDestination]:
    """All requests to one version, with what its share changes."""
    return {version: share.model_copy(update={"weight": 100})} if share.headers else version


def _with_cookie(rule: Rule, sticky: Sticky, version: str) -> tuple[Match, ...]:
    """The sticky cookie beside those that the matches look at."""
    kept = {sticky.cookie: StringMatch(exact=version)}
    beside = (match.model_copy(update={"cookies": {**match.cookies, **kept}}) for match in rule.match)
    return tuple(beside) or (Match(cookies=kept),)
