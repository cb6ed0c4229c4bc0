"""Checks of services of TCP and TLS, whose routes share connections out: what needs requests has no effect there, and
Istio would ignore it in silence or refuse it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stacks.checks.view import Service, View, block, entries
from stacks.settings.problems import Finding, Location, key_path, shown
from traffic.default_protocol import kinds_carried
from traffic.model import MESH, OutsideVersion, RouteKind, Server, ServiceProtocol, Source, own_gateway
from traffic.simulate import intersection, route_hosts

ACTIONS = {
    "name": "a TCP or TLS route has no name in Istio",
    "redirect": "there is no request that could be answered with a redirect",
    "directResponse": "there is no request that could be answered",
    "rewrite": "there is no path or host to change",
    "headers": "there are no headers",
    "timeout": "a connection lasts as long as its two ends want",
    "retries": "a connection cannot be sent again",
    "fault": "Envoy only injects faults into requests",
    "mirrors": "Envoy only mirrors requests",
    "corsPolicy": "there are no headers",
    "sticky": "there are no cookies",
}
"""Keys of a rule that need requests, and why."""
OF_REQUESTS = (
    "headers", "withoutHeaders", "cookies", "uri", "ignoreUriCase", "method", "authority", "scheme", "queryParams",
)  # fmt: skip
"""Keys of a match that need requests."""
OF_CONNECTIONS = {
    RouteKind.TCP: "port, gateways, sourceLabels, sourceNamespace",
    RouteKind.TLS: "sniHosts, port, gateways, sourceLabels, sourceNamespace",
}
ACCESS = ("methods", "notMethods", "paths", "notPaths", "hosts", "headers", "requestPrincipals", "notRequestPrincipals")
"""Keys of an authorization rule that need requests (Istio: "Authorization Policy", Unsupported fields for TCP)."""
HASHED = ("httpHeaderName", "httpCookie", "httpQueryParameterName")


def check(view: View) -> Iterator[Finding]:
    """Yield what needs requests in services of TCP and TLS, and server names in other services."""
    for service in view.services.values():
        yield from _check_protocol(view, service)
        yield from _check_servers(view, service)
        kind = service.routing.route_kind
        for index, given in enumerate(entries(service.given.get("route"))):
            location: Location = (*service.location, "route", index)
            if kind is not RouteKind.HTTP:
                yield from _check_actions(service, block(given), location)
                yield from _check_shares(service, block(given), location)
            for number, match in enumerate(entries(block(given).get("match"))):
                yield from _check_match(view, service, block(match), (*location, "match", number))
        if kind is not RouteKind.HTTP:
            yield from _check_settings(service)
            yield from _check_hosts_outside(service)


def _speaks(service: Service) -> str:
    return f"{service.name} speaks {service.routing.protocol.value}, and Envoy sees connections, not requests"


def _check_actions(service: Service, given: Mapping[str, Any], location: Location) -> Iterator[Finding]:
    for key, why in ACTIONS.items():
        if given.get(key) is not None:
            yield Finding(
                (*location, key),
                f"{_speaks(service)}: {why}",
                "rules with `to`, and `match` on where a connection comes from",
                f"remove {key}",
                shown(given[key]),
            )


def _check_shares(service: Service, given: Mapping[str, Any], location: Location) -> Iterator[Finding]:
    for name, share in block(given.get("to")).items():
        if block(share).get("headers"):
            yield Finding(
                (*location, "to", name, "headers"),
                f"{_speaks(service)}: {ACTIONS['headers']}",
                "a weight",
                "remove headers",
                shown(share["headers"]),
            )


def _check_hosts_outside(service: Service) -> Iterator[Finding]:
    for name, version in service.routing.versions.items():
        if isinstance(version, OutsideVersion) and version.originates_tls and version.source is Source.HOST:
            yield Finding(
                (*service.location, "versions", name),
                f"{_speaks(service)}: they would get TLS around what the client sends",
                "hosts to which the bytes of the connection are passed on as they are",
                "add trafficPolicy: {tls: {mode: DISABLE}} to the version",
            )


def _check_match(view: View, service: Service, match: Mapping[str, Any], location: Location) -> Iterator[Finding]:
    kind = service.routing.route_kind
    for key in OF_REQUESTS if kind is not RouteKind.HTTP else ():
        if match.get(key):
            yield Finding(
                (*location, key),
                f"{_speaks(service)}: there is no {key} to compare with",
                f"the keys {OF_CONNECTIONS[kind]}",
                "remove it" + ("; a server name is matched with sniHosts" if kind is RouteKind.TLS else ""),
                shown(match[key]),
            )
    given = match.get("sniHosts")
    if given and kind is not RouteKind.TLS:
        yield Finding(
            (*location, "sniHosts"),
            f"{service.name} speaks {service.routing.protocol.value}: only of TLS that passes through does Envoy "
            "route by the server name (SNI)",
            "sniHosts in services with protocol: TLS",
            _instead_of_names(view, service),
            shown(given),
        )
    elif given:
        yield from _check_names(service, entries(given), (*location, "sniHosts"))


def _instead_of_names(view: View, service: Service) -> str:
    """The fix for server names in a service of another protocol than TLS."""
    if RouteKind.TLS in {server.route_kind for server in _servers(view, service)}:
        return f"write {key_path((*service.location, 'protocol'))}: TLS, if its pods terminate TLS"
    return "write authority for the host of a request" if service.routing.protocol.is_http else "remove it"


def _servers(view: View, service: Service) -> list[Server]:
    """The servers of shared gateways that accept its hosts."""
    shared = (view.gateways.get(name) for name in service.routing.gateways)
    servers = (server for gateway in shared if gateway is not None for server in gateway.servers)
    return [server for server in servers if intersection(server.hosts, service.routing.hosts)]


def _check_protocol(view: View, service: Service) -> Iterator[Finding]:
    """A service may not say its protocol if that is clear from what its gateways carry for its hosts."""
    if "protocol" in service.given or not service.is_placed or "ingressClassName" in service.given:
        return
    kinds = kinds_carried(service.routing, view.gateways)
    if len(kinds) < 2:
        return
    carried = [server for server in _servers(view, service) if server.route_kind in kinds and not server.redirects]
    meant = {
        RouteKind.HTTP: "HTTP if its pods serve HTTP (GRPC or HTTP2 if only HTTP/2)",
        RouteKind.TCP: "TCP if they serve anything else",
        RouteKind.TLS: "TLS if they terminate TLS themselves",
    }
    yield Finding(
        (*service.location, "hosts"),
        f"its gateways carry {_carried(carried)} for these hosts, so {service.name} has to say which of them its pods "
        "serve",
        f"{key_path((*service.location, 'protocol'))}, one of {', '.join(ServiceProtocol)}",
        f"add protocol: {', '.join(words for kind, words in meant.items() if kind in kinds)}",
        shown(list(service.routing.hosts)),
    )


def _check_names(service: Service, names: list[Any], location: Location) -> Iterator[Finding]:
    hosts = route_hosts(service.name, service.routing)
    for index, name in enumerate(names):
        if not isinstance(name, str) or not service.is_placed or name in intersection([name], hosts):
            continue
        yield Finding(
            (*location, index),
            f"{name!r} is none of the service's hosts, and Istio refuses such a route",
            f"server names among the hosts: {', '.join(hosts)}",
            f"add it to {key_path((*service.location, 'hosts'))}, or remove it",
            shown(name),
        )


def _check_settings(service: Service) -> Iterator[Finding]:
    given = service.given
    for key, what in (
        ("jwt", "no token comes with a connection"),
        ("ingressClassName", "an Ingress only routes requests"),
    ):
        if given.get(key):
            yield Finding(
                (*service.location, key),
                f"{_speaks(service)}: {what}",
                f"{key} in services of HTTP",
                f"remove {key}",
                shown(given[key]),
            )
    for effect, rules in block(given.get("authorization")).items():
        for index, rule in enumerate(entries(rules)):
            for key in ACCESS:
                if block(rule).get(key):
                    yield _no_access(
                        service, effect, key, (*service.location, "authorization", effect, index, key), rule
                    )
    places = [service.location, *((*service.location, "versions", name) for name in service.versions)]
    for place in places:
        values = given if place == service.location else block(service.versions[str(place[-1])])
        yield from _check_policy(service, block(values.get("trafficPolicy")), (*place, "trafficPolicy"))


def _no_access(service: Service, effect: str, key: str, location: Location, rule: Any) -> Finding:
    what = "would deny every connection" if effect == "deny" else "would allow no connection"
    return Finding(
        location,
        f"{_speaks(service)}: a rule with {key} {what}",
        "principals, notPrincipals, namespaces, notNamespaces, ipBlocks, ports",
        "remove the rule, or say with principals or namespaces who is meant",
        shown(rule[key]),
    )


def _check_policy(service: Service, policy: Mapping[str, Any], location: Location) -> Iterator[Finding]:
    pool: Location = (*location, "connectionPool", "http")
    http = block(policy.get("connectionPool")).get("http")
    if http:
        yield Finding(
            pool,
            f"{_speaks(service)}: limits of requests have no effect",
            "connectionPool.tcp",
            "remove http; maxConnections of tcp limits connections",
            shown(http),
        )
    hashed = block(block(policy.get("loadBalancer")).get("consistentHash"))
    for key in HASHED:
        if hashed.get(key):
            yield Finding(
                (*location, "loadBalancer", "consistentHash", key),
                f"{_speaks(service)}: there is nothing to hash by {key}",
                "useSourceIp: true",
                "write useSourceIp: true, or remove consistentHash",
                shown(hashed[key]),
            )


def _check_servers(view: View, service: Service) -> Iterator[Finding]:
    """A gateway whose servers for the service's hosts all speak something else would not lead to it."""
    if not service.is_placed or "ingressClassName" in service.given:
        return
    for index, name in enumerate(service.routing.gateways):
        shared = None if name in (MESH, own_gateway(service.name)) else view.gateways.get(name)
        here = [one for one in shared.servers if intersection(one.hosts, service.routing.hosts)] if shared else []
        if not here or any(server.route_kind is service.routing.route_kind for server in here):
            continue
        wanted = {RouteKind.TCP: "TCP", RouteKind.TLS: "TLS"}.get(here[0].route_kind, "HTTP, HTTP2 or GRPC")
        yield Finding(
            (*service.location, "gateways", index),
            f"{name} carries {_carried(here)} for the service's hosts, but {service.name} speaks "
            f"{service.routing.protocol.value}",
            "a gateway with a server for what the service speaks",
            f"write {key_path((*service.location, 'protocol'))}: {wanted} if that is what its pods serve, or name "
            "another gateway",
            shown(name),
        )


def _carried(servers: list[Server]) -> str:
    kinds = {
        RouteKind.HTTP: "HTTP requests",
        RouteKind.TCP: "TCP connections",
        RouteKind.TLS: "TLS that passes through",
    }
    return " and ".join(dict.fromkeys(kinds[server.route_kind] for server in servers))
