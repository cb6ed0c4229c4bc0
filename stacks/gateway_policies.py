"""What the gateway's pods are told about the stack's services: tokens to validate, and callers to deny."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pulumi

from components.gateway_policies import GatewayPoliciesArgs
from stacks.settings.model import Settings
from traffic.model import gateway_selector
from traffic.simulate import at_mesh_gateway, entries
from traffic.simulate.gateway_access import denials_at_gateway
from traffic.simulate.tokens import rules_at_gateway


def gateway_policies(
    settings: Settings, namespace: Callable[[str], pulumi.Input[str]]
) -> dict[str, GatewayPoliciesArgs]:
    """Return the policies at the gateway by service; `namespace` gives the name of a namespace, or its output."""
    gateway = settings.mesh.gateway
    services = at_mesh_gateway(settings.services, settings.gateways)
    denied = denials_at_gateway(services, gateway.namespace)
    validates = bool(rules_at_gateway(services))
    found = {}
    for name, service in services.items():
        jwt = service.jwt if validates else ()
        if jwt or name in denied:
            found[name] = GatewayPoliciesArgs(
                namespace=namespace(gateway.namespace),
                selector=gateway_selector(gateway.name),
                service=name,
                service_namespace=service.namespace,
                jwt=jwt,
                denied=denied.get(name, ()),
                ports=_ports(settings, name),
            )
    return found


def _ports(settings: Settings, name: str) -> tuple[int, ...]:
    """Container ports of the gateway at which the service is served; none if another installer chose these."""
    chart: Mapping[str, object] = settings.mesh.values.gateway
    if not settings.mesh.install or "service" in chart:
        return ()
    served = entries(name, settings.services[name], settings.gateways)
    return tuple(sorted({entry.server.port for entry in served if not entry.deployment}))
