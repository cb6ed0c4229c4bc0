"""`spec.http` of a service's VirtualServices for each step of its rollout and for the way back, by `traffic.render`.

Rendered before the first step, so that whoever goes on with a rollout needs no stack file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, Required, TypedDict, Unpack

from rollout.planned import PlannedStep
from rollout.schedule import route_at
from rollout.stored_routes import BACK
from traffic.model import RouteTable
from traffic.model.backend import EgressTable
from traffic.render import virtual_services

__all__ = [
    "BACK",
    "HttpRoutes",
    "Planned",
    "Rendering",
    "RoutesOfSteps",
    "differing_steps",
    "http_routes",
    "routes_of_steps",
]

HttpRoutes = dict[str, list[dict[str, Any]]]
"""Istio's http routes by the name of their VirtualService."""

RoutesOfSteps = dict[str, HttpRoutes]
"""The routes of each step, by its index as text, and of the way back (`back`)."""


class Rendering(TypedDict, total=False):
    """What routes are rendered with: the arguments of `traffic.render.virtual_services`."""

    gateway_namespace: Required[str]
    gateway_namespaces: Mapping[str, str]
    version_header: str | None
    egress: EgressTable | None


class Planned(Protocol):
    """What is planned: a `Schedule`, or the `Plan` of a record."""

    @property
    def steps(self) -> tuple[PlannedStep, ...]: ...

    @property
    def back(self) -> dict[str, dict[str, float]]: ...


def routes_of_steps(
    routes: RouteTable,
    service: str,
    planned: Planned,
    **rendering: Unpack[Rendering],
) -> RoutesOfSteps:
    """Return the http routes of the service's VirtualServices at each step and for the way back.

    The other arguments are those of `traffic.render.virtual_services`. The names of the VirtualServices are the same
    in all steps, since weights decide neither about hosts nor about gateways.
    """

    weights = {**{str(index): step.weights for index, step in enumerate(planned.steps)}, BACK: planned.back}
    return {key: http_routes(routes, service, given, **rendering) for key, given in weights.items()}


def http_routes(
    routes: RouteTable,
    service: str,
    weights: Mapping[str, Mapping[str, float]],
    **rendering: Unpack[Rendering],
) -> HttpRoutes:
    """Return the http routes of the service's VirtualServices with the weights of a rollout, by rule key."""
    rolled = routes[service].model_copy(update={"route": route_at(routes[service], weights)})
    specs = virtual_services({**routes, service: rolled}, service, **rendering)
    return {name: spec["http"] for name, spec in specs.items()}


def differing_steps(one: RoutesOfSteps, other: RoutesOfSteps, steps: Iterable[str] | None = None) -> list[str]:
    """Return the keys of the steps whose routes differ, or that only one has; of all, or of `steps`."""
    keys = dict.fromkeys((*one, *other) if steps is None else steps)
    return [key for key in keys if one.get(key) != other.get(key)]
