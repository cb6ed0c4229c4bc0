"""The order in which a stack's objects are applied: each after what it depends on, else by kind."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stacks.recording import Recorded

STAGES = (
    ("Namespace", "NamespacePatch"),
    ("CustomResourceDefinition", "Release"),
    ("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"),
    ("ConfigMap", "Secret", "PersistentVolumeClaim", "NetworkPolicy", "IngressClass"),
    ("Service", "PodDisruptionBudget"),
    ("Deployment", "CronJob"),
)
"""Kinds by stage; all other kinds, such as Istio's routes, come last."""


def in_order(resources: Iterable[Recorded]) -> list[Recorded]:
    """Return what a provider makes, in the order in which it is applied.

    An object comes after all that it and its parents depend on. Of those that could be next, the one of the earliest
    stage is, then the one that the program registers first. Raises ValueError if objects wait for each other.
    """
    every = {resource.urn: resource for resource in resources}
    made = {urn: one for urn, one in every.items() if not (one.is_component or one.is_provider)}
    place = {urn: (_stage(one), index) for index, (urn, one) in enumerate(made.items())}
    waits_for = {urn: _needed(one, every) & made.keys() for urn, one in made.items()}
    dependents: dict[str, list[str]] = defaultdict(list)
    for urn, needed in waits_for.items():
        for other in needed:
            dependents[other].append(urn)

    ready = [(place[urn], urn) for urn, needed in waits_for.items() if not needed]
    heapq.heapify(ready)
    ordered: list[Recorded] = []
    while ready:
        _, urn = heapq.heappop(ready)
        ordered.append(made[urn])
        for other in dependents[urn]:
            waits_for[other].discard(urn)
            if not waits_for[other]:
                heapq.heappush(ready, (place[other], other))
    if len(ordered) < len(made):
        stuck = sorted(urn for urn, needed in waits_for.items() if needed)
        raise ValueError(f"objects wait for each other: {', '.join(stuck)}")
    return ordered


def _stage(resource: Recorded) -> int:
    kind = resource.type.rpartition(":")[2]
    return next((number for number, kinds in enumerate(STAGES) if kind in kinds), len(STAGES))


def _needed(resource: Recorded, every: Mapping[str, Recorded]) -> set[str]:
    """What the engine finishes before this object: children are registered after what their parents depend on."""
    needed: set[str] = set()
    current: Recorded | None = resource
    while current is not None:
        needed |= {*current.depends_on}
        current = every.get(current.parent or "")
    return needed - {resource.urn}
