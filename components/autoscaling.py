"""A version's HorizontalPodAutoscaler (Kubernetes: "Horizontal Pod Autoscaling")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as k8s


@dataclass(frozen=True, kw_only=True)
class AutoscalingArgs:
    """How many pods a version may have, and by what they are scaled.

    `utilization` is in percent of what the containers request, by resource, such as cpu. `metrics` and `behavior` are
    as in Kubernetes' HorizontalPodAutoscalerSpec.
    """

    min_replicas: int
    max_replicas: int
    utilization: Mapping[str, int]
    metrics: Sequence[Mapping[str, Any]] = ()
    behavior: Mapping[str, Any] | None = None


def horizontal_pod_autoscaler(
    name: str,
    args: AutoscalingArgs,
    metadata: k8s.meta.v1.ObjectMetaArgs,
    deployment: str,
    opts: pulumi.ResourceOptions,
) -> k8s.autoscaling.v2.HorizontalPodAutoscaler:
    """Build the autoscaler of the Deployment with this name in the cluster."""
    metrics = [
        k8s.autoscaling.v2.MetricSpecArgs(
            type="Resource",
            resource=k8s.autoscaling.v2.ResourceMetricSourceArgs(
                name=resource,
                target=k8s.autoscaling.v2.MetricTargetArgs(type="Utilization", average_utilization=percent),
            ),
        )
        for resource, percent in args.utilization.items()
    ]
    return k8s.autoscaling.v2.HorizontalPodAutoscaler(
        name,
        metadata=metadata,
        spec={
            "minReplicas": args.min_replicas,
            "maxReplicas": args.max_replicas,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment},
            "metrics": [*metrics, *map(dict, args.metrics)],
            **({"behavior": dict(args.behavior)} if args.behavior else {}),
        },
        opts=opts,
    )
