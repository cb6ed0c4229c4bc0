"""What to look at to tell whether an object is ready, and what to say when it is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sandbox.provider import objects, pods, readiness, wait_for
from sandbox.provider.api import ApiError, UnreachableError
from sandbox.provider.cluster import Cluster
from sandbox.provider.kinds import kind_of
from sandbox.provider.readiness import Verdict

Object = Mapping[str, Any]


def check_for(cluster: Cluster, inputs: Object, live: Object) -> Callable[[], Verdict] | None:
    """Return how to tell that the object is ready, or None when there is nothing to wait for."""
    if objects.is_annotated(inputs, objects.SKIP_AWAIT):
        return None
    verdict_of = _verdict_for(cluster, inputs, str(kind_of(live)))
    if verdict_of is None:
        return None

    def check() -> Verdict:
        try:
            return verdict_of(cluster.live(live))
        except ApiError as error:
            if error.not_found:
                return Verdict(False, problems=("it was deleted while it was waited for",), failed=True)
            raise

    return check


def _verdict_for(cluster: Cluster, inputs: Object, kind: str) -> Callable[[Object], Verdict] | None:
    expression = objects.annotation(inputs, objects.WAIT_FOR)
    if expression:
        wait_for.expressions(expression)  # a mistake in it is told before anything is waited for
        return lambda obj: wait_for.verdict(obj, expression)
    gathered = _GATHERED.get(kind)
    if gathered is not None:
        return lambda obj: gathered(cluster, obj)
    return _SIMPLE.get(kind)


def _in_namespace(cluster: Cluster, obj: Object, collection: str, **query: str) -> list[Object]:
    """Return the objects of a collection (``apps/v1/replicasets``) in the namespace of ``obj``."""
    version, _, plural = collection.rpartition("/")
    root = "/apis" if "/" in version else "/api"
    listing = cluster.api.get(f"{root}/{version}/namespaces/{objects.namespace_of(obj)}/{plural}", **query)
    return list(listing.get("items") or [])


def _selected(obj: Object) -> dict[str, str]:
    """Return a query for what a workload's selector selects; its owner references tell the rest."""
    labels = objects.dig(obj, "spec", "selector", "matchLabels") or {}
    return {"labelSelector": ",".join(f"{k}={v}" for k, v in labels.items())} if labels else {}


def _deployment(cluster: Cluster, obj: Object) -> Verdict:
    replica_sets = _in_namespace(cluster, obj, "apps/v1/replicasets", **_selected(obj))
    volumes = objects.dig(obj, "spec", "template", "spec", "volumes") or []
    wanted = {objects.text_at(v, "persistentVolumeClaim", "claimName") for v in volumes} - {""}
    claims = _in_namespace(cluster, obj, "v1/persistentvolumeclaims") if wanted else []
    return readiness.deployment(obj, replica_sets, [c for c in claims if objects.name_of(c) in wanted])


def _service(cluster: Cluster, obj: Object) -> Verdict:
    label = f"kubernetes.io/service-name={objects.name_of(obj)}"
    return readiness.service(
        obj, _in_namespace(cluster, obj, "discovery.k8s.io/v1/endpointslices", labelSelector=label)
    )


def _ingress(cluster: Cluster, obj: Object) -> Verdict:
    known = {objects.name_of(s) for s in _in_namespace(cluster, obj, "v1/services")}
    return readiness.ingress(obj, sorted(readiness.ingress_services(obj) - known))


def _claim(cluster: Cluster, obj: Object) -> Verdict:
    name = objects.text_at(obj, "spec", "storageClassName")
    binds_late = False
    if name and objects.text_at(obj, "status", "phase") == "Pending":
        try:
            storage_class = cluster.api.get(f"/apis/storage.k8s.io/v1/storageclasses/{name}")
            binds_late = storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"
        except ApiError as error:
            if not error.not_found:
                raise
    return readiness.persistent_volume_claim(obj, binds_late)


_SIMPLE: dict[str, Callable[[Object], Verdict]] = {
    "apps/v1/DaemonSet": readiness.daemon_set,
    "apps/v1/StatefulSet": readiness.stateful_set,
    "batch/v1/Job": readiness.job,
    "v1/PersistentVolume": readiness.persistent_volume,
    "v1/Pod": readiness.pod,
    "v1/ReplicationController": readiness.replication_controller,
    "v1/ResourceQuota": readiness.resource_quota,
}
_GATHERED: dict[str, Callable[[Cluster, Object], Verdict]] = {
    "apps/v1/Deployment": _deployment,
    "networking.k8s.io/v1/Ingress": _ingress,
    "v1/PersistentVolumeClaim": _claim,
    "v1/Service": _service,
}
_HAS_PODS = frozenset({"apps/v1/DaemonSet", "apps/v1/Deployment", "apps/v1/StatefulSet", "batch/v1/Job"})


def explain(cluster: Cluster, live: Object) -> tuple[str, ...]:
    """Return the reasons of the object's pods; without any, the warnings of what should make them."""
    kind = str(kind_of(live))
    try:
        if kind == "v1/Pod":
            return tuple(pods.explain(cluster, [cluster.live(live)]))
        if kind not in _HAS_PODS:
            return ()
        own = _in_namespace(cluster, live, "v1/pods", **_selected(live))
        found = pods.explain(cluster, _of_newest_revision(cluster, live, own))
        if found or own:
            return tuple(found)
        makers = _in_namespace(cluster, live, "apps/v1/replicasets", **_selected(live))
        owned = [rs for rs in makers if objects.owned_by(rs, live)]
        return tuple(text for obj in (live, *owned) for text in pods.warnings(cluster, obj))
    except (ApiError, UnreachableError):
        return ()


def _of_newest_revision(cluster: Cluster, live: Object, own: list[Object]) -> list[Object]:
    """Of a Deployment's pods return those of its newest ReplicaSet: the others are about to go."""
    if str(kind_of(live)) != "apps/v1/Deployment":
        return own
    current = cluster.live(live)
    revision = objects.dig(current, "metadata", "annotations", readiness.REVISION)
    for maker in _in_namespace(cluster, live, "apps/v1/replicasets", **_selected(live)):
        newest = objects.dig(maker, "metadata", "annotations", readiness.REVISION) == revision
        if newest and objects.owned_by(maker, live):
            return [pod for pod in own if objects.owned_by(pod, maker)]
    return own
