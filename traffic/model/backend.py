"""Where the requests of a destination go: a host of Istio's service registry, its port, and a subset of it.

See "Destination" in https://istio.io/latest/docs/reference/config/networking/virtual-service/.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from traffic.model.egress import EgressPort, EgressProtocol, ExternalService
from traffic.model.outside import OutsideVersion, Source
from traffic.model.service import RouteTable, service_host
from traffic.model.target import Target

HTTP_PROTOCOLS = (EgressProtocol.HTTP, EgressProtocol.HTTP2, EgressProtocol.GRPC)
TLS_PROTOCOLS = (EgressProtocol.HTTPS, EgressProtocol.TLS)
TLS_SUBSET = "tls"
"""Subset of a host of `egress` to whose port callers originate TLS."""
DEFAULT_PORT = 80

EgressTable = Mapping[str, ExternalService]
"""The entries of `egress` by name."""


class Backend(NamedTuple):
    """A destination in Istio's terms; `subset` is empty for a whole host.

    `authority` is the Host header that a host outside needs, None where it gets the caller's.
    """

    host: str
    port: int
    subset: str = ""
    authority: str | None = None

    @property
    def cluster(self) -> str:
        """Envoy's name for it."""
        return f"outbound|{self.port}|{self.subset}|{self.host}"


def backend(target: Target, routes: RouteTable, egress: EgressTable) -> Backend:
    """Return where the requests of a destination go; raises KeyError if there is no such destination."""
    if target.is_egress:
        return _of_egress(egress[target.version])
    service = routes[target.service]
    version = service.versions.get(target.version)
    if not isinstance(version, OutsideVersion) or version.source is Source.PODS:
        return Backend(service_host(target.service, service.namespace), service.port, target.version)
    port = version.port or DEFAULT_PORT
    subset = target.version if version.has_subset else ""
    if version.source is Source.SERVICE:
        return Backend(service_host(*version.service_of(service.namespace)), port, subset)
    assert version.host is not None
    return Backend(version.host, port, subset, authority_at(version.host, port))


def authority_at(host: str, port: int) -> str:
    """Return the Host header for a host outside; HTTP and HTTPS have default ports."""
    return host if port in (80, 443) else f"{host}:{port}"


def port_for_http(external: ExternalService) -> EgressPort | None:
    """Return the port of an entry of `egress` to which routes send requests: one with HTTP before one with TLS."""
    for protocols in (HTTP_PROTOCOLS, TLS_PROTOCOLS):
        for port in external.ports:
            if port.protocol in protocols:
                return port
    return None


def needs_tls(external: ExternalService) -> bool:
    """Whether callers that are routed to an entry of `egress` originate TLS."""
    port = port_for_http(external)
    return port is not None and port.protocol in TLS_PROTOCOLS


def _of_egress(external: ExternalService) -> Backend:
    port = port_for_http(external)
    number = port.number if port else external.ports[0].number
    host = external.hosts[0]
    return Backend(host, number, TLS_SUBSET if needs_tls(external) else "", authority_at(host, number))
