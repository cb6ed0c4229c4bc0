"""Which service's route a request gets to: virtual hosts as istiod generates them and as Envoy selects them.

Envoy selects the exact host, else the longest `*.…`, else `*`, ignoring case and the port in the Host header
(istiod: buildGatewayHTTPRouteConfig, BuildSidecarOutboundVirtualHosts). It does not fall back to the next one when no
rule of the first matches the request.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from traffic.model import (
    MESH,
    Protocol,
    RouteKind,
    RouteTable,
    Server,
    ServerTls,
    ServiceRouting,
    SharedGateway,
    own_gateway,
    service_host,
)

T = TypeVar("T")


@dataclass(frozen=True)
class VirtualHost:
    """A host at one port: the service whose route it uses, and its Gateway. `to_https` redirects to HTTPS instead."""

    domain: str
    service: str | None
    gateway: str
    to_https: bool = False


@dataclass
class Hosts(Generic[T]):
    """Things by host, in the order in which Envoy would select them. The first to claim a host has it."""

    exact: dict[str, list[T]] = field(default_factory=dict)
    suffixes: dict[str, list[T]] = field(default_factory=dict)

    def add(self, domain: str, thing: T) -> None:
        """Add `thing` for `domain`: a name, `*.…` or `*`."""
        domain = domain.lower()
        where, key = (self.suffixes, domain[1:]) if domain.startswith("*") else (self.exact, domain)
        where.setdefault(key, []).append(thing)

    def candidates(self, host: str) -> Iterator[T]:
        """Yield the things for `host`, the most specific first."""
        yield from self.exact.get(host, ())
        dot = host.find(".", 1)
        while dot > 0:
            yield from self.suffixes.get(host[dot:], ())
            dot = host.find(".", dot + 1)
        yield from self.suffixes.get("", ())


@dataclass
class GatewayPort:
    """What the gateway's pods serve at one port: HTTP for virtual hosts, or TLS for servers by SNI."""

    plain: Hosts[VirtualHost] | None = None
    secure: Hosts[tuple[ServerTls, Hosts[VirtualHost]]] | None = None


@dataclass(frozen=True)
class Entry:
    """An entry to a service at the gateway: a port and a host that lead to its route."""

    gateway: str
    server: Server
    domain: str
    deployment: str = ""

    @property
    def scheme(self) -> str:
        """`http`, `https`, `tcp` or `tls`."""
        return self.server.protocol.value.lower()


def bare(authority: str) -> str:
    """Return the host of a Host header, in lower case and without its port."""
    end = authority.rfind(":")
    return (authority[:end] if end > authority.rfind("]") else authority).lower()


def entries(name: str, service: ServiceRouting, gateways: Mapping[str, SharedGateway]) -> Iterator[Entry]:
    """Yield the entries of the service `name` from outside, in the order given.

    Its route applies at the servers whose protocol it can tell apart: of requests, or of connections.
    """
    hosts = route_hosts(name, service)
    for gateway in service.gateways:
        deployment = gateways[gateway].deployment if gateway in gateways else ""
        for server in _servers(gateway, name, service, gateways):
            for domain in intersection(server.hosts, hosts) if server.route_kind is service.route_kind else ():
                yield Entry(gateway, server, domain, deployment)


def at_mesh_gateway(routes: RouteTable, gateways: Mapping[str, SharedGateway]) -> RouteTable:
    """Return the services at the pods of mesh.gateway; those of other gateway deployments get no policies."""
    elsewhere = {MESH, *(name for name, shared in gateways.items() if shared.selector)}
    return {name: service for name, service in routes.items() if set(service.gateways) - elsewhere}


def route_hosts(name: str, service: ServiceRouting) -> tuple[str, ...]:
    """Return the hosts of the service's VirtualService at gateways, with its mesh host if the VirtualService has it."""
    inside = service.in_mesh and not service.has_mesh_virtual_service
    return (*service.hosts, service_host(name, service.namespace)) if inside else service.hosts


def gateway_ports(routes: RouteTable, gateways: Mapping[str, SharedGateway]) -> dict[tuple[str, int], GatewayPort]:
    """Return what the pods of each gateway deployment serve, by deployment and port."""
    ports: dict[tuple[str, int], GatewayPort] = {}
    inside: dict[int, Hosts[VirtualHost]] = {}
    for name, shared in gateways.items():
        for server in (server for server in shared.servers if server.route_kind is RouteKind.HTTP):
            _open(ports.setdefault((shared.deployment, server.port), GatewayPort()), server, name, inside)
    for name, service in routes.items():
        for entry in entries(name, service, gateways) if service.http_ports else ():
            port = ports.setdefault((entry.deployment, entry.server.port), GatewayPort())
            host = VirtualHost(entry.domain, name, entry.gateway, entry.server.redirects)
            if entry.server.protocol is Protocol.HTTPS:
                inside[id(entry.server)].add(entry.domain, host)
            else:
                port.plain = port.plain or Hosts()
                port.plain.add(entry.domain, host)
    return ports


def _open(port: GatewayPort, server: Server, gateway: str, inside: dict[int, Hosts[VirtualHost]]) -> None:
    if server.protocol is Protocol.HTTPS and server.tls is not None:
        hosts: Hosts[VirtualHost] = inside.setdefault(id(server), Hosts())
        port.secure = port.secure or Hosts()
        for domain in server.hosts:
            port.secure.add(domain, (server.tls, hosts))
        return
    port.plain = port.plain or Hosts()
    for domain in server.hosts if server.redirects else ():
        port.plain.add(domain, VirtualHost(domain, None, gateway, to_https=True))


def _servers(
    gateway: str, name: str, service: ServiceRouting, gateways: Mapping[str, SharedGateway]
) -> Iterable[Server]:
    if gateway in gateways:
        return gateways[gateway].servers
    if gateway == own_gateway(name):
        return (service.own_server,)
    return ()


def intersection(ours: Iterable[str], theirs: Iterable[str]) -> list[str]:
    """Return the hosts that both match: the narrower of each two that overlap (istiod: host.Names.Intersection)."""
    theirs = tuple(theirs)
    both = [one if _is_within(one, other) else other for one in ours for other in theirs if _overlap(one, other)]
    return list(dict.fromkeys(both))


def _overlap(one: str, other: str) -> bool:
    return _is_within(one, other) or _is_within(other, one)


def _is_within(narrow: str, wide: str) -> bool:
    if wide.startswith("*"):
        return narrow.endswith(wide[1:]) and len(narrow) >= len(wide)
    return narrow == wide


@dataclass(frozen=True)
class MeshPort:
    """Hosts that callers inside the mesh call at one port; short names belong to the caller's own namespace."""

    named: Hosts[VirtualHost]
    short: dict[tuple[str, str], VirtualHost]

    def candidates(self, host: str, namespace: str) -> Iterator[VirtualHost]:
        """Yield the virtual hosts for `host` and a caller in `namespace`, the most specific first."""
        if (namespace, host) in self.short:
            yield self.short[namespace, host]
        yield from self.named.candidates(host)


def dns_names(service: str, namespace: str) -> tuple[str, ...]:
    """Return the DNS names of a Service that all namespaces can call it by."""
    full = service_host(service, namespace)
    return full, f"{full}.", f"{service}.{namespace}", f"{service}.{namespace}.svc"


def mesh_ports(routes: RouteTable) -> dict[int, MeshPort]:
    """Return the hosts that sidecars know, by port, including services whose route only applies at gateways."""
    ports: dict[int, MeshPort] = {}
    for name, service in routes.items():
        namespace = service.namespace
        full = service_host(name, namespace)
        own = VirtualHost(full, name, MESH)
        for number in service.ports_of_requests:
            port = ports.setdefault(number, MeshPort(Hosts(), {}))
            port.short[namespace, name] = own
            for domain in dns_names(name, namespace):
                port.named.add(domain, own)
            for domain in service.hosts if service.in_mesh and service.http_ports else ():
                if domain != "*":
                    port.named.add(domain, VirtualHost(domain, name, MESH))
    return ports
