"""Functions of the provider that a program calls: of these only kubernetes:yaml:decode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from sandbox.provider import objects
from sandbox.provider.cluster import Cluster
from sandbox.provider.outcome import ResourceError

DECODE_YAML = "kubernetes:yaml:decode"


def invoke(cluster: Cluster, token: str, args: Mapping[str, Any]) -> dict[str, Any]:
    """Return the function's result. Raises ``ResourceError`` for a function that the stand-in does not have."""
    if token != DECODE_YAML:
        raise ResourceError(
            f"the sandbox's provider has no function {token!r}; it has {DECODE_YAML!r}. "
            "Install the official plugin for it: pulumi plugin install resource kubernetes"
        )
    text = args.get("text")
    if not isinstance(text, str):
        raise ResourceError(f"{token}: missing required field 'text' of type string")
    try:
        found = [obj for document in yaml.safe_load_all(text) if document for obj in _flattened(document)]
    except yaml.YAMLError as error:
        raise ResourceError(f"{token}: the text is not valid YAML: {error}") from error
    namespace = args.get("defaultNamespace")
    for obj in found:
        if namespace and not objects.namespace_of(obj) and cluster.namespaced(obj):
            objects.set_metadata(obj, "namespace", str(namespace))
    return {"result": found}


def _flattened(document: Any) -> list[dict[str, Any]]:
    if not isinstance(document, dict):
        raise ResourceError(f"{DECODE_YAML}: a document is no object, but {type(document).__name__}")
    items = document.get("items")
    return [dict(item) for item in items] if isinstance(items, list) and "metadata" not in document else [document]
