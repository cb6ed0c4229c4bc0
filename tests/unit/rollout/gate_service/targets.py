"""A canary of another engine to test with, and the VirtualService that it has."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from rollout.engines.target import EngineTarget
from rollout.planned import PlannedCounters
from traffic.model.rollout import RolloutStep, RolloutStrategy
from traffic.model.rollout_gates import RolloutGates

START = "2026-01-05T10:00:00+00:00"
HOST = "website.shop.svc.cluster.local"


def at(seconds: float) -> str:
    """A time after the start, as the API server tells it."""
    return (datetime.fromisoformat(START) + timedelta(seconds=seconds)).isoformat(timespec="seconds")


def target(**changes: Any) -> EngineTarget:
    """The service website, between the subsets version-1 and version-2, in steps of 10, 50 and 100 %."""
    steps = (
        RolloutStep(weight=10.0, for_="60s"),
        RolloutStep(weight=50.0, for_="60s"),
        RolloutStep(weight=100.0),
    )
    given: dict[str, Any] = {
        "engine": "argo",
        "service": "website",
        "namespace": "shop",
        "virtual_services": ("website",),
        "stable": "version-1",
        "canary": "version-2",
        "strategy": RolloutStrategy(steps=steps, engine="argo", gates=RolloutGates()),
        "counters": PlannedCounters(source="envoy", scrape_seconds=15.0),
    }
    return EngineTarget(**(given | changes))


def virtual_service(
    weights: Mapping[str, int], written: str | None = START, *, by_host: bool = False, name: str = "website"
) -> dict[str, Any]:
    """A VirtualService whose one route has these weights, as the API server returns it."""
    route = [
        {"destination": {"host": one} if by_host else {"host": HOST, "subset": one}, "weight": weight}
        for one, weight in weights.items()
    ]
    fields = {"f:spec": {"f:http": {}}}
    managed = (
        [{"manager": "rollouts-controller", "time": written.replace("+00:00", "Z"), "fieldsV1": fields}]
        if written
        else []
    )
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": "shop", "managedFields": managed},
        "spec": {"hosts": ["shop.example.com"], "http": [{"name": "rollout", "route": route}]},
    }
