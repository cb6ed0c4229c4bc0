"""What a stack's run waits with until the mesh's Envoys have applied a change of routes."""

from __future__ import annotations

import pulumi

from rollout.observed_routes import ObservedRoutes
from rollout.proxy_sync import ProxySync
from rollout.transition import former_ports
from rollout.unasked_proxies import UnaskedProxies
from stacks.gateway_pods import other_gateway_pods
from stacks.settings.model import Settings
from stacks.settings.proxy_sync import Asked
from traffic.model import gateway_selector

Proxies = ProxySync | UnaskedProxies


def proxies_of(settings: Settings, observed: ObservedRoutes) -> Proxies:
    """Return what asks the Envoys that `proxySync` allows to ask, and waits a stated time for the others.

    `observed` are the current routes: sidecars may have some of which the settings know nothing any more.
    """
    in_mesh = observed.in_mesh or any(service.in_mesh for service in settings.services.values())
    chosen, gateway = settings.proxy_sync, settings.mesh.gateway
    asks_all = chosen.ask is Asked.ALL or (chosen.ask is Asked.GATEWAY and not in_mesh)
    asked = ProxySync(
        cluster=settings.cluster,
        routes=settings.services,
        egress=settings.egress,
        other_gateways=tuple(other_gateway_pods(settings).values()),
        former_ports=former_ports(settings.services, observed),
        gateway_namespace=gateway.namespace,
        gateway_selector=gateway_selector(gateway.name),
        timeout_seconds=settings.taken_within,
        in_mesh=in_mesh and asks_all,
    )
    if asks_all:
        return asked
    return UnaskedProxies(
        asked=asked if chosen.ask is Asked.GATEWAY else None,
        unasked="the sidecars" if chosen.ask is Asked.GATEWAY else "the mesh's Envoys",
        setting=f"proxySync.ask: {chosen.ask.value}",
        seconds=chosen.wait_seconds,
        note=pulumi.log.warn,
    )
