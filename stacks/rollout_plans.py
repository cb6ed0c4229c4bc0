"""The plan of a service's rollout: its steps from where the requests go now, and the routes of each step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rollout.group_members import PlannedGroup
from rollout.places import Places, places
from rollout.planned import EnvoysOfGateway, Plan, PlannedCounters, PlannedEnvoys
from rollout.routes_of_steps import HttpRoutes, Rendering, RoutesOfSteps, http_routes, routes_of_steps
from rollout.schedule import Schedule, schedule
from rollout.store import routes_name
from stacks.gateway_pods import gateway_namespaces, mesh_gateway_pods, other_gateway_pods
from stacks.rollout_counters import counters_of
from stacks.rollout_groups import group_of
from stacks.settings.model import Settings
from stacks.settings.proxy_sync import Asked


@dataclass(frozen=True, kw_only=True)
class PlannedRollout:
    """A rollout as it would begin now.

    `routes` are the http routes of each step and of the way back (`rollout.routes_of_steps`), and `name` is that of the
    ConfigMap for them (`plan.routes` of the record). `places` says which entries of which VirtualService belong to a
    rule (`rollout.places`), `envoys` which Envoys have to follow each step, and `counters` which numbers gates compare.
    `group` are the services that it goes with, `begins_with` those of them that the same `up` begins.
    """

    schedule: Schedule
    routes: RoutesOfSteps
    name: str
    places: Places
    envoys: PlannedEnvoys
    counters: PlannedCounters
    group: PlannedGroup | None = None
    begins_with: tuple[str, ...] = ()

    def plan(self) -> Plan:
        """Return the plan for a record."""
        plan = self.schedule.plan(self.name, self.places, self.envoys, self.counters)
        return plan.model_copy(update={"group": self.group, "begins_with": self.begins_with})


def rollout_plan(settings: Settings, service: str, now: Mapping[str, Mapping[str, float]]) -> PlannedRollout | None:
    """Return the rollout of a service of loaded settings that would begin where the requests go `now`.

    `now` is `RolloutState.now`. None if no rule has a rollout, or if there is nothing to move: then the rules with a
    rollout are where they end. Raises `rollout.schedule.ScheduleError` if it cannot be planned.
    """
    found = schedule(service, settings.services[service], settings.rollouts, now)
    return None if found is None or not found.steps else planned(settings, service, found)


def planned(settings: Settings, service: str, found: Schedule) -> PlannedRollout:
    """Return the rollout of a schedule that has steps, with its routes."""
    routes = rendered_routes(settings, service, found)
    versions = (found.origin or found.target, found.target)
    return PlannedRollout(
        schedule=found,
        routes=routes,
        name=routes_name(service, routes),
        places=places(settings.services, service, found.start, versions, **_rendering(settings)),
        envoys=envoys_of(settings, service),
        counters=counters_of(settings, service, found),
        group=group_of(settings, service),
    )


def envoys_of(settings: Settings, service: str) -> PlannedEnvoys:
    """Return the Envoys that have to follow the routes of a service, as `proxySync` allows to ask them."""
    chosen = settings.proxy_sync
    in_mesh = settings.services[service].in_mesh
    asks_all = chosen.ask is Asked.ALL or (chosen.ask is Asked.GATEWAY and not in_mesh)
    pods = (mesh_gateway_pods(settings), *other_gateway_pods(settings).values())
    gateways = tuple(EnvoysOfGateway(namespace=one.namespace, selector=dict(one.selector)) for one in pods)
    return PlannedEnvoys(
        gateways=gateways if asks_all or chosen.ask is Asked.GATEWAY else (),
        in_mesh=in_mesh and asks_all,
        wait_seconds=0.0 if asks_all else float(chosen.wait_seconds),
    )


def rendered_routes(settings: Settings, service: str, plan: Plan | Schedule) -> RoutesOfSteps:
    """Return the http routes of the service for each step of `plan` and for the way back, as the program renders them.

    Weights are the plan's; all else is that of the settings.
    """
    return routes_of_steps(settings.services, service, plan, **_rendering(settings))


def http_of(settings: Settings, service: str) -> HttpRoutes:
    """Return the http routes that the program renders for a service whose rules have weights, by VirtualService."""
    return http_routes(settings.services, service, {}, **_rendering(settings))


def _rendering(settings: Settings) -> Rendering:
    """What the program renders routes with (`stacks.environment`)."""
    return {
        "gateway_namespace": settings.mesh.gateway.namespace,
        "gateway_namespaces": gateway_namespaces(settings),
        "version_header": settings.version_header,
        "egress": settings.egress,
    }
