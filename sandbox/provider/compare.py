"""Check and Diff of an ordinary Kubernetes object: what its inputs come to, and what a change of them does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sandbox.provider import diff, naming, objects, replacement, state
from sandbox.provider.api import ApiError, UnreachableError
from sandbox.provider.cluster import Cluster
from sandbox.provider.engine import WARNING
from sandbox.provider.kinds import NoSuchKindError, is_list, is_patch, kind_of_type, name_of_urn, type_of_urn
from sandbox.provider.normalize import normalize
from sandbox.provider.outcome import Checked, ResourceError
from sandbox.provider.readiness import job
from sandbox.provider.values import Unknown, plain


@dataclass(frozen=True)
class Difference:
    """Diff's answer."""

    changes: Mapping[str, diff.Change] = field(default_factory=dict)
    replaces: tuple[str, ...] = ()
    delete_before_replace: bool = False


def check(
    cluster: Cluster,
    urn: str,
    old_given: Mapping[str, Any],
    given: Mapping[str, Any],
    seed: bytes,
    autonaming: naming.Autonaming | None,
) -> Checked:
    """Return the inputs with name and namespace; ``old_given`` are those of the last update, if any."""
    inputs = normalize(plain(given, objects.to_kubernetes_key))
    old_inputs: dict[str, Any] = plain(old_given, objects.to_kubernetes_key)
    kind = kind_of_type(type_of_urn(urn))
    if is_list(urn):
        raise ResourceError(
            "list resources exist for compatibility with YAML manifests and Helm charts, and cannot be created "
            "directly. Use the underlying resource type instead"
        )
    if not inputs.get("kind") or not inputs.get("apiVersion"):
        raise ResourceError(f"a resource of type {type_of_urn(urn)} needs `apiVersion` and `kind`")
    if is_patch(urn, str(inputs["kind"])) and not naming.has_name(inputs):
        raise ResourceError("patch resources require the `.metadata.name` field to be set")
    if objects.annotation(inputs, objects.AUTONAMED):
        cluster.engine.log(urn, f'ignoring user-specified value for internal annotation "{objects.AUTONAMED}"', WARNING)
    if old_inputs:
        naming.adopt(inputs, old_inputs)
    else:
        naming.assign(inputs, name_of_urn(urn), seed, autonaming)
    if naming.has_generate_name(inputs):
        raise ResourceError("the `.metadata.generateName` field is not supported in Server-Side Apply mode")
    _default_namespace(cluster, inputs, kind.api_version)
    return Checked(state.inputs_with_secrets(inputs, given))


def _default_namespace(cluster: Cluster, inputs: dict[str, Any], api_version: str) -> None:
    namespace = cluster.settings.namespace
    named = objects.dig(inputs, "metadata", "namespace")
    if not namespace or named or isinstance(named, Unknown):
        return
    if cluster.namespaced({"apiVersion": inputs.get("apiVersion") or api_version, "kind": inputs.get("kind")}):
        objects.set_metadata(inputs, "namespace", namespace)


def difference(
    cluster: Cluster,
    urn: str,
    old_properties: Mapping[str, Any],
    new_given: Mapping[str, Any],
    ignored: Sequence[str],
) -> Difference:
    """Compare the live object, as far as inputs set it, with the new inputs. Asks the cluster nothing but kinds."""
    old = state.read(old_properties)
    new_inputs = normalize(plain(new_given, objects.to_kubernetes_key))
    pruned = objects.prune(old.live, normalize(old.inputs))
    _level(cluster, urn, old.live, pruned, new_inputs)

    patch = diff.merge_patch(pruned, new_inputs)
    rules: tuple[str, ...] = replacement.IDENTITY
    if not is_patch(urn, str(new_inputs.get("kind"))):
        rules = replacement.replaced_by(
            new_inputs,
            mutable_config_maps=cluster.settings.enable_config_map_mutable,
            mutable_secrets=cluster.settings.enable_secret_mutable,
        )
    changes = diff.without_ignored(diff.changes(patch, pruned, new_inputs, pruned, rules), ignored)
    replaces = tuple(
        key for key, change in changes.items() if change.replaces or (key == "metadata" and change.kind == "delete")
    )
    replaces += _unready(cluster, urn, old.live, new_inputs)
    same_place = (
        objects.name_of(new_inputs) == objects.name_of(old.live)
        and objects.namespace_of(new_inputs) == objects.namespace_of(old.live)
        and not naming.is_autonamed(new_inputs)
    )
    return Difference(changes, replaces, bool(replaces) and naming.has_name(new_inputs) and same_place)


def _level(
    cluster: Cluster, urn: str, live: Mapping[str, Any], pruned: dict[str, Any], new_inputs: dict[str, Any]
) -> None:
    """Take away what differs without meaning anything: a namespace left out, a resource version, a name made up."""
    if cluster.namespaced(new_inputs):
        for obj in (pruned, new_inputs):
            named = objects.dig(obj, "metadata", "namespace")
            if not isinstance(named, Unknown):
                objects.set_metadata(obj, "namespace", objects.namespace_of(obj) or "default")
    else:
        objects.set_metadata(pruned, "namespace", "")
        objects.set_metadata(new_inputs, "namespace", "")
    for key in ("apiVersion", "kind"):
        pruned.setdefault(key, new_inputs.get(key))
    objects.remove(pruned, "metadata", "resourceVersion")
    if objects.name_of(new_inputs):
        objects.set_metadata(pruned, "name", objects.name_of(live))


def _unready(cluster: Cluster, urn: str, live: Mapping[str, Any], new_inputs: Mapping[str, Any]) -> tuple[str, ...]:
    """A Job that asks for it is replaced when it is not complete."""
    if not objects.is_annotated(new_inputs, objects.REPLACE_UNREADY):
        return ()
    if new_inputs.get("kind") != "Job":
        cluster.engine.log(urn, "replaceUnready annotation is not supported for this resource")
        return ()
    try:
        ready = job(cluster.live(live)).ready
    except (ApiError, UnreachableError, NoSuchKindError):
        cluster.engine.log(urn, "The Job cannot be looked at, skipping replaceUnready check", WARNING)
        return ()
    return () if ready else (f'.metadata.annotations["{objects.REPLACE_UNREADY}"]',)
