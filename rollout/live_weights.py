"""Where the requests of each rule of a service go now, read from its VirtualServices as they are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rollout.observed_routes import known_destinations, weights_of
from rollout.schedule import rule_key
from traffic.model import RouteKind, RouteTable
from traffic.model.backend import EgressTable
from traffic.render import places_of_weights, virtual_services
from traffic.words import OTHERWISE

Http = Sequence[Mapping[str, Any]]
"""The http routes of a VirtualService."""


def live_weights(
    routes: RouteTable,
    service: str,
    live: Mapping[str, Http],
    *,
    gateway_namespace: str,
    gateway_namespaces: Mapping[str, str] | None = None,
    egress: EgressTable | None = None,
) -> dict[str, dict[str, float]]:
    """Return where the requests of the service's rules go now, in percent by rule key and destination.

    `live` has the http routes of the service's VirtualServices in the cluster by name; the other arguments are those
    of `traffic.render.virtual_services`. A rule is found by its matches, as they are rendered; the default rule also
    if the route has none any more. Rules that are new, or that end in a redirect or a direct response in the cluster,
    are left out. Empty if there are no VirtualServices.
    """
    if routes[service].route_kind is not RouteKind.HTTP:
        return {}
    rendered = virtual_services(
        routes,
        service,
        gateway_namespace=gateway_namespace,
        gateway_namespaces=gateway_namespaces or {},
        egress=egress,
    )
    known = known_destinations(routes, service, egress or {})
    found: dict[str, dict[str, float]] = {}
    for rule, place in zip(routes[service].route, places_of_weights(routes, service), strict=True):
        if place is None:
            continue
        name, index = place
        entry = _entry(live, name, _matches(rendered[name]["http"][index]))
        if entry is not None and entry.get("route"):
            found.setdefault(rule_key(rule), weights_of(entry, service, known))
    default = _entry(live, service, [])
    if default is not None and default.get("route"):
        found.setdefault(OTHERWISE, weights_of(default, service, known))
    return found


def _entry(live: Mapping[str, Http], name: str, matches: list[str]) -> Mapping[str, Any] | None:
    """The first route with these matches: in the VirtualService `name`, else in another one of the service."""
    return next((entry for entry in _entries(live, name) if _matches(entry) == matches), None)


def _entries(live: Mapping[str, Http], name: str) -> Iterator[Mapping[str, Any]]:
    for one in (name, *(other for other in live if other != name)):
        yield from live.get(one, ())


def _matches(entry: Mapping[str, Any]) -> list[str]:
    """The matches of a route in an order that says nothing, as any of them suffices."""
    return sorted(json.dumps(match, sort_keys=True) for match in entry.get("match") or ())
