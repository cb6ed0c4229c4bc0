"""The address at which this machine reaches the mesh's gateway."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from canary.command_error import CommandError
from canary.exit_codes import ExitCode
from canary.ingress import has_private_nodes, node_ports_at, without_address

if TYPE_CHECKING:
    from lightkube import Client

    from stacks.settings.model import Settings

LOCAL_PORT = 8080


def gateway_url(client: Client, settings: Settings, port: int, scheme: str = "http", deployment: str = "") -> str:
    """Return the URL of the gateway's `port`: the address of its Service's load balancer, else of a node.

    `deployment` is another gateway deployment than the mesh's (SharedGateway.deployment). Raises CommandError if the
    Service is missing or cannot be reached from outside the cluster.
    """
    service = _service_of_pods(client, settings, deployment) if deployment else _service_of_mesh(client, settings)
    namespace, name = service.metadata.namespace, service.metadata.name
    entry = next((entry for entry in service.spec.ports or () if entry.port == port), None)
    if entry is None:
        known = ", ".join(str(entry.port) for entry in service.spec.ports or ())
        raise CommandError(
            f"the gateway's Service has no port {port}, only {known}",
            ExitCode.UNREACHABLE,
            fix=f"add the port {port} to the Service {namespace}/{name}"
            if deployment
            else f"add {port} to istio-canary:mesh.gateway.ports, then run `canary up`",
        )
    status = service.status.loadBalancer if service.status else None
    balancer = next(iter(status.ingress or ()), None) if status else None
    if balancer is not None and (balancer.ip or balancer.hostname):
        return f"{scheme}://{host_of(balancer.ip or balancer.hostname)}:{port}"
    if entry.nodePort and not has_private_nodes(settings):
        address = node_ports_at(settings, entry.nodePort) or node_address(client)
        if address:
            return f"{scheme}://{host_of(address)}:{entry.nodePort}"
    raise CommandError(
        f"the gateway's Service {namespace}/{name} ({service.spec.type}) has no external address",
        ExitCode.UNREACHABLE,
        fix=f"{without_address(settings, f'{namespace}/{name}', service.spec.type == 'LoadBalancer')}"
        f"run kubectl port-forward -n {namespace} service/{name} {LOCAL_PORT}:{port} & "
        f"and add --gateway {scheme}://127.0.0.1:{LOCAL_PORT}",
    )


def _service_of_mesh(client: Client, settings: Settings) -> Any:
    from lightkube import ApiError
    from lightkube.resources.core_v1 import Service

    gateway = settings.mesh.gateway
    try:
        return client.get(Service, gateway.name, namespace=gateway.namespace)
    except ApiError as error:
        if error.status.code != 404:
            raise
        raise CommandError(
            f"the gateway's Service {gateway.namespace}/{gateway.name} is not in the cluster",
            ExitCode.UNREACHABLE,
            fix="run `canary up`, which creates it; for an existing mesh, set its name in istio-canary:mesh.gateway",
        ) from None


def _service_of_pods(client: Client, settings: Settings, deployment: str) -> Any:
    """The Service that selects the pods of another gateway deployment; none is named, since Istio knows pods alone."""
    from lightkube.resources.core_v1 import Pod, Service

    from stacks.gateway_pods import other_gateway_pods

    pods = other_gateway_pods(settings)[deployment]
    selector: dict[str, Any] = dict(pods.selector)
    found: list[Any] = list(client.list(Pod, namespace=pods.namespace, labels=selector))
    services: list[Any] = list(client.list(Service, namespace=pods.namespace))
    for service in services:
        wanted = (service.spec.selector or {}).items()
        if wanted and any(wanted <= (pod.metadata.labels or {}).items() for pod in found):
            return service
    labels = ",".join(f"{key}={value}" for key, value in sorted(pods.selector.items()))
    raise CommandError(
        f"no Service in {pods.namespace} leads to gateway pods with the labels {labels}",
        ExitCode.UNREACHABLE,
        fix=f"check `kubectl get pods,services --namespace={pods.namespace} --selector={labels}`, or pass the address "
        "with --gateway",
    )


def node_address(client: Client) -> str | None:
    """Return the internal IP address of a ready node, or None."""
    from lightkube.resources.core_v1 import Node

    nodes: Iterable[Any] = client.list(Node)
    for node in nodes:
        ready = any(entry.type == "Ready" and entry.status == "True" for entry in node.status.conditions or ())
        for address in (node.status.addresses or ()) if ready else ():
            if address.type == "InternalIP":
                return str(address.address)
    return None


def host_of(address: str) -> str:
    """Return an address as it is written in a URL."""
    return f"[{address}]" if ":" in address else address
