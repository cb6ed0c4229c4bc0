"""The route model: what a stack's config says about requests, typed and validated."""

from traffic.model.access import AccessRule
from traffic.model.actions import (
    Abort,
    CorsPolicy,
    Delay,
    DirectResponse,
    Fault,
    HeaderOperations,
    Headers,
    Mirror,
    Percent,
    Redirect,
    Retries,
    Rewrite,
    Sticky,
    UriRegexRewrite,
)
from traffic.model.egress import EgressPort, ExternalService, OutboundTrafficPolicy
from traffic.model.gateway import (
    MESH,
    GatewayPods,
    Protocol,
    Server,
    ServerTls,
    SharedGateway,
    gateway_labels,
    gateway_selector,
    own_gateway,
)
from traffic.model.jwt import JwtRule
from traffic.model.match import Match, StringMatch, cookie_pattern
from traffic.model.policy import TrafficPolicy
from traffic.model.protocols import NamedPort, RouteKind, ServiceProtocol
from traffic.model.rule import ONE_VERSION, WEIGHTS, Route, Rule, version_label
from traffic.model.security import Authorization, Mtls, MutualTls, NamespaceSecurity, PortKey
from traffic.model.service import RouteTable, ServiceRouting, VersionRouting, mesh_virtual_service, service_host
from traffic.model.target import Target, target

__all__ = [
    "MESH",
    "ONE_VERSION",
    "WEIGHTS",
    "Abort",
    "AccessRule",
    "Authorization",
    "CorsPolicy",
    "Delay",
    "DirectResponse",
    "EgressPort",
    "ExternalService",
    "Fault",
    "GatewayPods",
    "HeaderOperations",
    "Headers",
    "JwtRule",
    "Match",
    "Mirror",
    "Mtls",
    "MutualTls",
    "NamedPort",
    "NamespaceSecurity",
    "OutboundTrafficPolicy",
    "Percent",
    "PortKey",
    "Protocol",
    "Redirect",
    "Retries",
    "Rewrite",
    "Route",
    "RouteKind",
    "RouteTable",
    "Rule",
    "Server",
    "ServerTls",
    "ServiceProtocol",
    "ServiceRouting",
    "SharedGateway",
    "Sticky",
    "StringMatch",
    "Target",
    "TrafficPolicy",
    "UriRegexRewrite",
    "VersionRouting",
    "cookie_pattern",
    "gateway_labels",
    "gateway_selector",
    "mesh_virtual_service",
    "own_gateway",
    "service_host",
    "target",
    "version_label",
]
