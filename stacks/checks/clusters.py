"""Checks of a stack's cluster: that it is not its own, and that the gateway can be reached in one of its kind."""

from __future__ import annotations

from collections.abc import Iterator

from stacks.checks.view import View, block
from stacks.settings.cluster import OTHER_STACK, CloudSettings, KindSettings, SandboxSettings
from stacks.settings.mesh import ServiceType
from stacks.settings.model import Settings
from stacks.settings.problems import NAMESPACE, Finding, Location, shown

SERVICE_TYPE: Location = ("mesh", "gateway", "serviceType")
FREE_PORT = 30080
"""A node port that an example has."""


def check(view: View) -> Iterator[Finding]:
    """Yield a cluster that a stack would take from itself."""
    reference = block(view.values.get("cluster")).get(OTHER_STACK)
    if view.stack is None or not isinstance(reference, str) or reference.split("/")[1:] != [NAMESPACE, view.stack]:
        return
    yield Finding(
        ("cluster", OTHER_STACK),
        "this is the stack itself, whose cluster would be known only if it had one",
        "another stack, which creates its cluster",
        f"name the stack that has the cluster, such as {reference}-cluster; or write a `kind`, so that this one "
        "creates it",
        shown(reference),
    )


def warnings(settings: Settings) -> Iterator[Finding]:
    """Yield types of the gateway's Service that lead to no address in a cluster of this kind."""
    if not settings.mesh.install:
        return
    cluster, gateway = settings.cluster, settings.mesh.gateway
    balanced = gateway.service_type is ServiceType.LOAD_BALANCER
    by_node_port = f"serviceType: NodePort, with nodePort: {FREE_PORT}"
    what = fix = ""
    if isinstance(cluster, (KindSettings, SandboxSettings)) and balanced:
        what, fix = f"a {cluster.kind} has no load balancer, so that the gateway would get no address", by_node_port
    elif isinstance(cluster, KindSettings) and gateway.service_type is ServiceType.NODE_PORT and not gateway.node_ports:
        what = "a kind opens the ports of mesh.gateway.nodePort on this machine, and none is given"
        fix = f"nodePort: {FREE_PORT} beside it"
    elif isinstance(cluster, CloudSettings) and gateway.service_type is ServiceType.NODE_PORT:
        what = "a node port leads nowhere: the nodes of this cluster have no public addresses"
        fix = "serviceType: LoadBalancer"
    if what:
        allowed = "LoadBalancer in a cloud; NodePort with nodePort in a sandbox or a kind; ClusterIP for callers inside"
        yield Finding(SERVICE_TYPE, what, allowed, f"write {fix}", gateway.service_type.value)
