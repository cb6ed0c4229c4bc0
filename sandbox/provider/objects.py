"""Reading and shaping Kubernetes objects, which are plain JSON objects everywhere in this provider."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

AUTONAMED = "pulumi.com/autonamed"
SKIP_AWAIT = "pulumi.com/skipAwait"
WAIT_FOR = "pulumi.com/waitFor"
TIMEOUT_SECONDS = "pulumi.com/timeoutSeconds"
REPLACE_UNREADY = "pulumi.com/replaceUnready"
PATCH_FORCE = "pulumi.com/patchForce"
PATCH_FIELD_MANAGER = "pulumi.com/patchFieldManager"
DELETION_PROPAGATION = "pulumi.com/deletionPropagationPolicy"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

# x-kubernetes-* is no property name in Pulumi's SDKs: there the dashes are underscores.
_UNDERSCORED = {
    f"x_kubernetes_{name}": f"x-kubernetes-{name.replace('_', '-')}"
    for name in (
        "embedded_resource",
        "int_or_string",
        "list_map_keys",
        "list_type",
        "map_type",
        "preserve_unknown_fields",
        "validations",
    )
}
_DASHED = {dashed: underscored for underscored, dashed in _UNDERSCORED.items()}


def words(text: str) -> tuple[str, ...]:
    """Return the words of ``text``: for long tables of field names."""
    return tuple(text.split())


def to_kubernetes_key(key: str) -> str:
    """Return the API's spelling of an SDK's property name."""
    return _UNDERSCORED.get(key, key)


def to_pulumi_key(key: str) -> str:
    """Return the SDK's spelling of an API's field name."""
    return _DASHED.get(key, key)


def dig(value: Any, *path: str) -> Any:
    """Return what is at ``path`` inside nested objects, or None."""
    for key in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def text_at(obj: Mapping[str, Any], *path: str) -> str:
    """Return the text at ``path``; an unknown or a missing value counts as empty."""
    value = dig(obj, *path)
    return value if isinstance(value, str) else ""


def name_of(obj: Mapping[str, Any]) -> str:
    """Return metadata.name, or nothing."""
    return text_at(obj, "metadata", "name")


def namespace_of(obj: Mapping[str, Any]) -> str:
    """Return metadata.namespace, or nothing."""
    return text_at(obj, "metadata", "namespace")


def qualified_name(obj: Mapping[str, Any]) -> str:
    """Return ``namespace/name``, or the name alone: the resource's id in Pulumi."""
    namespace = namespace_of(obj)
    return f"{namespace}/{name_of(obj)}" if namespace else name_of(obj)


def split_id(identifier: str) -> tuple[str, str]:
    """Return namespace and name of an id."""
    namespace, _, name = identifier.rpartition("/")
    return namespace, name


def annotation(obj: Mapping[str, Any], key: str) -> str:
    """Return the value of an annotation, or nothing."""
    annotations = dig(obj, "metadata", "annotations")
    value = annotations.get(key) if isinstance(annotations, Mapping) else None
    return value if isinstance(value, str) else ""


def is_annotated(obj: Mapping[str, Any], key: str) -> bool:
    """Say whether an annotation is "true"."""
    return annotation(obj, key) == "true"


def set_metadata(obj: dict[str, Any], key: str, value: str) -> None:
    """Set ``metadata.<key>`` unless the metadata is not known yet; an empty value removes it."""
    metadata = obj.setdefault("metadata", {})
    if not isinstance(metadata, dict):
        return
    if value:
        metadata[key] = value
    else:
        metadata.pop(key, None)


def remove(obj: Any, *path: str) -> None:
    """Remove the field at ``path`` if it is there."""
    holder = dig(obj, *path[:-1])
    if isinstance(holder, dict):
        holder.pop(path[-1], None)


def owned_by(obj: Mapping[str, Any], owner: Mapping[str, Any]) -> bool:
    """Say whether ``owner`` is among the owner references of ``obj``."""
    uid = dig(owner, "metadata", "uid")
    return any(ref.get("uid") == uid for ref in dig(obj, "metadata", "ownerReferences") or [])


def prune(live: Mapping[str, Any], shape: Mapping[str, Any]) -> dict[str, Any]:
    """Return of ``live`` only what also ``shape`` has: what a person set, at the values that the cluster holds now."""
    pruned = {}
    for key, value in live.items():
        if key in shape:
            pruned[key] = _prune_value(value, shape[key])
    return pruned


def _prune_value(value: Any, shape: Any) -> Any:
    if isinstance(value, Mapping) and isinstance(shape, Mapping):
        return prune(value, shape)
    if isinstance(value, list) and isinstance(shape, list):
        return _prune_list(value, shape)
    return copy.deepcopy(value)


def _prune_list(values: list[Any], shape: list[Any]) -> list[Any]:
    if not values or not shape:
        return []
    if type(values[0]) is not type(shape[0]):
        return copy.deepcopy(values)
    return [_prune_value(value, wanted) for value, wanted in zip(values, shape, strict=False)]
