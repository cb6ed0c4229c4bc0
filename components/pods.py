"""Kubernetes' pod template of a stack's file laid over the pods of a version."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi_kubernetes as k8s
import yaml
from pulumi._types import input_type_to_dict, is_input_type

from kube.kubernetes_schemas import laid_over

PROXY_CONFIG = "proxy.istio.io/config"
"""Annotation with the configuration of a pod's proxy, YAML or JSON (Istio: "ProxyConfig")."""
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
    own = _plain(template)
    merged = laid_over(own, over, TEMPLATE)
    _merge_proxy_config(merged["metadata"], own["metadata"])
    labels = merged["metadata"]["labels"]
    merged["metadata"]["labels"] = {
        **labels,
        **{canonical: labels[own] for label, (canonical, own) in CANONICAL.items() if label in labels},
    }
    return _without_empty(merged)


def _merge_proxy_config(metadata: dict[str, Any], own: Mapping[str, Any]) -> None:
    """Keep what the stack's telemetry asks of the proxies beside what the template does."""
    texts = [one.get("annotations", {}).get(PROXY_CONFIG) for one in (own, metadata)]
    below, over = (yaml.safe_load(text) if isinstance(text, str) else None for text in texts)
    if below != over and isinstance(below, dict) and isinstance(over, dict):
        metadata["annotations"][PROXY_CONFIG] = json.dumps(_merged(below, over))


def _merged(below: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Deeply merged, with lists of both."""
    merged = dict(below)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            merged[key] = _merged(old, value)
        else:
            merged[key] = [*old, *value] if isinstance(old, list) and isinstance(value, list) else value
    return merged


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
