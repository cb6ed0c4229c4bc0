"""A stack with a service whose rollout another engine moves."""

from __future__ import annotations

from typing import Any

from stacks.settings.loading import load
from stacks.settings.model import Settings

STEPS = [{"weight": 10, "for": "1m"}, {"weight": 50, "for": "1m"}, {"weight": 100}]


def values(
    engine: str, *, rule: dict[str, Any] | None = None, service: dict[str, Any] | None = None, **strategy: Any
) -> dict[str, Any]:
    """The values of a stack with the service `shop`; `strategy` are further keys of its strategy `careful`."""
    canary = {"to": "main", "timeout": "5s", "rollout": "careful", **(rule or {})}
    shop = {
        "hosts": ["shop.example.com"],
        "versions": {"main": {"image": "shop:1", "port": 8080, "replicas": 3}},
        "route": [canary],
        **(service or {}),
    }
    return {
        "telemetry": {"metrics": "envoy", "prometheus": {"enabled": True}},
        "gateService": {"enabled": True},
        "rollouts": {"careful": {"engine": engine, "steps": STEPS, "gates": {}, **strategy}},
        "services": {"shop": shop},
    }


def stack(engine: str, **keys: Any) -> Settings:
    """Loaded settings of this stack."""
    return load(values(engine, **keys))
