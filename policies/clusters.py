"""Rules on the clusters that a stack creates: private nodes, encrypted Secrets, a pinned version, a closed API server.

The properties are those of Pulumi's providers for Google Cloud, AWS and Azure, and the commands of minikube and kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from policies.resource import UNKNOWN, Resource, items, mapping, texts
from policies.rule import PROD, Context, Problem, Rule, Severity

GKE, GKE_POOL = "gcp:container/cluster:Cluster", "gcp:container/nodePool:NodePool"
EKS, SUBNET, TEMPLATE = "aws:eks/cluster:Cluster", "aws:ec2/subnet:Subnet", "aws:ec2/launchTemplate:LaunchTemplate"
AKS, AKS_POOL = "azure-native:containerservice:ManagedCluster", "azure-native:containerservice:AgentPool"
AKS_LOCK = "azure-native:authorization:ManagementLockByScope"
COMMAND = "command:local:Command"
EVERYONE = ("0.0.0.0/0", "::/0")
NO_CHANNEL = ("", "UNSPECIFIED")


def _of_type(context: Context, *types: str) -> list[Resource]:
    return [one for one in context.resources if one.type.partition("@")[0] in types]


def nodes_private(context: Context) -> Iterator[Problem]:
    """No node of a cluster has a public address."""
    fix = "leave the nodes without public addresses; they reach the internet by NAT"
    for cluster in _of_type(context, GKE):
        if cluster.mapping("privateClusterConfig").get("enablePrivateNodes") is not True:
            yield Problem(cluster, "privateClusterConfig.enablePrivateNodes is not true", fix)
    for pool in _of_type(context, GKE_POOL):
        if pool.mapping("networkConfig").get("enablePrivateNodes") is False:
            yield Problem(pool, "networkConfig.enablePrivateNodes is false", fix)
    for subnet in _of_type(context, SUBNET):
        if subnet.props.get("mapPublicIpOnLaunch") is True:
            yield Problem(subnet, "mapPublicIpOnLaunch is true, so its machines get public addresses", fix)
    for template in _of_type(context, TEMPLATE):
        if any(
            str(one.get("associatePublicIpAddress")) == "true" for one in items(template.props.get("networkInterfaces"))
        ):
            yield Problem(template, "networkInterfaces has associatePublicIpAddress: true", fix)
    for cluster in _of_type(context, AKS):
        for pool_of in items(cluster.props.get("agentPoolProfiles")):
            if pool_of.get("enableNodePublicIP") is True:
                yield Problem(cluster, f"the pool {pool_of.get('name')} has enableNodePublicIP: true", fix)
    for pool in _of_type(context, AKS_POOL):
        if pool.props.get("enableNodePublicIP") is True:
            yield Problem(pool, "enableNodePublicIP is true", fix)


def secrets_encrypted(context: Context) -> Iterator[Problem]:
    """Kubernetes' Secrets are encrypted with a key of the account's own before they are stored."""
    for cluster in _of_type(context, GKE):
        encryption = cluster.mapping("databaseEncryption")
        if encryption.get("state") != "ENCRYPTED" or not encryption.get("keyName"):
            yield Problem(cluster, "databaseEncryption has no key", "give it state: ENCRYPTED and a key of Cloud KMS")
    for cluster in _of_type(context, EKS):
        encryption = cluster.mapping("encryptionConfig")
        if "secrets" not in texts(encryption.get("resources")) or not mapping(encryption, "provider").get("keyArn"):
            yield Problem(cluster, "encryptionConfig does not encrypt secrets", "name secrets and a key of KMS in it")
    for cluster in _of_type(context, AKS):
        if cluster.mapping("securityProfile", "azureKeyVaultKms").get("enabled") is not True:
            yield Problem(
                cluster, "securityProfile.azureKeyVaultKms is not enabled", "enable it with a key of Key Vault"
            )


def version_pinned(context: Context) -> Iterator[Problem]:
    """The version of Kubernetes is named, or follows a release channel."""
    for cluster in _of_type(context, GKE):
        if cluster.mapping("releaseChannel").get("channel", "") in NO_CHANNEL and not _set(
            cluster.props, "minMasterVersion"
        ):
            yield Problem(
                cluster, "it has neither a release channel nor a version", "set releaseChannel, such as REGULAR"
            )
    for cluster in _of_type(context, EKS):
        if not _set(cluster.props, "version"):
            yield Problem(cluster, "it has no version, so AWS takes its newest", "set version, such as 1.34")
    for cluster in _of_type(context, AKS):
        if not _set(cluster.props, "kubernetesVersion"):
            yield Problem(
                cluster, "it has no version, so Azure takes its default", "set kubernetesVersion, such as 1.34"
            )
    for command in _of_type(context, COMMAND):
        create = str(command.props.get("create", ""))
        if "minikube start" in create and not re.search(r"--kubernetes-version[ =]v?[0-9]", create):
            yield Problem(command, "minikube start has no --kubernetes-version", "name the version")
        if "kind create cluster" in create and not re.search(r"--image[ =]\S+(:v?[0-9]|@sha256:)", create):
            yield Problem(command, "kind create cluster has no --image with a version", "name kindest/node's tag")


def api_server_not_open(context: Context) -> Iterator[Problem]:
    """The API server does not answer callers of the whole internet."""
    fix = "name the networks of those who run `canary`, and of the pipelines"
    for cluster in _of_type(context, GKE):
        private = cluster.mapping("privateClusterConfig").get("enablePrivateEndpoint") is True
        config = cluster.props.get("masterAuthorizedNetworksConfig")
        networks = [str(one.get("cidrBlock")) for one in items(mapping(config).get("cidrBlocks"))]
        if not private and (config is None or _open(networks)):
            yield Problem(cluster, f"masterAuthorizedNetworksConfig lets in {_shown(networks)}", fix)
    for cluster in _of_type(context, EKS):
        config = cluster.mapping("vpcConfig")
        networks = texts(config.get("publicAccessCidrs"))
        unknown = config.get("publicAccessCidrs") == UNKNOWN
        if config.get("endpointPublicAccess") is not False and not unknown and (not networks or _open(networks)):
            yield Problem(cluster, f"vpcConfig.publicAccessCidrs lets in {_shown(networks)}", fix)
    for cluster in _of_type(context, AKS):
        profile = cluster.mapping("apiServerAccessProfile")
        networks = texts(profile.get("authorizedIPRanges"))
        if profile.get("enablePrivateCluster") is not True and (not networks or _open(networks)):
            yield Problem(cluster, f"apiServerAccessProfile.authorizedIPRanges lets in {_shown(networks)}", fix)


def deletion_protected(context: Context) -> Iterator[Problem]:
    """The cloud refuses to delete the cluster."""
    fix = "set istio-canary:cluster.deletionProtection to true"
    for cluster in _of_type(context, GKE, EKS):
        if cluster.props.get("deletionProtection") is not True:
            yield Problem(cluster, "deletionProtection is not true", fix)
    locked = bool(_of_type(context, AKS_LOCK))
    for cluster in _of_type(context, AKS):
        if not locked:
            yield Problem(cluster, "no lock of Azure (ManagementLockByScope) protects it", fix)


def _set(props: Mapping[str, Any], key: str) -> bool:
    return bool(props.get(key))


def _open(networks: list[str]) -> bool:
    return any(network in EVERYONE for network in networks)


def _shown(networks: list[str]) -> str:
    return ", ".join(network for network in networks if network in EVERYONE) or "everyone"


RULES = (
    Rule(
        name="cluster-nodes-private",
        check=nodes_private,
        severity=Severity.HIGH,
        description="The nodes of a cluster that the stack creates have no public addresses.",
    ),
    Rule(
        name="cluster-secrets-encrypted",
        check=secrets_encrypted,
        severity=Severity.HIGH,
        description="A cluster that the stack creates encrypts Secrets with a key of the account's own.",
    ),
    Rule(
        name="cluster-version-pinned",
        check=version_pinned,
        severity=Severity.MEDIUM,
        description="A cluster that the stack creates has a version of Kubernetes, or a release channel.",
    ),
    Rule(
        name="cluster-api-not-open",
        check=api_server_not_open,
        severity=Severity.HIGH,
        description="The API server of a cluster that the stack creates answers named networks alone.",
    ),
    Rule(
        name="cluster-deletion-protected",
        check=deletion_protected,
        severity=Severity.MEDIUM,
        description="The cloud refuses to delete a cluster that the stack creates.",
        stacks=PROD,
    ),
)
