"""The VirtualServices of a service: its route
(https://istio.io/latest/docs/reference/config/networking/virtual-service/).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from traffic.model import (
    MESH,
    CorsPolicy,
    DirectResponse,
    Fault,
    Headers,
    Match,
    Mirror,
    Route,
    RouteKind,
    RouteTable,
    Rule,
    ServiceRouting,
    cookies_pattern,
    mesh_virtual_service,
    service_host,
    target,
)
from traffic.model.backend import Backend, EgressTable, backend
from traffic.proportions import whole_weights
from traffic.render.claims import claim_matches
from traffic.render.connections import Place, connection_matches, server_names_taken
from traffic.render.gateway import gateway_reference
from traffic.render.spec import Spec, non_default_fields, percentage, routes_in, string_match
from traffic.sticky import StickyStep, steps

NOWHERE_ELSE: Mapping[str, str] = MappingProxyType({})


def virtual_services(
    routes: RouteTable,
    service: str,
    *,
    gateway_namespace: str,
    gateway_namespaces: Mapping[str, str] = NOWHERE_ELSE,
    version_header: str | None = None,
    egress: EgressTable | None = None,
) -> dict[str, Spec]:
    """Return the specs of the VirtualServices that implement the service's route, by name.

    There is one, `<service>`, whose hosts include the service's own DNS name if the route applies inside the mesh.
    Istio rejects the host `*` there: then `<service>` is for the gateways and `<service>-mesh` for callers inside. So
    it is if the service has several HTTP ports: requests from inside the mesh keep the port that they are sent to.
    One without any rules is omitted. Shared gateways are in `gateway_namespace`, or as `gateway_namespaces` says by
    name. `version_header` is a response header that names the destination that served the request. `egress` are the
    hosts outside that routes may lead to.
    """
    context = _Context(routes, service, gateway_namespace, gateway_namespaces, version_header, egress or {})
    specs = {
        name: context.virtual_service(hosts, gateways) for name, hosts, gateways in _places(service, routes[service])
    }
    return {name: spec for name, spec in specs.items() if routes_in(spec)}


def places_of_weights(routes: RouteTable, service: str) -> list[tuple[str, int] | None]:
    """Return for each rule the VirtualService and the index of the HTTP route that has the rule's weights.

    None if no VirtualService has the rule. For a sticky rule it is the last of its routes.
    """
    found: dict[int, tuple[str, int]] = {}
    for name, _, gateways in _places(service, routes[service]):
        position = -1
        for index, rule in _rules_at(gateways, routes[service].route):
            position += len(steps(rule))
            found.setdefault(index, (name, position))
    return [found.get(index) for index in range(len(routes[service].route))]


def _places(name: str, service: ServiceRouting) -> list[tuple[str, Sequence[str], Sequence[str]]]:
    """Name, hosts and gateways of each VirtualService; none at gateways if an Ingress is there in its place."""
    if service.has_ingress(name):
        return [(name, [service_host(name, service.namespace)], [MESH])] if service.in_mesh else []
    if not service.in_mesh:
        return [(name, service.hosts, service.gateways)]
    inside = [*(host for host in service.hosts if host != "*"), service_host(name, service.namespace)]
    if not service.has_mesh_virtual_service:
        return [(name, inside, service.gateways)]
    gateways = [gateway for gateway in service.gateways if gateway != MESH]
    return [(name, service.hosts, gateways), (mesh_virtual_service(name), inside, [MESH])]


@dataclass(frozen=True)
class _Context:
    """What the rules of one service have in common; with `keeps_port`, its own versions get requests at any port."""

    routes: RouteTable
    service: str
    gateway_namespace: str
    gateway_namespaces: Mapping[str, str]
    version_header: str | None
    egress: EgressTable
    keeps_port: bool = False

    def virtual_service(self, hosts: Sequence[str], gateways: Sequence[str]) -> Spec:
        rules = _rules_at(gateways, self.routes[self.service].route)
        # istiod takes the port that a request is sent to for a destination without one.
        service = self.routes[self.service]
        spec: Spec = {"hosts": list(hosts), "gateways": self._references(gateways)}
        if service.route_kind is not RouteKind.HTTP:
            at = Place(service, hosts, gateways)
            listed, taken = [], frozenset[str]()
            for _, rule in rules:
                listed.append(self._connection_route(rule, at, taken))
                taken |= server_names_taken(rule, at)
        else:
            here = replace(self, keeps_port=list(gateways) == [MESH] and len(service.http_ports) > 1)
            listed = [here._http_route(step) for _, rule in rules for step in steps(rule)]
        return {**spec, service.route_kind.value: listed}

    def _connection_route(self, rule: Rule, at: Place, taken: frozenset[str]) -> Spec:
        matches = list(connection_matches(rule, at, self._references, taken))
        spec: Spec = {"match": matches} if matches else {}
        weights = whole_weights({name: weight for name, weight in rule.weights.items() if weight > 0})
        return {
            **spec,
            "route": [
                {
                    "destination": self._destination(name),
                    **({"weight": weight} if len(weights) > 1 else {}),
                }
                for name, weight in weights.items()
            ],
        }

    def _references(self, gateways: Sequence[str]) -> list[str]:
        return [
            gateway_reference(self.service, gateway, self.gateway_namespaces.get(gateway, self.gateway_namespace))
            for gateway in gateways
        ]

    def _http_route(self, step: StickyStep) -> Spec:
        rule = step.rule
        spec: Spec = {}
        if rule.name:
            spec["name"] = rule.name
        if rule.match:
            spec["match"] = [self._match(match) for match in rule.match]
        if rule.redirect:
            spec["redirect"] = non_default_fields(rule.redirect)
        if rule.direct_response:
            spec["directResponse"] = _direct_response(rule.direct_response)
        if rule.to is not None:
            spec["route"] = self._destinations(step)
        spec |= {
            "rewrite": non_default_fields(rule.rewrite) if rule.rewrite else {},
            "headers": non_default_fields(rule.headers) if rule.headers else {},
            "timeout": rule.timeout,
            "retries": non_default_fields(rule.retries) if rule.retries else {},
            "fault": _fault(rule.fault) if rule.fault else {},
            "mirrors": [self._mirror(mirror) for mirror in rule.mirrors if mirror.percentage.value > 0],
            "corsPolicy": _cors_policy(rule.cors_policy) if rule.cors_policy else {},
        }
        return {key: value for key, value in spec.items() if value}

    def _destinations(self, step: StickyStep) -> list[Spec]:
        """Omit destinations at 0 percent: Envoy does not need them, and their subsets stay in the DestinationRule."""
        shares = {name: share for name, share in step.rule.shares.items() if share.weight > 0}
        weights = whole_weights({name: share.weight for name, share in shares.items()})
        return [
            {
                "destination": self._destination(name),
                **({"weight": weights[name]} if len(weights) > 1 else {}),
                **self._headers_of(name, step, share.headers),
            }
            for name, share in shares.items()
        ]

    def _destination(self, name: str) -> Spec:
        found = self._backend(name)
        destination: Spec = {"host": found.host, **({"subset": found.subset} if found.subset else {})}
        if self.keeps_port and found.host == service_host(self.service, self.routes[self.service].namespace):
            return destination
        return {**destination, "port": {"number": found.port}}

    def _backend(self, name: str) -> Backend:
        return backend(target(self.service, name), self.routes, self.egress)

    def _headers_of(self, name: str, step: StickyStep, headers: Headers | None) -> Spec:
        """The cookie is added, not set, so that the version's own cookies are kept."""
        request = non_default_fields(headers.request) if headers else {}
        response = non_default_fields(headers.response) if headers else {}
        if self.version_header is not None:
            response["set"] = {**response.get("set", {}), self.version_header: name}
        if name in step.set_cookie:
            # Envoy reads a single % as the beginning of a command operator.
            cookie = step.set_cookie[name].replace("%", "%%")
            response["add"] = {**response.get("add", {}), "set-cookie": cookie}
        authority = None if step.rule.rewrite and step.rule.rewrite.authority else self._backend(name).authority
        if authority:
            # Istio's way to change the authority for one of several destinations (istiod: processWeightedDestination).
            request["set"] = {"host": authority, **request.get("set", {})}
        own = {key: value for key, value in (("request", request), ("response", response)) if value}
        return {"headers": own} if own else {}

    def _mirror(self, mirror: Mirror) -> Spec:
        return {"destination": self._destination(mirror.to), "percentage": percentage(mirror.percentage.value)}

    def _match(self, match: Match) -> Spec:
        headers = {name: string_match(value) for name, value in match.headers.items()}
        if match.cookies:
            headers["cookie"] = {"regex": cookies_pattern(match.cookies)}
        headers |= claim_matches(match, self.routes[self.service].jwt)
        spec: Spec = {
            "headers": dict(sorted(headers.items())),
            "withoutHeaders": {name: string_match(value) for name, value in sorted(match.without_headers.items())},
            "uri": string_match(match.uri) if match.uri else None,
            "ignoreUriCase": match.ignore_uri_case,
            "method": string_match(match.method) if match.method else None,
            "authority": string_match(match.authority) if match.authority else None,
            "scheme": string_match(match.scheme) if match.scheme else None,
            "queryParams": {name: string_match(value) for name, value in sorted(match.query_params.items())},
            "port": match.port,
            "sourceLabels": dict(sorted(match.source_labels.items())),
            "sourceNamespace": match.source_namespace,
            "gateways": self._references(match.gateways),
        }
        return {key: value for key, value in spec.items() if value}


def _rules_at(gateways: Sequence[str], route: Route) -> Iterator[tuple[int, Rule]]:
    """The rules by index, without the matches, and so the rules, that only apply at other gateways."""
    for index, rule in enumerate(route):
        here = tuple(match for match in rule.match if not match.gateways or {*match.gateways} & {*gateways})
        if len(here) == len(rule.match):
            yield index, rule
        elif here:
            yield index, rule.model_copy(update={"match": here})


def _direct_response(response: DirectResponse) -> Spec:
    body = {"body": {"string": response.body}} if response.body else {}
    return {"status": response.status, **body}


def _fault(fault: Fault) -> Spec:
    """Always set the percentage, which Istio takes as 0 if a delay has none; omit faults at 0 percent."""
    spec: Spec = {}
    if fault.delay and fault.delay.percentage.value > 0:
        spec["delay"] = {**non_default_fields(fault.delay), "percentage": percentage(fault.delay.percentage.value)}
    if fault.abort and fault.abort.percentage.value > 0:
        spec["abort"] = {**non_default_fields(fault.abort), "percentage": percentage(fault.abort.percentage.value)}
    return spec


def _cors_policy(policy: CorsPolicy) -> Spec:
    return {**non_default_fields(policy), "allowOrigins": [string_match(origin) for origin in policy.allow_origins]}
