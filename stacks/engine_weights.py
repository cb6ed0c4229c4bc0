"""The weights that another engine has written, for commands that compare a stack with its cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollout.live_weights import live_weights
from rollout.observed_routes import virtual_services_of
from rollout.schedule import route_at
from stacks.engine_objects import divided
from stacks.gateway_pods import gateway_namespaces
from stacks.settings.engines import engines_of
from stacks.settings.model import Settings

if TYPE_CHECKING:
    from lightkube import Client


def with_engine_weights(client: Client, settings: Settings) -> Settings:
    """Return the settings with the weights in the cluster, where Argo Rollouts writes them.

    Those of Flagger are between two Services that are one version to everybody else.
    """
    moved = {name for name in engines_of(settings) if divided(settings, name) is not None}
    if not moved:
        return settings
    table = {name: settings.services[name] for name in moved}
    found = virtual_services_of(client, table)
    services = dict(settings.services)
    for name, service in table.items():
        live = {
            one["metadata"]["name"]: one["spec"].get("http") or ()
            for one in found
            if one["metadata"]["namespace"] == service.namespace
        }
        own = {key: http for key, http in live.items() if key in (name, f"{name}-mesh")}
        weights = live_weights(
            settings.services,
            name,
            own,
            gateway_namespace=settings.mesh.gateway.namespace,
            gateway_namespaces=gateway_namespaces(settings),
            egress=settings.egress,
        )
        pair = set(divided(settings, name) or ())
        shared = {key: one for key, one in weights.items() if one.keys() & pair}
        services[name] = service.model_copy(update={"route": route_at(service, shared)})
    return settings.model_copy(update={"services": services})
