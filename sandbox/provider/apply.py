"""Server-side apply: who owns which field, and how an object that was made by a POST comes under it.

Follows "Server-Side Apply" of the Kubernetes documentation.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.provider import api, diff, objects
from sandbox.provider.cluster import Cluster

ATTEMPTS = 5
HELP = (
    "https://www.pulumi.com/registry/packages/kubernetes/how-to-guides/managing-resources-with-server-side-apply/"
    "#handle-field-conflicts-on-existing-resources"
)
# Managers whose fields come to us: what a POST of ours set, and what a person did by hand with kubectl.
_OURS_BY_UPDATE = ("pulumi-kubernetes", "pulumi-resource-kubernetes")
_TAKEN_OVER = {"Update": ("kubectl", "before-first-apply", *_OURS_BY_UPDATE), "Apply": ("kubectl",)}


class FieldConflictError(Exception):
    """Another manager owns a field that is to be set."""


def apply(
    cluster: Cluster, inputs: Mapping[str, Any], manager: str, *, force: bool, preview: bool = False
) -> dict[str, Any]:
    """Apply ``inputs`` as ``manager`` and return the object. Raises ``FieldConflictError`` and what the API raises."""
    query = {"fieldManager": manager, "force": str(force).lower(), "fieldValidation": "Warn"}
    if preview:
        query["dryRun"] = "All"
    try:
        return cluster.api.patch(cluster.kinds.path(inputs), inputs, api.APPLY, **query)
    except api.ApiError as error:
        if preview and not force and _only_with_taken_over(error):
            return apply(cluster, inputs, manager, force=True, preview=True)
        if error.conflict:
            raise FieldConflictError(_explain(error, manager)) from error
        raise


def _only_with_taken_over(error: api.ApiError) -> bool:
    """Say whether all conflicts are with managers whose fields the update takes over before it applies."""
    pattern = r'conflict with "([^"]+)"(?! with subresource)'
    managers = [re.search(pattern, str(cause.get("message"))) for cause in error.causes]
    return error.conflict and bool(managers) and all(m and m[1].startswith(_TAKEN_OVER["Update"]) for m in managers)


def _explain(error: api.ApiError, manager: str) -> str:
    return (
        f"Server-Side Apply field conflict detected. See {HELP} for troubleshooting help.\n"
        f'The resource managed by field manager "{manager}" had an apply conflict: {error}\n'
        f'To take the fields over, set the annotation {objects.PATCH_FORCE}: "true" on the resource.'
    )


def forced(cluster: Cluster, inputs: Mapping[str, Any], live: Mapping[str, Any] | None, *, preview: bool) -> bool:
    """Say whether conflicts are to be overridden.

    A preview before a replacement or before a change of field managers overrides them: the update will have none.
    """
    if objects.is_annotated(inputs, objects.PATCH_FORCE) or cluster.settings.enable_patch_force:
        return True
    if "PULUMI_K8S_ENABLE_PATCH_FORCE" in os.environ:
        return os.environ["PULUMI_K8S_ENABLE_PATCH_FORCE"] == "true"
    if not preview:
        return False
    if live is None:
        return True
    return any(
        entry.get("operation") == "Update" and str(entry.get("manager")).startswith(_OURS_BY_UPDATE)
        for entry in objects.dig(live, "metadata", "managedFields") or []
    )


def take_over(cluster: Cluster, live: Mapping[str, Any], manager: str) -> Mapping[str, Any]:
    """Make ``manager`` the applier of what a POST or kubectl set, so that a field which is left out later goes away."""
    for _ in range(ATTEMPTS):
        entries = objects.dig(live, "metadata", "managedFields") or []
        moved = moved_to(entries, manager)
        if moved is None:
            return live
        version = objects.text_at(live, "metadata", "resourceVersion")
        patch = [
            {"op": "replace", "path": "/metadata/managedFields", "value": moved},
            {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
        ]
        try:
            return cluster.api.patch(cluster.kinds.path(live), patch, api.JSON_PATCH)
        except api.ApiError as error:
            if not error.conflict:
                raise
            live = cluster.live(live)
    return live


def moved_to(entries: Sequence[Mapping[str, Any]], manager: str) -> list[dict[str, Any]] | None:
    """Return managedFields in which ``manager`` applies what the managers before it set; None when nothing changes."""
    mine: dict[str, Any] | None = None
    others: list[dict[str, Any]] = []
    taken: list[Mapping[str, Any]] = []
    for entry in entries:
        operation = str(entry.get("operation"))
        if operation == "Apply" and entry.get("manager") == manager:
            mine = copy.deepcopy(dict(entry))
        elif not entry.get("subresource") and str(entry.get("manager")).startswith(_TAKEN_OVER.get(operation, ("\0",))):
            taken.append(entry)
        else:
            others.append(dict(entry))
    if not taken:
        return None
    mine = mine or {**copy.deepcopy(dict(taken[0])), "manager": manager, "operation": "Apply"}
    for entry in taken:
        mine["fieldsV1"] = union(mine.get("fieldsV1") or {}, entry.get("fieldsV1") or {})
    return [*others, mine]


def union(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    """Return the set of fields that is in either of two FieldsV1."""
    return {key: union(left.get(key) or {}, right.get(key) or {}) for key in sorted({*left, *right})}


def without_ignored(
    inputs: Mapping[str, Any], live: Mapping[str, Any], manager: str, ignored: Sequence[str]
) -> dict[str, Any]:
    """Return ``inputs`` as ``ignoreChanges`` wants them: others' fields left out, our own at their live value."""
    kept: dict[str, Any] = copy.deepcopy(dict(inputs))
    for text in ignored:
        path = [str(step) for step in diff.parse_property_path(text)]
        owners = {
            str(entry.get("manager")) == manager
            for entry in objects.dig(live, "metadata", "managedFields") or []
            if objects.dig(entry, "fieldsV1", *(f"f:{step}" for step in path)) is not None
        }
        if owners == {False}:
            objects.remove(kept, *path)
            continue
        value = objects.dig(live, *path)
        holder = objects.dig(kept, *path[:-1])
        if value is not None and isinstance(holder, dict):
            holder[path[-1]] = copy.deepcopy(value)
    return kept


def relinquish(cluster: Cluster, obj: Mapping[str, Any], manager: str) -> None:
    """Give up all fields of ``manager``: what nobody else set goes back to its default; the object stays."""
    metadata = {key: obj["metadata"][key] for key in ("name", "namespace") if obj.get("metadata", {}).get(key)}
    apply(
        cluster,
        {"apiVersion": obj.get("apiVersion"), "kind": obj.get("kind"), "metadata": metadata},
        manager,
        force=False,
    )
