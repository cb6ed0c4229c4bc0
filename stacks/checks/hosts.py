"""Checks of hosts: those that no gateway accepts, and those that more than one service claims."""

from __future__ import annotations

from collections.abc import Iterator

from stacks.checks.one_host import below_a_path
from stacks.checks.view import Service, View, default_of, entries, is_count
from stacks.settings.model import ServiceSettings
from stacks.settings.problems import Finding, key_path, shown
from traffic.model import MESH, Protocol, RouteKind, own_gateway, service_host
from traffic.simulate import intersection
from traffic.simulate.hosts import Hosts


def check(view: View) -> Iterator[Finding]:
    """Yield hosts that are missing, that lead nowhere, or that two services claim."""
    claims = _Claims()
    for service in view.services.values():
        yield from _check_own(service)
        yield from _check_let_in(view, service)
        yield from claims.of_service(view, service)


def _check_own(service: Service) -> Iterator[Finding]:
    """The hosts of one service, on their own."""
    bound, location = service.routing.gateways, (*service.location, "hosts")
    if service.is_placed and not service.routing.hosts and bound != (MESH,):
        yield Finding(
            location,
            "no host routes to the service",
            "a list of hosts, which may only be empty with gateways: [mesh]",
            f"add `hosts: [{service.name}.example.com]`, for example; or `gateways: [mesh]` for callers inside the "
            "mesh alone",
        )
    hosts = entries(service.given.get("hosts"))
    well_formed = {index: host for index, host in enumerate(hosts) if host in service.routing.hosts}
    wider: Hosts[int] = Hosts()
    for index, host in well_formed.items():
        wider.add(host, index)
    for index, host in well_formed.items():
        if host == "*" and bound == (MESH,):
            yield Finding(
                (*location, index),
                "'*' has no effect for callers inside the mesh, who call the service by name",
                "host names, or none, with gateways: [mesh]",
                "remove it",
                shown(host),
            )
        other = next((hosts[one] for one in wider.candidates(host.lower()) if hosts[one] != host), None)
        if other is None and service.routing.in_mesh and host != "*":
            own = service_host(service.name, service.routing.namespace)
            other = own if intersection([host], [own]) else None
        if other is not None:
            yield Finding(
                (*location, index),
                f"{host!r} and {other!r} overlap, and Istio rejects overlapping hosts for one service",
                "hosts that do not overlap with each other or with the service's own name inside the mesh",
                f"remove {host!r}",
                shown(host),
            )


def _check_let_in(view: View, service: Service) -> Iterator[Finding]:
    """Hosts for which no gateway of the service has a server, and gateways with none of its hosts."""
    if not service.is_placed or not service.routing.hosts:
        return
    let_in: list[str] = []
    for index, name in enumerate(service.routing.gateways):
        if name in (MESH, own_gateway(service.name)):
            let_in += service.routing.hosts
        elif view.gateways.get(name) is None:
            return
        else:
            shared = view.well_formed_gateways[name]
            here = [host for server in shared.servers for host in intersection(server.hosts, service.routing.hosts)]
            let_in += here
            if not here:
                yield Finding(
                    (*service.location, "gateways", index),
                    f"{name} accepts none of the service's hosts",
                    f"a gateway with a server for one of {', '.join(service.routing.hosts)}",
                    f"add the host to {key_path(('gateways', name, 'servers'))}, or remove {name}",
                    shown(name),
                )
    for index, host in enumerate(service.routing.hosts):
        if let_in and not intersection([host], let_in):
            yield Finding(
                (*service.location, "hosts", index),
                f"none of the service's gateways accepts {host!r}",
                f"hosts of the servers of {', '.join(service.routing.gateways)}",
                "add it to a server of one of them, or remove it",
                shown(host),
            )


class _Claims:
    """Which service claims a host at a port or inside the mesh, and the index among its hosts."""

    def __init__(self) -> None:
        self._first: dict[tuple[object, str], tuple[Service, int]] = {}

    def of_service(self, view: View, service: Service) -> Iterator[Finding]:
        """Claim the hosts of a service, and yield those that are already claimed."""
        reported: set[int] = set()
        for index, port, host in _claimed(view, service):
            owner, place = self._first.setdefault((port, host), (service, index))
            if index not in reported and (owner is not service or place < index):
                reported.add(index)
                yield _claimed_twice(service, index, owner, place, port)


def _claimed(view: View, service: Service) -> Iterator[tuple[int, object, str]]:
    """Each host at each port: the index of the host as given, the port (or `mesh`), and the resulting host."""
    hosts = entries(service.given.get("hosts"))
    index_of = {host: index for index, host in reversed(list(enumerate(hosts))) if isinstance(host, str)}
    port = service.given.get("gatewayPort", default_of(ServiceSettings, "gatewayPort"))
    for index, host in enumerate(hosts):
        if not isinstance(host, str):
            continue
        if service.has_own_gateway and is_count(port):
            yield index, port, "*" if service.routing.route_kind is RouteKind.TCP else host.lower()
        if service.routing.in_mesh and host != "*":
            yield index, MESH, host.lower()
    shared = [view.gateways.get(name) for name in service.routing.gateways]
    for pods, server in ((one.deployment, server) for one in shared if one is not None for server in one.servers):
        port = f"{server.port} of the gateway {pods}" if pods else server.port
        if server.route_kind is not service.routing.route_kind:
            continue
        if server.protocol is Protocol.TCP:
            # A connection of TCP names no host: whoever has the port has all of them.
            yield from ((index, port, "*") for index in list(index_of.values())[:1])
            continue
        for host, index in index_of.items():
            for domain in intersection(server.hosts, [host]):
                yield index, port, domain.lower()


def _claimed_twice(service: Service, index: int, owner: Service, place: int, port: object) -> Finding:
    host = entries(service.given.get("hosts"))[index]
    whose = "this service" if owner is service else f"the service {owner.name!r}"
    where = "inside the mesh" if port == MESH else f"on gateway port {port}"
    return Finding(
        (*service.location, "hosts", index),
        f"host {host!r} {where} is already claimed by {whose}, at {key_path((*owner.location, 'hosts', place))}",
        "each host once inside the mesh" if port == MESH else "each host and gateway port once in a stack",
        "remove it"
        if owner is service
        else f"{below_a_path(owner, service)}; or use another host, or another `gatewayPort`",
        shown(host),
    )
