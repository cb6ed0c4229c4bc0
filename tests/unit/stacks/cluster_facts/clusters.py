"""Settings for a cluster, and objects of its API server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from stacks.settings.loading import load
from stacks.settings.model import Settings

OWNER = "istio-canary/dev"
Kubeconfig = Callable[..., Path]
Objects = dict[str, dict[str, Any]]
NAMESPACES = "/api/v1/namespaces"


def settings_of(website: dict[str, Any], path: Path | None = None, context: str | None = None, **mesh: Any) -> Settings:
    """The settings of the stack `website` for a cluster, given by its kubeconfig and context; `mesh` are more keys."""
    cluster = {"kubeconfig": str(path) if path else None, "context": context}
    website["cluster"] = {key: value for key, value in cluster.items() if value}
    website["mesh"] = mesh if mesh.get("install") is False else website["mesh"] | mesh
    return load(website)


def namespace(name: str, **annotations: str) -> Objects:
    """A namespace, by its path."""
    metadata = {"name": name, "uid": f"uid-of-{name}", "annotations": annotations}
    return {f"{NAMESPACES}/{name}": {"kind": "Namespace", "metadata": metadata}}
