"""Istio resources of versions that the stack does not make: another Service, or a host outside the mesh
(https://istio.io/latest/docs/tasks/traffic-management/egress/egress-tls-origination/).

The policy of such a host is that of a subset, so that it applies only to the routes that name it, and not to others
that call the same host.
"""

from __future__ import annotations

from collections.abc import Iterator

from traffic.model import (
    ExternalService,
    OutsideVersion,
    RouteKind,
    ServiceProtocol,
    ServiceRouting,
    Source,
    service_host,
)
from traffic.model.backend import DEFAULT_PORT, TLS_SUBSET, needs_tls
from traffic.model.policy import H2UpgradePolicy
from traffic.render.spec import Spec, non_default_fields


def object_name(service: str, version: str) -> str:
    """Return the name of the objects of a version that is a Service or a host."""
    return f"{service}-{version}"


def service_entries(name: str, service: ServiceRouting) -> dict[str, Spec]:
    """Return the specs of the ServiceEntries for those versions of the service `name` that are hosts, by name."""
    return {
        object_name(name, key): {
            "hosts": [version.host],
            "location": "MESH_EXTERNAL",
            "ports": [_port(service, version)],
            "resolution": "DNS",
        }
        for key, version in _hosts(service)
    }


def outside_destination_rules(name: str, service: ServiceRouting) -> dict[str, Spec]:
    """Return the specs of the DestinationRules for versions that are a Service or a host, by name."""
    rules: dict[str, Spec] = {}
    for key, version in service.versions.items():
        if not isinstance(version, OutsideVersion) or version.source is Source.PODS or not version.has_subset:
            continue
        host = version.host or service_host(*version.service_of(service.namespace))
        policy = non_default_fields(version.traffic_policy) if version.traffic_policy else {}
        if version.originates_tls and "tls" not in policy:
            policy["tls"] = _tls(host)
        if _is_upgraded(service, version):
            pool = policy.setdefault("connectionPool", {})
            pool["http"] = {**pool.get("http", {}), "h2UpgradePolicy": H2UpgradePolicy.UPGRADE.value}
        rules[object_name(name, key)] = {"host": host, "subsets": [{"name": key, "trafficPolicy": policy}]}
    return rules


def egress_destination_rule(external: ExternalService) -> Spec | None:
    """Return the spec of the DestinationRule by which routes originate TLS to an entry of `egress`, None without."""
    if not needs_tls(external):
        return None
    host = external.hosts[0]
    return {"host": host, "subsets": [{"name": TLS_SUBSET, "trafficPolicy": {"tls": _tls(host)}}]}


def _hosts(service: ServiceRouting) -> Iterator[tuple[str, OutsideVersion]]:
    for key, version in service.versions.items():
        if isinstance(version, OutsideVersion) and version.source is Source.HOST:
            yield key, version


def _port(service: ServiceRouting, version: OutsideVersion) -> Spec:
    number = version.port or DEFAULT_PORT
    protocol = "HTTPS" if version.originates_tls else _spoken(service, version).value
    if service.route_kind is not RouteKind.HTTP:  # what the caller sends is passed on as it is
        protocol = service.route_kind.value.upper()
    return {"number": number, "name": f"{protocol.lower()}-{number}", "protocol": protocol}


def _spoken(service: ServiceRouting, version: OutsideVersion) -> ServiceProtocol:
    """The protocol of a host's plain port, by which istiod selects HTTP/2 (setUpstreamProtocol)."""
    if not version.gets_http2(service.protocol):
        return ServiceProtocol.HTTP
    return service.protocol if service.protocol.is_http2 else ServiceProtocol.HTTP2


def _is_upgraded(service: ServiceRouting, version: OutsideVersion) -> bool:
    """Whether only the policy says that Envoy speaks HTTP/2 inside the TLS that callers originate.

    A port of HTTPS does not say it. A port of HTTP2 would make the sidecars take what others send to that port of any
    host for plain HTTP.
    """
    if version.source is not Source.HOST or not version.originates_tls or service.route_kind is not RouteKind.HTTP:
        return False
    as_client = version.http_settings is not None and version.http_settings.use_client_protocol
    return version.gets_http2(service.protocol) and not as_client


def _tls(host: str) -> Spec:
    return {"mode": "SIMPLE", "sni": host, "subjectAltNames": [host]}
