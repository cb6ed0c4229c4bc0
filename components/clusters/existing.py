"""A cluster that exists already: nothing is created, and a destroy leaves it as it is."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components.clusters.cluster import Cluster, Reached


@dataclass(frozen=True, kw_only=True)
class ExistingClusterArgs:
    """A kubeconfig, as the path of a file or as text, a context in it, each None for kubectl's default, and the uid of
    the cluster's namespace kube-system.
    """

    kubeconfig: pulumi.Input[str] | None = None
    context: str | None = None
    uid: str


class ExistingCluster(Cluster):
    """A cluster that a kubeconfig leads to, the sandbox's too. See Kubernetes' page "Organizing Cluster Access Using
    kubeconfig Files".
    """

    endpoint: pulumi.Output[str]
    kubeconfig: pulumi.Output[str]

    def __init__(self, name: str, args: ExistingClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("istio-canary:index:ExistingCluster", name, opts)
        reached = Reached(kubeconfig=args.kubeconfig, context=args.context, uid=args.uid)
        self._reached(reached)


@dataclass(frozen=True, kw_only=True)
class ReferencedClusterArgs:
    """The full name of the stack that has the cluster, and the uid of its namespace kube-system."""

    stack: str
    uid: str


class ReferencedCluster(Cluster):
    """The cluster of another stack, read from its outputs `kubeconfig` and `endpoint`.

    A change of this stack never touches the state of that one. See Pulumi's page "Stack references".
    """

    endpoint: pulumi.Output[str]
    kubeconfig: pulumi.Output[str]

    def __init__(self, name: str, args: ReferencedClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("istio-canary:index:ReferencedCluster", name, opts)
        stack = pulumi.StackReference(f"{name}-stack", args.stack, opts=self._child())
        reached = Reached(
            kubeconfig=stack.require_output("kubeconfig"), endpoint=stack.get_output("endpoint"), uid=args.uid
        )
        self._reached(reached)
