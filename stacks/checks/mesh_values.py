"""Checks of `mesh.values` against the mesh's own keys, and warnings for what the simulator leaves out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from stacks.checks.view import View, block
from stacks.mesh_traffic import (
    ANNOTATION,
    NORMALIZATION,
    PROXIES,
    RETRIES,
    at,
    mesh_traffic,
    read_normalization,
    read_number,
    read_proxy_config,
    read_retries,
    unsimulated,
)
from stacks.settings.model import Settings
from stacks.settings.problems import Finding, Location, key_path, shown
from traffic.model import Mtls
from traffic.simulate import entries

FORWARDED_PROTO = "x-forwarded-proto"
VALUES: Location = ("mesh", "values")


def check(view: View) -> Iterator[Finding]:
    """Yield the chart values that contradict an own key of the mesh that the stack's file gives."""
    if not view.installs_mesh:
        return
    for own, place, read in CONTRADICTIONS:
        given, value = _at(view.mesh, own), _at(view.mesh, ("values", *place))
        if given is None or value is None or read(value) is None or read(value) == read(given):
            continue
        yield _contradiction(("mesh", *own), given, (*VALUES, *place), value)
    yield from _check_annotation(view)
    yield from _check_service(view)
    yield from _check_namespace(view)


def warnings(settings: Settings) -> Iterator[Finding]:
    """Yield what is not simulated, and the rules that look at a header which the gateway overwrites."""
    for one in unsimulated(settings):
        yield Finding(
            (*VALUES, *one.location),
            f"explain, verify and diff do not take it into account: {one.decides}",
            'any value; what this project simulates is in docs/routing.md, "The whole mesh"',
            "none needed; check on the cluster what it does to requests",
            shown(one.given),
        )
    if at(settings.mesh, ("istiod", "meshConfig", "enableAutoMtls")) is False and settings.mesh.mtls is Mtls.STRICT:
        yield Finding(
            (*VALUES, "istiod", "meshConfig", "enableAutoMtls"),
            f"{key_path(('mesh', 'mtls'))} is STRICT, so pods refuse plain text, and with enableAutoMtls: false "
            "callers send it unless a trafficPolicy.tls of the service says otherwise",
            "enableAutoMtls: true, Istio's default",
            "remove enableAutoMtls",
            "false",
        )
    annotation = at(settings.mesh, ANNOTATION)
    if isinstance(annotation, str) and "EXIT_ON_ZERO_ACTIVE_CONNECTIONS" not in annotation:
        yield Finding(
            (*VALUES, *ANNOTATION),
            "it replaces this project's own annotation, with which a gateway pod that is replaced ends after its last "
            "request; now Istio ends it after five seconds",
            'a ProxyConfig with proxyMetadata: {EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "true"}',
            f"add it, or write {key_path(('mesh', 'gateway', 'numTrustedProxies'))} in place of the annotation",
            shown(annotation),
        )
    yield from _overwritten(settings)


def _overwritten(settings: Settings) -> Iterator[Finding]:
    """Without trusted proxies, x-forwarded-proto is the scheme of the connection: at one port, always the same."""
    if mesh_traffic(settings).num_trusted_proxies:
        return
    for name, service in settings.services.items():
        schemes = {entry.scheme for entry in entries(name, service, settings.gateways) if not entry.server.redirects}
        if len(schemes) != 1:
            continue
        for index, rule in enumerate(service.route):
            for number, match in enumerate(rule.match):
                for key, conditions in (("headers", match.headers), ("withoutHeaders", match.without_headers)):
                    if FORWARDED_PROTO in conditions:
                        yield _overwritten_header((name, index, number, key), schemes.copy().pop())


def _overwritten_header(place: tuple[str, int, int, str], scheme: str) -> Finding:
    service, rule, match, key = place
    own = key_path(("mesh", "gateway", "numTrustedProxies"))
    return Finding(
        ("services", service, "route", rule, "match", match, key, FORWARDED_PROTO),
        f"the gateway overwrites {FORWARDED_PROTO} with {scheme}, the scheme of its own connection, because it trusts "
        "no proxy in front of it: the condition holds for all of its requests or for none",
        f"{FORWARDED_PROTO} with {own} of 1 or more",
        f"if a load balancer in front of the gateway ends TLS, write {own}: 1; otherwise remove the condition",
    )


def _check_annotation(view: View) -> Iterator[Finding]:
    """The annotation replaces the one that has the own key."""
    own: Location = ("gateway", "numTrustedProxies")
    given, text = read_number(_at(view.mesh, own)), _at(view.mesh, ("values", *ANNOTATION))
    config = read_proxy_config(text)
    if not given or config is None:
        return
    if read_number(block(config.get("gatewayTopology")).get("numTrustedProxies")) != given:
        yield _contradiction(("mesh", *own), given, (*VALUES, *ANNOTATION), text)


def _check_service(view: View) -> Iterator[Finding]:
    """Ports given to the chart replace those of the own key."""
    ports = _at(view.mesh, ("values", "gateway", "service", "ports"))
    if not isinstance(ports, list):
        return
    there = {block(port).get("port"): block(port).get("nodePort") for port in ports}
    wanted = [port for port in view.gateway_ports or () if port not in there]
    if wanted and "ports" in block(view.mesh.get("gateway")):
        yield _contradiction(
            ("mesh", "gateway", "ports"), wanted, (*VALUES, "gateway", "service", "ports"), sorted(map(str, there))
        )
    node_port = block(view.mesh.get("gateway")).get("nodePort")
    node_ports = node_port.values() if isinstance(node_port, dict) else [node_port]
    if node_port is not None and not set(node_ports) <= set(there.values()):
        yield _contradiction(
            ("mesh", "gateway", "nodePort"), node_port, (*VALUES, "gateway", "service", "ports"), list(there.values())
        )


def _check_namespace(view: View) -> Iterator[Finding]:
    """Policies of the whole mesh are in mesh.namespace, which must be Istio's root namespace."""
    namespace = view.of_mesh("namespace")
    for place in (("istiod", "meshConfig", "rootNamespace"), ("istiod", "global", "istioNamespace")):
        value = _at(view.mesh, ("values", *place))
        if value is not None and value != namespace:
            yield _contradiction(("mesh", "namespace"), namespace, (*VALUES, *place), value)


def _contradiction(own: Location, given: Any, place: Location, value: Any) -> Finding:
    return Finding(
        place,
        f"it contradicts {key_path(own)}, which is {shown(given)}, and would replace it",
        f"one of {key_path(own)} and {key_path(place)}",
        f"keep one of the two: remove {key_path(own)} ({shown(given)}) or {key_path(place)} ({shown(value)})",
        shown(value),
    )


def _at(values: Any, place: Location) -> Any:
    for part in place:
        values = block(values).get(str(part))
    return values


CONTRADICTIONS: tuple[tuple[Location, Location, Callable[[Any], Any]], ...] = (
    (("retries",), RETRIES, read_retries),
    (("pathNormalization",), NORMALIZATION, read_normalization),
    (("gateway", "numTrustedProxies"), PROXIES, read_number),
)
"""Own keys, the values of charts that say the same, and how both are read; `hosting` checks plain text."""
