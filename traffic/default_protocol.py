"""The protocol of a service that does not say it: that of the servers of its gateways.

Envoy selects a server by the most specific of their hosts; so does this. Servers that redirect every request to https://
carry nothing else, and do not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import TypeVar

from traffic.model import RouteKind, Server, ServiceProtocol, ServiceRouting, SharedGateway
from traffic.simulate import intersection

Routing = TypeVar("Routing", bound=ServiceRouting)

PROTOCOLS = {RouteKind.TCP: ServiceProtocol.TCP, RouteKind.TLS: ServiceProtocol.TLS}


def with_protocol(service: Routing, gateways: Mapping[str, SharedGateway | None]) -> Routing:
    """Return the service with its protocol filled in, unless it is given.

    If the servers for its hosts carry one kind of thing, that is what its pods serve; otherwise HTTP.
    """
    if "protocol" in service.model_fields_set:
        return service
    kinds = kinds_carried(service, gateways)
    kind = next(iter(kinds)) if len(kinds) == 1 else RouteKind.HTTP
    return service.model_copy(update={"protocol": PROTOCOLS[kind]}) if kind in PROTOCOLS else service


def kinds_carried(service: ServiceRouting, gateways: Mapping[str, SharedGateway | None]) -> AbstractSet[RouteKind]:
    """Return what the servers of its shared gateways carry for its hosts; several are no answer."""
    shared = [gateways.get(name) for name in service.gateways]
    servers = [server for gateway in shared if gateway is not None for server in gateway.servers]
    carrying = [server for server in servers if not server.redirects] or servers
    return {server.route_kind for host in service.hosts for server in _most_specific(host, carrying)}


def _most_specific(host: str, servers: Iterable[Server]) -> list[Server]:
    """The servers whose hosts tell most of `host`; those that have a part of it alone, if none has it whole."""
    ranked = [
        (max((len(pattern) for pattern in server.hosts if _covers(pattern, host)), default=0), server)
        for server in servers
        if intersection(server.hosts, [host])
    ]
    best = max((rank for rank, _ in ranked), default=0)
    return [server for rank, server in ranked if rank == best]


def _covers(pattern: str, host: str) -> bool:
    """Whether a server's host, a name, `*.…` or `*`, has all of a service's host."""
    return pattern == host or (pattern.startswith("*") and host.endswith(pattern[1:]))
