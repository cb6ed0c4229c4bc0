"""Removes what Istio leaves in the cluster after it is uninstalled.

Helm keeps Istio's CRDs because the charts set `helm.sh/resource-policy: keep` (Istio: "Install with Helm",
"Uninstall"). istiod creates objects that are not part of a chart: a ConfigMap with its root certificate in every
namespace, and the key of its certificate authority and the locks of its controllers in its own namespace.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.names import BASE_RELEASE
from kube.client import query
from kube.kubeconfig import ClusterAccess
from kube.objects import ANY_NAMESPACE, custom_resource_definitions, kind_of

if TYPE_CHECKING:
    from lightkube import Client

DEADLINE = 60.0
"""Time limit in seconds for the whole cleanup; deleting a CRD waits for its objects."""

POLL = 0.1
BASE_CRDS: dict[str, Any] = {"app.kubernetes.io/instance": BASE_RELEASE}
"""Label of the CRDs that belong to this project's release of Istio's base chart."""

ROOT_CERTIFICATES = ("istio-ca-root-cert", "istio-ca-crl")
AUTHORITY = "istio-ca-secret"
LOCKS = (
    "istio-leader",
    "istio-analyze-leader",
    "istio-status-leader",
    "istio-gateway-deployment",
    "istio-gateway-inferencepool",
    "istio-gateway-status-leader",
    "istio-ip-autoallocate",
    "istio-namespace-controller-election",
    "istio-clustertrustbundle-controller-election",
    "istio-node-untaint",
    "istio-serviceexport-controller-election",
)
LOCKS_OF_REVISIONS = ("istio-gateway-deployment", "istio-gateway-inferencepool", "istio-gateway-status-leader")
"""Of these, each revision has one of its own, with its name at the end (Istio: NewPerRevisionLeaderElection)."""


@dataclass(frozen=True, kw_only=True)
class Leftovers:
    """The deleted objects, and those because of which Istio's CRDs are kept, each as `kind namespace/name`."""

    removed: tuple[str, ...] = ()
    in_use: tuple[str, ...] = ()


def remove_leftovers(cluster: ClusterAccess, namespace: str) -> Leftovers:
    """Delete what an uninstalled mesh with istiod in `namespace` left behind, and return the deleted objects.

    Deletes nothing while an istiod runs in the cluster, and no CRD while there are objects of its kind: they would be
    deleted with it, and do not belong to the stack. Can be repeated. Raises ClusterUnreachableError.
    """
    return query(cluster, lambda client: _remove(client, namespace), within=DEADLINE)


def _remove(client: Client, namespace: str) -> Leftovers:
    from lightkube.resources.apps_v1 import Deployment
    from lightkube.resources.core_v1 import Pod

    crd_kind = custom_resource_definitions()
    istiod: dict[str, Any] = {"app": "istiod"}
    if any(client.list(Deployment, namespace=ANY_NAMESPACE, labels=istiod)):
        return Leftovers()
    # An istiod that is still terminating would create its ConfigMaps again.
    _wait_while(lambda: any(client.list(Pod, namespace=ANY_NAMESPACE, labels=istiod)))
    crds = list(client.list(crd_kind, labels=BASE_CRDS))
    in_use = tuple(_objects_of(client, crds))
    removed = [_delete(client, kind, resource) for kind, resource in _written_by_istiod(client, namespace)]
    if not in_use:
        removed += [_delete(client, crd_kind, crd) for crd in crds]
        # The API server deletes a CRD only after it has checked for objects of its kind.
        _wait_while(lambda: any(client.list(crd_kind, labels=BASE_CRDS)))
    return Leftovers(removed=tuple(removed), in_use=in_use)


def _objects_of(client: Client, crds: Iterable[Any]) -> Iterator[str]:
    """All objects of the CRDs' kinds."""
    for crd in crds:
        names = crd["spec"]["names"]
        version = next(version["name"] for version in crd["spec"]["versions"] if version["storage"])
        is_namespaced = crd["spec"]["scope"] == "Namespaced"
        api_version = f"{crd['spec']['group']}/{version}"
        kind = kind_of(api_version, names["kind"], namespaced=is_namespaced, plural=names["plural"])
        found = _listed(client, kind, **({"namespace": ANY_NAMESPACE} if is_namespaced else {}))
        yield from (_shown(resource, names["kind"]) for resource in found)


def _listed(client: Client, kind: Any, **where: Any) -> list[Any]:
    """List a kind, retrying while the API server answers 429: at the first list it has to load all objects."""
    import httpx2

    found: list[Any] = []

    def is_starting() -> bool:
        try:
            found[:] = client.list(kind, **where)
        except httpx2.HTTPStatusError as error:
            if error.response.status_code != 429:
                raise
            return True
        return False

    _wait_while(is_starting)
    return found


def _written_by_istiod(client: Client, namespace: str) -> Iterator[tuple[Any, Any]]:
    from lightkube.resources.coordination_v1 import Lease
    from lightkube.resources.core_v1 import ConfigMap, Secret

    certificates: Any = client.list(ConfigMap, namespace=ANY_NAMESPACE, labels={"istio.io/config": "true"})
    yield from ((ConfigMap, found) for found in certificates if found.metadata.name in ROOT_CERTIFICATES)
    kinds: tuple[tuple[Any, tuple[str, ...]], ...] = ((Secret, (AUTHORITY,)), (ConfigMap, LOCKS), (Lease, LOCKS))
    for kind, names in kinds:
        in_namespace = client.list(kind, namespace=namespace)
        yield from ((kind, found) for found in in_namespace if _is_one_of(found.metadata.name, names))
    yield from _gateway_classes(client)


def _is_one_of(name: str, names: tuple[str, ...]) -> bool:
    return name in names or any(name.startswith(f"{lock}-") for lock in LOCKS_OF_REVISIONS if lock in names)


def _gateway_classes(client: Client) -> Iterator[tuple[Any, Any]]:
    """The GatewayClasses that istiod creates in a cluster with the Gateway API."""
    import httpx2

    kind = kind_of("gateway.networking.k8s.io/v1", "GatewayClass", namespaced=False)
    try:
        classes = list(client.list(kind))
    except httpx2.HTTPStatusError as error:
        if error.response.status_code == 404:  # the cluster has no Gateway API
            return
        raise
    yield from ((kind, found) for found in classes if found["spec"]["controllerName"].startswith("istio.io/"))


def _delete(client: Client, kind: Any, resource: Any) -> str:
    import httpx2

    try:
        if resource.metadata.namespace:
            client.delete(kind, resource.metadata.name, namespace=resource.metadata.namespace)
        else:
            client.delete(kind, resource.metadata.name)
    except httpx2.HTTPStatusError as error:
        if error.response.status_code != 404:  # already deleted with its namespace
            raise
    return _shown(resource, kind.__name__)


def _wait_while(holds: Callable[[], bool]) -> None:
    """Return once `holds` is false; raises TimeoutError after DEADLINE."""
    deadline = time.monotonic() + DEADLINE
    while holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the cleanup took more than {DEADLINE:g} s")
        time.sleep(POLL)


def _shown(resource: Any, kind: str) -> str:
    namespace = resource.metadata.namespace
    return f"{kind} {namespace}/{resource.metadata.name}" if namespace else f"{kind} {resource.metadata.name}"
