"""Which http routes of which VirtualService have the weights of a rule of a rollout.

Kept in the plan, so that whoever has no stack file can read the weights of a rule from a VirtualService
(`rollout.seen_weights`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Unpack

from rollout.routes_of_steps import HttpRoutes, Rendering, http_routes
from traffic.model import RouteTable

Places = dict[str, dict[str, tuple[int, ...]]]
"""Indices of http routes by rule key and VirtualService."""

HALVES, OTHERS = (50.0, 50.0), (25.0, 75.0)
"""Two pairs of weights: what differs between the routes with these belongs to the rule."""


def places(
    routes: RouteTable,
    service: str,
    keys: Iterable[str],
    versions: tuple[str, str],
    **rendering: Unpack[Rendering],
) -> Places:
    """Return the places of the rules `keys` of a service's route, for `Plan.places`.

    They are found by rendering the route with other weights of the two `versions` for one rule after the other. The
    other arguments are those of `routes_of_steps`.
    """
    keys = list(keys)

    def rendered(changed: str | None) -> HttpRoutes:
        weights = {key: dict(zip(versions, OTHERS if key == changed else HALVES, strict=True)) for key in keys}
        return http_routes(routes, service, weights, **rendering)

    halves = rendered(None)
    return {key: _differing(halves, rendered(key)) for key in keys}


def _differing(one: HttpRoutes, other: HttpRoutes) -> dict[str, tuple[int, ...]]:
    found = {
        name: tuple(index for index, (a, b) in enumerate(zip(http, other[name], strict=True)) if a != b)
        for name, http in one.items()
    }
    return {name: indices for name, indices in found.items() if indices}
