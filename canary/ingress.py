"""How a person reaches the gateway from outside, by the kind of the cluster, where its Service has no load balancer."""

from __future__ import annotations

from stacks.settings.cluster import CloudSettings, KindSettings, MinikubeSettings
from stacks.settings.model import Settings

HERE = "127.0.0.1"


def node_ports_at(settings: Settings, node_port: int) -> str | None:
    """Return the address at which a node port is open other than the nodes' own; None if it is at theirs.

    A kind opens the node ports of the stack's file at this machine (kind: "Configuration", extraPortMappings).
    """
    is_opened = node_port in settings.mesh.gateway.node_ports.values()
    return HERE if isinstance(settings.cluster, KindSettings) and is_opened else None


def has_private_nodes(settings: Settings) -> bool:
    """Return whether the nodes' addresses are of no use outside: those of the clouds' clusters are private."""
    return isinstance(settings.cluster, CloudSettings)


def without_address(settings: Settings, service: str, is_balanced: bool) -> str:
    """Return what helps if the gateway's Service, `<namespace>/<name>`, has no address yet; empty if nothing special.

    `is_balanced` is whether it is of the type LoadBalancer.
    """
    namespace, _, name = service.partition("/")
    cluster = settings.cluster
    if isinstance(cluster, MinikubeSettings) and is_balanced:
        return f"run `minikube tunnel --profile {cluster.profile}` in another terminal, which gives it one; or "
    if isinstance(cluster, CloudSettings) and is_balanced:
        events = f"kubectl describe service {name} --namespace {namespace}"
        return f"wait a minute or two until the cloud has made the load balancer (`{events}` shows what it does); or "
    if isinstance(cluster, CloudSettings):
        return "set istio-canary:mesh.gateway.serviceType to LoadBalancer, since the nodes' addresses are private; or "
    return ""
