"""Pods and Services that someone else has made: whether they exist, and how many of their pods are ready."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kube.objects import find

if TYPE_CHECKING:
    from lightkube import Client

OF_SERVICE = "kubernetes.io/service-name"
"""Label of an EndpointSlice: the Service that it is of."""


@dataclass(frozen=True)
class FoundPods:
    """Pods that run: their number, how many are ready, the image of the first, and the ports of each by name."""

    total: int = 0
    ready: int = 0
    image: str = ""
    ports: tuple[Mapping[str, int], ...] = ()


@dataclass(frozen=True)
class FoundService:
    """A Service: its ports, and how many of its endpoints are ready."""

    ports: tuple[int, ...]
    ready: int
    total: int


def pods_with(client: Client, namespace: str, labels: Mapping[str, str]) -> FoundPods:
    """Return the pods of a namespace that have these labels, without those that end."""
    from lightkube.resources.core_v1 import Pod

    selector: dict[str, Any] = dict(labels)
    pods: list[Any] = [pod for pod in client.list(Pod, namespace=namespace, labels=selector) if _runs(pod)]
    first = pods[0].spec.containers[0].image if pods else ""
    return FoundPods(len(pods), sum(map(_is_ready, pods)), first or "", tuple(map(_ports, pods)))


def service_named(client: Client, namespace: str, name: str) -> FoundService | None:
    """Return the Service, None if it does not exist."""
    from lightkube.resources.core_v1 import Service
    from lightkube.resources.discovery_v1 import EndpointSlice

    found = find(client, Service, name, namespace)
    if found is None:
        return None
    ports = tuple(port.port for port in found.spec.ports or ())
    addresses = {
        (address, is_ready(endpoint))
        for entry in client.list(EndpointSlice, namespace=namespace, labels={OF_SERVICE: name})
        for endpoint in entry.endpoints or ()
        for address in endpoint.addresses
    }
    return FoundService(ports, sum(ready for _, ready in addresses), len(addresses))


def is_ready(endpoint: Any) -> bool:
    """Return whether an endpoint is ready; one that does not say it is (Kubernetes: EndpointConditions)."""
    return endpoint.conditions is None or endpoint.conditions.ready is not False


def _runs(pod: Any) -> bool:
    ended = pod.status is not None and pod.status.phase in ("Succeeded", "Failed")
    return pod.metadata.deletionTimestamp is None and not ended


def _is_ready(pod: Any) -> bool:
    conditions = (pod.status.conditions or ()) if pod.status else ()
    return any(condition.type == "Ready" and condition.status == "True" for condition in conditions)


def _ports(pod: Any) -> Mapping[str, int]:
    """Sidecars that are init containers count as well, as Kubernetes looks for named ports."""
    return {port.name or "": port.containerPort for container in pod.spec.containers for port in container.ports or ()}
