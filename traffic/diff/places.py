"""Where requests can be sent: the ports and hosts of two route tables at the gateway, and callers inside the mesh."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations

from traffic.diff.texts import texts
from traffic.model import Match, Rule, ServiceRouting, StringMatch, service_host
from traffic.simulate import Caller, Request, Simulator, authority_of, entries
from traffic.simulate.request import DEFAULT_PORTS

ANY_HOST = "any-host.invalid"
"""A host for the wildcard `*`."""
UNKNOWN_HOST = "unknown-host.invalid"
"""A host that no service names."""
ANY_LABEL = "any"
"""The first label of a host for a wildcard such as `*.example.com`."""
ANY_NAMESPACE, OTHER_NAMESPACE = "default", "elsewhere"
MOST_CALLERS = 64


def places(*tables: Simulator) -> Iterator[Request]:
    """Yield requests that enter at every place of the tables, the usual ones first: GET / without headers."""
    authorities = Authorities(tables)
    yield from dict.fromkeys(_outside(tables, authorities))
    yield from _inside(tables, authorities)
    yield from _connections_inside(tables)


class Authorities:
    """The Host headers that the rules of tables tell apart."""

    def __init__(self, tables: Sequence[Simulator]) -> None:
        wants: list[StringMatch] = []
        self.redirected: dict[str, None] = {}
        for rule in _rules(tables):
            wants += [want for match in rule.match for want in _of_host(match)]
            if rule.redirect and rule.redirect.authority:
                self.redirected[rule.redirect.authority] = None
            if rule.rewrite and rule.rewrite.authority:
                self.redirected[rule.rewrite.authority] = None
        self._texts = texts(wants) if wants else []
        self.compares = bool(wants)
        """Whether any rule compares the Host header."""

    def spelled(self, host: str, port: int, scheme: str) -> Iterator[str]:
        """Yield the host as clients write it, and where rules compare the Host header, in other ways."""
        if scheme not in DEFAULT_PORTS:  # of a connection, the name is all there is
            yield host
            return
        yield authority_of(host, scheme, port)
        if self.compares:
            yield host
            yield f"{host}:{port}"
            yield host.upper()

    def below(self, domain: str) -> Iterator[str]:
        """Yield hosts of a domain, which may be a wildcard."""
        if domain == "*":
            yield ANY_HOST
            yield from (text for text in (*self._texts, *self.redirected) if _is_host(text))
        elif domain.startswith("*"):
            yield f"{ANY_LABEL}{domain[1:]}"
            yield from (host for host in (*self._texts, *self.redirected) if host.endswith(domain[1:]))
            yield from (f"{text.rstrip('.')}{domain[1:]}" for text in self._texts if _is_host(text))
        else:
            yield domain


def _rules(tables: Iterable[Simulator]) -> Iterator[Rule]:
    for table in tables:
        for service in table.routes.values():
            yield from service.route


def _of_host(match: Match) -> Iterator[StringMatch]:
    if match.authority is not None:
        yield match.authority
    yield from (headers["host"] for headers in (match.headers, match.without_headers) if "host" in headers)


def _is_host(text: str) -> bool:
    return bool(text) and text.isascii() and all(letter.isalnum() or letter in ".-:_" for letter in text)


def _outside(tables: Sequence[Simulator], authorities: Authorities) -> Iterator[Request]:
    endpoints: dict[tuple[str, str, int], None] = {}
    domains: dict[str, None] = {}
    for table in tables:
        for deployment, scheme, port, hosts in _servers(table):
            endpoints[deployment, scheme, port] = None
            domains.update(dict.fromkeys(hosts))
    domains[UNKNOWN_HOST] = None
    for rule in _rules(tables):
        domains.update(dict.fromkeys(host for match in rule.match for host in match.sni_hosts))
    for deployment, scheme, port in sorted(endpoints):
        if scheme == "tcp":
            yield Request((), scheme=scheme, port=port, deployment=deployment)
            continue
        for domain in domains:
            for host in authorities.below(domain):
                for authority in authorities.spelled(host, port, scheme):
                    request = Request((), authority=authority, scheme=scheme, port=port, deployment=deployment)
                    yield from _by_protocol(request, tables)


def _by_protocol(request: Request, tables: Sequence[Simulator]) -> Iterator[Request]:
    """Yield the request and, where a gateway trusts proxies in front of it, as they send it for the other scheme."""
    yield request
    if not request.is_connection and any(table.mesh.num_trusted_proxies for table in tables):
        yield replace(request, headers=(("x-forwarded-proto", "http" if request.scheme == "https" else "https"),))


def _servers(table: Simulator) -> Iterator[tuple[str, str, int, Sequence[str]]]:
    for name, service in table.routes.items():
        for entry in entries(name, service, table.gateways):
            yield entry.deployment, entry.scheme, entry.server.port, (entry.domain,)
    for gateway in table.gateways.values():
        for server in gateway.servers:
            yield gateway.deployment, server.protocol.value.lower(), server.port, server.hosts


def _inside(tables: Sequence[Simulator], authorities: Authorities) -> Iterator[Request]:
    names = dict.fromkeys(name for table in tables for name in table.routes)
    for name in names:
        services = [table.routes[name] for table in tables if name in table.routes]
        for host, port in _hosts_inside(name, services, authorities):
            rules = list(_rules_inside(tables, host, port))
            compares = any(match.scheme for rule in rules for match in rule.match)
            # A sidecar takes the scheme from this header.
            schemes = ((), (("x-forwarded-proto", "https"),)) if compares else ((),)
            for authority in authorities.spelled(host, port, "http"):
                for caller in _callers(rules):
                    for headers in schemes:
                        yield Request(authority=authority, port=port, caller=caller, headers=headers)


def _connections_inside(tables: Sequence[Simulator]) -> Iterator[Request]:
    """Connections of TCP and TLS to each service of that kind, by its own name and by its hosts."""
    for table in tables:
        for name, service in table.routes.items():
            if service.protocol.is_http:
                continue
            hosts = [f"{name}.{service.namespace}", *(host for host in service.hosts if "*" not in host)]
            for host in hosts if service.in_mesh else hosts[:1]:
                for caller in _callers(rule for other in tables for rule in other.routes.get(name, service).route):
                    yield Request((), authority=host, scheme=service.route_kind.value, port=service.port, caller=caller)


def _rules_inside(tables: Sequence[Simulator], host: str, port: int) -> Iterator[Rule]:
    """The rules that may decide calls of the host from inside the mesh."""
    for table in tables:
        for name in table.services_inside(host, port):
            yield from table.routes[name].route


def _hosts_inside(name: str, services: Sequence[ServiceRouting], authorities: Authorities) -> Iterator[tuple[str, int]]:
    ports = dict.fromkeys(port for service in services for port in service.http_ports)
    for namespace in dict.fromkeys(service.namespace for service in services):
        yield from ((f"{name}.{namespace}", port) for port in ports)
        if authorities.compares:
            yield from ((service_host(name, namespace), port) for port in ports)
    domains = dict.fromkeys(host for service in services if service.in_mesh for host in service.hosts if host != "*")
    yield from ((host, port) for domain in domains for host in authorities.below(domain) for port in ports)


def _callers(rules: Iterable[Rule]) -> list[Caller]:
    """A caller without labels, and those that the matches tell apart, also by several of them at once."""
    matches = [match for rule in rules for match in rule.match if match.source_labels or match.source_namespace]
    labels = list({tuple(sorted(match.source_labels.items())): None for match in matches if match.source_labels})
    named = list(dict.fromkeys(match.source_namespace for match in matches if match.source_namespace))
    together = [dict(chosen) for chosen in labels]
    for count in (2, 3):
        for several in combinations(labels, count):
            merged = dict(pair for one in several for pair in one)
            if all(merged[key] == value for one in several for key, value in one):
                together.append(merged)
    other = ANY_NAMESPACE if ANY_NAMESPACE not in named else OTHER_NAMESPACE
    callers = [Caller(space, own) for space in (other, *named) for own in ({}, *together)]
    return callers[:MOST_CALLERS]
