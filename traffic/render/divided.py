"""VirtualServices whose weights another controller writes: both destinations are there, also at weight 0."""

from __future__ import annotations

from typing import Any

from traffic.model import RouteTable, Rule
from traffic.render.spec import Spec
from traffic.render.virtual_service import virtual_services

HALVES = 50


def divided_virtual_services(
    routes: RouteTable, service: str, divided: tuple[str, str], **rendering: Any
) -> dict[str, Spec]:
    """Return the VirtualServices of a service whose rule leads to the first of two versions, with both of them.

    Argo Rollouts asks for both (Argo Rollouts: "Istio", Subset-level Traffic Splitting). `rendering` is that of
    `traffic.render.virtual_services`.
    """
    first, second = divided
    halves = tuple(_halved(rule, first, second) for rule in routes[service].route)
    table = {**routes, service: routes[service].model_copy(update={"route": halves})}
    specs = virtual_services(table, service, **rendering)
    for spec in specs.values():
        for route in spec.get("http", ()):
            _all_to(route, first, second)
    return specs


def divided_routes(specs: dict[str, Spec], divided: tuple[str, str]) -> dict[str, tuple[str, ...]]:
    """Return the names of the http routes that divide between two subsets, by VirtualService."""
    found = {
        name: tuple(str(route["name"]) for route in spec.get("http", ()) if _subsets(route) == set(divided))
        for name, spec in specs.items()
    }
    return {name: names for name, names in found.items() if names}


def _halved(rule: Rule, first: str, second: str) -> Rule:
    if set(rule.weights) != {first, second}:
        return rule
    return rule.model_copy(update={"to": {first: HALVES, second: HALVES}})


def _all_to(route: Spec, first: str, second: str) -> None:
    if _subsets(route) != {first, second}:
        return
    for destination in route["route"]:
        destination["weight"] = 100 if destination["destination"]["subset"] == first else 0


def _subsets(route: Spec) -> set[str]:
    return {str(one["destination"].get("subset")) for one in route.get("route", ())}
