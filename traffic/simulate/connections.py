"""Which version gets a connection of TCP or TLS, as istiod programs Envoy's filter chains.

At a port of TCP the first rule that applies there gets every connection. At one of TLS that passes through, and in
sidecars, Envoy selects by the server name (SNI): the most specific name that any rule has, whatever the order of the
rules, and of rules with the same name the first (istiod: buildGatewayNetworkFiltersFromTCPRoutes,
buildGatewayNetworkFiltersFromTLSRoutes, buildOutboundNetworkFiltersForTLS).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from traffic.model import (
    MESH,
    GatewayPods,
    Match,
    RouteKind,
    RouteTable,
    Rule,
    ServiceRouting,
    SharedGateway,
    Target,
    service_host,
    target,
)
from traffic.simulate.conditions import OF_PLACE, Condition, conditions
from traffic.simulate.decision import Connected, Decision, Refused, Share, Unrouted
from traffic.simulate.hosts import Entry, Hosts, bare, dns_names, entries
from traffic.simulate.request import Caller, Request, Seen

EVERY_CONNECTION = Match.model_construct()
NO_NAME = "no server name"


class Way(NamedTuple):
    """A rule, by its index, through which a connection can go to a service's versions, and by which server names."""

    service: str
    gateway: str
    domain: str
    rule: int
    names: tuple[str, ...]


class Connections:
    """Decides connections by the routes of all services of a stack; `proxy` is the gateway's pod."""

    def __init__(self, routes: RouteTable, gateways: Mapping[str, SharedGateway], proxy: Caller) -> None:
        self._routes = routes
        self._gateways = gateways
        self._proxy = proxy
        self._ports: dict[tuple[str, int], list[tuple[str, Entry]]] = {}
        for name, service in routes.items():
            for entry in entries(name, service, gateways) if service.route_kind is not RouteKind.HTTP else ():
                self._ports.setdefault((entry.deployment, entry.server.port), []).append((name, entry))

    def serves(self, deployment: str, port: int) -> bool:
        """Whether a port of a gateway deployment takes connections."""
        return (deployment, port) in self._ports

    def decide(self, request: Request) -> Decision:
        """Return what happens to a connection."""
        seen = request.seen
        if seen is None:
            return Decision(request, Refused(None, f"{request.authority!r} is not a host"))
        return self._from_inside(request, seen) if request.caller else self._from_outside(request, seen)

    def _from_outside(self, request: Request, seen: Seen) -> Decision:
        found = self._ports.get((request.deployment, request.asked_port))
        if found is None:
            here_open = sorted(port for deployment, port in self._ports if deployment == request.deployment)
            known = ", ".join(map(str, here_open)) or "none"
            return Decision(request, Refused(None, f"no Gateway takes connections at {seen.port}; ports: {known}"))
        here = [(name, entry) for name, entry in found if request.gateway in (None, entry.gateway)]
        if here and here[0][1].scheme != request.scheme:
            return Decision(request, Refused(None, f"port {seen.port} takes {here[0][1].scheme.upper()} connections"))
        ways: list[Way] = []
        for name, entry in here:
            placed = seen.at(entry.gateway, proxy_of(entry.gateway, self._gateways, self._proxy))
            # Where TLS ends at the gateway, its server selects by the name; of TLS that passes through, the route.
            passes = entry.server.passes_through
            names = _names(name, self._routes[name]) if passes else (entry.domain,)
            ways += self._ways(name, entry.gateway, entry.domain, names, placed)
        chosen = _chosen(ways, seen.authority, by_name=request.scheme == "tls")
        if chosen is None:
            who = f"no rule has the server name {seen.authority or NO_NAME!r} at gateway port {seen.port}"
            return Decision(request, Refused(None, who if ways else f"no rule applies at gateway port {seen.port}"))
        return self._connected(request, chosen, seen.at(chosen.gateway, self._proxy))

    def _from_inside(self, request: Request, seen: Seen) -> Decision:
        name = self._called(request)
        if name is None:
            return self._at_further_port(request, seen)
        service = self._routes[name]
        domain = service_host(name, service.namespace)
        ways = list(self._ways(name, MESH, domain, _names(name, service), seen)) if service.in_mesh else []
        chosen = _chosen(ways, seen.authority, by_name=service.route_kind is RouteKind.TLS)
        if chosen is None:
            why = "no rule applies to this connection" if service.in_mesh else "its route only applies at gateways"
            outcome = Unrouted(name, f"{why}: the Service sends it to any of its pods, of any version")
            return Decision(request, outcome, name, domain, MESH)
        return self._connected(request, chosen, seen)

    def _called(self, request: Request) -> str | None:
        """The service that a caller inside the mesh connects to, by any of its names."""
        for name, service in self._routes.items():
            is_served = service.port == request.asked_port and service.route_kind is not RouteKind.HTTP
            if is_served and (bare(request.authority) in service.hosts or is_called(name, service, request)):
                return name
        return None

    def _at_further_port(self, request: Request, seen: Seen) -> Decision:
        """What happens at a port without a route of connections: a further one of a service, or an unknown one."""
        for name, service in self._routes.items():
            further = next((port for port in service.further_ports if port.port == request.asked_port), None)
            if further is not None and is_called(name, service, request):
                why = f"{further.name} is a further port of {name}, whose route is one of {service.protocol.value} "
                why += f"connections to port {service.port}: the Service sends it to any of its pods, of any version"
                return Decision(request, Unrouted(name, why), name, service_host(name, service.namespace), MESH)
        known = f"the stack has no service with the host {request.authority!r} and the port {seen.port}"
        return Decision(request, Unrouted(None, known))

    def _ways(self, name: str, gateway: str, domain: str, names: tuple[str, ...], seen: Seen) -> Iterator[Way]:
        """`names` are the server names of a match that has none."""
        for index, rule in enumerate(self._routes[name].route):
            for match in rule.match or (EVERY_CONNECTION,):
                if all(condition.holds(seen) for condition in conditions(match) if condition.kind in OF_PLACE):
                    yield Way(name, gateway, domain, index, match.sni_hosts or names)

    def _connected(self, request: Request, way: Way, seen: Seen) -> Decision:
        rule = self._routes[way.service].route[way.rule]
        return Decision(
            request,
            Connected(tuple(_shares(rule, way.service))),
            way.service,
            way.domain,
            way.gateway,
            index=way.rule,
            rule=rule,
            missed=tuple(_missed(self._routes[way.service].route[: way.rule], seen)),
        )


def is_called(name: str, service: ServiceRouting, request: Request) -> bool:
    """Whether a caller inside the mesh calls a service by one of its DNS names."""
    is_near = request.caller is not None and request.caller.namespace == service.namespace
    return bare(request.authority) in (*dns_names(name, service.namespace), *([name] if is_near else ()))


def proxy_of(gateway: str, gateways: Mapping[str, SharedGateway], mesh: Caller) -> Caller:
    """Return the pod of the gateway deployment that a Gateway configures; `mesh` is that of mesh.gateway."""
    if gateway not in gateways or not gateways[gateway].selector:
        return mesh
    pods = gateways[gateway].pods(GatewayPods(mesh.namespace, mesh.labels))
    return Caller(pods.namespace, pods.selector)


def _names(name: str, service: ServiceRouting) -> tuple[str, ...]:
    """The server names of a match that has none: all hosts of its VirtualService."""
    return (*service.hosts, service_host(name, service.namespace)) if service.in_mesh else service.hosts


def _chosen(ways: list[Way], server_name: str, *, by_name: bool) -> Way | None:
    if not by_name:
        return next(iter(ways), None)
    named: Hosts[Way] = Hosts()
    for way in ways:
        for host in way.names:
            named.add(host, way)
    return next(named.candidates(server_name.lower()), None)


def _shares(rule: Rule, service: str) -> Iterator[Share]:
    for name, weight in rule.weights.items():
        if weight > 0:
            yield Share(name, Target(*target(service, name)), weight / 100)


def _missed(earlier: tuple[Rule, ...], seen: Seen) -> Iterator[tuple[int, tuple[Condition, ...]]]:
    """Why each earlier rule did not get the connection: the first condition of each match that did not hold."""
    for index, rule in enumerate(earlier):
        failed = [next((one for one in conditions(match) if not one.holds(seen)), None) for match in rule.match]
        if failed and all(failed):
            yield index, tuple(one for one in failed if one is not None)
