"""The protocol that Envoy speaks to the pods of a version (istiod: setUpstreamProtocol, applyConnectionPool).

A gRPC server only understands HTTP/2, which Envoy speaks where the port's protocol or the traffic policy says so.
"""

from __future__ import annotations

from enum import StrEnum

from traffic.model import OutsideVersion, RouteTable, Source, Target
from traffic.model.policy import H2UpgradePolicy, HttpSettings
from traffic.simulate.request import Request

GRPC = "application/grpc"
"""Beginning of the content-type of every gRPC request."""


class Upstream(StrEnum):
    """What Envoy speaks to a pod."""

    HTTP1 = "HTTP/1.1"
    HTTP2 = "HTTP/2"
    AS_CLIENT = "the client's protocol"


def upstream(routes: RouteTable, target: Target, port: int | None = None) -> Upstream:
    """Return what Envoy speaks to the pods of a version, at a port of the table's service, by default its main one."""
    service = routes[target.service]
    further = next((one.speaks for one in service.further_ports if one.port == port), None)
    http = _http_settings(routes, target)
    if http is not None and http.use_client_protocol:
        return Upstream.AS_CLIENT
    # To istiod, the port of pods that terminate TLS is no HTTP port, which it would neither make HTTP/2 nor upgrade.
    upgraded = http is not None and http.h2_upgrade_policy is H2UpgradePolicy.UPGRADE
    is_http2 = ((further or service.protocol).is_http2 or upgraded) and not service.speaks_tls
    return Upstream.HTTP2 if is_http2 else Upstream.HTTP1


def has_pods(routes: RouteTable, target: Target) -> bool:
    """Whether a destination is pods of a service of the table, and not another Service or a host outside."""
    if target.is_egress:
        return False
    version = routes[target.service].versions.get(target.version)
    return not isinstance(version, OutsideVersion) or version.source is Source.PODS


def is_grpc(request: Request) -> bool:
    """Whether the request is one of gRPC, by its content-type."""
    seen = request.seen
    return seen is not None and any(value.startswith(GRPC) for value in seen.headers.get("content-type", ()))


def _http_settings(routes: RouteTable, target: Target) -> HttpSettings | None:
    """A version's policy replaces the service's key by key, so its connectionPool as a whole."""
    service = routes[target.service]
    version = service.versions.get(target.version)
    for policy in (version.traffic_policy if version else None, service.traffic_policy):
        if policy is not None and policy.connection_pool is not None:
            return policy.connection_pool.http
    return None
