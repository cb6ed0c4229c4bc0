"""The simulator for a stack's settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stacks.settings.model import Settings
    from traffic.simulate import Simulator


def simulator_of(settings: Settings) -> Simulator:
    """Return a simulator of the stack's services and Gateways, with the gateway's pods labelled as by their chart."""
    from stacks.mesh_traffic import mesh_traffic
    from traffic.model import gateway_labels
    from traffic.simulate import Caller, Simulator

    gateway = settings.mesh.gateway
    proxy = Caller(gateway.namespace, gateway_labels(gateway.name))
    return Simulator(settings.services, settings.gateways, proxy, mesh_traffic(settings), egress=settings.egress)
