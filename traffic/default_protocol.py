"""The protocol of a service that does not say it: that of the servers of its gateways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from traffic.model import RouteKind, ServiceProtocol, ServiceRouting, SharedGateway
from traffic.simulate import intersection

Routing = TypeVar("Routing", bound=ServiceRouting)

PROTOCOLS = {RouteKind.TCP: ServiceProtocol.TCP, RouteKind.TLS: ServiceProtocol.TLS}


def with_protocol(service: Routing, gateways: Mapping[str, SharedGateway | None]) -> Routing:
    """Return the service with its protocol filled in, unless it is given.

    If all servers that accept its hosts carry connections of one kind, that is what its pods serve; otherwise HTTP.
    """
    if "protocol" in service.model_fields_set:
        return service
    shared = [gateways.get(name) for name in service.gateways]
    kinds = {
        server.route_kind
        for gateway in shared
        if gateway is not None
        for server in gateway.servers
        if intersection(server.hosts, service.hosts)
    }
    kind = kinds.pop() if len(kinds) == 1 else RouteKind.HTTP
    return service.model_copy(update={"protocol": PROTOCOLS[kind]}) if kind in PROTOCOLS else service
