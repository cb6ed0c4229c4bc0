"""Kubernetes' pod template of a stack's file laid over the pods of a version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi_kubernetes as k8s
from pulumi._types import input_type_to_dict, is_input_type

from kube.kubernetes_schemas import laid_over

TEMPLATE = "io.k8s.api.core.v1.PodTemplateSpec"
CANONICAL = {
    "app.kubernetes.io/name": ("service.istio.io/canonical-name", "app"),
    "app.kubernetes.io/version": ("service.istio.io/canonical-revision", "version"),
}
"""Labels by which Istio would call a pod in its metrics in place of ours, the label that goes before them, and ours
(Istio: "Canonical Service")."""


def laid_over_pods(
    template: k8s.core.v1.PodTemplateSpecArgs, over: Mapping[str, Any] | None
) -> k8s.core.v1.PodTemplateSpecArgs | dict[str, Any]:
    """Return the template with `over`, Kubernetes' PodTemplateSpec, laid over it (a strategic merge).

    The pods keep their names in Istio's metrics, whatever labels they get.
    """
    if not over:
        return template
    merged = laid_over(_plain(template), over, TEMPLATE)
    labels = merged["metadata"]["labels"]
    merged["metadata"]["labels"] = {
        **labels,
        **{canonical: labels[own] for label, (canonical, own) in CANONICAL.items() if label in labels},
    }
    return _without_empty(merged)


def _plain(value: Any) -> Any:
    """Pulumi's arguments as mappings with Kubernetes' own names; outputs stay as they are."""
    if is_input_type(type(value)):
        return {key: _plain(one) for key, one in input_type_to_dict(value).items()}
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(one) for one in value]
    return value


def _without_empty(template: dict[str, Any]) -> dict[str, Any]:
    """The template without empty fields of metadata and spec, which Kubernetes drops."""
    return {
        part: {key: value for key, value in fields.items() if value not in ([], {})}
        for part, fields in template.items()
    }
