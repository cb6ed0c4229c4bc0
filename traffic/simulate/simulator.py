"""The simulator: a whole route table, compiled once, decides requests as istiod's and Envoy's code would."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from traffic.hashing import retries_keep_hash
from traffic.model import (
    ISTIOS_MESH,
    MESH,
    Match,
    MeshTraffic,
    Route,
    RouteTable,
    SharedGateway,
    Target,
    gateway_labels,
    service_host,
)
from traffic.model.backend import EgressTable, backend
from traffic.simulate import actions
from traffic.simulate.conditions import OF_PLACE, Condition, conditions
from traffic.simulate.connections import Connections, is_called, proxy_of
from traffic.simulate.decision import Decision, Refused, Unrouted
from traffic.simulate.gateway_access import denials_at_gateway, is_denied
from traffic.simulate.hosts import (
    GatewayPort,
    Hosts,
    VirtualHost,
    at_mesh_gateway,
    bare,
    gateway_ports,
    mesh_ports,
)
from traffic.simulate.request import Caller, Request, Seen
from traffic.simulate.tokens import TokenRefused, accepted_claims, of_issuers, rules_at_gateway
from traffic.sticky import StickyStep, steps_of

INGRESS = Caller("istio-ingress", gateway_labels("istio-ingressgateway"))
"""The gateway's pods, as Istio's chart labels them under the default name in the settings."""

Missed = tuple[tuple[int, tuple[Condition, ...]], ...]


class CompiledMatch(NamedTuple):
    """A match, and its conditions one by one."""

    match: Match
    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class CompiledStep:
    """A step of the rule at `index`; without matches it matches every request."""

    index: int
    step: StickyStep
    matches: tuple[CompiledMatch, ...]

    def holds_at(self, seen: Seen) -> bool:
        """Whether Envoy gets the step at all where the request enters."""
        return not self.matches or any(
            all(condition.holds(seen) for condition in match.conditions if condition.kind in OF_PLACE)
            for match in self.matches
        )


class Met(NamedTuple):
    """The step that matches a request, by which match (None if it has none), and what earlier rules missed."""

    step: CompiledStep | None
    match: Match | None
    missed: Missed


class CompiledRoute:
    """A route, compiled for many requests."""

    def __init__(self, route: Route) -> None:
        self.steps = tuple(
            CompiledStep(index, step, tuple(CompiledMatch(match, conditions(match)) for match in step.rule.match))
            for index, step in steps_of(route)
        )

    def meet(self, seen: Seen) -> Met:
        """Return the first step that matches the request."""
        missed: dict[int, tuple[Condition, ...]] = {}
        for step in self.steps:
            if not step.matches:
                return Met(step, None, _without(missed, step.index))
            failed = []
            for match, conditions_ in step.matches:
                for condition in conditions_:
                    if not condition.holds(seen):
                        failed.append(condition)
                        break
                else:
                    return Met(step, match, _without(missed, step.index))
            # For a sticky rule, the last step has the conditions of the rule itself.
            missed[step.index] = tuple(failed)
        return Met(None, None, tuple(missed.items()))

    def holds_at(self, seen: Seen) -> bool:
        """Whether Envoy gets any of the route where the request enters."""
        return any(step.holds_at(seen) for step in self.steps)


def _without(missed: dict[int, tuple[Condition, ...]], index: int) -> Missed:
    missed.pop(index, None)
    return tuple(missed.items())


def rule_for(route: Route, request: Request) -> int | None:
    """Return the index of the first rule that `request` meets, or None: then Envoy responds with 404."""
    seen = request.seen
    met = CompiledRoute(route).meet(seen) if seen is not None else None
    return met.step.index if met is not None and met.step is not None else None


def matches(match: Match, request: Request) -> bool:
    """Whether all conditions of `match` hold for `request`."""
    seen = request.seen
    return seen is not None and all(condition.holds(seen) for condition in conditions(match))


class Simulator:
    """Decides requests by the routes of all services of a stack. Compiling takes a moment, a decision microseconds.

    `gateways` are the stack's shared Gateways by name; `proxy` is the gateway's pod, `mesh` what the mesh decides;
    `egress` are the hosts outside that routes may lead to. Authorization and tokens are checked by the version's
    sidecar, after routing, and are not part of a decision; but before it the gateway compares addresses of callers, and
    validates tokens if routes look at claims.
    """

    def __init__(
        self,
        routes: RouteTable,
        gateways: Mapping[str, SharedGateway] | None = None,
        proxy: Caller = INGRESS,
        mesh: MeshTraffic = ISTIOS_MESH,
        *,
        egress: EgressTable | None = None,
    ) -> None:
        self.mesh = ISTIOS_MESH if mesh == ISTIOS_MESH else mesh
        self.routes = routes
        self.gateways = gateways or {}
        self.proxy = proxy
        self.egress = egress or {}
        self._at_gateway = gateway_ports(routes, self.gateways)
        self._in_mesh = mesh_ports(routes)
        self._connections = Connections(routes, self.gateways, proxy)
        self._compiled: dict[str, CompiledRoute] = {}
        with_policies = at_mesh_gateway(routes, self.gateways)
        self._jwt = rules_at_gateway(with_policies)
        self._denials = denials_at_gateway(with_policies, proxy.namespace)

    def decide(self, request: Request) -> Decision:
        """Return what happens to `request`, which may be a connection."""
        if request.is_connection:
            return self._connections.decide(request)
        hosts = None if request.caller else self._hosts_at_gateway(request)
        if isinstance(hosts, Refused):
            return Decision(request, hosts)
        seen = request.seen_in(self.mesh)
        if seen is None:
            what = f"Envoy rejects the path, method or host: {request.method} {request.path!r} {request.authority!r}"
            return Decision(request, Refused(400, what))
        if not seen.headers["x-forwarded-proto"][0]:
            return Decision(request, Refused(404, "x-forwarded-proto is empty, and Envoy then selects no route"))
        return self._from_inside(request, seen) if hosts is None else self._from_outside(request, seen, hosts)

    def proxy_of(self, gateway: str) -> Caller:
        """Return the pod of the gateway deployment that a Gateway configures."""
        return proxy_of(gateway, self.gateways, self.proxy)

    def route(self, service: str) -> CompiledRoute:
        """Return the route of `service`, compiled for many requests."""
        if service not in self._compiled:
            self._compiled[service] = CompiledRoute(self.routes[service].route)
        return self._compiled[service]

    def _authority_of(self, called: Target) -> str | None:
        known = called.version in self.egress if called.is_egress else called.service in self.routes
        return backend(called, self.routes, self.egress).authority if known else None

    def services_inside(self, authority: str, port: int) -> Iterator[str]:
        """Yield the services to which calls from inside the mesh may get, the first that applies to the caller."""
        hosts = self._in_mesh.get(port)
        for host in hosts.candidates(bare(authority), "") if hosts else ():
            if host.service is not None:
                yield host.service

    def _hosts_at_gateway(self, request: Request) -> Hosts[VirtualHost] | Refused:
        port = self._at_gateway.get((request.deployment, request.asked_port))
        if port is None:
            if self._connections.serves(request.deployment, request.asked_port):
                return Refused(None, f"port {request.asked_port} carries connections, in which Envoy sees no request")
            open_ports = sorted(number for deployment, number in self._at_gateway if deployment == request.deployment)
            known = ", ".join(map(str, open_ports)) or "none"
            return Refused(None, f"no Gateway listens on port {request.asked_port}; open ports: {known}")
        return _hosts_at(port, request)

    def _from_outside(self, request: Request, seen: Seen, hosts: Hosts[VirtualHost]) -> Decision:
        if request.deployment:
            seen = replace(seen, claims=None)
        jwt = self._jwt if request.claims is None and not request.deployment else ()
        accepted = accepted_claims(seen, jwt)
        if isinstance(accepted, TokenRefused):
            return Decision(request, Refused(401, f"the gateway does not accept the token: {accepted.reason}"))
        for host in hosts.candidates(bare(request.authority)):
            if request.gateway not in (None, host.gateway):
                continue
            placed = self._with_claims(seen, accepted, host.service).at(host.gateway, self.proxy_of(host.gateway))
            if host.service is not None and self.is_denied(host.service, request, placed):
                refused = Refused(403, f"the gateway denies it, by the authorization of {host.service}")
                return Decision(request, refused, host.service, host.domain, host.gateway, mesh=self.mesh)
            if host.to_https and seen.headers["x-forwarded-proto"][0] != "https":
                return Decision(request, actions.to_https(placed), host.service, host.domain, host.gateway)
            # If istiod omits all rules of a route, Envoy does not get its host either.
            if host.service is not None and self.route(host.service).holds_at(placed):
                return self._routed(request, placed, host, host.service)
        who = f"no service has the host {request.authority!r} at gateway port {seen.port}"
        return Decision(request, Refused(404, who))

    def is_denied(self, service: str, request: Request, seen: Seen) -> bool | None:
        """Return whether the gateway denies the request by the rules of `service`; None if that is not known."""
        forwarded = any(name.lower() == "x-forwarded-for" for name, _ in request.pairs)
        is_known = request.client is not None or (self.mesh.num_trusted_proxies > 0 and forwarded)
        rules = () if request.deployment else self._denials.get(service, ())
        return is_denied(rules, seen, is_known)

    def _with_claims(self, seen: Seen, accepted: Mapping[str, Any] | None, service: str | None) -> Seen:
        """The request with the claims that the route of the service looks at."""
        claims = seen.claims if accepted is None else accepted
        if claims is None or service is None:
            return seen
        return replace(seen, claims=of_issuers(claims, self.routes[service].jwt))

    def _from_inside(self, request: Request, seen: Seen) -> Decision:
        port = self._in_mesh.get(seen.port)
        namespace = request.caller.namespace if request.caller else ""
        for host in port.candidates(bare(request.authority), namespace) if port else ():
            service = host.service or ""
            routing = self.routes[service]
            if routing.in_mesh and routing.http_ports and self.route(service).holds_at(seen):
                return self._routed(request, seen, host, service)
            if host.domain == service_host(service, routing.namespace):
                why = "no rule applies to this caller" if routing.in_mesh else _FOR_GATEWAYS
                why = why if routing.http_ports else f"its route is one of {routing.protocol.value} connections"
                outcome = Unrouted(service, f"{why}: the Service sends it to any of its pods, of any version")
                return Decision(request, outcome, service, host.domain, host.gateway)
        return self._without_requests(request)

    def _without_requests(self, request: Request) -> Decision:
        """What happens at a port where no service has a route of requests: it may have one of connections, or none."""
        number = request.asked_port
        for name, service in self.routes.items():
            carried = {service.port: service.protocol, **{port.port: port.speaks for port in service.further_ports}}
            if number in carried and is_called(name, service, request):
                why = f"port {number} carries {carried[number].value} connections, in which Envoy sees no request"
                return Decision(request, Unrouted(name, why), name, service_host(name, service.namespace), MESH)
        known = f"the stack has no service with the host {request.authority!r} and the port {number}"
        return Decision(request, Unrouted(None, known))

    def _routed(self, request: Request, seen: Seen, host: VirtualHost, service: str) -> Decision:
        met = self.route(service).meet(seen)
        if met.step is None:
            outcome = Refused(404, f"no rule of {service} matches the request")
            return Decision(
                request,
                outcome,
                service,
                host.domain,
                host.gateway,
                missed=met.missed,
                claims=seen.claims,
                mesh=self.mesh,
            )
        index, step = met.step.index, met.step.step
        rule = self.routes[service].route[index]
        keeps_hash = retries_keep_hash(self.routes, service, step.rule)
        uri = met.match.uri if met.match else None
        outcome_ = actions.outcome(step, service, uri, seen, self.mesh, self._authority_of, keeps_hash=keeps_hash)
        is_forwarded = rule.to is not None
        return Decision(
            request,
            outcome_,
            service,
            host.domain,
            host.gateway,
            index=index,
            rule=rule,
            sticks=rule.sticky is not None and not step.set_cookie,
            delay=actions.delay(rule.fault),
            abort=actions.abort(rule.fault),
            cors=actions.cors_headers(rule.cors_policy, seen) if is_forwarded else {},
            missed=met.missed,
            claims=seen.claims,
            mesh=self.mesh,
        )


_FOR_GATEWAYS = "its route does not apply inside the mesh (`mesh` is not among its gateways)"


def _hosts_at(port: GatewayPort, request: Request) -> Hosts[VirtualHost] | Refused:
    """The virtual hosts that a connection reaches; over TLS, the SNI selects the server first."""
    if request.scheme == "http":
        return port.plain or Refused(None, f"port {request.asked_port} only speaks HTTPS")
    if port.secure is None:
        return Refused(None, f"port {request.asked_port} only speaks HTTP")
    for _, hosts in port.secure.candidates(bare(request.authority)):
        return hosts
    return Refused(None, f"no certificate for {request.authority!r} at port {request.asked_port}")
