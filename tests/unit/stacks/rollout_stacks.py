"""A stack with a service that is rolled out, and the states that its rollout can be in."""

from __future__ import annotations

from typing import Any

from rollout.beginning import begin
from rollout.record import FIELD_MANAGER, Phase, Record, Release, Stage
from rollout.routes import RouteInCluster
from rollout.routes_of_steps import http_routes
from rollout.store import Stored
from rollout.verbs import abort
from stacks.rollout_plans import rollout_plan
from stacks.rollout_states import RolloutState
from stacks.settings.loading import load
from stacks.settings.model import Settings
from stacks.template_hash import template_hash

FILE = "Pulumi.dev.yaml"
START = "2026-01-05T10:00:00+00:00"
STEPS = [{"weight": 10, "for": "10m"}, {"weight": 50, "for": "10m"}, {"weight": 100}]
OLD, NEW = "version-1", "version-2"
EVERYBODY = {"to": NEW, "rollout": "careful", "timeout": "5s"}
COHORT = {
    "match": [{"headers": {"x-plan": {"exact": "beta"}}}],
    "to": NEW,
    "rollout": {"steps": [{"weight": 50, "for": "30m"}, {"weight": 100}]},
    "timeout": "5s",
}
TESTERS = {"match": [{"headers": {"qa": {"exact": "yes"}}}], "to": NEW}
PLAIN = {"to": {OLD: 100, NEW: 0}, "timeout": "5s"}
"""All requests at the old version, without a rollout."""
ONLY_OLD = {"to": OLD, "timeout": "5s"}

Weights = dict[str, dict[str, float]]


def at(weight: float, key: str = "default", versions: tuple[str, str] = (OLD, NEW)) -> Weights:
    """The weights of one rule: `weight` percent for the new version."""
    return {key: {versions[0]: 100.0 - weight, versions[1]: float(weight)}}


def version(number: int, **keys: Any) -> dict[str, Any]:
    return {"image": f"shop:{number}", "port": 8080, **keys}


def stack(*rules: dict[str, Any], versions: dict[str, Any] | None = None, **strategy: Any) -> Settings:
    """Loaded settings with the service `shop`, whose route has these rules."""
    deployed = {OLD: version(1), NEW: version(2)} if versions is None else versions
    shop = {
        "hosts": ["shop.example.com"],
        "namespace": "shop",
        "versions": deployed,
        "route": list(rules or [EVERYBODY]),
    }
    return load({"rollouts": {"careful": {"steps": STEPS, **strategy}}, "services": {"shop": shop}})


def pending(settings: Settings, now: Weights | None = None, **changes: Any) -> Record:
    """The record that the `up` of these settings begins, where all requests are at the old version."""
    planned = rollout_plan(settings, "shop", at(0) if now is None else now)
    assert planned is not None
    origin, target = str(planned.schedule.origin), planned.schedule.target
    decision = begin(
        None,
        service="shop",
        namespace="shop",
        vs_uids={"shop": "uid-1"},
        target=Release(version=target, hash=template_hash(settings, "shop", target)),
        from_=Release(version=origin, hash=template_hash(settings, "shop", origin), ready_pods=4),
        plan=planned.plan(),
        by="ann",
        at=START,
    )
    assert decision.record is not None
    return decision.record.model_copy(update=changes)


def progressing(settings: Settings, step: int = 1, **changes: Any) -> Record:
    """The record in a step."""
    record = pending(settings)
    given = {"phase": Phase.PROGRESSING, "stage": Stage.OBSERVING, "step": step, "started_at": START}
    return record.model_copy(update={**given, "wanted": record.plan.steps[step].weights} | changes)


def completed(settings: Settings, **changes: Any) -> Record:
    """The record after its last step, at the start of the time for which the old version is kept."""
    last = len(pending(settings).plan.steps) - 1
    given = {"phase": Phase.COMPLETED, "stage": None, "ended_at": START}
    return progressing(settings, last, **(given | changes))


def closed(settings: Settings, **changes: Any) -> Record:
    return completed(settings, **{"phase": Phase.CLOSED, "closed_at": START, **changes})


def aborting(settings: Settings, **changes: Any) -> Record:
    record = abort(progressing(settings), "it fails", "ann", START).record
    assert record is not None
    return record.model_copy(update=changes)


def aborted(settings: Settings, **changes: Any) -> Record:
    return aborting(settings, **{"phase": Phase.ABORTED, "ended_at": START, **changes})


def state(
    settings: Settings, record: Record | None, now: Weights | None = None, *, time: str = START, uid: str = "uid-1"
) -> RolloutState:
    """The state with this record and these weights in the cluster; by default those that the record wants."""
    weights = now if now is not None else at(0) if record is None else record.wanted
    http = http_routes(settings.services, "shop", weights, gateway_namespace=settings.mesh.gateway.namespace)
    owner = "pulumi-kubernetes-1" if record is None or record.started_at is None else FIELD_MANAGER
    routes = {
        name: RouteInCluster(
            name=name,
            uid=uid,
            resource_version="7",
            http=entries,
            owner=owner,
            annotation=record.annotation if record else None,
            found={},
        )
        for name, entries in http.items()
    }
    stored = None if record is None else Stored(record=record, resource_version="5", server_time=time)
    return RolloutState(stored=stored, now=weights, http_owner=owner, routes=routes)
