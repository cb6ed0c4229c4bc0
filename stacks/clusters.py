"""The cluster of a stack: its settings to the component of its kind, and what the gateway needs there.

The component's module is imported only for its kind, since those of clouds import SDKs that are optional extras.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from components.clusters.cluster import Cluster, Reached, kubernetes_provider
from components.clusters.existing import (
    ExistingCluster,
    ExistingClusterArgs,
    ReferencedCluster,
    ReferencedClusterArgs,
)
from stacks.secret_texts import Decrypt, masked
from stacks.settings.cluster import (
    AksSettings,
    AnyClusterSettings,
    ClusterSettings,
    CreatedSettings,
    EksSettings,
    GkeSettings,
    KindSettings,
    MinikubeSettings,
    OtherStackSettings,
    SandboxSettings,
)
from stacks.settings.encrypted import MASK
from stacks.settings.kubeconfig_text import KUBECONFIG
from stacks.settings.model import Settings

MODULES: Mapping[type[Any], tuple[str, str]] = {
    MinikubeSettings: ("pulumi_command", "local"),
    KindSettings: ("pulumi_command", "local"),
    GkeSettings: ("pulumi_gcp", "gcp"),
    EksSettings: ("pulumi_aws", "aws"),
    AksSettings: ("pulumi_azure_native", "azure"),
}
"""The SDK that each kind needs, and the extra of the project that installs it."""

NAME_LIMIT = 40
"""Characters of a cluster's name: GKE allows 40, AKS 63, EKS 100."""


def needs_sdk(cluster: AnyClusterSettings) -> tuple[str, str] | None:
    """Return the SDK that the cluster's kind needs and that is not installed, and the extra that has it; else None."""
    needed = MODULES.get(type(cluster))
    return needed if needed and importlib.util.find_spec(needed[0]) is None else None


def build_cluster(settings: Settings, uid: str, owner: str, decrypt: Decrypt = masked) -> Cluster | None:
    """Build the stack's cluster and return it; `uid` is that of its namespace kube-system, empty if it is not known.

    `decrypt` returns the text of a kubeconfig that is encrypted in the stack's file.

    Returns None for a cluster whose kind needs an SDK that is not installed. Only what is recorded offline gets there,
    such as for `canary render`: a run is refused before.
    """
    cluster = settings.cluster
    if isinstance(cluster, (ClusterSettings, SandboxSettings)):
        kubeconfig = cluster.kubeconfig if cluster.late is None else decrypt(KUBECONFIG)
        existing = ExistingClusterArgs(kubeconfig=kubeconfig, context=cluster.context, uid=uid)
        return ExistingCluster(cluster.kind, existing)
    if isinstance(cluster, OtherStackSettings):
        return ReferencedCluster("referenced", ReferencedClusterArgs(stack=cluster.stack_reference, uid=uid))
    if needs_sdk(cluster):
        return None
    built = _created(cluster, settings, owner)
    built.kubeconfig.apply(lambda text: cluster.late.learn(text) if text else None)
    return built


def provider_of(cluster: Cluster | None) -> k8s.Provider:
    """Return the Kubernetes provider of a cluster, and one that leads nowhere for a cluster that is not built."""
    return cluster.provider if cluster else kubernetes_provider(Reached(), pulumi.Output.secret(MASK))


def _created(cluster: CreatedSettings, settings: Settings, owner: str) -> Cluster:
    if isinstance(cluster, (MinikubeSettings, KindSettings)):
        return _local(cluster, settings)
    if isinstance(cluster, GkeSettings):
        from components.clusters.gke import GkeCluster, GkeClusterArgs

        return GkeCluster(
            cluster.kind,
            GkeClusterArgs(
                **_of_cloud(cluster, owner),
                project=cluster.project,
                location=cluster.location,
                release_channel=cluster.release_channel.value,
                version=cluster.version,
                control_plane_cidr=cluster.control_plane_cidr,
            ),
        )
    if isinstance(cluster, EksSettings):
        from components.clusters.eks import EksCluster, EksClusterArgs

        zones = cluster.zones or (f"{cluster.region}a", f"{cluster.region}b")
        return EksCluster(
            cluster.kind,
            EksClusterArgs(**_of_cloud(cluster, owner), region=cluster.region, zones=zones, version=cluster.version),
        )
    from components.clusters.aks import AksCluster, AksClusterArgs

    return AksCluster(
        cluster.kind,
        AksClusterArgs(
            **_of_cloud(cluster, owner),
            location=cluster.location,
            version=cluster.version,
            admin_groups=cluster.admin_groups,
        ),
    )


def _local(cluster: MinikubeSettings | KindSettings, settings: Settings) -> Cluster:
    from components.clusters.local_clusters import Kind, KindArgs, Minikube, MinikubeArgs

    if isinstance(cluster, KindSettings):
        return Kind(
            cluster.kind,
            KindArgs(
                name=cluster.name,
                kubernetes_version=cluster.kubernetes_version,
                workers=cluster.workers,
                node_ports=sorted(settings.mesh.gateway.node_ports.values()),
            ),
        )
    return Minikube(
        cluster.kind,
        MinikubeArgs(
            profile=cluster.profile,
            kubernetes_version=cluster.kubernetes_version,
            driver=cluster.driver,
            nodes=cluster.nodes,
            cpus=cluster.cpus,
            memory=cluster.memory,
        ),
    )


def cluster_name(cluster: GkeSettings | EksSettings | AksSettings, owner: str) -> str:
    """Return the name of a cloud's cluster; `owner` is `<project>/<stack>`."""
    name = owner.replace("/", "-").replace(".", "-").replace("_", "-").lower()
    return cluster.name or name[:NAME_LIMIT].rstrip("-")


def _of_cloud(cluster: GkeSettings | EksSettings | AksSettings, owner: str) -> dict[str, Any]:
    project, _, stack = owner.lower().replace(".", "-").partition("/")
    return {
        "cluster_name": cluster_name(cluster, owner),
        "authorized_networks": cluster.authorized_networks,
        "min_nodes": cluster.nodes.min,
        "max_nodes": cluster.nodes.max,
        "machine_type": cluster.nodes.machine_type,
        "disk_size": cluster.nodes.disk_size,
        "deletion_protection": cluster.deletion_protection,
        "labels": {"pulumi-project": project, "pulumi-stack": stack, **cluster.labels},
    }


GATEWAY_ANNOTATIONS: Mapping[type[Any], Mapping[str, str]] = {
    GkeSettings: {"cloud.google.com/l4-rbs": "enabled"},
    EksSettings: {
        "service.beta.kubernetes.io/aws-load-balancer-type": "nlb",
        "service.beta.kubernetes.io/aws-load-balancer-cross-zone-load-balancing-enabled": "true",
    },
    AksSettings: {
        "service.beta.kubernetes.io/port_80_health-probe_protocol": "tcp",
        "service.beta.kubernetes.io/port_443_health-probe_protocol": "tcp",
    },
}
"""Annotations of the gateway's Service by kind: a passthrough balancer of the current generation (GKE: "Backend
service-based external load balancer"), a Network Load Balancer in all zones (AWS's in-tree controller), and probes that
ask for a connection, since a gateway answers 404 at / (AKS: "Customizations via Kubernetes annotations").
"""


def gateway_values(settings: Settings) -> dict[str, Any]:
    """Return the gateway chart's values: the cloud's annotations of its Service, and over them what the stack says."""
    values = settings.mesh.values.gateway
    annotations = GATEWAY_ANNOTATIONS.get(type(settings.cluster))
    if not annotations or settings.mesh.gateway.service_type.value != "LoadBalancer":
        return values
    service = values.get("service") or {}
    return {**values, "service": {**service, "annotations": {**annotations, **(service.get("annotations") or {})}}}
