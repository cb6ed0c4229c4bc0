"""What a change of versions has to wait for, so that no request is sent to pods that are not there.

A version that comes is made known to every Envoy before a route names it; one that gets no more requests keeps its
pods and its subset until every Envoy has let go of it (Istio: "Traffic Management Best Practices", "Avoid 503 errors
while reconfiguring service routes").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rollout.observed_routes import ObservedRoutes
from traffic.graph import all_targets, targets_of
from traffic.model import RouteTable, Target


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What changes for the Envoys when a service's versions or routes do.

    `entering` get requests from now on: every Envoy must know their pods before the route is written. `ceasing` get
    none any more, or lose pods without getting any: their pods stay as they are until no Envoy sends them any.
    `leaving` are no versions any more: their subsets go, once no Envoy uses them.
    """

    entering: frozenset[Target] = frozenset()
    ceasing: frozenset[Target] = frozenset()
    leaving: frozenset[Target] = frozenset()


def plans(routes: RouteTable, replicas: Mapping[Target, int], observed: ObservedRoutes) -> dict[str, Plan]:
    """Return, by service, what the change from `observed` to `routes` means for the Envoys that call it.

    `replicas` are the pods that each version is to have.
    """
    used = all_targets(routes)
    known: dict[str, set[Target]] = {name: set() for name in routes}
    for subset in observed.subsets:
        known[subset.service].add(subset)
    return {name: _plan(name, routes, replicas, observed, used, known[name]) for name in routes}


def lost_versions(routes: RouteTable, observed: ObservedRoutes) -> list[Target]:
    """Return the versions that are not in `routes` any more, though the routes in the cluster send them requests."""
    known = observed.subsets & observed.used
    return sorted(used for used in known if used.version not in routes[used.service].versions)


def _plan(
    name: str,
    routes: RouteTable,
    replicas: Mapping[Target, int],
    observed: ObservedRoutes,
    used: frozenset[Target],
    known: set[Target],
) -> Plan:
    service = routes[name]
    versions = frozenset(Target(name, version) for version in service.versions)
    called = targets_of(name, service) if name in observed.routed else frozenset()
    return Plan(
        entering=frozenset(target for target in called - observed.used if replicas[target] > 0),
        ceasing=frozenset(
            # An earlier run may have written the routes and ended before every Envoy had taken them.
            target
            for target in versions - used
            if target in observed.used or replicas[target] < observed.replicas.get(target, 0)
        ),
        leaving=frozenset(known) - versions,
    )
