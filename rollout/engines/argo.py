"""A service's rollout as objects of Argo Rollouts (argoproj.io/v1alpha1): a Rollout, and AnalysisTemplates.

The Rollout takes its pods from the version's Deployment (`workloadRef`), and writes weights into our VirtualService and
hashes into the labels of our DestinationRule's subsets. See Argo Rollouts: "Rollout", "Istio" (Subset-level Traffic
Splitting), "Migrating to Rollouts", "Analysis", "Web".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rollout.engines.target import CANARY, STABLE
from traffic.fields import seconds
from traffic.model.rollout import AUTO_FACTOR, RolloutStrategy
from traffic.model.rollout_fields import AUTO

API = "argoproj.io/v1alpha1"
ROLLOUTS, TEMPLATES = "rollouts.argoproj.io", "analysistemplates.argoproj.io"
Spec = dict[str, Any]

EVERY = 10
"""Seconds between two questions to the gate service."""
ANSWER_WITHIN = 9
"""Seconds for one of them; less than EVERY."""
NEVER = 1_000_000
"""A limit that is not reached: no answer is neither a pass nor a failure."""
SHORTEST_DEADLINE = 600.0
"""Seconds of a step's automatic deadline at least, as of this project's own rollouts."""


@dataclass(frozen=True, kw_only=True)
class ArgoRollout:
    """What the objects are made from; `gate` is the URL of the service at the gate service, None without gates.

    `routes` are the names of http routes by VirtualService. `replicas` None leaves the number to somebody else.
    """

    service: str
    deployment: str
    replicas: int | None
    routes: dict[str, tuple[str, ...]]
    strategy: RolloutStrategy
    gate: str | None = None


def rollout_spec(given: ArgoRollout) -> Spec:
    """Return the spec of the Rollout."""
    istio: Spec = {
        "destinationRule": {"name": given.service, "stableSubsetName": STABLE, "canarySubsetName": CANARY},
    }
    listed = [{"name": name, "routes": list(routes)} for name, routes in given.routes.items()]
    if len(listed) == 1:
        istio["virtualService"] = listed[0]
    else:
        istio["virtualServices"] = listed
    canary: Spec = {
        "trafficRouting": {"istio": istio},
        "steps": list(_steps(given)),
        "scaleDownDelaySeconds": int(seconds(given.strategy.keep_previous)),
    }
    if given.gate is not None:
        canary["analysis"] = {"templates": [{"templateName": harm_name(given.service)}]}
    spec: Spec = {
        "workloadRef": {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": given.deployment,
            # The Deployment's own pods serve until those of the Rollout do.
            "scaleDown": "onsuccess",
        },
        "strategy": {"canary": canary},
    }
    return spec if given.replicas is None else {"replicas": given.replicas, **spec}


def template_specs(given: ArgoRollout) -> dict[str, Spec]:
    """Return the specs of the AnalysisTemplates by name; none without gates.

    One looks for harm all the time, and never passes or holds anything. The other is asked at the end of each step,
    until the gate says that the weight may rise: no answer and no data hold the step, until its deadline pauses the
    Rollout.
    """
    if given.gate is None:
        return {}
    web = {"url": given.gate, "timeoutSeconds": ANSWER_WITHIN, "jsonPath": "{$}"}
    harm = {
        "name": "harm",
        "interval": f"{EVERY}s",
        "successCondition": "result.harm == false",
        "failureCondition": "result.harm == true",
        "consecutiveErrorLimit": NEVER,
        "provider": {"web": web},
    }
    asked = math.ceil(_deadline(given.strategy) / EVERY)
    rise = {
        "name": "rise",
        "interval": f"{EVERY}s",
        "count": asked,
        "successCondition": "result.pass == true",
        "failureCondition": "result.harm == true",
        "consecutiveSuccessLimit": 1,
        "inconclusiveLimit": asked,
        "consecutiveErrorLimit": NEVER,
        "provider": {"web": web},
    }
    return {harm_name(given.service): {"metrics": [harm]}, rise_name(given.service): {"metrics": [rise]}}


def harm_name(service: str) -> str:
    """Return the name of the AnalysisTemplate that looks for harm."""
    return f"{service}-harm"


def rise_name(service: str) -> str:
    """Return the name of the AnalysisTemplate that a step waits for."""
    return f"{service}-rise"


def _steps(given: ArgoRollout) -> Sequence[Spec]:
    """All steps but the last one, which the Rollout does by itself: all requests at the new pods."""
    found: list[Spec] = []
    by_hand = given.strategy.promotes == "hand"
    for step in given.strategy.steps[:-1]:
        found.append({"setWeight": int(step.weight)})
        if step.hold_seconds:
            found.append({"pause": {"duration": f"{math.ceil(step.hold_seconds)}s"}})
        if given.gate is not None and not by_hand:
            found.append({"analysis": {"templates": [{"templateName": rise_name(given.service)}]}})
        if step.approve or by_hand:
            found.append({"pause": {}})
    return found


def _deadline(strategy: RolloutStrategy) -> float:
    """The longest time for which a step may wait for its gate."""
    if strategy.deadline.step != AUTO:
        return seconds(strategy.deadline.step)
    return max(SHORTEST_DEADLINE, AUTO_FACTOR * max(step.hold_seconds for step in strategy.steps))
