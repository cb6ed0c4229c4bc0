"""What all clusters have in common: a Kubernetes provider, the endpoint, and the kubeconfig as a secret."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.base import Component

PROVIDER = "cluster"
"""Pulumi's name of the Kubernetes provider. It is part of its URN, and every object of the stack names that."""


@dataclass(frozen=True, kw_only=True)
class Reached:
    """How the API server is reached: a kubeconfig (text or path), a context in it, and the address.

    None for kubectl's default, and for an address that is known from the kubeconfig alone. `uid` is that of the
    cluster's namespace kube-system, None for a cluster that Pulumi creates in this stack: if such a one is replaced,
    its new address tells the provider that everything in it is gone. With `is_local` it is gone without a trace, so
    that nothing in it has to be deleted.
    """

    kubeconfig: pulumi.Input[str] | None = None
    context: str | None = None
    endpoint: pulumi.Input[str] | None = None
    uid: str | None = None
    is_local: bool = False


class Cluster(Component):
    """Base of the clusters. See "Kubernetes provider" in Pulumi's registry.

    `provider` is for everything that the stack has in the cluster, `endpoint` the API server's URL, `kubeconfig` a
    secret: its text, or the path of its file. Both are empty if only this machine's kubeconfig says them.
    """

    provider: k8s.Provider
    endpoint: pulumi.Output[str]
    kubeconfig: pulumi.Output[str]

    def _reached(self, by: Reached) -> None:
        """Set the outputs.

        The provider is not a child of the cluster, so that its URN is the same for all kinds: a stack whose cluster
        gets another kind, such as one that moves to a stack of its own, replaces nothing in it.
        """
        self.endpoint = pulumi.Output.from_input(by.endpoint or "")
        self.kubeconfig = pulumi.Output.secret(by.kubeconfig or "")
        self.provider = kubernetes_provider(by, self.kubeconfig if by.endpoint is not None else by.kubeconfig)
        self.register_outputs({"endpoint": self.endpoint, "kubeconfig": self.kubeconfig})


def kubernetes_provider(by: Reached, kubeconfig: pulumi.Input[str] | None) -> k8s.Provider:
    """Return the provider of a cluster.

    The cluster's identifier is never updated: the provider would be replaced, with every resource of the stack. If the
    same kubeconfig leads to another cluster, the engine would create all of them there, and then delete them there as
    those of the old provider.

    ConfigMaps and Secrets are updated in place: by default the provider replaces them, and with them whatever mounts
    them, such as Prometheus with its data.
    """
    return k8s.Provider(
        PROVIDER,
        kubeconfig=kubeconfig,
        context=by.context,
        cluster_identifier=by.uid,
        delete_unreachable=by.is_local or None,
        enable_config_map_mutable=True,
        enable_secret_mutable=True,
        opts=pulumi.ResourceOptions(ignore_changes=["clusterIdentifier"]),
    )
