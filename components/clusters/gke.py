"""A cluster of Google Kubernetes Engine, with its network, keys and nodes.

It follows Google's "Harden your cluster's security": private nodes behind Cloud NAT, an API server for named networks
alone, Secrets encrypted with a key of Cloud KMS, Workload Identity, shielded nodes with a service account that may only
do what nodes do, and a release channel that keeps the version supported.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_gcp import compute, container, kms, projects, serviceaccount
from pulumi_gcp.provider import Provider

from components.clusters.cloud import WEBHOOK_PORT, CloudArgs
from components.clusters.cluster import Cluster, Reached
from components.clusters.kubeconfigs import gke_plugin, kubeconfig

MACHINE_TYPE = "e2-standard-4"
NODE_CIDR = "10.0.0.0/20"
POD_CIDR = "10.4.0.0/14"
SERVICE_CIDR = "10.8.0.0/20"
PODS, SERVICES = "pods", "services"
ROTATION = f"{90 * 24 * 3600}s"
NODE_ROLE = "roles/container.defaultNodeServiceAccount"
"""What the nodes' own agents do: write logs and metrics, and nothing else."""


@dataclass(frozen=True, kw_only=True)
class GkeClusterArgs(CloudArgs):
    """A project, a region or zone, a release channel, the least release of the control plane (None for the channel's),
    and the private network of the control plane.
    """

    project: str
    location: str
    release_channel: str = "REGULAR"
    version: str | None = None
    control_plane_cidr: str = "172.16.0.0/28"

    @property
    def region(self) -> str:
        """The region, of a zone too."""
        return "-".join(self.location.split("-")[:2])


class GkeCluster(Cluster):
    """A GKE Standard cluster with one autoscaled pool of private nodes. See `gcp.container.Cluster`."""

    endpoint: pulumi.Output[str]
    kubeconfig: pulumi.Output[str]

    def __init__(self, name: str, args: GkeClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("istio-canary:index:GkeCluster", name, opts)
        self._name, self._args = name, args
        cloud = Provider(
            f"{name}-google",
            project=args.project,
            region=args.region,
            default_labels=dict(args.labels),
            opts=self._child(),
        )
        self._in_cloud = self._child(provider=cloud)

        network = self._build_network()
        subnetwork = self._build_subnetwork(network)
        nat = self._build_nat(network, subnetwork)
        key, may_use_key = self._build_key()
        cluster = self._build_cluster(network, subnetwork, key, may_use_key)
        self._build_firewall(network)
        nodes = self._build_nodes(cluster, after=[nat])

        text = pulumi.Output.all(
            server=cluster.endpoint,
            certificate=cluster.master_auth.cluster_ca_certificate,
            ready=nodes.id,  # no pod runs before there are nodes
        ).apply(
            lambda known: kubeconfig(
                args.cluster_name, f"https://{known['server']}", known["certificate"] or "", gke_plugin()
            )
        )
        endpoint = cluster.endpoint.apply(lambda server: f"https://{server}")
        self._reached(Reached(kubeconfig=text, endpoint=endpoint))

    def _build_network(self) -> compute.Network:
        return compute.Network(
            f"{self._name}-network",
            name=self._args.cluster_name,
            auto_create_subnetworks=False,
            opts=self._in_cloud,
        )

    def _build_subnetwork(self, network: compute.Network) -> compute.Subnetwork:
        """Pods and Services have ranges of their own (GKE: "VPC-native clusters"); Google's APIs are reached inside."""
        return compute.Subnetwork(
            f"{self._name}-nodes",
            name=f"{self._args.cluster_name}-nodes",
            network=network.id,
            region=self._args.region,
            ip_cidr_range=NODE_CIDR,
            private_ip_google_access=True,
            secondary_ip_ranges=[
                compute.SubnetworkSecondaryIpRangeArgs(range_name=PODS, ip_cidr_range=POD_CIDR),
                compute.SubnetworkSecondaryIpRangeArgs(range_name=SERVICES, ip_cidr_range=SERVICE_CIDR),
            ],
            log_config=compute.SubnetworkLogConfigArgs(flow_sampling=0.5, metadata="INCLUDE_ALL_METADATA"),
            opts=self._in_cloud,
        )

    def _build_nat(self, network: compute.Network, subnetwork: compute.Subnetwork) -> compute.RouterNat:
        """The way out of private nodes, for images of other registries and calls to hosts outside."""
        args = self._args
        router = compute.Router(
            f"{self._name}-router",
            name=args.cluster_name,
            network=network.id,
            region=args.region,
            opts=self._in_cloud,
        )
        return compute.RouterNat(
            f"{self._name}-nat",
            name=args.cluster_name,
            router=router.name,
            region=args.region,
            nat_ip_allocate_option="AUTO_ONLY",
            source_subnetwork_ip_ranges_to_nat="LIST_OF_SUBNETWORKS",
            subnetworks=[
                compute.RouterNatSubnetworkArgs(name=subnetwork.id, source_ip_ranges_to_nats=["ALL_IP_RANGES"])
            ],
            log_config=compute.RouterNatLogConfigArgs(enable=True, filter="ERRORS_ONLY"),
            opts=self._in_cloud,
        )

    def _build_key(self) -> tuple[kms.CryptoKey, pulumi.Resource]:
        """The key of the Secrets in etcd, and the right of GKE's own agent to use it.

        See "Encrypt secrets at the application layer". Google Cloud never deletes a ring of keys, so that Pulumi gives
        it a name with random letters: a cluster that is created again after a `destroy` has another one.
        """
        args = self._args
        ring = kms.KeyRing(f"{self._name}-keys", location=args.region, opts=self._in_cloud)
        key = kms.CryptoKey(
            f"{self._name}-secrets",
            name="secrets",
            key_ring=ring.id,
            purpose="ENCRYPT_DECRYPT",
            rotation_period=ROTATION,
            opts=self._in_cloud,
        )
        agent = projects.ServiceIdentity(f"{self._name}-agent", service="container.googleapis.com", opts=self._in_cloud)
        may_use_key = kms.CryptoKeyIAMMember(
            f"{self._name}-agent-key",
            crypto_key_id=key.id,
            role="roles/cloudkms.cryptoKeyEncrypterDecrypter",
            member=agent.member,
            opts=self._in_cloud,
        )
        return key, may_use_key

    def _build_cluster(
        self,
        network: compute.Network,
        subnetwork: compute.Subnetwork,
        key: kms.CryptoKey,
        may_use_key: pulumi.Resource,
    ) -> container.Cluster:
        args = self._args
        return container.Cluster(
            f"{self._name}-cluster",
            name=args.cluster_name,
            location=args.location,
            network=network.id,
            subnetwork=subnetwork.id,
            networking_mode="VPC_NATIVE",
            datapath_provider="ADVANCED_DATAPATH",  # Dataplane V2, which enforces NetworkPolicies
            ip_allocation_policy=container.ClusterIpAllocationPolicyArgs(
                cluster_secondary_range_name=PODS, services_secondary_range_name=SERVICES
            ),
            private_cluster_config=container.ClusterPrivateClusterConfigArgs(
                enable_private_nodes=True,
                enable_private_endpoint=False,  # asked by the authorized networks alone
                master_ipv4_cidr_block=args.control_plane_cidr,
            ),
            master_authorized_networks_config=container.ClusterMasterAuthorizedNetworksConfigArgs(
                cidr_blocks=[
                    container.ClusterMasterAuthorizedNetworksConfigCidrBlockArgs(cidr_block=network_)
                    for network_ in args.authorized_networks
                ],
                gcp_public_cidrs_access_enabled=False,
            ),
            release_channel=container.ClusterReleaseChannelArgs(channel=args.release_channel),
            min_master_version=args.version,
            workload_identity_config=container.ClusterWorkloadIdentityConfigArgs(
                workload_pool=f"{args.project}.svc.id.goog"
            ),
            database_encryption=container.ClusterDatabaseEncryptionArgs(state="ENCRYPTED", key_name=key.id),
            security_posture_config=container.ClusterSecurityPostureConfigArgs(mode="BASIC"),
            cost_management_config=container.ClusterCostManagementConfigArgs(enabled=True),
            enable_shielded_nodes=True,
            enable_legacy_abac=False,
            # The pool that GKE makes is replaced by one of its own, which can be changed without the cluster.
            remove_default_node_pool=True,
            initial_node_count=1,
            node_config=container.ClusterNodeConfigArgs(
                shielded_instance_config=container.ClusterNodeConfigShieldedInstanceConfigArgs(
                    enable_secure_boot=True, enable_integrity_monitoring=True
                ),
                workload_metadata_config=container.ClusterNodeConfigWorkloadMetadataConfigArgs(mode="GKE_METADATA"),
            ),
            resource_labels=dict(args.labels),
            deletion_protection=args.deletion_protection,
            # GKE upgrades the control plane, and the pool of its own is no change of the cluster.
            opts=pulumi.ResourceOptions.merge(
                self._in_cloud,
                pulumi.ResourceOptions(depends_on=[may_use_key], ignore_changes=["nodeConfig", "initialNodeCount"]),
            ),
        )

    def _build_firewall(self, network: compute.Network) -> None:
        """Lets the API server call istiod's webhooks; GKE opens 443 and 10250 alone (Istio: "Google Kubernetes
        Engine").
        """
        args = self._args
        compute.Firewall(
            f"{self._name}-istiod-webhooks",
            name=f"{args.cluster_name}-istiod-webhooks",
            network=network.id,
            direction="INGRESS",
            source_ranges=[args.control_plane_cidr],
            target_tags=[args.cluster_name],
            allows=[compute.FirewallAllowArgs(protocol="tcp", ports=[str(WEBHOOK_PORT)])],
            opts=self._in_cloud,
        )

    def _build_nodes(self, cluster: container.Cluster, after: list[pulumi.Resource]) -> container.NodePool:
        args = self._args
        account = serviceaccount.Account(
            f"{self._name}-node-account",
            account_id=f"{args.cluster_name[:24].rstrip('-')}-nodes",
            display_name=f"Nodes of {args.cluster_name}",
            opts=self._in_cloud,
        )
        role = projects.IAMMember(
            f"{self._name}-node-role",
            project=args.project,
            role=NODE_ROLE,
            member=account.member,
            opts=self._in_cloud,
        )
        return container.NodePool(
            f"{self._name}-pool",
            cluster=cluster.id,
            location=args.location,
            initial_node_count=1,
            autoscaling=container.NodePoolAutoscalingArgs(
                total_min_node_count=args.min_nodes, total_max_node_count=args.max_nodes, location_policy="BALANCED"
            ),
            management=container.NodePoolManagementArgs(auto_repair=True, auto_upgrade=True),
            upgrade_settings=container.NodePoolUpgradeSettingsArgs(max_surge=1, max_unavailable=0),
            network_config=container.NodePoolNetworkConfigArgs(enable_private_nodes=True),
            node_config=container.NodePoolNodeConfigArgs(
                machine_type=args.machine_type or MACHINE_TYPE,
                disk_size_gb=args.disk_size,
                image_type="COS_CONTAINERD",
                service_account=account.email,
                oauth_scopes=["https://www.googleapis.com/auth/cloud-platform"],  # the account's roles decide
                shielded_instance_config=container.NodePoolNodeConfigShieldedInstanceConfigArgs(
                    enable_secure_boot=True, enable_integrity_monitoring=True
                ),
                workload_metadata_config=container.NodePoolNodeConfigWorkloadMetadataConfigArgs(mode="GKE_METADATA"),
                metadata={"disable-legacy-endpoints": "true"},
                tags=[args.cluster_name],
                resource_labels=dict(args.labels),
            ),
            # A new pool is there before the old one goes; how many nodes there are is the autoscaler's.
            opts=pulumi.ResourceOptions.merge(
                self._in_cloud,
                pulumi.ResourceOptions(depends_on=[role, *after], ignore_changes=["initialNodeCount", "nodeCount"]),
            ),
        )
