"""Checks of sticky cookies: a browser has one cookie per name and host, whatever the port."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stacks.checks.view import Service, View
from stacks.settings.problems import Finding, Location, key_path, shown
from traffic.model import Target, TrafficPolicy, target
from traffic.simulate.hosts import Hosts


@dataclass(frozen=True)
class _Use:
    """A sticky rule: its position among all of them, its cookie, and the versions that the cookie may name."""

    order: int
    service: Service
    location: Location
    cookie: str
    versions: frozenset[Target]


def check(view: View) -> Iterator[Finding]:
    """Yield cookies that two rules on one host use for different versions, or that Envoy uses for something else."""
    uses = list(_uses(view))
    by_host: dict[str, Hosts[_Use]] = {}
    for use in uses:
        for host in use.service.routing.hosts:
            by_host.setdefault(use.cookie, Hosts()).add(host, use)
    of_service: dict[tuple[str, str], _Use] = {}
    reported: set[int] = set()
    for use in uses:
        yield from _check_hash(use)
        first = of_service.setdefault((use.cookie, use.service.name), use)
        others = [one for host in use.service.routing.hosts for one in by_host[use.cookie].candidates(host.lower())]
        for other in [first, *(one for one in others if one.service.name != use.service.name)]:
            later, earlier = (use, other) if use.order > other.order else (other, use)
            if (other.service, other.versions) != (use.service, use.versions) and later.order not in reported:
                reported.add(later.order)
                yield _clash(earlier, later)


def _uses(view: View) -> Iterator[_Use]:
    order = 0
    for service in view.services.values():
        for index, rule in enumerate(service.rules):
            if rule is not None and rule.sticky is not None:
                versions = frozenset(target(service.name, name) for name, weight in rule.weights.items() if weight)
                yield _Use(order, service, (*service.location, "route", index), rule.sticky.cookie, versions)
                order += 1


def _clash(earlier: _Use, later: _Use) -> Finding:
    return Finding(
        (*later.location, "sticky", "cookie"),
        f"{key_path((*earlier.location, 'sticky'))} uses a cookie of this name on the same host for other versions, "
        "so each rule would move the users of the other",
        "a different cookie for each set of versions on a host",
        f"write {later.service.name}-version-2, for example",
        shown(later.cookie),
    )


def _check_hash(use: _Use) -> Iterator[Finding]:
    routing = use.service.routing
    policies = [routing.traffic_policy, *(version.traffic_policy for version in routing.versions.values())]
    if any(_hashed_cookie(policy) == use.cookie for policy in policies):
        yield Finding(
            (*use.location, "sticky", "cookie"),
            "the service's load balancer hashes a cookie of this name, and sets it to other values",
            "different cookies for versions and for pods",
            f"write {use.service.name}-version, for example",
            shown(use.cookie),
        )


def _hashed_cookie(policy: TrafficPolicy | None) -> str | None:
    balancer = policy.load_balancer if policy else None
    hashed = balancer.consistent_hash if balancer else None
    return hashed.http_cookie.name if hashed and hashed.http_cookie else None
