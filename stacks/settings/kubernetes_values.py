"""Values of a stack's file that are Kubernetes' own; stacks/checks/kubernetes.py checks them against its schemas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import WithJsonSchema

MARK = "x-kubernetes-schema"
"""Where the JSON schema of the settings names a schema of Kubernetes."""
METRIC_SPEC = "io.k8s.api.autoscaling.v2.MetricSpec"
SCALING_BEHAVIOR = "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerBehavior"
POD_TEMPLATE_SPEC = "io.k8s.api.core.v1.PodTemplateSpec"

MetricSpec = Annotated[dict[str, Any], WithJsonSchema({"type": "object", MARK: METRIC_SPEC})]
ScalingBehavior = Annotated[dict[str, Any], WithJsonSchema({"type": "object", MARK: SCALING_BEHAVIOR})]
PodTemplateSpec = Annotated[dict[str, Any], WithJsonSchema({"type": "object", MARK: POD_TEMPLATE_SPEC})]


def merged_template(service: Mapping[str, Any] | None, version: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the podTemplate of a version laid over that of its service; None if there is neither."""
    if not service or not version:
        return dict(service or version or {}) or None

    from kube.kubernetes_schemas import laid_over

    return laid_over(service, version, POD_TEMPLATE_SPEC)
