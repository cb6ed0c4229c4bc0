"""Where a service's requests enter: ports of Gateways, and sidecars of callers inside the mesh."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from stacks.checks.view import Service, View
from traffic.model import MESH, Match, RouteKind, own_gateway, service_host
from traffic.simulate import entries

HTTP_IN_MESH = 80
"""The port at which sidecars know hosts that are not Services."""


@dataclass(frozen=True)
class Place:
    """A port of a Gateway or of the mesh, its scheme, and the hosts that route to the service there."""

    gateway: str
    port: int
    scheme: str
    hosts: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.port} ({self.scheme}, {self.gateway})"


def places(service: Service, view: View) -> list[Place] | None:
    """Return where the route of a service applies, or None if that is not known.

    Servers that redirect to HTTPS are left out: they use no route.
    """
    shared = view.gateways
    known = {own_gateway(service.name), MESH, *(name for name, gateway in shared.items() if gateway is not None)}
    if not service.is_placed or not known.issuperset(service.routing.gateways):
        return None
    found: dict[tuple[str, int, str], list[str]] = {}
    for entry in entries(service.name, service.routing, view.well_formed_gateways) if service.routing.hosts else ():
        if not entry.server.redirects:
            found.setdefault((entry.gateway, entry.server.port, entry.scheme), []).append(entry.domain)
    if service.routing.in_mesh:
        kind = service.routing.route_kind
        also = [HTTP_IN_MESH] if service.routing.hosts and kind is RouteKind.HTTP else []
        for port in sorted({*(service.routing.http_ports or [service.routing.port]), *also}):
            found[MESH, port, kind.value] = list(hosts_inside(service))
    return [Place(*place, hosts=tuple(dict.fromkeys(hosts))) for place, hosts in found.items()]


def holds_at(match: Match, place: Place) -> bool:
    """Return whether requests that enter there can meet the match, as far as gateways, port and scheme tell."""
    return (
        (not match.gateways or place.gateway in match.gateways)
        and match.port in (None, place.port)
        and (match.scheme is None or match.scheme.exact == place.scheme)
    )


def hosts_inside(service: Service) -> Iterable[str]:
    """Yield the hosts by which callers inside the mesh may call the service."""
    full = service_host(service.name, service.routing.namespace)
    yield from (full, full.removesuffix(".cluster.local"), f"{service.name}.{service.routing.namespace}", service.name)
    yield from (host for host in service.routing.hosts if host != "*")


def lets_in(hosts: Iterable[str], authority: str) -> bool:
    """Whether one of the hosts matches an authority, which may have a port."""
    bare = re.sub(r":[0-9]+$", "", authority.lower())
    return any(bare.endswith(host[1:]) if host.startswith("*") else bare == host for host in hosts)
