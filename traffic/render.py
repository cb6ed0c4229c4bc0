"""Istio's resources for a service: the `spec` of Gateway, VirtualService and DestinationRule, as dicts.

API networking.istio.io/v1 (https://istio.io/latest/docs/reference/config/networking/). What is rendered depends
on the arguments alone, in a fixed order: the same route gives the same text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from traffic.model import Match, Route, Rule, StringMatch, version_label

Spec = dict[str, Any]


def service_host(service: str, namespace: str) -> str:
    """Return the full DNS name of a Service; what a short name means depends on the namespace."""
    return f"{service}.{namespace}.svc.cluster.local"


def gateway(*, hosts: Sequence[str], port: int, selector: Mapping[str, str]) -> Spec:
    """Return the spec of a Gateway that takes HTTP for `hosts` on `port` of the pods that `selector` names."""
    server = {"port": {"number": port, "name": f"http-{port}", "protocol": "HTTP"}, "hosts": list(hosts)}
    return {"selector": dict(sorted(selector.items())), "servers": [server]}


def virtual_service(
    *,
    service: str,
    namespace: str,
    hosts: Sequence[str],
    gateways: Sequence[str],
    route: Route,
    port: int,
    version_header: str | None = None,
) -> Spec:
    """Return the spec of the VirtualService that sends requests for `hosts` at `gateways` along `route`.

    `port` is the Service's. With `version_header`, every answer names the version that served in that header.
    A version at 0 percent is no destination: Envoy needs none, and its subset stays in the DestinationRule.
    """
    host = service_host(service, namespace)
    return {
        "hosts": list(hosts),
        "gateways": list(gateways),
        "http": [_http_route(rule, host, port, version_header) for rule in route],
    }


def destination_rule(*, service: str, namespace: str, versions: Iterable[str]) -> Spec:
    """Return the spec of the DestinationRule with a subset for each version, by its label `version`."""
    subsets = [{"name": version, "labels": {"version": version_label(service, version)}} for version in versions]
    return {"host": service_host(service, namespace), "subsets": subsets}


def _http_route(rule: Rule, host: str, port: int, version_header: str | None) -> Spec:
    weights = {version: weight for version, weight in rule.weights.items() if weight > 0}
    destinations = []
    for version, weight in weights.items():
        destination: Spec = {"destination": {"host": host, "subset": version, "port": {"number": port}}}
        if len(weights) > 1:
            destination["weight"] = weight
        if version_header is not None:
            destination["headers"] = {"response": {"set": {version_header: version}}}
        destinations.append(destination)
    matches = [_match(match) for match in rule.match]
    return {"match": matches, "route": destinations} if matches else {"route": destinations}


def _match(match: Match) -> Spec:
    spec: Spec = {}
    if match.headers:
        spec["headers"] = {name: _string_match(value) for name, value in sorted(match.headers.items())}
    if match.without_headers:
        spec["withoutHeaders"] = {name: _string_match(value) for name, value in sorted(match.without_headers.items())}
    if match.uri:
        spec["uri"] = _string_match(match.uri)
        if match.ignore_uri_case:
            spec["ignoreUriCase"] = True
    if match.method:
        spec["method"] = _string_match(match.method)
    return spec


def _string_match(value: StringMatch) -> Spec:
    """Istio says "the header is there" by an empty StringMatch."""
    return value.model_dump(include={"exact", "prefix", "regex"}, exclude_none=True)
