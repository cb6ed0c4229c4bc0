"""The least number of pods of a version while a rollout needs them: of its Deployment, or its autoscaler's minimum.

Numbers are only raised. They are applied under the rollout's field manager with the resourceVersion that was read, so
that nobody's higher number is overwritten (Kubernetes: "Server-Side Apply", "Horizontal Pod Autoscaling").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING, Any

from kube.client import MORE_INFORMATION
from kube.conflicts import CONFLICT, NOT_FOUND, ConflictError, conflicts
from rollout.capacity import deployments_of
from rollout.decision import PULUMI
from rollout.record import FIELD_MANAGER
from rollout.routes import PULUMI_ANNOTATION, REFUSED
from traffic.model import version_label

if TYPE_CHECKING:
    from lightkube import Client

AUTOSCALER_API = "autoscaling/v2"

TRIES = 5

OWN_MINIMUM = "istio-canary/min-replicas"
"""Annotation of a HorizontalPodAutoscaler: its minReplicas before a rollout raised it."""


def raise_pods(client: Client, namespace: str, service: str, least: Mapping[str, int]) -> tuple[str, ...]:
    """Have at least so many pods of each version, and return what stands against it, each with its fix.

    It does not wait: the pods come later, if they come.
    """
    problems: list[str] = []
    for version, pods in least.items():
        problems += _tried(partial(_raised, client, namespace, service, version, pods))
    return tuple(problems)


def release_pods(client: Client, namespace: str, service: str, versions: Iterable[str]) -> tuple[str, ...]:
    """Give autoscalers the minimum back that they had, and Pulumi the field; return what stands against it.

    The number of pods of a Deployment stays, since it serves requests; the next `up` or the autoscaler lowers it.
    """
    problems: list[str] = []
    for version in versions:
        problems += _tried(partial(_released, client, namespace, service, version))
    return tuple(problems)


def minimum_before(autoscaler: Mapping[str, Any]) -> int:
    """Return the minReplicas that an autoscaler had before a rollout raised it; Kubernetes' default is 1."""
    noted = (autoscaler["metadata"].get("annotations") or {}).get(OWN_MINIMUM)
    return int(noted) if noted is not None and noted.isdecimal() else _minimum(autoscaler)


def handed_over(autoscaler: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return `metadata.managedFields` in which the rollout owns nothing, and Pulumi's field manager minReplicas.

    Without an owner the field stays as it is, and Pulumi's next apply takes it. An apply without it would reset it.
    """
    metadata = autoscaler["metadata"]
    entries = [deepcopy(dict(one)) for one in metadata.get("managedFields") or () if "fieldsV1" in one]
    own_name = (metadata.get("annotations") or {}).get(PULUMI_ANNOTATION, "")
    for entry in entries:
        manager = str(entry["manager"])
        is_pulumi = manager == own_name if own_name else manager.startswith(PULUMI)
        if is_pulumi and entry["operation"] == "Apply" and not entry.get("subresource"):
            entry["fieldsV1"].setdefault("f:spec", {})["f:minReplicas"] = {}
    # An empty list would be taken for "as it is".
    return [entry for entry in entries if entry["manager"] != FIELD_MANAGER] or [{}]


def _tried(write: Callable[[], list[str]]) -> list[str]:
    """Call `write`, again if somebody wrote in between: controllers write an object's status whenever a pod changes.

    Refusals of the API server are what stands against it; other errors are raised.
    """
    import httpx2

    said = ""
    for _ in range(TRIES):
        try:
            return write()
        except ConflictError as error:
            said = f"{error}; fix: stop who writes it all the time"
        except httpx2.HTTPStatusError as error:
            if error.response.status_code not in REFUSED:
                raise
            reason = str(error).partition(MORE_INFORMATION)[0].strip()
            fix = "grant the right (docs/rights.md), or have the webhook or policy let it pass"
            return [f"the API server refuses to change the number of pods: {reason}; fix: {fix}"]
    return [said]


def _released(client: Client, namespace: str, service: str, version: str) -> list[str]:
    for deployment in deployments_of(client, namespace, service, version_label(service, version)):
        for found in _autoscalers(client, namespace, deployment.metadata.name):
            _release(client, namespace, found)
    return []


def _raised(client: Client, namespace: str, service: str, version: str, pods: int) -> list[str]:
    label = version_label(service, version)
    deployments = deployments_of(client, namespace, service, label)
    if len(deployments) != 1:
        names = ", ".join(one.metadata.name for one in deployments) or "none"
        return [f"{version} has not one Deployment but {names}; fix: scale it by hand to {pods} pods"]
    deployment = deployments[0]
    name, replicas = deployment.metadata.name, deployment.spec.replicas
    replicas = 1 if replicas is None else replicas
    autoscalers = _autoscalers(client, namespace, name)
    problems: list[str] = []
    for found in autoscalers:
        problems += _raise_minimum(client, namespace, found, pods)
    # An autoscaler does nothing for a Deployment with 0 replicas.
    if replicas < pods and (not autoscalers or replicas == 0):
        _scale(client, namespace, deployment, pods)
    return problems


def _raise_minimum(client: Client, namespace: str, found: Mapping[str, Any], pods: int) -> list[str]:
    name, most = found["metadata"]["name"], int(found["spec"]["maxReplicas"])
    least = min(pods, most)
    if _minimum(found) < least:
        _apply_minimum(client, namespace, found, least)
    if pods <= most:
        return []
    what = f"HorizontalPodAutoscaler {name}: maxReplicas is {most}, and {pods} pods are needed"
    return [f"{what}; fix: raise autoscaling.maxReplicas to {pods}"]


def _release(client: Client, namespace: str, found: Mapping[str, Any]) -> None:
    from lightkube.types import PatchType

    annotations = dict(found["metadata"].get("annotations") or {})
    if OWN_MINIMUM not in annotations:
        return
    del annotations[OWN_MINIMUM]
    if _minimum(found) != minimum_before(found):
        # With the annotation, so that whoever comes after a kill here goes on with what is below.
        found = _apply_minimum(client, namespace, found, minimum_before(found))
    operations = [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": found["metadata"]["resourceVersion"]},
        {"op": "replace", "path": "/metadata/managedFields", "value": handed_over(found)},
        {"op": "replace", "path": "/metadata/annotations", "value": annotations},
    ]
    _patched(client, namespace, found["metadata"]["name"], operations, PatchType.JSON)


def _apply_minimum(client: Client, namespace: str, found: Mapping[str, Any], least: int) -> Mapping[str, Any]:
    from lightkube.types import PatchType

    metadata = found["metadata"]
    body = {
        "apiVersion": AUTOSCALER_API,
        "kind": "HorizontalPodAutoscaler",
        "metadata": {
            **{key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion")},
            "annotations": {OWN_MINIMUM: str(minimum_before(found))},
        },
        "spec": {"minReplicas": least},
    }
    return _patched(client, namespace, metadata["name"], body, PatchType.APPLY)


def _patched(client: Client, namespace: str, name: str, body: Any, patch_type: Any) -> Mapping[str, Any]:
    from lightkube.resources.autoscaling_v2 import HorizontalPodAutoscaler
    from lightkube.types import PatchType

    with conflicts(f"the HorizontalPodAutoscaler {namespace}/{name}", CONFLICT, NOT_FOUND):
        written: Any = client.patch(
            HorizontalPodAutoscaler,
            name,
            body,
            namespace=namespace,
            patch_type=patch_type,
            field_manager=FIELD_MANAGER,
            force=patch_type is PatchType.APPLY,
        )
    return dict(written.to_dict())


def _scale(client: Client, namespace: str, deployment: Any, pods: int) -> None:
    from lightkube.resources.apps_v1 import Deployment
    from lightkube.types import PatchType

    metadata = deployment.metadata
    body: Any = {
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": {"name": metadata.name, "namespace": namespace, "resourceVersion": metadata.resourceVersion},
        "spec": {"replicas": pods},
    }
    with conflicts(f"the Deployment {namespace}/{metadata.name}", CONFLICT, NOT_FOUND):
        client.patch(
            Deployment.Scale,
            metadata.name,
            body,
            namespace=namespace,
            patch_type=PatchType.APPLY,
            field_manager=FIELD_MANAGER,
            force=True,
        )


def _autoscalers(client: Client, namespace: str, deployment: str) -> list[Mapping[str, Any]]:
    """The autoscalers of a Deployment: more than one is a mistake, and all of them scale it."""
    from lightkube.resources.autoscaling_v2 import HorizontalPodAutoscaler

    found: Iterable[Any] = client.list(HorizontalPodAutoscaler, namespace=namespace)
    items = [dict(one.to_dict()) for one in found]
    return [one for one in items if _scales(one["spec"]["scaleTargetRef"], deployment)]


def _scales(reference: Mapping[str, Any], deployment: str) -> bool:
    return (reference["kind"], reference["name"]) == ("Deployment", deployment)


def _minimum(autoscaler: Mapping[str, Any]) -> int:
    return int(autoscaler["spec"].get("minReplicas") or 1)
