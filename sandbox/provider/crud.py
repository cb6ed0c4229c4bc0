"""Create, Read, Update and Delete of an ordinary Kubernetes object."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sandbox.provider import apply, objects, state, waiting
from sandbox.provider.api import ApiError, UnreachableError
from sandbox.provider.cluster import Cluster
from sandbox.provider.engine import WARNING
from sandbox.provider.kinds import (
    NoSuchKindError,
    is_custom_resource_definition,
    is_patch,
    kind_of,
    kind_of_type,
    type_of_urn,
)
from sandbox.provider.normalize import normalize
from sandbox.provider.outcome import InitFailedError, Outcome, ResourceError
from sandbox.provider.values import contains_unknown, plain

# How long a namespace or a CustomResourceDefinition that is being created is waited for, pause by pause.
RETRY_PAUSES = (0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 6.0, 10.0, 10.0)

Object = Mapping[str, Any]


def create(cluster: Cluster, urn: str, given: Object, seconds: float, *, preview: bool) -> Outcome:
    """Make the object with a POST, so that one which exists is an error, and wait until it is ready.

    A preview asks for a dry run, unless an input or the kind is not known yet. Patch resources are applied to an object
    that somebody else made.
    """
    inputs: dict[str, Any] = plain(given, objects.to_kubernetes_key)
    patching = is_patch(urn, str(inputs.get("kind")))
    if preview and (contains_unknown(inputs) or patching or not cluster.serves(inputs)):
        return Outcome("", dict(given))
    if not preview:
        _require(cluster)
    manager = state.field_manager_for(urn, inputs)
    try:
        live = _create(cluster, urn, inputs, manager, preview=preview, patching=patching)
    except (ApiError, apply.FieldConflictError, NoSuchKindError) as error:
        if preview and _only_in_preview(error, inputs):
            return Outcome("", dict(given))
        raise ResourceError(_not_created(urn, inputs, error)) from error
    version = str(inputs.get("apiVersion"))
    if preview:
        live.pop("status", None)
        return Outcome("", state.write(inputs, live, given, version, manager))
    if is_custom_resource_definition(inputs):
        cluster.kinds.forget()
    what = "was successfully created, but the Kubernetes API server reported that it failed"

    def record(obj: Object) -> dict[str, Any]:
        return state.write(inputs, obj, given, version, manager)

    return _awaited(cluster, urn, inputs, live, seconds, record, what)


def _require(cluster: Cluster) -> None:
    if cluster.unreachable:
        raise ResourceError(f"configured Kubernetes cluster is unreachable: {cluster.unreachable}")


def _create(
    cluster: Cluster, urn: str, inputs: dict[str, Any], manager: str, *, preview: bool, patching: bool
) -> dict[str, Any]:
    for attempt, pause in enumerate((*RETRY_PAUSES, None)):
        try:
            live = _create_once(cluster, urn, inputs, manager, preview=preview, patching=patching)
            cluster.engine.status(urn, "")
            return live
        except (ApiError, NoSuchKindError) as error:
            missing = isinstance(error, NoSuchKindError) or error.not_found
            if preview or not missing or pause is None or cluster.cancelled.is_set():
                raise
            cluster.engine.status(urn, f"Retry #{attempt}; creation failed: {error}")
            cluster.cancelled.wait(pause)
    raise AssertionError("the last attempt returns or raises")


def _create_once(
    cluster: Cluster, urn: str, inputs: dict[str, Any], manager: str, *, preview: bool, patching: bool
) -> dict[str, Any]:
    if patching or cluster.settings.upsert_existing_objects:
        force = apply.forced(cluster, inputs, None, preview=preview)
        return apply.apply(cluster, inputs, manager, force=force, preview=preview)
    query = {"fieldManager": manager, "fieldValidation": "Warn"}
    if preview:
        query["dryRun"] = "All"
    try:
        return cluster.api.post(cluster.kinds.path(inputs, with_name=False), inputs, **query)
    except ApiError as error:
        if preview or not error.already_exists:
            raise
        return _left_behind(cluster, urn, inputs, manager, error)


def _left_behind(cluster: Cluster, urn: str, inputs: dict[str, Any], manager: str, error: ApiError) -> dict[str, Any]:
    """Take over an object that this very resource made in an update which was killed before it could record it."""
    live = cluster.live(inputs)
    makers = {str(entry.get("manager")) for entry in objects.dig(live, "metadata", "managedFields") or []}
    if manager not in makers:
        raise error
    cluster.engine.log(
        urn,
        f"{objects.qualified_name(live)} is left of an interrupted update of this resource: going on with it",
        WARNING,
    )
    owned = apply.take_over(cluster, live, manager)
    return apply.apply(cluster, inputs, manager, force=apply.forced(cluster, inputs, owned, preview=False))


def _only_in_preview(error: Exception, inputs: Object) -> bool:
    """Say whether a dry run fails for what the update will have done before: a replaced object, a missing namespace."""
    if isinstance(error, NoSuchKindError):
        return True
    if not isinstance(error, ApiError):
        return False
    return error.code in (403, 404) or error.already_exists or "does not support dry run" in str(error)


def _not_created(urn: str, inputs: Object, error: Exception) -> str:
    if isinstance(error, NoSuchKindError):
        return (
            f'creation of resource "{urn}" with kind {kind_of(inputs)} failed because the Kubernetes API server '
            "reported that the apiVersion for this resource does not exist. "
            f"Verify that any required CRDs have been created: {error}"
        )
    remedy = ""
    if isinstance(error, ApiError) and error.already_exists:
        remedy = (
            f"\nTo take it over, import it: pulumi import {type_of_urn(urn)} <name> {objects.qualified_name(inputs)}; "
            "to change some of its fields only, use the patch resource of its kind"
        )
    return f'resource "{urn}" was not successfully created by the Kubernetes API server: {error}{remedy}'


def _awaited(
    cluster: Cluster,
    urn: str,
    inputs: Object,
    live: dict[str, Any],
    seconds: float,
    record: Callable[[Object], dict[str, Any]],
    what: str,
) -> Outcome:
    """Wait until the object is ready and return it as it is then."""
    identifier = objects.qualified_name(live)
    try:
        waiting.until_ready(cluster, urn, inputs, live, seconds)
    except (waiting.NotReadyError, UnreachableError, ApiError) as error:
        problems = error.problems if isinstance(error, waiting.NotReadyError) else ()
        summary = error.summary if isinstance(error, waiting.NotReadyError) else str(error)
        message = f'resource "{identifier}" {what} to fully initialize or become live: {summary}'
        raise InitFailedError(message, Outcome(identifier, record(_freshest(cluster, live))), problems) from error
    return Outcome(identifier, record(_freshest(cluster, live)))


def _freshest(cluster: Cluster, live: dict[str, Any]) -> dict[str, Any]:
    """Return the object as it is now; what was seen last when it cannot be read, for it must not be forgotten."""
    try:
        return cluster.live(live)
    except (ApiError, UnreachableError, NoSuchKindError):
        return live


def update(
    cluster: Cluster,
    urn: str,
    old_properties: Object,
    given: Object,
    ignored: Sequence[str],
    seconds: float,
    *,
    preview: bool,
) -> Outcome:
    """Apply the new inputs with the field manager of the state, and wait until the object is ready."""
    inputs = normalize(plain(given, objects.to_kubernetes_key))
    if preview and (contains_unknown(inputs) or not cluster.serves(inputs)):
        return Outcome("", dict(given))
    if not preview:
        _require(cluster)
    old = state.read(old_properties)
    old_manager = state.field_manager_for(urn, old.inputs, old.field_manager)
    manager = state.field_manager_for(urn, inputs, old.field_manager)

    def record(obj: Object) -> dict[str, Any]:
        return state.write(inputs, obj, given, old.initial_api_version, manager)

    try:
        live = _update(cluster, urn, inputs, manager, ignored, preview=preview)
    except NoSuchKindError as error:
        raise ResourceError(
            f'update of resource "{urn}" failed because the Kubernetes API server reported that the apiVersion for '
            f"this resource does not exist. Verify that any required CRDs have been created: {error}"
        ) from error
    except (ApiError, apply.FieldConflictError) as error:
        if preview and isinstance(error, ApiError) and error.code == 403:
            return Outcome("", dict(given))
        raise _update_failed(cluster, urn, old.live, error, record) from error
    if preview:
        return Outcome(objects.qualified_name(live), record(live))
    what = "was updated, but the Kubernetes API server reported that it failed"
    outcome = _awaited(cluster, urn, inputs, live, seconds, record, what)
    if old_manager != manager:
        apply.relinquish(cluster, live, old_manager)
    return outcome


def _update(
    cluster: Cluster, urn: str, inputs: dict[str, Any], manager: str, ignored: Sequence[str], *, preview: bool
) -> dict[str, Any]:
    live: Object = cluster.live(inputs)
    if is_custom_resource_definition(inputs):
        # replaced, as `kubectl replace` does: a definition's lists of versions and columns do not merge
        inputs = {**inputs, "metadata": {**inputs["metadata"], "resourceVersion": live["metadata"]["resourceVersion"]}}
        query = {"fieldManager": manager, **({"dryRun": "All"} if preview else {})}
        return cluster.api.put(cluster.kinds.path(inputs), inputs, **query)
    if not preview and not is_patch(urn, str(inputs.get("kind"))):
        live = apply.take_over(cluster, live, manager)
    kept = apply.without_ignored(inputs, live, manager, ignored)
    force = apply.forced(cluster, inputs, live, preview=preview)
    return apply.apply(cluster, kept, manager, force=force, preview=preview)


def _update_failed(
    cluster: Cluster,
    urn: str,
    old_live: dict[str, Any],
    error: Exception,
    record: Callable[[Object], dict[str, Any]],
) -> Exception:
    """An object that is still there goes into the state with the error; one that is gone is only an error."""
    try:
        live = cluster.live(old_live)
    except (ApiError, UnreachableError, NoSuchKindError) as gone:
        return ResourceError(f'update of resource "{urn}" failed: {error}\nunable to get cluster state: {gone}')
    identifier = objects.qualified_name(live)
    message = (
        f'the Kubernetes API server reported that "{identifier}" failed to fully initialize or become live: {error}'
    )
    return InitFailedError(message, Outcome(identifier, record(live)))


def read(cluster: Cluster, urn: str, identifier: str, old_properties: Object, old_given: Object) -> Outcome:
    """Return the object as it is: for a refresh with its state, for an import or ``.get()`` with its id alone.

    The outcome's id is empty when the object, or its kind, is gone.
    """
    old = state.read(old_properties)
    inputs = normalize(plain(old_given, objects.to_kubernetes_key))
    from_cluster = not inputs.get("kind") and not old.live.get("kind")
    if not inputs.get("kind"):
        kind = kind_of(old.live) if old.live.get("kind") else kind_of_type(type_of_urn(urn))
        _identify(inputs, kind.api_version, kind.name, identifier)
    try:
        live = _read(cluster, urn, inputs, identifier)
    except NoSuchKindError:
        return Outcome("")
    except ApiError as error:
        if error.not_found:
            return Outcome("")
        raise ResourceError(f'reading of resource "{urn}" failed: {error}') from error
    found = objects.prune(live, inputs)
    if from_cluster:
        found = _all_inputs(live, found)
    manager = state.field_manager_for(urn, inputs, old.field_manager)
    version = old.initial_api_version or str(inputs.get("apiVersion"))
    outcome = Outcome(
        identifier or objects.qualified_name(live),
        state.write(found, live, old_given, version, manager),
        state.inputs_with_secrets(found, old_given),
    )
    if not from_cluster and not is_patch(urn, str(inputs.get("kind"))):
        _check_ready(cluster, inputs, live, outcome)
    return outcome


def _check_ready(cluster: Cluster, inputs: Object, live: Object, outcome: Outcome) -> None:
    try:
        waiting.check_now(cluster, inputs, live)
    except waiting.NotReadyError as error:
        raise InitFailedError(error.summary, outcome, error.problems) from error


def _identify(inputs: dict[str, Any], api_version: str, kind: str, identifier: str) -> None:
    namespace, name = objects.split_id(identifier)
    is_a_patch = kind.endswith("Patch")
    inputs.update(apiVersion=api_version, kind=kind.removesuffix("Patch") if is_a_patch else kind)
    metadata = inputs.setdefault("metadata", {})
    metadata.setdefault("name", name)
    if namespace:
        metadata.setdefault("namespace", namespace)


def _read(cluster: Cluster, urn: str, inputs: Object, identifier: str) -> dict[str, Any]:
    if cluster.unreachable:
        raise ResourceError(
            f"failed to read resource state due to unreachable cluster: {cluster.unreachable}. If the cluster was "
            "deleted, you can remove this resource from Pulumi state by rerunning the operation with the "
            'PULUMI_K8S_DELETE_UNREACHABLE environment variable set to "true"'
        )
    namespace, name = objects.split_id(identifier)
    metadata = {"name": name or objects.name_of(inputs), "namespace": namespace or objects.namespace_of(inputs)}
    return cluster.live({"apiVersion": inputs["apiVersion"], "kind": inputs["kind"], "metadata": metadata})


def _all_inputs(live: Object, found: dict[str, Any]) -> dict[str, Any]:
    """Take a built-in object's every field that can be an input, without what the API server filled in about it."""
    if kind_of(live).built_in:
        found = {key: value for key, value in live.items() if key != "status"}
    inputs = normalize(found)
    objects.remove(inputs, "metadata", "annotations", "deployment.kubernetes.io/revision")
    objects.remove(inputs, "metadata", "annotations", objects.LAST_APPLIED)
    return inputs


def delete(cluster: Cluster, urn: str, properties: Object, seconds: float) -> None:
    """Delete the object, in the foreground, and wait until it is gone; a patch resource gives up its fields instead."""
    old = state.read(properties)
    if cluster.unreachable:
        raise ResourceError(
            f"configured Kubernetes cluster is unreachable: {cluster.unreachable}. If the cluster was deleted, you can "
            "remove this resource from Pulumi state by rerunning the operation with the "
            'PULUMI_K8S_DELETE_UNREACHABLE environment variable set to "true"'
        )
    try:
        if is_patch(urn, str(old.live.get("kind"))):
            apply.relinquish(cluster, old.live, state.field_manager_for(urn, old.inputs, old.field_manager))
            return
        cluster.api.delete(cluster.kinds.path(old.live), _propagation(old.inputs))
        waiting.until_gone(cluster, urn, old.inputs, old.live, seconds)
    except NoSuchKindError:
        return  # its definition is gone, and it with it
    except ApiError as error:
        if error.not_found:
            return
        raise ResourceError(_not_deleted(urn, old.live, error)) from error
    except waiting.NotReadyError as error:
        raise ResourceError(f"deletion of {objects.qualified_name(old.live)}: {error}") from error


def _propagation(inputs: Object) -> str:
    policy = objects.annotation(inputs, objects.DELETION_PROPAGATION).lower()
    return {"orphan": "Orphan", "background": "Background"}.get(policy, "Foreground")


def _not_deleted(urn: str, live: Object, error: ApiError) -> str:
    required = [str(c.get("field")) for c in error.causes if c.get("reason") == "FieldValueRequired"]
    if required and is_patch(urn, str(live.get("kind"))):
        return (
            "this Patch resource is currently managing a required field, so it can't be deleted directly. Either set "
            f"the `retainOnDelete` resource option, or transfer ownership of the field before deleting: {required[0]}"
        )
    return f'deletion of resource "{urn}" failed: {error}'
