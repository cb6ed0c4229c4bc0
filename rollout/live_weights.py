"""Where the requests of each rule of a service go now, read from its VirtualServices as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rollout.observed_routes import known_destinations, weights_of
from rollout.schedule import rule_key
from traffic.model import RouteTable
from traffic.model.backend import EgressTable
from traffic.render import places_of_weights, virtual_services
from traffic.words import OTHERWISE

Http = Sequence[Mapping[str, Any]]
"""The http routes of a VirtualService."""


def live_weights(
    routes: RouteTable,
    service: str,
    live: Mapping[str, Http],
    *,
    gateway_namespace: str,
    gateway_namespaces: Mapping[str, str] | None = None,
    egress: EgressTable | None = None,
) -> dict[str, dict[str, float]]:
    """Return where the requests of the service's rules go now, in percent by rule key and destination.

    `live` has the http routes of the service's VirtualServices in the cluster by name; the other arguments are those
    of `traffic.render.virtual_services`. A rule is found by its matches, as they are rendered; the default rule also
    if the route has none any more. Rules that are new, or that end in a redirect or a direct response in the cluster,
    are left out. Empty if there are no VirtualServices.
    """
    raise NotImplementedError
