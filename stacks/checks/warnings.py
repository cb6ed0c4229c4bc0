"""Warnings: settings that are valid but may not be intended. They do not stop a change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stacks.checks import (
    addresses,
    autoscaling,
    callers,
    claims,
    clusters,
    hashing,
    host_ports,
    ingress,
    mesh_values,
    outside,
    protocols,
    redirects,
    request_ids,
    retries,
    rewrites,
    rollout_groups,
    rollout_runner,
    rollouts,
    security,
    shares,
    shut_out,
    strategies,
    telemetry,
    volumes,
)
from stacks.gateway_pods import gateways_of
from stacks.settings.model import ServiceSettings, Settings
from stacks.settings.problems import Finding, Location, key_path, shown
from traffic.fields import seconds
from traffic.model import Protocol, Rule
from traffic.overlap import overlap
from traffic.reach import covers
from traffic.simulate import Request, intersection

HTTP, HTTPS = 80, 443
"""The default ports of http:// and https:// URLs."""


def warnings(settings: Settings, given: Mapping[str, Any] | None = None) -> Iterator[Finding]:
    """Yield the warnings for a stack's settings; `given` are the values of its file, without samples."""
    for name, service in settings.services.items():
        location = ("services", name)
        if service.protocol.is_http:
            yield from _overlapping(service, location)
        yield from _denied(settings, name, location)
        yield from _plain_keys(service, location)
        yield from strategies.warnings(service, location)
        yield from outside.warnings(service, location)
        yield from autoscaling.warnings(name, service, location)
        for index, rule in enumerate(service.route):
            place = (*location, "route", index)
            yield from _faults(rule, place)
            yield from retries.warnings(rule, place)
            yield from hashing.warnings(settings, name, rule, place)
        yield from _same_names(service, location)
    yield from _redirected(settings)
    yield from rewrites.warnings(settings)
    yield from host_ports.warnings(settings)
    yield from callers.warnings(settings)
    yield from request_ids.warnings(settings)
    yield from clusters.warnings(settings)
    yield from mesh_values.warnings(settings)
    yield from ingress.warnings(settings)
    yield from protocols.warnings(settings)
    yield from shares.warnings(settings)
    yield from rollouts.warnings(settings)
    yield from rollout_groups.warnings(settings)
    yield from rollout_runner.warnings(settings)
    yield from redirects.warnings(settings)
    yield from security.warnings(settings, given or {})
    yield from shut_out.warnings(settings)
    yield from claims.warnings(settings)
    yield from addresses.warnings(settings)
    yield from telemetry.warnings(settings)
    yield from volumes.warnings(settings)


def _overlapping(service: ServiceSettings, location: Location) -> Iterator[Finding]:
    """Rules that overlap without one being an exception to the other: the order decides, perhaps unintentionally.

    Rules that compare the same thing are each reported. A cohort before paths is common, and reported once per route.
    """
    reported = False
    for index, rule in enumerate(service.route):
        for earlier, other in enumerate(service.route[:index]):
            are_alike = _are_alike(other, rule)
            if (reported and not are_alike) or not rule.match or not other.match:
                continue
            request = overlap(other, rule) if _end(other) != _end(rule) and not covers(rule, other) else None
            if request is not None:
                reported = reported or not are_alike
                yield Finding(
                    (*location, "route", index),
                    f"{key_path((*location, 'route', earlier))} also matches some of this rule's requests, and comes "
                    f"first: for example {_describe(request)}",
                    "rules that do not overlap, or that have the same destination",
                    "none needed if intended; otherwise move this rule first, or narrow one of them, for example "
                    "with withoutHeaders",
                )
                break


def _are_alike(one: Rule, other: Rule) -> bool:
    """Whether both compare the path, or the same header, cookie or parameter."""
    return bool(_compared(one) & _compared(other))


def _compared(rule: Rule) -> set[tuple[str, str]]:
    return {
        (kind, name)
        for match in rule.match
        for kind, names in (
            ("header", match.headers),
            ("cookie", match.cookies),
            ("claim", match.claims),
            ("parameter", match.query_params),
            ("path", ["uri"] if match.uri else []),
        )
        for name in names
    }


def _end(rule: Rule) -> object:
    return rule.weights or rule.redirect or rule.direct_response


def _describe(request: Request) -> str:
    headers = [f"{name}: {value}" for name, value in request.pairs]
    headers += ["a valid token"] if request.claims else []
    host = request.authority and f" of {request.authority}"
    return f"{request.method} {request.path}{host}{' with ' if headers else ''}{', '.join(headers)}"


def _faults(rule: Rule, location: Location) -> Iterator[Finding]:
    if rule.fault is None:
        return
    for key, fault in (("delay", rule.fault.delay), ("abort", rule.fault.abort)):
        if fault is not None and fault.percentage.value == 0:
            yield Finding(
                (*location, "fault", key, "percentage"),
                "no effect: the percentage of the fault is 0",
                "a percentage above 0",
                "remove the fault, or raise the percentage",
            )
    delay = rule.fault.delay
    if delay is not None and rule.timeout is not None and seconds(delay.fixed_delay) >= seconds(rule.timeout):
        yield Finding(
            (*location, "fault", "delay", "fixedDelay"),
            f"the delay of {delay.fixed_delay} does not count towards the timeout of {rule.timeout}, "
            "which starts when the request is forwarded",
            "a delay in the route of the service that is called, and the timeout in its caller's route",
            "to test a timeout, delay requests in the route of a service that this one calls",
            shown(delay.fixed_delay),
        )


def _same_names(service: ServiceSettings, location: Location) -> Iterator[Finding]:
    first: dict[str, int] = {}
    for index, rule in enumerate(service.route):
        if rule.name is not None and first.setdefault(rule.name, index) != index:
            earlier = key_path((*location, "route", first[rule.name]))
            yield Finding(
                (*location, "route", index, "name"),
                f"{earlier} has the same name, and access logs would not tell them apart",
                "a name of its own for each rule of a service",
                "give one of the two another name",
                shown(rule.name),
            )


def _denied(settings: Settings, name: str, location: Location) -> Iterator[Finding]:
    service = settings.services[name]
    around = settings.namespaces.get(service.namespace)
    by_namespace = around is not None and around.deny_by_default
    if service.authorization is not None and service.authorization.allow is not None:
        return
    if by_namespace or settings.mesh.deny_by_default:
        source = ("namespaces", service.namespace) if by_namespace else ("mesh",)
        yield Finding(
            location,
            f"all requests for the service get 403, because of {key_path((*source, 'denyByDefault'))}",
            "authorization.allow with the requests that are allowed",
            f"add {key_path((*location, 'authorization', 'allow'))} with who may call it, such as "
            f"[{{namespaces: [{', '.join(gateways_of(settings, name)) or settings.mesh.gateway.namespace}]}}] for "
            "requests through the gateway",
        )


def _plain_keys(service: ServiceSettings, location: Location) -> Iterator[Finding]:
    for index, rule in enumerate(service.jwt):
        if rule.jwks_uri is not None and rule.jwks_uri.lower().startswith("http://"):
            yield Finding(
                (*location, "jwt", index, "jwksUri"),
                "istiod fetches the keys over plain HTTP: whoever can change the answer can issue tokens",
                "an https:// URL, or the keys themselves in jwks",
                f"write https://{rule.jwks_uri[len('http://') :]}, if the issuer serves it",
                shown(rule.jwks_uri),
            )


def _redirected(settings: Settings) -> Iterator[Finding]:
    """If a load balancer in front terminates TLS, there is a redirect loop unless it calls another port."""
    servers = [server for gateway in settings.gateways.values() for server in gateway.servers]
    secure = [host for one in servers if one.protocol is Protocol.HTTPS and one.port == HTTPS for host in one.hosts]
    for name, gateway in settings.gateways.items():
        for index, server in enumerate(gateway.servers):
            if not server.redirects:
                continue
            if server.port != HTTP:
                yield Finding(
                    ("gateways", name, "servers", index, "tls", "httpsRedirect"),
                    f"callers are redirected to https:// at port {server.port}, which speaks HTTP: Envoy keeps the "
                    "port of the Host header",
                    f"httpsRedirect at port {HTTP}",
                    f"write port: {HTTP}, or redirect in a route instead, with the scheme and the host or port; none "
                    f"needed if clients use port {HTTP}, which is forwarded to this one",
                )
                continue
            lost = [host for host in server.hosts if not intersection([host], secure)]
            if lost:
                yield Finding(
                    ("gateways", name, "servers", index, "tls", "httpsRedirect"),
                    f"callers of {', '.join(lost)} are redirected to https://, but no server speaks HTTPS at port "
                    f"{HTTPS}",
                    f"a server with protocol: HTTPS and port: {HTTPS} for the same hosts",
                    f"add such a server to {key_path(('gateways', name, 'servers'))}; none needed if TLS is terminated "
                    "in front of the gateway",
                )
