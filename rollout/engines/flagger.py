"""A service's rollout as objects of Flagger (flagger.app/v1beta1): a Canary and a MetricTemplate.

Flagger owns the routing: it makes VirtualService, DestinationRules and Services of its own, and runs the pods of the
stable version as a copy of the Deployment, `<name>-primary`. See Flagger: "How it works", "Webhooks", "Metrics
Analysis", "Istio Canary Deployments".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from traffic.model.rollout import RolloutStrategy

API = "flagger.app/v1beta1"
CANARIES, TEMPLATES = "canaries.flagger.app", "metrictemplates.flagger.app"
Spec = dict[str, Any]

EVERY = 10
"""Seconds between two looks, with gates; they decide how long a step is kept."""
HOOKS = {"confirm-traffic-increase": "may-rise", "confirm-promotion": "may-promote", "rollback": "harm"}
"""Types of Flagger's webhooks that the gate service answers, each with a name."""
METRIC = "canary_gate_evidence"
"""Name of the series that the gate service answers queries of Flagger for."""


@dataclass(frozen=True, kw_only=True)
class FlaggerCanary:
    """What the objects are made from; `gate` is the gate service's URL, None without gates.

    `rule` are fields of the canary's rule as Istio has them: timeout, retries, headers, rewrite, corsPolicy.
    """

    service: str
    namespace: str
    deployment: str
    port: int
    target_port: str
    port_name: str
    hosts: tuple[str, ...]
    gateways: tuple[str, ...]
    strategy: RolloutStrategy
    ready_within: int = 300
    many_ports: bool = False
    rule: Mapping[str, Any] = field(default_factory=dict)
    gate: str | None = None


def primary_host(service: str) -> str:
    """Return the name of the Service of the stable version's pods."""
    return f"{service}-primary"


def canary_host(service: str) -> str:
    """Return the name of the Service of the new version's pods."""
    return f"{service}-canary"


def metric_name(service: str) -> str:
    """Return the name of the MetricTemplate."""
    return f"{service}-evidence"


def canary_spec(given: FlaggerCanary) -> Spec:
    """Return the spec of the Canary."""
    service: Spec = {
        "name": given.service,
        "port": given.port,
        "portName": given.port_name,
        "targetPort": given.target_port,
        "gateways": list(given.gateways),
        "hosts": list(given.hosts),
        **given.rule,
    }
    if given.many_ports:
        service["portDiscovery"] = True
    return {
        "provider": "istio",
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": given.deployment},
        "progressDeadlineSeconds": max(given.ready_within, 60),
        "service": service,
        "analysis": _analysis(given),
    }


def template_spec(given: FlaggerCanary) -> Spec | None:
    """Return the spec of the MetricTemplate, whose answers are those of the gate service; None without gates."""
    if given.gate is None:
        return None
    query = f'{METRIC}{{namespace="{given.namespace}",service="{given.service}"}}'
    return {"provider": {"type": "prometheus", "address": given.gate}, "query": query}


def _analysis(given: FlaggerCanary) -> Spec:
    strategy = given.strategy
    every = EVERY if given.gate is not None else math.ceil(max(step.hold_seconds for step in strategy.steps) or EVERY)
    weights = [int(step.weight) for step in strategy.steps if step.weight < 100]
    # One failed check goes back: what cannot be decided is held by the webhooks, which count as no failure.
    analysis: Spec = {"interval": f"{every}s", "threshold": 1}
    if weights:
        analysis["stepWeights"] = weights
    else:
        analysis["iterations"] = max(math.ceil(strategy.hold_seconds / every), 1)
    if given.gate is None or strategy.gates is None:
        return analysis
    url = f"{given.gate}/{given.namespace}/{given.service}"
    analysis["webhooks"] = [
        {"name": name, "type": kind, "url": f"{url}/{kind}", "timeout": "9s"} for kind, name in HOOKS.items()
    ]
    analysis["metrics"] = [
        {
            "name": metric_name(given.service),
            "templateRef": {"name": metric_name(given.service)},
            "thresholdRange": {"max": round(1 / strategy.gates.alpha, 3)},
            "interval": "1m",
        }
    ]
    return analysis
