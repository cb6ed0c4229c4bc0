"""Checks of gateways: their ports and protocols, and whether services refer to gateways that exist."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from stacks.checks.removed import still_named
from stacks.checks.view import Service, View, block, is_count
from stacks.settings.mesh import ServiceType
from stacks.settings.problems import Finding, Location, key_path, nearest, shown
from traffic.fields import PORTS_OF_ISTIO
from traffic.model import MESH, Protocol, Server, own_gateway

PORTS: Location = ("mesh", "gateway", "ports")
NODE_PORT: Location = ("mesh", "gateway", "nodePort")


class _Placed(NamedTuple):
    """A server, the location of its port, and the gateway deployment that serves it."""

    location: Location
    server: Server
    deployment: str = ""


def check(view: View) -> Iterator[Finding]:
    """Yield gateways that do not exist, ports that are not open, and servers that Istio would ignore."""
    for service in view.services.values():
        yield from _check_names(view, service)
        yield from _check_own_port(service)
    servers = list(_servers(view))
    yield from _check_open(view, servers)
    yield from _check_protocols(servers)
    yield from _check_twins(servers)
    yield from _check_node_ports(view)


def _servers(view: View) -> Iterator[_Placed]:
    for name, gateway in view.gateways.items():
        for index, server in enumerate(gateway.servers if gateway else ()):
            yield _Placed(("gateways", name, "servers", index, "port"), server, gateway.deployment if gateway else "")
    for service in view.services.values():
        if service.has_own_gateway and service.is_placed:
            yield _Placed((*service.location, "gatewayPort"), service.routing.own_server)


def _check_names(view: View, service: Service) -> Iterator[Finding]:
    known = [*view.gateways, own_gateway(service.name), MESH]
    for index, name in enumerate(service.routing.gateways):
        if name in known:
            continue
        place: Location = (*service.location, "gateways", index)
        removed = still_named(view, ("gateways", name), place, f"give {service.name} `gateways` of your own")
        if removed is not None:
            yield removed
        if removed is not None or view.is_unlisted("gateways", name):
            continue
        near = nearest(name, known)
        yield Finding(
            place,
            f"there is no gateway {name!r}{f'; the nearest is {near!r}' if near else ''}",
            f"{', '.join(known)}: names in {key_path(('gateways',))}, the service's own Gateway, and all sidecars",
            f"write {near}" if near else f"define {name} in {key_path(('gateways',))}",
            shown(name),
        )


def _check_own_port(service: Service) -> Iterator[Finding]:
    if "gatewayPort" in service.given and not service.has_own_gateway and service.is_placed:
        yield Finding(
            (*service.location, "gatewayPort"),
            f"gatewayPort has no effect without {own_gateway(service.name)}, the service's own Gateway",
            f"gatewayPort with {own_gateway(service.name)} in the service's `gateways`",
            f"remove it, or add {own_gateway(service.name)} to {key_path((*service.location, 'gateways'))}",
            shown(service.given["gatewayPort"]),
        )


def _check_open(view: View, servers: list[_Placed]) -> Iterator[Finding]:
    ports = view.gateway_ports
    if ports is None:
        return
    for location, server, deployment in servers:
        if not deployment and server.port not in ports:
            yield Finding(
                location,
                f"the gateway's Service does not open port {server.port}",
                f"the ports of {key_path(PORTS)}: {', '.join(map(str, ports))}",
                f"write {key_path(PORTS)}: {[*ports, server.port]}, or use one of these ports",
                shown(server.port),
            )


def _check_node_ports(view: View) -> Iterator[Finding]:
    given, ports = view.of_gateway("nodePort"), view.gateway_ports
    if given is not None and view.of_gateway("serviceType") == ServiceType.CLUSTER_IP.value:
        yield Finding(
            NODE_PORT,
            "a Service of type ClusterIP has no nodePort",
            "nodePort with serviceType NodePort or LoadBalancer",
            "write serviceType: NodePort, or remove nodePort",
            shown(given),
        )
    first: dict[int, str] = {}
    for port, node_port in block(given).items():
        if ports is not None and port.isdecimal() and int(port) not in ports:
            yield Finding(
                (*NODE_PORT, port),
                f"{port} is not one of the gateway's ports",
                f"the ports {', '.join(map(str, ports))}",
                "remove it" + ("" if int(port) in PORTS_OF_ISTIO else f", or add {port} to {key_path(PORTS)}"),
                shown(node_port),
            )
        if is_count(node_port) and first.setdefault(node_port, port) != port:
            yield Finding(
                (*NODE_PORT, port),
                f"{node_port} is already the node port of {first[node_port]}",
                "each node port once",
                "write another one, or remove it: Kubernetes then chooses one",
                shown(node_port),
            )


def _check_protocols(servers: list[_Placed]) -> Iterator[Finding]:
    """Istio uses the protocol of the first server of a port, and ignores servers with another protocol.

    HTTPS and TLS can share a port, since both are selected by the server name (measured).
    """
    first: dict[tuple[str, int], _Placed] = {}
    for placed in servers:
        owner = first.setdefault((placed.deployment, placed.server.port), placed)
        if _shared(owner.server) != _shared(placed.server):
            yield Finding(
                placed.location,
                f"port {placed.server.port} is {placed.server.protocol.value} here, "
                f"but {owner.server.protocol.value} at {key_path(owner.location)}",
                "one protocol per gateway port; only HTTPS and TLS may share one",
                f"use another port that is in {key_path(PORTS)}",
                shown(placed.server.port),
            )


def _shared(server: Server) -> Protocol:
    """The protocol under which servers share a port."""
    return Protocol.TLS if server.protocol is Protocol.HTTPS else server.protocol


def _check_twins(servers: list[_Placed]) -> Iterator[Finding]:
    """Of two TLS servers for one host and port Istio uses the first; a redirect applies to the host as a whole."""
    first: dict[tuple[str, int, str], _Placed] = {}
    for placed in servers:
        for host in placed.server.hosts:
            owner = first.setdefault((placed.deployment, placed.server.port, host.lower()), placed)
            same_protocol = _shared(owner.server) is _shared(placed.server)
            if owner is placed or not same_protocol or (owner.server.tls is None and placed.server.tls is None):
                continue
            is_https = placed.server.protocol is not Protocol.HTTP
            yield Finding(
                placed.location,
                f"host {host!r} at port {placed.server.port} already has TLS settings at {key_path(owner.location)}"
                if is_https
                else f"host {host!r} at port {placed.server.port} is redirected to HTTPS "
                f"by one of this and {key_path(owner.location)}, which would apply to both",
                "each host and port once among servers with `tls`",
                "remove the host from one of the two",
                shown(placed.server.port),
            )
