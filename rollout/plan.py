"""Plans what a change of versions has to wait for, so that no request is sent to a missing pod.

Every Envoy must know an added version before a route names it; a version that gets no more requests keeps its pods and
its subset until no Envoy uses them (Istio: "Traffic Management Best Practices", "Avoid 503 errors while reconfiguring
service routes").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rollout.observed_routes import ObservedRoutes
from rollout.transition import on_new_ports, renamed
from traffic.graph import all_targets, targets_of
from traffic.model import RouteTable, Target


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a change of a service's versions or routes has to wait for.

    `activated` versions start to get requests: every Envoy must know their pods before the route is written. `draining`
    versions stop getting requests, or are idle and lose pods: no Envoy may use them before their Deployment changes.
    `removed` versions are deleted: no Envoy may use them before their subset is removed.
    """

    activated: frozenset[Target] = frozenset()
    draining: frozenset[Target] = frozenset()
    removed: frozenset[Target] = frozenset()


def plans(routes: RouteTable, replicas: Mapping[Target, int], observed: ObservedRoutes) -> dict[str, Plan]:
    """Return, by service, the plan for the change from `observed` to `routes`.

    `replicas` is the new number of pods of each version that the stack deploys.
    """
    used = all_targets(routes)
    known: dict[str, set[Target]] = {name: set() for name in routes}
    for subset in observed.subsets:
        known[subset.service].add(subset)
    return {name: _plan(name, routes, replicas, observed, used, known[name]) for name in routes}


def removed_in_use(routes: RouteTable, observed: ObservedRoutes) -> list[Target]:
    """Return the versions that are missing in `routes` although the routes in the cluster still send them requests.

    Without those whose place new versions take.
    """
    replaced = frozenset().union(*renamed(routes, observed).values())
    known = (observed.subsets & observed.used) - replaced
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
        activated=frozenset(
            target
            for target in (called - observed.used) | on_new_ports(routes, observed, called)
            if replicas.get(target, 1) > 0
        ),
        draining=frozenset(
            # An earlier run may have written the routes and ended before every Envoy had applied them.
            target
            for target in versions - used
            if target in replicas and (target in observed.used or replicas[target] < observed.replicas.get(target, 0))
        ),
        removed=frozenset(known) - versions,
    )
