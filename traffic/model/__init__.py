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
from traffic.model.claims import claim_header, claim_path
from traffic.model.cookies import cookies_pattern
from traffic.model.egress import EgressPort, ExternalService, OutboundTrafficPolicy
from traffic.model.gateway import (
    MESH,
    NOWHERE,
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
from traffic.model.match import Match
from traffic.model.mesh import ISTIOS_MESH, MeshTraffic, PathNormalization
from traffic.model.outside import DEPLOYED, OUTSIDE, OutsideVersion, Source, VersionRouting
from traffic.model.policy import TrafficPolicy
from traffic.model.protocols import NamedPort, RouteKind, ServiceProtocol
from traffic.model.rollout import STRATEGY, STRATEGY_NAME, RolloutStep, RolloutStrategy
from traffic.model.rule import ONE_VERSION, WEIGHTS, Route, Rule, version_label
from traffic.model.security import Authorization, Mtls, MutualTls, NamespaceSecurity, PortKey
from traffic.model.service import RouteTable, ServiceRouting, mesh_virtual_service, service_host
from traffic.model.share import WEIGHT_ALONE, WITH_HEADERS, RouteDestination
from traffic.model.string_match import StringMatch
from traffic.model.target import EGRESS, Target, target

__all__ = [
    "DEPLOYED",
    "EGRESS",
    "ISTIOS_MESH",
    "MESH",
    "NOWHERE",
    "ONE_VERSION",
    "OUTSIDE",
    "STRATEGY",
    "STRATEGY_NAME",
    "WEIGHTS",
    "WEIGHT_ALONE",
    "WITH_HEADERS",
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
    "MeshTraffic",
    "Mirror",
    "Mtls",
    "MutualTls",
    "NamedPort",
    "NamespaceSecurity",
    "OutboundTrafficPolicy",
    "OutsideVersion",
    "PathNormalization",
    "Percent",
    "PortKey",
    "Protocol",
    "Redirect",
    "Retries",
    "Rewrite",
    "RolloutStep",
    "RolloutStrategy",
    "Route",
    "RouteDestination",
    "RouteKind",
    "RouteTable",
    "Rule",
    "Server",
    "ServerTls",
    "ServiceProtocol",
    "ServiceRouting",
    "SharedGateway",
    "Source",
    "Sticky",
    "StringMatch",
    "Target",
    "TrafficPolicy",
    "UriRegexRewrite",
    "VersionRouting",
    "claim_header",
    "claim_path",
    "cookies_pattern",
    "gateway_labels",
    "gateway_selector",
    "mesh_virtual_service",
    "own_gateway",
    "service_host",
    "target",
    "version_label",
]
