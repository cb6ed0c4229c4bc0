"""A cluster of Amazon Elastic Kubernetes Service, with its network, keys, roles and nodes.

It follows AWS's "Amazon EKS Best Practices Guide": nodes in private subnets of two zones or more behind NAT gateways,
an API server for named networks alone, Secrets encrypted with a key of KMS, access by access entries, EKS Pod Identity
for workloads, IMDSv2 alone, encrypted disks, and a release that is named.

It uses the resources of pulumi-aws rather than the component of pulumi-eks, whose children exist only in a plugin of
its own: neither mocks nor policies would see them in a preview.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

import pulumi
from pulumi_aws import ec2, eks, iam, kms
from pulumi_aws.provider import Provider, ProviderDefaultTagsArgs

from components.clusters.cloud import CloudArgs
from components.clusters.cluster import Cluster, Reached
from components.clusters.eks_autoscaler import NAMESPACE, SERVICE_ACCOUNT, build_autoscaler, scaling_policy
from components.clusters.kubeconfigs import eks_plugin, kubeconfig

MACHINE_TYPE = "m6i.xlarge"
VPC_CIDR = "10.0.0.0/16"
ADDONS = ("vpc-cni", "kube-proxy", "coredns", "eks-pod-identity-agent", "aws-ebs-csi-driver")
"""EKS's own, at the release that EKS takes for the cluster's; the last one makes the volumes of the telemetry."""
CLUSTER_POLICIES = ("AmazonEKSClusterPolicy",)
NODE_POLICIES = ("AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly", "AmazonEKS_CNI_Policy")
LOGS = ("api", "audit", "authenticator", "controllerManager", "scheduler")
POD_IDENTITY = "pods.eks.amazonaws.com"


@dataclass(frozen=True, kw_only=True)
class EksClusterArgs(CloudArgs):
    """A region, its zones that nodes are in, and the release of Kubernetes."""

    region: str
    zones: Sequence[str]
    version: str


class EksCluster(Cluster):
    """An EKS cluster with one autoscaled group of private nodes. See `aws.eks.Cluster`."""

    endpoint: pulumi.Output[str]
    kubeconfig: pulumi.Output[str]

    def __init__(self, name: str, args: EksClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("istio-canary:index:EksCluster", name, opts)
        self._name, self._args = name, args
        cloud = Provider(
            f"{name}-aws",
            region=args.region,
            default_tags=ProviderDefaultTagsArgs(tags=dict(args.labels)),
            opts=self._child(),
        )
        self._in_cloud = self._child(provider=cloud)

        vpc = self._build_vpc()
        public, private = self._build_subnets(vpc)
        ways_out = self._build_ways_out(vpc, public, private)
        cluster = self._build_cluster([*public, *private])
        addons = self._build_addons(cluster)
        nodes = self._build_nodes(cluster, private, after=[*ways_out, addons["vpc-cni"]])

        text = pulumi.Output.all(
            server=cluster.endpoint,
            certificate=cluster.certificate_authority.data,
            ready=nodes.arn,  # no pod runs before there are nodes
        ).apply(
            lambda known: kubeconfig(
                args.cluster_name,
                known["server"],
                known["certificate"] or "",
                eks_plugin(args.cluster_name, args.region),
            )
        )
        self._reached(Reached(kubeconfig=text, endpoint=cluster.endpoint))
        build_autoscaler(
            f"{name}-autoscaler",
            args.cluster_name,
            args.region,
            dict(args.labels),
            self._child(provider=self.provider, depends_on=[nodes, self._autoscaler_identity(cluster)]),
        )

    def _after(self, *resources: pulumi.Resource, ignore: Sequence[str] = ()) -> pulumi.ResourceOptions:
        more = pulumi.ResourceOptions(depends_on=list(resources), ignore_changes=list(ignore))
        return pulumi.ResourceOptions.merge(self._in_cloud, more)

    def _tags(self, name: str, **more: str) -> dict[str, str]:
        return {**self._args.labels, "Name": name, **more}

    def _build_vpc(self) -> ec2.Vpc:
        return ec2.Vpc(
            f"{self._name}-vpc",
            cidr_block=VPC_CIDR,
            enable_dns_hostnames=True,
            enable_dns_support=True,
            tags=self._tags(self._args.cluster_name),
            opts=self._in_cloud,
        )

    def _build_subnets(self, vpc: ec2.Vpc) -> tuple[list[ec2.Subnet], list[ec2.Subnet]]:
        """A public one in each zone, for load balancers and NAT alone, and a private one for nodes.

        The tags tell EKS where load balancers go (EKS: "VPC and subnet requirements").
        """
        blocks = list(ip_network(VPC_CIDR).subnets(new_prefix=20))
        public, private = (
            [
                ec2.Subnet(
                    f"{self._name}-{which}-{zone}",
                    vpc_id=vpc.id,
                    availability_zone=zone,
                    cidr_block=str(blocks[index + offset]),
                    map_public_ip_on_launch=False,
                    tags=self._tags(f"{self._args.cluster_name}-{which}-{zone}", **{f"kubernetes.io/role/{role}": "1"}),
                    opts=self._in_cloud,
                )
                for index, zone in enumerate(self._args.zones)
            ]
            for which, role, offset in (("public", "elb", 0), ("private", "internal-elb", 8))
        )
        return public, private

    def _build_ways_out(
        self, vpc: ec2.Vpc, public: Sequence[ec2.Subnet], private: Sequence[ec2.Subnet]
    ) -> list[pulumi.Resource]:
        """Routes to the internet: a NAT gateway in each zone, so that no zone depends on another."""
        gateway = ec2.InternetGateway(f"{self._name}-internet", vpc_id=vpc.id, opts=self._in_cloud)
        outside = self._route_table(vpc, "public", gateway_id=gateway.id)
        routes: list[pulumi.Resource] = []
        for zone, front, back in zip(self._args.zones, public, private, strict=True):
            routes.append(self._associate(f"public-{zone}", front, outside))
            address = ec2.Eip(f"{self._name}-nat-{zone}", domain="vpc", opts=self._in_cloud)
            nat = ec2.NatGateway(
                f"{self._name}-nat-{zone}",
                allocation_id=address.id,
                subnet_id=front.id,
                opts=self._after(gateway),
            )
            routes.append(
                self._associate(
                    f"private-{zone}", back, self._route_table(vpc, f"private-{zone}", nat_gateway_id=nat.id)
                )
            )
        return routes

    def _route_table(self, vpc: ec2.Vpc, which: str, **target: pulumi.Input[str]) -> ec2.RouteTable:
        return ec2.RouteTable(
            f"{self._name}-{which}",
            vpc_id=vpc.id,
            routes=[
                ec2.RouteTableRouteArgs(
                    cidr_block="0.0.0.0/0",
                    gateway_id=target.get("gateway_id"),
                    nat_gateway_id=target.get("nat_gateway_id"),
                )
            ],
            tags=self._tags(f"{self._args.cluster_name}-{which}"),
            opts=self._in_cloud,
        )

    def _associate(self, which: str, subnet: ec2.Subnet, table: ec2.RouteTable) -> ec2.RouteTableAssociation:
        return ec2.RouteTableAssociation(
            f"{self._name}-{which}", subnet_id=subnet.id, route_table_id=table.id, opts=self._in_cloud
        )

    def _build_role(self, which: str, service: str, policies: Sequence[str]) -> tuple[iam.Role, list[pulumi.Resource]]:
        """A role that a service of AWS takes, and the policies of AWS that it has."""
        actions = ["sts:AssumeRole", *(["sts:TagSession"] if service == POD_IDENTITY else [])]
        trust = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": actions}],
        }
        role = iam.Role(
            f"{self._name}-{which}",
            assume_role_policy=json.dumps(trust),
            tags=self._tags(f"{self._args.cluster_name}-{which}"),
            opts=self._in_cloud,
        )
        attached: list[pulumi.Resource] = [
            iam.RolePolicyAttachment(
                f"{self._name}-{which}-{policy.rpartition('/')[2]}",
                role=role.name,
                policy_arn=f"arn:aws:iam::aws:policy/{policy}",
                opts=self._in_cloud,
            )
            for policy in policies
        ]
        return role, attached

    def _build_cluster(self, subnets: Sequence[ec2.Subnet]) -> eks.Cluster:
        args = self._args
        role, attached = self._build_role("control-plane", "eks.amazonaws.com", CLUSTER_POLICIES)
        key = kms.Key(
            f"{self._name}-secrets",
            description=f"Secrets of {args.cluster_name}",
            enable_key_rotation=True,
            deletion_window_in_days=30,
            tags=self._tags(f"{args.cluster_name}-secrets"),
            opts=self._in_cloud,
        )
        return eks.Cluster(
            f"{self._name}-cluster",
            name=args.cluster_name,
            version=args.version,
            role_arn=role.arn,
            bootstrap_self_managed_addons=False,  # the add-ons are EKS's own, below
            access_config=eks.ClusterAccessConfigArgs(
                authentication_mode="API", bootstrap_cluster_creator_admin_permissions=True
            ),
            vpc_config=eks.ClusterVpcConfigArgs(
                subnet_ids=[subnet.id for subnet in subnets],
                endpoint_private_access=True,
                endpoint_public_access=True,
                public_access_cidrs=list(args.authorized_networks),
            ),
            encryption_config=eks.ClusterEncryptionConfigArgs(
                provider=eks.ClusterEncryptionConfigProviderArgs(key_arn=key.arn), resources=["secrets"]
            ),
            enabled_cluster_log_types=list(LOGS),
            upgrade_policy=eks.ClusterUpgradePolicyArgs(support_type="STANDARD"),
            deletion_protection=args.deletion_protection,
            tags=self._tags(args.cluster_name),
            opts=self._after(*attached),
        )

    def _build_addons(self, cluster: eks.Cluster) -> dict[str, eks.Addon]:
        volumes, attached = self._build_role("volumes", POD_IDENTITY, ("service-role/AmazonEBSCSIDriverPolicy",))
        identity = eks.AddonPodIdentityAssociationArgs(role_arn=volumes.arn, service_account="ebs-csi-controller-sa")
        return {
            addon: eks.Addon(
                f"{self._name}-{addon}",
                cluster_name=cluster.name,
                addon_name=addon,
                resolve_conflicts_on_create="OVERWRITE",
                resolve_conflicts_on_update="PRESERVE",
                pod_identity_associations=[identity] if addon == "aws-ebs-csi-driver" else None,
                tags=self._tags(f"{self._args.cluster_name}-{addon}"),
                opts=self._after(*(attached if addon == "aws-ebs-csi-driver" else ())),
            )
            for addon in ADDONS
        }

    def _build_nodes(
        self, cluster: eks.Cluster, subnets: Sequence[ec2.Subnet], after: Sequence[pulumi.Resource]
    ) -> eks.NodeGroup:
        """The cluster's own security group is that of control plane and nodes, so istiod's webhooks can be called."""
        args = self._args
        role, attached = self._build_role("nodes", "ec2.amazonaws.com", NODE_POLICIES)
        template = self._build_template()
        return eks.NodeGroup(
            f"{self._name}-nodes",
            cluster_name=cluster.name,
            node_role_arn=role.arn,
            subnet_ids=[subnet.id for subnet in subnets],
            version=args.version,
            ami_type="AL2023_x86_64_STANDARD",
            instance_types=[args.machine_type or MACHINE_TYPE],
            scaling_config=eks.NodeGroupScalingConfigArgs(
                min_size=args.min_nodes, max_size=args.max_nodes, desired_size=args.min_nodes
            ),
            launch_template=eks.NodeGroupLaunchTemplateArgs(id=template.id, version=template.latest_version.apply(str)),
            update_config=eks.NodeGroupUpdateConfigArgs(max_unavailable=1),
            tags=self._tags(f"{args.cluster_name}-nodes"),
            opts=self._after(*attached, *after, ignore=["scalingConfig.desiredSize"]),  # the autoscaler's
        )

    def _build_template(self) -> ec2.LaunchTemplate:
        """Pods do not reach the node's credentials: IMDSv2 alone, and no hop further than the node."""
        args = self._args
        tags = self._tags(f"{args.cluster_name}-node")
        return ec2.LaunchTemplate(
            f"{self._name}-node",
            update_default_version=True,
            metadata_options=ec2.LaunchTemplateMetadataOptionsArgs(
                http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
            ),
            block_device_mappings=[
                ec2.LaunchTemplateBlockDeviceMappingArgs(
                    device_name="/dev/xvda",
                    ebs=ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
                        volume_size=args.disk_size, volume_type="gp3", encrypted="true", delete_on_termination="true"
                    ),
                )
            ],
            tag_specifications=[
                ec2.LaunchTemplateTagSpecificationArgs(resource_type=kind, tags=tags) for kind in ("instance", "volume")
            ],
            opts=self._in_cloud,
        )

    def _autoscaler_identity(self, cluster: eks.Cluster) -> eks.PodIdentityAssociation:
        """The right to change the size of this cluster's groups of nodes, for the autoscaler alone."""
        role, _ = self._build_role("autoscaler", POD_IDENTITY, ())
        policy: Mapping[str, Any] = scaling_policy(self._args.cluster_name)
        iam.RolePolicy(f"{self._name}-autoscaler", role=role.name, policy=json.dumps(policy), opts=self._in_cloud)
        return eks.PodIdentityAssociation(
            f"{self._name}-autoscaler",
            cluster_name=cluster.name,
            namespace=NAMESPACE,
            service_account=SERVICE_ACCOUNT,
            role_arn=role.arn,
            tags=self._tags(f"{self._args.cluster_name}-autoscaler"),
            opts=self._in_cloud,
        )
