"""The plan of a service's rollout: its steps from where the requests go now, and the routes of each step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rollout.record import Plan
from rollout.routes_of_steps import RoutesOfSteps
from rollout.schedule import Schedule
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
    places: Mapping[str, Mapping[str, tuple[int, ...]]] = field(default_factory=dict)


def rollout_plan(settings: Settings, service: str, now: Mapping[str, Mapping[str, float]]) -> PlannedRollout | None:
    """Return the rollout of a service of loaded settings that would begin where the requests go `now`.

    `now` is `RolloutState.now`. None if no rule has a rollout, or if there is nothing to move: then the rules with a
    rollout are where they end. Raises `rollout.schedule.ScheduleError` if it cannot be planned.
    """
    raise NotImplementedError


def rendered_routes(settings: Settings, service: str, plan: Plan | Schedule) -> RoutesOfSteps:
    """Return the http routes of the service for each step of `plan` and for the way back, as the program renders them.

    Weights are the plan's; all else is that of the settings. If the digest of these routes is that in the name
    `plan.routes` of a record, the settings change nothing of the service's routes.
    """
    raise NotImplementedError
