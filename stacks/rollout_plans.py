"""The plan of a service's rollout: its steps from where the requests go now, and the routes of each step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rollout.places import Places, places
from rollout.record import Plan
from rollout.routes_of_steps import RoutesOfSteps, routes_of_steps
from rollout.schedule import Schedule, schedule
from rollout.store import name_of
from rollout.stored_routes import digest_of
from stacks.gateway_pods import gateway_namespaces
from stacks.settings.model import Settings


@dataclass(frozen=True, kw_only=True)
class PlannedRollout:
    """A rollout as it would begin now.

    `routes` are the http routes of each step and of the way back (`rollout.routes_of_steps`), and `digest` names them:
    the record's `plan.routes` is `istio-canary-rollout-<service>-routes-<digest>`. `places` says which entries of which
    VirtualService belong to a rule (`rollout.places`).
    """

    schedule: Schedule
    routes: RoutesOfSteps
    digest: str
    places: Places


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
        digest=digest_of(routes),
        places=places(settings.services, service, found.start, versions, **_rendering(settings)),
    )


def rendered_routes(settings: Settings, service: str, plan: Plan | Schedule) -> RoutesOfSteps:
    """Return the http routes of the service for each step of `plan` and for the way back, as the program renders them.

    Weights are the plan's; all else is that of the settings.
    """
    return routes_of_steps(settings.services, service, plan, **_rendering(settings))


def routes_name(service: str, routes: RoutesOfSteps) -> str:
    """Return the name of the ConfigMap with these routes: it is that of a record's plan if they are the same."""
    return f"{name_of(service)}-routes-{digest_of(routes)}"


def _rendering(settings: Settings) -> dict[str, Any]:
    """What the program renders routes with (`stacks.environment`)."""
    return {
        "gateway_namespace": settings.mesh.gateway.namespace,
        "gateway_namespaces": gateway_namespaces(settings),
        "version_header": settings.version_header,
        "egress": settings.egress,
    }
