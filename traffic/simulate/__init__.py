"""What happens to a request, decided as istiod and Envoy would, without either.

istiod generates Envoy's routes from VirtualServices (https://istio.io/latest/docs/reference/config/networking/virtual-service/),
and Envoy follows them (https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/route/v3/route_components.proto):
the virtual host by the Host header, its rules in order, any match of a rule, all conditions of a match. Regular
expressions are RE2 and match the whole value.
"""

from traffic.simulate.access import Identity, is_allowed
from traffic.simulate.conditions import Condition, Kind, conditions, text_matches
from traffic.simulate.decision import (
    Aborted,
    Answered,
    Connected,
    Decision,
    Delayed,
    Forwarded,
    Miss,
    Outcome,
    Passed,
    Redirected,
    Refused,
    RetryPolicy,
    Share,
    Unrouted,
)
from traffic.simulate.hosts import Entry, at_mesh_gateway, bare, entries, intersection, route_hosts
from traffic.simulate.request import Caller, Request, authority_of
from traffic.simulate.simulator import INGRESS, CompiledRoute, Simulator, matches, rule_for
from traffic.simulate.upstream import Upstream, is_grpc, upstream

__all__ = [
    "INGRESS",
    "Aborted",
    "Answered",
    "Caller",
    "CompiledRoute",
    "Condition",
    "Connected",
    "Decision",
    "Delayed",
    "Entry",
    "Forwarded",
    "Identity",
    "Kind",
    "Miss",
    "Outcome",
    "Passed",
    "Redirected",
    "Refused",
    "Request",
    "RetryPolicy",
    "Share",
    "Simulator",
    "Unrouted",
    "Upstream",
    "at_mesh_gateway",
    "authority_of",
    "bare",
    "conditions",
    "entries",
    "intersection",
    "is_allowed",
    "is_grpc",
    "matches",
    "route_hosts",
    "rule_for",
    "text_matches",
    "upstream",
]
