"""The pods behind a Service, and the one to forward a port to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from kube.objects import find
from kube.pods import is_ready, why_not_ready

if TYPE_CHECKING:
    from lightkube import Client

MOST_PODS = 3
"""Number of pods whose reasons are told."""

T = TypeVar("T")


class PortForwardError(Exception):
    """A port cannot be forwarded: what is wrong, the fix, and further lines."""

    def __init__(self, message: str, fix: str, details: Sequence[str] = ()) -> None:
        self.message = message
        self.fix = fix
        self.details = tuple(details)
        super().__init__("\n    ".join([message, *self.details, f"fix:  {fix}"]))


class ServiceNotFoundError(PortForwardError):
    """The Service is not in the cluster."""


@dataclass(frozen=True)
class PodPort:
    """A port of a pod."""

    pod: str
    port: int


def ready_pod(client: Client, namespace: str, service: str, port: int, failed: Sequence[str] = ()) -> PodPort:
    """Return a ready pod behind the Service and the pod's port for the Service's `port`.

    Pods in `failed` are chosen last, the one that failed most recently after all others. Raises PortForwardError if
    the Service or its port is missing, no pod is ready, or a right is missing.
    """
    entry, selector = _of_service(client, namespace, service, port)
    pods = _list_pods(client, namespace, selector)
    ready = [pod for pod in pods if is_ready(pod) and pod.metadata.deletionTimestamp is None]
    if not ready:
        raise _none_ready(client, namespace, service, selector, pods)
    target = entry.targetPort if entry.targetPort is not None else port
    found = {pod.metadata.name: number for pod in ready if (number := _number(pod, target)) is not None}
    if not found:
        raise PortForwardError(
            f"no pod of the Service {namespace}/{service} has a port named {target}",
            f"name the container's port {target}, or set the Service's targetPort to its number",
        )
    name = min(found, key=lambda name: (failed.index(name) + 1 if name in failed else 0, name))
    return PodPort(name, found[name])


def forbidden(namespace: str, right: str) -> PortForwardError:
    """Return the error for the missing `right`, with the commands that grant all rights to forward a port.

    Since Kubernetes 1.35 a port-forward over a websocket needs `create` as well as `get`.
    """
    create = f"kubectl create role --namespace={namespace}"
    return PortForwardError(
        f"no permission to forward a port to a pod: the right to {right} in the namespace {namespace} is missing",
        f"have the rights granted: `{create} read-pods --verb=get,list --resource=services,pods` and "
        f"`{create} forward-ports --verb=get,create --resource=pods/portforward`, both bound to this user with "
        "`kubectl create rolebinding`; or use another context",
    )


def _of_service(client: Client, namespace: str, service: str, port: int) -> tuple[Any, dict[str, Any]]:
    """The Service's entry for `port`, and its selector."""
    from lightkube.resources.core_v1 import Service

    found: Any = _permitted(namespace, "get services", lambda: find(client, Service, service, namespace))
    if found is None:
        raise ServiceNotFoundError(
            f"there is no Service {service} in the namespace {namespace}",
            f"run `canary up`, if it belongs to a stack; `kubectl get services --namespace={namespace}` lists the "
            "Services",
        )
    entries = [entry for entry in found.spec.ports or () if entry.protocol in (None, "TCP")]
    entry = next((entry for entry in entries if entry.port == port), None)
    if entry is None:
        known = ", ".join(str(entry.port) for entry in entries) or "none"
        raise PortForwardError(
            f"the Service {namespace}/{service} has no port {port}", f"choose one of its ports: {known}"
        )
    if not found.spec.selector:
        raise PortForwardError(
            f"the Service {namespace}/{service} has no selector, so its pods are unknown",
            "call what it stands for directly",
        )
    return entry, dict(found.spec.selector)


def _list_pods(client: Client, namespace: str, selector: dict[str, Any]) -> list[Any]:
    from lightkube.resources.core_v1 import Pod

    return _permitted(namespace, "list pods", lambda: list(client.list(Pod, namespace=namespace, labels=selector)))


def _permitted(namespace: str, right: str, ask: Callable[[], T]) -> T:
    import httpx2

    try:
        return ask()
    except httpx2.HTTPStatusError as error:
        if error.response.status_code == 403:
            raise forbidden(namespace, right) from None
        raise


def _number(pod: Any, target: int | str) -> int | None:
    """The number of a pod's port, given its number or name."""
    if isinstance(target, int):
        return target
    containers = [*pod.spec.containers, *(pod.spec.initContainers or ())]
    ports = (port for container in containers for port in container.ports or ())
    return next((int(port.containerPort) for port in ports if port.name == target), None)


def _none_ready(
    client: Client, namespace: str, service: str, selector: dict[str, Any], pods: Sequence[Any]
) -> PortForwardError:
    labels = ",".join(f"{name}={value}" for name, value in selector.items())
    listed = f"kubectl get pods --namespace={namespace} --selector={labels}"
    if not pods:
        return PortForwardError(
            f"the Service {namespace}/{service} has no pod (labels {labels})",
            f"check that its Deployment exists and has replicas: kubectl get deployments --namespace={namespace}",
        )
    return PortForwardError(
        f"no pod of the Service {namespace}/{service} is ready",
        f"correct what is said of the pod, or wait until it is ready: {listed}",
        tuple(_reasons(client, pods)),
    )


def _reasons(client: Client, pods: Iterable[Any]) -> Iterator[str]:
    for pod in list(pods)[:MOST_PODS]:
        ends = "" if pod.metadata.deletionTimestamp is None else " (terminating)"
        yield f"pod {pod.metadata.name}{ends}:"
        yield from [f"  {line}" for line in _of_pod(client, pod)] or ["  no reason is reported"]


def _of_pod(client: Client, pod: Any) -> Iterator[str]:
    import httpx2

    try:
        yield from why_not_ready(client, pod)
    except httpx2.HTTPStatusError as error:  # the right to list events is not needed for anything else
        yield f"(its events cannot be read: HTTP {error.response.status_code})"
