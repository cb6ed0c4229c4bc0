"""Which pods are the gateways of a stack: those of mesh.gateway, and of other deployments that `gateways` name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traffic.model import GatewayPods, gateway_selector

if TYPE_CHECKING:
    from stacks.settings.model import Settings
    from traffic.simulate import Request


def mesh_gateway_pods(settings: Settings) -> GatewayPods:
    """Return the pods of mesh.gateway."""
    gateway = settings.mesh.gateway
    return GatewayPods(gateway.namespace, gateway_selector(gateway.name))


def other_gateway_pods(settings: Settings) -> dict[str, GatewayPods]:
    """Return the pods of other gateway deployments, by SharedGateway.deployment."""
    mesh = mesh_gateway_pods(settings)
    return {shared.deployment: shared.pods(mesh) for shared in settings.gateways.values() if shared.selector}


def gateway_that_gets(settings: Settings, request: Request) -> GatewayPods:
    """Return the pods of the gateway deployment that gets a request from outside the mesh."""
    return other_gateway_pods(settings).get(request.deployment) or mesh_gateway_pods(settings)


def gateways_of(settings: Settings, name: str) -> dict[str, tuple[str, ...]]:
    """Return the Gateways at which a service gets requests or connections, by the namespace of their pods."""
    from traffic.simulate import entries

    mesh, others = mesh_gateway_pods(settings), other_gateway_pods(settings)
    found: dict[str, tuple[str, ...]] = {}
    for entry in entries(name, settings.services[name], settings.gateways):
        namespace = others.get(entry.deployment, mesh).namespace
        found[namespace] = tuple(dict.fromkeys((*found.get(namespace, ()), entry.gateway)))
    return found


def gateway_namespaces(settings: Settings) -> dict[str, str]:
    """Return the namespaces of shared Gateways that are elsewhere than mesh.gateway, by their names."""
    return {name: shared.namespace for name, shared in settings.gateways.items() if shared.namespace}
