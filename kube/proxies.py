"""Pods with Istio's proxy, by the revision of Istio that they belong to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kube.objects import ANY_NAMESPACE
from kube.pods import is_ready

if TYPE_CHECKING:
    from lightkube import Client

REVISION = "istio.io/rev"
"""Annotation that istiod's injector gives a pod (Istio: "Canary Upgrades")."""
PROXY = "istio-proxy"
ENDED = ("Succeeded", "Failed")


@dataclass(frozen=True)
class ProxyPod:
    """A pod with a proxy: `revision` is that of the istiod that it asks, `version` the tag of the proxy's image."""

    namespace: str
    name: str
    revision: str
    version: str
    is_ready: bool


def proxies(client: Client, namespaces: Iterable[str] | None = None) -> list[ProxyPod]:
    """Return the pods with a proxy in `namespaces`, of all by default, without those that are terminating."""
    from lightkube.resources.core_v1 import Pod

    places = [ANY_NAMESPACE] if namespaces is None else sorted(set(namespaces))
    found: list[Any] = [pod for place in places for pod in client.list(Pod, namespace=place)]
    return [_proxy(pod) for pod in found if _has_proxy(pod)]


def _has_proxy(pod: Any) -> bool:
    metadata = pod.metadata
    has_ended = pod.status is not None and pod.status.phase in ENDED
    return REVISION in (metadata.annotations or {}) and metadata.deletionTimestamp is None and not has_ended


def _proxy(pod: Any) -> ProxyPod:
    # The gateway's only container, a sidecar, and a native sidecar, which is an init container.
    containers = [*pod.spec.containers, *(pod.spec.initContainers or ())]
    image = next((container.image or "" for container in containers if container.name == PROXY), "")
    revision = pod.metadata.annotations[REVISION]
    return ProxyPod(pod.metadata.namespace, pod.metadata.name, revision, image.rpartition(":")[2], is_ready(pod))
