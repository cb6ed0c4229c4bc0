"""Warnings about consistentHash beside weights: it keeps a user on a pod of a version, not on the version."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from stacks.settings.model import Settings
from stacks.settings.problems import Finding, Location, shown
from traffic.hashing import hash_of
from traffic.model import Rule


def warnings(settings: Settings, service: str, rule: Rule, location: Location) -> Iterator[Finding]:
    """Yield weights whose versions hash a part of the request, where nothing keeps users on their version."""
    weights = {name: weight for name, weight in rule.weights.items() if weight > 0}
    hashes = {name: found for name in weights if (found := hash_of(settings.services, service, name))}
    if len(weights) < 2 or rule.sticky is not None or not hashes:
        return
    taken = {found.http_cookie.name for found in hashes.values() if found.http_cookie}
    names = (f"{service}-version{f'-{number}' if number else ''}" for number in count())
    cookie = next(name for name in names if name not in taken)
    yield Finding(
        (*location, "to"),
        f"users change between {' and '.join(weights)}, whatever consistentHash hashes: the weights choose a version "
        f"for each request first, then consistentHash a pod of it",
        "sticky, which keeps users on their version; consistentHash keeps them on a pod within it",
        f"add sticky: {{cookie: {cookie}, ttl: 1h}} to the rule; none needed if only the pod within a version matters",
        shown(rule.to),
    )
