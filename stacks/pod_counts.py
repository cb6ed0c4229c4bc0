"""Who decides about a version's number of pods, and how many it will have."""

from __future__ import annotations

from collections.abc import Mapping

from components.autoscaling import AutoscalingArgs
from stacks.settings.autoscaling import Autoscaling
from stacks.settings.model import Settings, VersionSettings
from traffic.model import Target


def pods_of(version: VersionSettings, observed: int | None) -> int:
    """Return how many pods a version will have; `observed` is how many it has, None if it is new.

    An autoscaler keeps the number within its bounds, and starts from its least one.
    """
    scaling = version.autoscaling
    if scaling is not None:
        return min(max(observed or 0, scaling.min_replicas), scaling.max_replicas)
    if version.replicas is not None:
        return version.replicas
    return 1 if observed is None else observed


def keeps_pods(version: VersionSettings, observed: int | None) -> bool:
    """Return whether a run leaves the number of pods of an existing Deployment alone.

    An autoscaler does not scale a Deployment that has 0 replicas, so it has to get its first pods.
    """
    return version.replicas is None and not (version.autoscaling is not None and observed == 0)


def autoscaling_args(scaling: Autoscaling | None) -> AutoscalingArgs | None:
    """Return the component's arguments for a version's autoscaler."""
    if scaling is None:
        return None
    return AutoscalingArgs(
        min_replicas=scaling.min_replicas,
        max_replicas=scaling.max_replicas,
        utilization={name: percent for name in ("cpu", "memory") if (percent := getattr(scaling, name)) is not None},
        metrics=scaling.metrics,
        behavior=scaling.behavior,
    )


def replicas_of(settings: Settings, observed: Mapping[Target, int] | None = None) -> dict[Target, int]:
    """Return the number of pods that each version that the stack deploys will have; `observed` are those that versions
    have.
    """
    return {
        Target(name, version): pods_of(given, (observed or {}).get(Target(name, version)))
        for name, service in settings.services.items()
        for version, given in service.deployed.items()
    }
