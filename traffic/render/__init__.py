"""Istio resources for services, gateways and external hosts, and Ingresses: the `spec` of each, as dicts.

APIs networking.istio.io/v1 and security.istio.io/v1 (https://istio.io/latest/docs/reference/config/). The result
depends only on the arguments and is in a fixed order: the same settings give the same text. Fields at their default
are omitted; an empty or zero value is only rendered where it has a meaning.
"""

from traffic.render.claims import gateway_request_authentication
from traffic.render.destination_rule import destination_rule
from traffic.render.divided import divided_routes, divided_virtual_services
from traffic.render.egress import service_entry
from traffic.render.gateway import gateway_reference, own_gateway, shared_gateway
from traffic.render.ingress import ingress
from traffic.render.outside import egress_destination_rule, object_name, outside_destination_rules, service_entries
from traffic.render.security import (
    allow_all,
    authorization_policies,
    deny_by_default,
    gateway_denial,
    peer_authentication,
    request_authentication,
)
from traffic.render.spec import Spec, routes_in
from traffic.render.virtual_service import places_of_weights, virtual_services

__all__ = [
    "Spec",
    "allow_all",
    "authorization_policies",
    "deny_by_default",
    "destination_rule",
    "divided_routes",
    "divided_virtual_services",
    "egress_destination_rule",
    "gateway_denial",
    "gateway_reference",
    "gateway_request_authentication",
    "ingress",
    "object_name",
    "outside_destination_rules",
    "own_gateway",
    "peer_authentication",
    "places_of_weights",
    "request_authentication",
    "routes_in",
    "service_entries",
    "service_entry",
    "shared_gateway",
    "virtual_services",
]
