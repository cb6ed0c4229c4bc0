"""What a stack's run waits with until the mesh's Envoys have applied a change of routes."""

from __future__ import annotations

import pulumi

from rollout.proxy_sync import ProxySync
from rollout.unasked_proxies import UnaskedProxies
from stacks.settings.model import Settings
from stacks.settings.proxy_sync import Asked
from traffic.model import gateway_selector


def proxies_of(settings: Settings, in_mesh: bool) -> ProxySync | UnaskedProxies:
    """Return what asks the Envoys that `proxySync` allows to ask, and waits a stated time for the others.

    `in_mesh`: sidecars have, or get, routes of the stack.
    """
    chosen, gateway = settings.proxy_sync, settings.mesh.gateway
    asks_all = chosen.ask is Asked.ALL or (chosen.ask is Asked.GATEWAY and not in_mesh)
    asked = ProxySync(
        cluster=settings.cluster,
        routes=settings.services,
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
