"""Which versions and services a route leads to, and the order in which services depend on each other."""

from __future__ import annotations

from traffic.model import RouteTable, ServiceRouting, Target, target


def targets_of(name: str, service: ServiceRouting) -> frozenset[Target]:
    """Return the versions that the route of the service `name` sends requests or mirrored requests to."""
    destinations: list[str] = []
    for rule in service.route:
        destinations += [destination for destination, weight in rule.weights.items() if weight > 0]
        destinations += [mirror.to for mirror in rule.mirrors]
    return frozenset(target(name, destination) for destination in destinations)


def all_targets(routes: RouteTable) -> frozenset[Target]:
    """Return the versions that any of the routes sends requests or mirrored requests to."""
    return frozenset(found for name, service in routes.items() for found in targets_of(name, service))


def called_by(name: str, service: ServiceRouting) -> list[str]:
    """Return the other services that the route of the service `name` names, including those with a weight of 0."""
    destinations = [to for rule in service.route for to in (*rule.weights, *(mirror.to for mirror in rule.mirrors))]
    services = (called.service for to in destinations if not (called := target(name, to)).is_egress)
    return [called for called in dict.fromkeys(services) if called != name]


def callers_of(routes: RouteTable) -> dict[str, list[str]]:
    """Return, for each service, the other services whose routes lead to it."""
    callers: dict[str, list[str]] = {name: [] for name in routes}
    for name, service in routes.items():
        for called in called_by(name, service):
            callers[called].append(name)
    return callers


def called_first(routes: RouteTable) -> list[str]:
    """Return the services, each after those that its route leads to, except in cycles."""
    order: dict[str, None] = {}

    def visit(name: str, callers: frozenset[str]) -> None:
        for called in called_by(name, routes[name]):
            if called not in order and called not in callers:
                visit(called, callers | {name})
        order[name] = None

    for name in routes:
        if name not in order:
            visit(name, frozenset({name}))
    return list(order)
