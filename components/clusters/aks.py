"""A cluster of Azure Kubernetes Service, with its network, keys, identity and nodes.

It follows Azure's "Baseline architecture for an AKS cluster": nodes without public addresses behind a NAT gateway, an
API server for named networks alone, no local accounts but groups of Microsoft Entra, Secrets encrypted with a key of
Key Vault, workload identity, and a release that is named and gets its patches.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import yaml
from pulumi_azure_native import authorization, containerservice, keyvault, managedidentity, network, resources
from pulumi_azure_native.provider import Provider

from components.clusters.cloud import CloudArgs
from components.clusters.cluster import Cluster, Reached
from components.clusters.kubeconfigs import aks_plugin, kubeconfig

MACHINE_TYPE = "Standard_D4s_v5"
VNET_CIDR, NODE_CIDR = "10.0.0.0/16", "10.0.0.0/20"
POD_CIDR = "10.244.0.0/16"
SERVICE_CIDR, DNS_IP = "172.16.0.0/16", "172.16.0.10"
CRYPTO_USER = "12338af0-0e69-4776-bea7-57ae8d297424"
NETWORK_CONTRIBUTOR = "4d97b98b-1d4f-4787-a291-c67834d212e7"
"""Ids of roles (Azure: "Azure built-in roles")."""
SERVER_ID = "6dae42f8-4368-4678-94ff-3960e28e3630"
"""The id of AKS's own application in Microsoft Entra, the same everywhere (AKS: "Use kubelogin")."""


@dataclass(frozen=True, kw_only=True)
class AksClusterArgs(CloudArgs):
    """A region, the release of Kubernetes, and the groups of Microsoft Entra, by object id, that are administrators."""

    location: str
    version: str
    admin_groups: Sequence[str]


class AksCluster(Cluster):
    """An AKS cluster with one autoscaled pool of private nodes. See `azure-native.containerservice.ManagedCluster`."""

    endpoint: pulumi.Output[str]
    kubeconfig: pulumi.Output[str]

    def __init__(self, name: str, args: AksClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("istio-canary:index:AksCluster", name, opts)
        self._name, self._args = name, args
        cloud = Provider(f"{name}-azure", location=args.location, opts=self._child())
        self._in_cloud = self._child(provider=cloud)

        self._group = resources.ResourceGroup(
            f"{name}-group",
            resource_group_name=args.cluster_name,
            location=args.location,
            tags=dict(args.labels),
            opts=self._in_cloud,
        )
        identity = self._build_identity()
        subnet = self._build_network()
        vault, key = self._build_key(identity)
        rights: list[pulumi.Resource] = [
            self._allow("key", identity, CRYPTO_USER, vault.id),
            self._allow("network", identity, NETWORK_CONTRIBUTOR, subnet.id),
        ]
        cluster = self._build_cluster(identity, subnet, vault, key, rights)
        if args.deletion_protection:
            self._build_lock(cluster)
        endpoint = cluster.fqdn.apply(lambda fqdn: f"https://{fqdn}:443")
        self._reached(Reached(kubeconfig=self._kubeconfig(cluster), endpoint=endpoint))

    def _build_identity(self) -> managedidentity.UserAssignedIdentity:
        return managedidentity.UserAssignedIdentity(
            f"{self._name}-identity",
            resource_group_name=self._group.name,
            location=self._args.location,
            resource_name_=self._args.cluster_name,
            tags=dict(self._args.labels),
            opts=self._in_cloud,
        )

    def _build_network(self) -> network.Subnet:
        """The nodes' subnet, whose way out is a NAT gateway."""
        args, group = self._args, self._group.name
        tags = dict(args.labels)
        vnet = network.VirtualNetwork(
            f"{self._name}-network",
            resource_group_name=group,
            location=args.location,
            virtual_network_name=args.cluster_name,
            address_space=network.AddressSpaceArgs(address_prefixes=[VNET_CIDR]),
            tags=tags,
            opts=pulumi.ResourceOptions.merge(self._in_cloud, pulumi.ResourceOptions(ignore_changes=["subnets"])),
        )
        address = network.PublicIPAddress(
            f"{self._name}-nat-address",
            resource_group_name=group,
            location=args.location,
            public_ip_allocation_method="Static",
            sku=network.PublicIPAddressSkuArgs(name="Standard"),
            tags=tags,
            opts=self._in_cloud,
        )
        nat = network.NatGateway(
            f"{self._name}-nat",
            resource_group_name=group,
            location=args.location,
            public_ip_addresses=[network.SubResourceArgs(id=address.id)],
            sku=network.NatGatewaySkuArgs(name="Standard"),
            tags=tags,
            opts=self._in_cloud,
        )
        return network.Subnet(
            f"{self._name}-nodes",
            resource_group_name=group,
            virtual_network_name=vnet.name,
            subnet_name="nodes",
            address_prefix=NODE_CIDR,
            default_outbound_access=False,
            nat_gateway=network.SubResourceArgs(id=nat.id),
            opts=self._in_cloud,
        )

    def _build_key(self, identity: managedidentity.UserAssignedIdentity) -> tuple[keyvault.Vault, keyvault.Key]:
        """The key of the Secrets in etcd (AKS: "Add Key Management Service etcd encryption")."""
        args = self._args
        vault = keyvault.Vault(
            f"{self._name}-keys",
            resource_group_name=self._group.name,
            location=args.location,
            properties=keyvault.VaultPropertiesArgs(
                tenant_id=identity.tenant_id,
                sku=keyvault.SkuArgs(family="A", name=keyvault.SkuName.STANDARD),
                enable_rbac_authorization=True,
                enable_soft_delete=True,
                enable_purge_protection=True,  # without the key, etcd cannot be read
                soft_delete_retention_in_days=90,
            ),
            tags=dict(args.labels),
            opts=self._in_cloud,
        )
        key = keyvault.Key(
            f"{self._name}-secrets",
            resource_group_name=self._group.name,
            vault_name=vault.name,
            key_name="secrets",
            properties=keyvault.KeyPropertiesArgs(kty="RSA", key_size=2048),
            tags=dict(args.labels),
            opts=self._in_cloud,
        )
        return vault, key

    def _allow(
        self, which: str, identity: managedidentity.UserAssignedIdentity, role: str, scope: pulumi.Output[str]
    ) -> authorization.RoleAssignment:
        subscription = self._group.id.apply(lambda group: group.split("/")[2] if group.count("/") > 2 else "")
        return authorization.RoleAssignment(
            f"{self._name}-may-use-{which}",
            principal_id=identity.principal_id,
            principal_type=authorization.PrincipalType.SERVICE_PRINCIPAL,
            role_definition_id=pulumi.Output.concat(
                "/subscriptions/", subscription, "/providers/Microsoft.Authorization/roleDefinitions/", role
            ),
            scope=scope,
            opts=self._in_cloud,
        )

    def _build_cluster(
        self,
        identity: managedidentity.UserAssignedIdentity,
        subnet: network.Subnet,
        vault: keyvault.Vault,
        key: keyvault.Key,
        rights: Sequence[pulumi.Resource],
    ) -> containerservice.ManagedCluster:
        args = self._args
        return containerservice.ManagedCluster(
            f"{self._name}-cluster",
            resource_group_name=self._group.name,
            resource_name_=args.cluster_name,
            location=args.location,
            dns_prefix=args.cluster_name,
            kubernetes_version=args.version,
            sku=containerservice.ManagedClusterSKUArgs(name="Base", tier="Standard"),
            identity=containerservice.ManagedClusterIdentityArgs(
                type=containerservice.ResourceIdentityType.USER_ASSIGNED, user_assigned_identities=[identity.id]
            ),
            aad_profile=containerservice.ManagedClusterAADProfileArgs(
                managed=True, enable_azure_rbac=True, admin_group_object_ids=list(args.admin_groups)
            ),
            disable_local_accounts=True,
            enable_rbac=True,
            api_server_access_profile=containerservice.ManagedClusterAPIServerAccessProfileArgs(
                authorized_ip_ranges=list(args.authorized_networks), disable_run_command=True
            ),
            auto_upgrade_profile=containerservice.ManagedClusterAutoUpgradeProfileArgs(
                upgrade_channel="patch", node_os_upgrade_channel="NodeImage"
            ),
            oidc_issuer_profile=containerservice.ManagedClusterOIDCIssuerProfileArgs(enabled=True),
            security_profile=containerservice.ManagedClusterSecurityProfileArgs(
                azure_key_vault_kms=containerservice.AzureKeyVaultKmsArgs(
                    enabled=True,
                    key_id=key.key_uri_with_version,
                    key_vault_network_access="Public",
                    key_vault_resource_id=vault.id,
                ),
                workload_identity=containerservice.ManagedClusterSecurityProfileWorkloadIdentityArgs(enabled=True),
                image_cleaner=containerservice.ManagedClusterSecurityProfileImageCleanerArgs(
                    enabled=True, interval_hours=168
                ),
            ),
            network_profile=containerservice.ContainerServiceNetworkProfileArgs(
                network_plugin="azure",
                network_plugin_mode="overlay",
                network_policy="calico",
                outbound_type="userAssignedNATGateway",
                load_balancer_sku="standard",
                pod_cidr=POD_CIDR,
                service_cidr=SERVICE_CIDR,
                dns_service_ip=DNS_IP,
            ),
            agent_pool_profiles=[self._nodes(subnet)],
            tags=dict(args.labels),
            # AKS installs the patches of the release, and the autoscaler decides about the number of nodes.
            opts=pulumi.ResourceOptions.merge(
                self._in_cloud,
                pulumi.ResourceOptions(depends_on=list(rights), ignore_changes=["agentPoolProfiles[0].count"]),
            ),
        )

    def _nodes(self, subnet: network.Subnet) -> containerservice.ManagedClusterAgentPoolProfileArgs:
        args = self._args
        return containerservice.ManagedClusterAgentPoolProfileArgs(
            name="nodes",
            mode="System",
            type="VirtualMachineScaleSets",
            os_type="Linux",
            os_sku="AzureLinux",
            vm_size=args.machine_type or MACHINE_TYPE,
            os_disk_size_gb=args.disk_size,
            count=args.min_nodes,
            min_count=args.min_nodes,
            max_count=args.max_nodes,
            enable_auto_scaling=True,
            enable_node_public_ip=False,
            availability_zones=["1", "2", "3"],
            vnet_subnet_id=subnet.id,
            upgrade_settings=containerservice.AgentPoolUpgradeSettingsArgs(max_surge="33%"),
            tags=dict(args.labels),
        )

    def _build_lock(self, cluster: containerservice.ManagedCluster) -> None:
        """AKS has no protection of its own; Azure refuses to delete what has a lock."""
        authorization.ManagementLockByScope(
            f"{self._name}-lock",
            scope=cluster.id,
            lock_name="deletion-protection",
            level=authorization.LockLevel.CAN_NOT_DELETE,
            notes="istio-canary:cluster.deletionProtection",
            opts=self._in_cloud,
        )

    def _kubeconfig(self, cluster: containerservice.ManagedCluster) -> pulumi.Output[str]:
        """By the cluster's id, which is unknown until there is a cluster that can be asked."""
        given = containerservice.list_managed_cluster_user_credentials_output(
            resource_group_name=self._group.name,
            resource_name=cluster.id.apply(lambda found: found.rpartition("/")[2]),
            opts=pulumi.InvokeOutputOptions(parent=self, provider=self._in_cloud.provider),
        )
        text: pulumi.Output[str] = given.apply(lambda found: _with_plugin(self._args.cluster_name, found))
        return text


def _with_plugin(name: str, given: Any) -> str:
    """AKS's kubeconfig asks for a code in a browser; this one takes the login of the Azure CLI."""
    text = base64.b64decode(given.kubeconfigs[0].value).decode()
    cluster = yaml.safe_load(text)["clusters"][0]["cluster"]
    return kubeconfig(name, cluster["server"], cluster["certificate-authority-data"], aks_plugin(SERVER_ID))
