"""The protocol that Envoy speaks to a destination (istiod: setUpstreamProtocol, applyConnectionPool).

A gRPC server only understands HTTP/2, which Envoy speaks where the port's protocol or the traffic policy says so.
"""

from __future__ import annotations

from enum import StrEnum

from traffic.model import OutsideVersion, RouteTable, ServiceProtocol, Source, Target
from traffic.model.backend import EgressTable, port_for_http
from traffic.model.egress import EgressProtocol
from traffic.model.policy import H2UpgradePolicy, HttpSettings
from traffic.simulate.request import Request

GRPC = "application/grpc"
"""Beginning of the content-type of every gRPC request."""


class Upstream(StrEnum):
    """What Envoy speaks to a destination."""

    HTTP1 = "HTTP/1.1"
    HTTP2 = "HTTP/2"
    AS_CLIENT = "the client's protocol"


def upstream(routes: RouteTable, target: Target, port: int | None = None) -> Upstream:
    """Return what Envoy speaks to a version, at a port of the table's service, by default its main one.

    To another Service, it is what that Service says; here it is taken for one like the versions with pods.
    """
    service = routes[target.service]
    version = service.versions.get(target.version)
    if isinstance(version, OutsideVersion) and version.source is Source.HOST:
        return _to_host(version, service.protocol)
    further = next((one.speaks for one in service.further_ports if one.port == port), None)
    http = _http_settings(routes, target)
    if http is not None and http.use_client_protocol:
        return Upstream.AS_CLIENT
    # To istiod, the port of pods that terminate TLS is no HTTP port, which it would neither make HTTP/2 nor upgrade.
    upgraded = http is not None and http.h2_upgrade_policy is H2UpgradePolicy.UPGRADE
    is_http2 = ((further or service.protocol).is_http2 or upgraded) and not service.speaks_tls
    return Upstream.HTTP2 if is_http2 else Upstream.HTTP1


def _to_host(version: OutsideVersion, protocol: ServiceProtocol) -> Upstream:
    if version.http_settings is not None and version.http_settings.use_client_protocol:
        return Upstream.AS_CLIENT
    return Upstream.HTTP2 if version.gets_http2(protocol) else Upstream.HTTP1


def upstream_of_egress(target: Target, egress: EgressTable) -> Upstream:
    """Return what Envoy speaks to a host of `egress`, by the protocol of its port."""
    port = port_for_http(egress[target.version])
    is_http2 = port is not None and port.protocol in (EgressProtocol.HTTP2, EgressProtocol.GRPC)
    return Upstream.HTTP2 if is_http2 else Upstream.HTTP1


def has_pods(routes: RouteTable, target: Target) -> bool:
    """Whether a destination is pods of a service of the table, and not another Service or a host outside."""
    if target.is_egress:
        return False
    version = routes[target.service].versions.get(target.version)
    return not isinstance(version, OutsideVersion) or version.source is Source.PODS


def is_service(routes: RouteTable, target: Target) -> bool:
    """Whether a destination is another Service, whose own port says what Envoy speaks to it."""
    service = None if target.is_egress else routes[target.service]
    version = service.versions.get(target.version) if service else None
    return isinstance(version, OutsideVersion) and version.source is Source.SERVICE


def is_grpc(request: Request) -> bool:
    """Whether the request is one of gRPC, by its content-type."""
    seen = request.seen
    return seen is not None and any(value.startswith(GRPC) for value in seen.headers.get("content-type", ()))


def _http_settings(routes: RouteTable, target: Target) -> HttpSettings | None:
    """A version's policy replaces the service's key by key, so its connectionPool as a whole."""
    for policy in routes[target.service].policies_of(target.version):
        if policy.connection_pool is not None:
            return policy.connection_pool.http
    return None
