"""Checks of ports and their protocols: names and numbers that clash, and routes that speak of gRPC at a plain port."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from stacks.checks.view import Service, View, block, entries, is_count
from stacks.settings.model import ServiceSettings, Settings
from stacks.settings.problems import Finding, Location, key_path, shown
from traffic.model import (
    EGRESS,
    Match,
    NamedPort,
    Retries,
    Rule,
    ServiceProtocol,
    ServiceRouting,
    StringMatch,
    Target,
    target,
)
from traffic.simulate import Upstream, upstream
from traffic.simulate.upstream import GRPC, has_pods, is_service, upstream_of_egress

GRPC_CONDITIONS = ("cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable")
"""Conditions of retries that are about gRPC's status (Envoy: x-envoy-retry-grpc-on)."""
ISTIOS_CONDITIONS = {"connect-failure", "refused-stream", "unavailable", "cancelled"}
"""Conditions of Istio's default retries, which apply to HTTP as well; written out, they say nothing of gRPC."""
METHOD = re.compile(r"/([A-Za-z_]\w*\.)+[A-Z]\w*(/.*)?")
"""The path of a gRPC method, or the beginning of one: /<package>.<Service>/<Method>."""
PORT: TypeAdapter[NamedPort] = TypeAdapter(NamedPort)


class _Given(NamedTuple):
    """A further port, where it is given, and the version that gives it, None for the service."""

    location: Location
    port: NamedPort
    version: str | None


def check(view: View) -> Iterator[Finding]:
    """Yield ports of a service that cannot exist beside each other."""
    for service in view.services.values():
        given = list(_given(service))
        yield from _check_names(service, given)
        yield from _check_numbers(service, given)
        yield from _check_containers(service, given)


def _given(service: Service) -> Iterator[_Given]:
    yield from _ports(service.given, service.location, None)
    for name, version in service.versions.items():
        yield from _ports(block(version), (*service.location, "versions", name), name)


def _ports(given: Mapping[str, Any], location: Location, version: str | None) -> Iterator[_Given]:
    for index, one in enumerate(entries(given.get("ports"))):
        try:
            port = PORT.validate_python(one, by_name=False, by_alias=True)
        except ValidationError:
            continue
        yield _Given((*location, "ports", index), port, version)


def _check_names(service: Service, given: list[_Given]) -> Iterator[Finding]:
    """A name is one port of the Service, wherever it is given; in one list it may be given once."""
    main = service.routing.protocol.port_name
    first: dict[str, _Given] = {}
    listed: set[tuple[str | None, str]] = set()
    for one in given:
        location, port = (*one.location, "name"), one.port
        if port.name == main:
            yield Finding(
                location,
                f"{port.name!r} is the name of the service's main port, {service.routing.port}",
                "another name, which begins with the protocol",
                f"write {main}-{port.port}",
                shown(port.name),
            )
        if (one.version, port.name) in listed:
            yield Finding(location, f"{port.name!r} is given twice", "each name once", "remove one", shown(port.name))
        listed.add((one.version, port.name))
        owner = first.setdefault(port.name, one)
        for key, ours, theirs in (
            ("port", port.port, owner.port.port),
            ("protocol", port.speaks.value, owner.port.speaks.value),
        ):
            if ours != theirs:
                yield Finding(
                    (*one.location, key),
                    f"{key} of {port.name} is {ours} here, but {theirs} at {key_path(owner.location)}",
                    "one port and protocol for each name: the Service is that of all versions",
                    f"write {key}: {theirs}" + (f", and targetPort: {ours}" if key == "port" else ""),
                    shown(ours),
                )


def _check_numbers(service: Service, given: list[_Given]) -> Iterator[Finding]:
    taken: dict[int, tuple[str, str]] = {service.routing.port: ("", key_path((*service.location, "port")))}
    for one in given:
        name, owner = taken.setdefault(one.port.port, (one.port.name, key_path(one.location)))
        if name != one.port.name:
            yield Finding(
                (*one.location, "port"),
                f"{one.port.port} is already the port of the Service at {owner}"
                + ("" if "port" in service.given or name else ", which defaults to 80"),
                "each port of a Service once",
                f"write another port, with targetPort: {one.port.container_port} if the container listens there",
                shown(one.port.port),
            )


def _check_containers(service: Service, given: list[_Given]) -> Iterator[Finding]:
    """Kubernetes' server-side apply takes each port of a container once."""
    reported: set[Location] = set()
    for version, values in service.versions.items():
        taken: dict[int, str] = {}
        main: Any = block(values).get("port")
        if is_count(main):
            taken[main] = ""
        own = {one.port.name: one for one in given if one.version == version}
        for name in dict.fromkeys(one.port.name for one in given):
            one = own.get(name) or next(other for other in given if other.port.name == name)
            owner = taken.setdefault(one.port.container_port, name)
            if owner == name or one.location in reported:
                continue
            reported.add(one.location)
            key = "targetPort" if one.port.target_port is not None else "port"
            yield Finding(
                (*one.location, key),
                f"{one.port.container_port} is already "
                + (f"the container port {owner}" if owner else f"the main container port of {version}"),
                "each port of a container once",
                "write the port that the container listens on for it" + (", as targetPort" if key == "port" else ""),
                shown(one.port.container_port),
            )


def warnings(settings: Settings) -> Iterator[Finding]:
    """Yield routes that speak of gRPC and lead to versions to which Envoy speaks HTTP/1.1: every call would fail.

    And probes by HTTP/1.1 of a port of gRPC.
    """
    reported: set[str] = set()
    for name, service in settings.services.items():
        yield from _probes(service, ("services", name))
        for place, words, rule, ports in _of_grpc(service, ("services", name, "route")):
            called = _plain(settings, name, rule, ports)
            if called is None:
                continue
            finding = _plain_port(settings, *called, place, words)
            if finding.fix not in reported:
                reported.add(finding.fix)
                yield finding


def _probes(service: ServiceSettings, location: Location) -> Iterator[Finding]:
    """A gRPC server refuses the kubelet's HTTP/1.1: its pods would never be ready, or be restarted for ever."""
    for name, version in service.deployed.items() if service.protocol is ServiceProtocol.GRPC else ():
        probes = {
            "readinessProbe": version.readiness_probe,
            "livenessProbe": version.liveness_probe,
            "startupProbe": version.startup_probe,
        }
        for key, probe in probes.items():
            if probe is not None and probe.http_get is not None and probe.http_get.port == version.port:
                yield Finding(
                    (*location, "versions", name, key, "httpGet"),
                    f"the kubelet probes by HTTP/1.1, and port {version.port} serves gRPC, whose servers refuse that",
                    "grpc or tcpSocket on the port of gRPC, or httpGet on a port of HTTP",
                    f"write grpc: {{port: {version.port}}}, if the server has gRPC's health service, else tcpSocket: "
                    f"{{port: {version.port}}}; none needed if the server takes HTTP/1.1 as well",
                    shown(probe.http_get.model_dump(exclude_none=True, by_alias=True)),
                )


def _plain(settings: Settings, name: str, rule: Rule, ports: Iterable[int | None]) -> tuple[Target, int | None] | None:
    """The first destination that the rule leads to by HTTP/1.1, with the port that a match asks for.

    Requests keep their port on the way to the service's own versions.
    """
    targets = [target(name, to) for to, weight in rule.weights.items() if weight > 0]
    each = ((to, port if to.service == name else None) for port in ports for to in targets)
    return next((one for one in each if _is_plain(settings, *one)), None)


def _is_plain(settings: Settings, to: Target, port: int | None) -> bool:
    if to.is_egress:
        return upstream_of_egress(to, settings.egress) is Upstream.HTTP1
    return not is_service(settings.services, to) and upstream(settings.services, to, port) is Upstream.HTTP1


def _is_outside(settings: Settings, to: Target) -> bool:
    """Whether HTTP/1.1 is due to the destination alone: a host of `egress`, or one with a policy of its own."""
    return to.is_egress or (settings.services[to.service].protocol.is_http2 and not has_pods(settings.services, to))


def _plain_port(settings: Settings, to: Target, port: int | None, place: Location, words: str) -> Finding:
    called = to.service
    further = [] if to.is_egress else settings.services[called].further_ports
    asked = next((one for one in further if one.port == port and has_pods(settings.services, to)), None)
    if _is_outside(settings, to):
        what = f"Envoy speaks HTTP/1.1 to {to.service}/{to.version}"
        if to.is_egress:
            fix = f"make the host of {key_path((EGRESS, to.version))} a version, with `host`: it is called as the "
            fix += "service's protocol says; or write protocol: GRPC for its port if that is plain text"
        else:
            policy = ("services", called, "versions", to.version, "trafficPolicy", "connectionPool", "http")
            fix = f"remove {key_path((*policy, 'h2UpgradePolicy'))}"
    elif asked is not None and not asked.speaks.is_http2:
        what = f"port {port} of {called} is {asked.speaks.value}, so Envoy speaks HTTP/1.1 to its pods there"
        fix = f"rename {asked.name} to grpc-{port} (protocol: GRPC); none needed if it does not serve gRPC"
    elif (service := settings.services[called]).protocol.is_http2:
        what = "Envoy speaks HTTP/1.1 to its pods, because they terminate TLS"
        fix = f"write {key_path(('services', called, 'trafficPolicy', 'connectionPool', 'http'))}: "
        fix += "{useClientProtocol: true}"
    else:
        what = f"the port of {called} is {service.protocol.value}, so Envoy speaks HTTP/1.1 to its pods"
        fix = f"write {key_path(('services', called, 'protocol'))}: GRPC; none needed if {called} does not serve gRPC"
        of_grpc = [one.port for one in further if one.speaks.is_http2]
        if of_grpc and service.in_mesh:
            fix = f"add port: {of_grpc[0]} to the match if only requests to that port are meant, or {fix}"
    return Finding(
        place,
        f"{words} is of gRPC, but {what}, and a gRPC server refuses that: callers would get UNAVAILABLE or INTERNAL",
        "rules about gRPC for services with protocol: GRPC (or HTTP2), or with useClientProtocol",
        fix,
    )


def _of_grpc(
    service: ServiceRouting, location: Location
) -> Iterator[tuple[Location, str, Rule, tuple[int | None, ...]]]:
    """What speaks of gRPC in a route: its location, words for it, the rule, and the ports that its matches ask for."""
    for index, rule in enumerate(service.route):
        place = (*location, index)
        ports = tuple(match.port for match in rule.match) or (None,)
        for number, match in enumerate(rule.match):
            for key, words in _matched(match):
                yield (*place, "match", number, *key), words, rule, (match.port,)
        if rule.fault and rule.fault.abort and rule.fault.abort.grpc_status:
            status = rule.fault.abort.grpc_status
            yield (*place, "fault", "abort", "grpcStatus"), f"grpcStatus: {status}", rule, ports
        conditions = _conditions(rule.retries)
        if conditions:
            yield (*place, "retries", "retryOn"), f"retryOn: {', '.join(conditions)}", rule, ports


def _matched(match: Match) -> Iterator[tuple[tuple[str, ...], str]]:
    uri = match.uri and (match.uri.exact or match.uri.prefix or _literal(match.uri))
    if uri and METHOD.fullmatch(uri):
        yield ("uri",), f"the path {uri}"
    for name, want in match.headers.items():
        text = want.exact or want.prefix or _literal(want)
        if name.startswith("grpc-") or (name == "content-type" and text.startswith(GRPC)):
            yield ("headers", name), f"the header {name}{f' {text}' if text else ''}"


def _literal(want: StringMatch) -> str:
    """What a regular expression begins with, as far as that is obvious."""
    found = re.match(r"\^?((?:[\w/+-]|\\[./])*)", want.regex or "")
    return re.sub(r"\\(.)", r"\1", found[1]) if found else ""


def _conditions(retries: Retries | None) -> list[str]:
    given = retries.retry_on.split(",") if retries and retries.retry_on else []
    conditions = [condition.strip() for condition in given]
    if set(conditions) >= ISTIOS_CONDITIONS:
        conditions = [condition for condition in conditions if condition not in ISTIOS_CONDITIONS]
    return [condition for condition in conditions if condition in GRPC_CONDITIONS]
