"""The fast path: writes `spec.http` of a VirtualService, and hands it back to Pulumi when the rollout is over.

`spec.http` has no list type in Istio's CRD, so it is owned as a whole. The rollout owns it under a field manager of its
own; Pulumi's provider applies without force, so that the API server refuses a stale `up` (Kubernetes: "Server-Side
Apply"). http is never given up by an apply without it: while Pulumi does not own it, that would delete all routes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kube.client import FORBIDDEN
from kube.conflicts import CONFLICT, NOT_FOUND, ConflictError
from kube.objects import find_object, kind_of
from rollout.decision import PULUMI
from rollout.observed_routes import ISTIO_API, is_out_of_effect
from rollout.record import ANNOTATION, FIELD_MANAGER

if TYPE_CHECKING:
    from lightkube import Client

PULUMI_ANNOTATION = "pulumi.com/patchFieldManager"
"""Annotation with the name of the field manager that the provider uses instead of one of its own."""
BARRED_ANNOTATION = "istio-canary/barred"
"""Annotation of a VirtualService: the service's versions that must get no requests, for the admission policy of
components/rollout_fence.py."""
REFUSED = (400, 403, 422)
"""How the API server answers for an admission webhook or policy that says no."""


class VirtualServiceGoneError(Exception):
    """The VirtualService was deleted, or deleted and created again: what was decided about the old one is void."""


class RouteRefusedError(Exception):
    """An admission webhook or policy refuses the write. Says what it said, and the fix."""


@dataclass(frozen=True, kw_only=True)
class RouteInCluster:
    """A VirtualService as it is: its http routes, who owns them, and the decision that wrote them; None if none.

    `found` is the whole object, as `hand_over` takes it.
    """

    name: str
    uid: str
    resource_version: str
    http: Sequence[Mapping[str, Any]]
    owner: str | None
    annotation: str | None
    found: Mapping[str, Any]


def read_routes_in_cluster(client: Client, namespace: str, names: Iterable[str]) -> dict[str, RouteInCluster]:
    """Return those of the VirtualServices `names` that exist and apply to any request."""
    found = {name: find_object(client, ISTIO_API, "VirtualService", namespace, name) for name in names}
    return {
        name: route_in_cluster(item)
        for name, item in found.items()
        if item is not None and not is_out_of_effect(item.get("spec") or {})
    }


def route_in_cluster(found: Mapping[str, Any]) -> RouteInCluster:
    """Return a VirtualService as the API server returned it."""
    metadata = found["metadata"]
    return RouteInCluster(
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        http=(found.get("spec") or {}).get("http") or (),
        owner=owner_of_http(found),
        annotation=(metadata.get("annotations") or {}).get(ANNOTATION),
        found=found,
    )


def write_http(
    client: Client,
    namespace: str,
    name: str,
    http: Sequence[Mapping[str, Any]],
    annotation: str,
    resource_version: str | None,
    uid: str | None = None,
    barred: Iterable[str] = (),
) -> str:
    """Write the http routes of a VirtualService, whoever owns them, and return its new resourceVersion.

    A write has the `resource_version` that was read before the record was written; an abort that others are faster than
    each time has None, and overwrites all. `annotation` names the decision: it changes with each, so that the
    resourceVersion moves although the routes may be the same, and a holder that slept is refused. `uid` is that of the
    VirtualService that was decided about, by default of the one that exists. `barred` are the service's versions that
    must get no requests (`rollout.store.barred_versions`): who leaves one out lifts its bar.

    Raises ConflictError if it was written since `resource_version`, VirtualServiceGoneError and RouteRefusedError.
    """
    from lightkube.types import PatchType

    if not http:
        raise ValueError(f"no http routes for the VirtualService {namespace}/{name}: all its requests would fail")
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": namespace,
        # Without a uid, an apply creates what does not exist, even with a resourceVersion: a route without hosts.
        "uid": uid or _uid(client, namespace, name),
        "annotations": {ANNOTATION: annotation, **({BARRED_ANNOTATION: bars} if (bars := ",".join(barred)) else {})},
    }
    if resource_version is not None:
        metadata["resourceVersion"] = resource_version
    body = {"apiVersion": ISTIO_API, "kind": "VirtualService", "metadata": metadata, "spec": {"http": list(http)}}
    written = _patched(client, namespace, name, body, PatchType.APPLY)
    return str(written["metadata"]["resourceVersion"])


def _uid(client: Client, namespace: str, name: str) -> str:
    found = find_object(client, ISTIO_API, "VirtualService", namespace, name)
    if found is None:
        raise VirtualServiceGoneError(f"the VirtualService {namespace}/{name} does not exist")
    return str(found["metadata"]["uid"])


def owner_of_http(virtual_service: Mapping[str, Any]) -> str | None:
    """Return the field manager that owns `spec.http`, None if none does.

    Of several, which hold the same value: the rollout's, else Pulumi's, else the first.
    """
    owners = owners_of_http(virtual_service)
    pulumi = _pulumi_name(virtual_service)
    ranked = sorted(owners, key=lambda owner: (owner != FIELD_MANAGER, not _is_pulumi(owner, pulumi)))
    return next(iter(ranked), None)


def owners_of_http(virtual_service: Mapping[str, Any]) -> tuple[str, ...]:
    """Return all field managers that own `spec.http`, in the object's order."""
    entries = _entries(virtual_service)
    return tuple(dict.fromkeys(entry["manager"] for entry in entries if "f:http" in _fields_of_spec(entry)))


def hand_over(client: Client, virtual_service: Mapping[str, Any]) -> bool:
    """Give `spec.http` from the rollout's field manager to Pulumi's, and return whether that took a write.

    `virtual_service` is the object as it was read. Other managers keep what they own. If Pulumi's owns nothing any
    more, nobody owns http afterwards, and Pulumi's next apply takes it. Neither the routes nor the rollout's
    annotation, which stays its own, change.

    Raises ConflictError if the object was written since, VirtualServiceGoneError, and RouteRefusedError.
    """
    from lightkube.types import PatchType

    if FIELD_MANAGER not in owners_of_http(virtual_service):
        return False
    metadata = virtual_service["metadata"]
    operations = [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
        {"op": "replace", "path": "/metadata/managedFields", "value": handed_over(virtual_service)},
    ]
    namespace, name = metadata["namespace"], metadata["name"]
    written = _patched(client, namespace, name, operations, PatchType.JSON)
    if FIELD_MANAGER in owners_of_http(written):
        said = f"the API server took the patch, but spec.http still belongs to {FIELD_MANAGER}"
        raise _refused(namespace, name, said, of_owner=True)
    return True


def handed_over(virtual_service: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return `metadata.managedFields` in which Pulumi's field manager owns `spec.http`, and the rollout's does not."""
    entries = [deepcopy(dict(entry)) for entry in _entries(virtual_service)]
    for entry in _of_pulumi(entries, _pulumi_name(virtual_service)):
        entry["fieldsV1"].setdefault("f:spec", {})["f:http"] = {}
    for entry in entries:
        if entry["manager"] == FIELD_MANAGER:
            _drop_http(entry)
    return [entry for entry in entries if entry["fieldsV1"]]


def _of_pulumi(entries: Sequence[dict[str, Any]], pulumi: str) -> list[dict[str, Any]]:
    """The entries of Pulumi's field manager: of several, those that own the hosts, as the VirtualService's stack does.

    Others are of stacks that patch it.
    """
    applied = [one for one in entries if one["operation"] == "Apply" and _is_pulumi(one["manager"], pulumi)]
    return [one for one in applied if "f:hosts" in _fields_of_spec(one)] or applied


def _is_pulumi(manager: str, pulumi: str) -> bool:
    return manager == pulumi if pulumi else manager.startswith(PULUMI)


def _pulumi_name(virtual_service: Mapping[str, Any]) -> str:
    """The name that Pulumi's provider was told to use, empty if none."""
    annotations: Mapping[str, str] = virtual_service["metadata"].get("annotations") or {}
    return annotations.get(PULUMI_ANNOTATION, "")


def _drop_http(entry: dict[str, Any]) -> None:
    spec = entry["fieldsV1"].get("f:spec") or {}
    spec.pop("f:http", None)
    if not spec.keys() - {"."}:
        entry["fieldsV1"].pop("f:spec", None)


def _entries(virtual_service: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The entries of managedFields; those of the status, which istiod writes, have no field of the spec."""
    return [entry for entry in virtual_service["metadata"].get("managedFields") or () if "fieldsV1" in entry]


def _fields_of_spec(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    return entry["fieldsV1"].get("f:spec") or {}


def _patched(client: Client, namespace: str, name: str, body: Any, patch_type: Any) -> Mapping[str, Any]:
    """Patch as the rollout's field manager; the API server's refusals as this module's errors."""
    import httpx2
    from lightkube.types import PatchType

    applies = patch_type is PatchType.APPLY
    try:
        written = client.patch(
            kind_of(ISTIO_API, "VirtualService"),
            name,
            body,
            namespace=namespace,
            patch_type=patch_type,
            field_manager=FIELD_MANAGER,
            force=applies,
        )
    except httpx2.HTTPStatusError as error:
        raise _explained(namespace, name, error, of_owner=not applies) from None
    return dict(written.to_dict())


def _explained(namespace: str, name: str, error: Any, *, of_owner: bool) -> Exception:
    code, said = error.response.status_code, str(error)
    what = f"the VirtualService {namespace}/{name}"
    if code == NOT_FOUND or (code == CONFLICT and "uid mismatch" in said):
        return VirtualServiceGoneError(f"{what} does not exist any more")
    if code == 422 and "metadata.uid" in said:
        return VirtualServiceGoneError(f"{what} was deleted and created again")
    if code == CONFLICT:
        return ConflictError(f"{what} was written by somebody else meanwhile: {said}")
    if code in REFUSED and FORBIDDEN.search(said) is None:
        return _refused(namespace, name, said, of_owner=of_owner)
    unchanged: Exception = error
    return unchanged


def _refused(namespace: str, name: str, said: str, *, of_owner: bool) -> RouteRefusedError:
    what = "its new routes are refused"
    fix = "correct what the message names, or have the webhook or policy let it pass"
    if of_owner:
        what = "its http routes cannot be handed back to Pulumi"
        fix = (
            "have the webhook, policy or proxy let patches of metadata.managedFields of VirtualServices pass; until "
            "then an `up` that changes these routes fails with 409, and nothing is lost"
        )
    return RouteRefusedError(f"VirtualService {namespace}/{name}: {what}\n    reason:  {said}\n    fix:     {fix}")
