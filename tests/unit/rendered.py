"""What traffic.render makes, checked against Istio's CRDs."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from tests.unit import istio_crds
from traffic import render

NETWORKING, SECURITY = "networking.istio.io/v1", "security.istio.io/v1"
KINDS: dict[Callable[..., Any], tuple[str, str]] = {
    render.allow_all: (SECURITY, "AuthorizationPolicy"),
    render.authorization_policies: (SECURITY, "AuthorizationPolicy"),
    render.deny_by_default: (SECURITY, "AuthorizationPolicy"),
    render.destination_rule: (NETWORKING, "DestinationRule"),
    render.egress_destination_rule: (NETWORKING, "DestinationRule"),
    render.gateway_denial: (SECURITY, "AuthorizationPolicy"),
    render.divided_virtual_services: (NETWORKING, "VirtualService"),
    render.gateway_request_authentication: (SECURITY, "RequestAuthentication"),
    render.outside_destination_rules: (NETWORKING, "DestinationRule"),
    render.own_gateway: (NETWORKING, "Gateway"),
    render.peer_authentication: (SECURITY, "PeerAuthentication"),
    render.request_authentication: (SECURITY, "RequestAuthentication"),
    render.service_entries: (NETWORKING, "ServiceEntry"),
    render.service_entry: (NETWORKING, "ServiceEntry"),
    render.shared_gateway: (NETWORKING, "Gateway"),
    render.virtual_services: (NETWORKING, "VirtualService"),
}
"""The functions that return a spec, with the apiVersion and kind that it is for."""
OF_KUBERNETES = (render.ingress,)
"""Those whose spec is of a kind that Istio does not define."""
SPECS_BY_NAME = (
    render.authorization_policies,
    render.divided_virtual_services,
    render.outside_destination_rules,
    render.service_entries,
    render.virtual_services,
)
"""Those that return several specs by the objects' names."""


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` of traffic.render so that it raises AssertionError where Istio's CRD refuses its spec."""
    api_version, kind = KINDS[function]

    @wraps(function)
    def rendered(*args: Any, **options: Any) -> Any:
        result = function(*args, **options)
        for spec in result.values() if function in SPECS_BY_NAME else [result]:
            istio_crds.check({"apiVersion": api_version, "kind": kind, "spec": spec})
        return result

    return rendered
