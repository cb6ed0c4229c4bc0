"""The rules on clusters, on what Pulumi's providers for the clouds get; no SDK is needed for that."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from policies.clusters import AKS, AKS_LOCK, COMMAND, EKS, GKE, GKE_POOL, RULES, SUBNET, TEMPLATE
from policies.resource import UNKNOWN, Resource
from tests.policies.cases import Change, sets
from tests.policies.registered import found

GOOD: dict[str, dict[str, Any]] = {
    GKE: {
        "privateClusterConfig": {"enablePrivateNodes": True, "enablePrivateEndpoint": False},
        "masterAuthorizedNetworksConfig": {"cidrBlocks": [{"cidrBlock": "198.51.100.0/24"}]},
        "databaseEncryption": {"state": "ENCRYPTED", "keyName": UNKNOWN},
        "releaseChannel": {"channel": "REGULAR"},
        "deletionProtection": True,
    },
    GKE_POOL: {"networkConfig": {"enablePrivateNodes": True}},
    EKS: {
        "version": "1.34",
        "vpcConfig": {"endpointPublicAccess": True, "publicAccessCidrs": ["198.51.100.0/24"]},
        "encryptionConfig": {"resources": ["secrets"], "provider": {"keyArn": UNKNOWN}},
        "deletionProtection": True,
    },
    SUBNET: {"mapPublicIpOnLaunch": False},
    TEMPLATE: {"networkInterfaces": [{"associatePublicIpAddress": "false"}]},
    AKS: {
        "kubernetesVersion": "1.34",
        "agentPoolProfiles": [{"name": "nodes", "enableNodePublicIP": False}],
        "apiServerAccessProfile": {"authorizedIPRanges": ["198.51.100.0/24"]},
        "securityProfile": {"azureKeyVaultKms": {"enabled": True}},
    },
    AKS_LOCK: {"level": "CanNotDelete"},
    COMMAND: {"create": "kind create cluster --image kindest/node:v1.34.0"},
}
CASES: list[tuple[str, str, Change, str]] = [
    ("cluster-nodes-private", GKE, sets("privateClusterConfig", None), "enablePrivateNodes is not true"),
    ("cluster-nodes-private", GKE_POOL, sets("networkConfig.enablePrivateNodes", False), "enablePrivateNodes is false"),
    ("cluster-nodes-private", SUBNET, sets("mapPublicIpOnLaunch", True), "get public addresses"),
    ("cluster-nodes-private", TEMPLATE, sets("networkInterfaces.0.associatePublicIpAddress", "true"), "true"),
    ("cluster-nodes-private", AKS, sets("agentPoolProfiles.0.enableNodePublicIP", True), "the pool nodes"),
    ("cluster-secrets-encrypted", GKE, sets("databaseEncryption.state", "DECRYPTED"), "no key"),
    ("cluster-secrets-encrypted", EKS, sets("encryptionConfig", None), "does not encrypt"),
    ("cluster-secrets-encrypted", AKS, sets("securityProfile.azureKeyVaultKms.enabled", False), "not enabled"),
    ("cluster-version-pinned", GKE, sets("releaseChannel.channel", "UNSPECIFIED"), "neither a release channel"),
    ("cluster-version-pinned", EKS, sets("version", None), "AWS takes its newest"),
    ("cluster-version-pinned", AKS, sets("kubernetesVersion", None), "Azure takes its default"),
    ("cluster-version-pinned", COMMAND, sets("create", "kind create cluster --image kindest/node"), "no --image"),
    ("cluster-version-pinned", COMMAND, sets("create", "minikube start --profile a"), "no --kubernetes-version"),
    ("cluster-api-not-open", GKE, sets("masterAuthorizedNetworksConfig", None), "lets in everyone"),
    ("cluster-api-not-open", EKS, sets("vpcConfig.publicAccessCidrs", ["0.0.0.0/0"]), "lets in 0.0.0.0/0"),
    ("cluster-api-not-open", EKS, sets("vpcConfig.publicAccessCidrs", None), "lets in everyone"),
    ("cluster-api-not-open", AKS, sets("apiServerAccessProfile.authorizedIPRanges", []), "lets in everyone"),
    ("cluster-deletion-protected", GKE, sets("deletionProtection", False), "not true"),
    ("cluster-deletion-protected", EKS, sets("deletionProtection", None), "not true"),
]


def _resources(changed: str = "", change: Change | None = None, without: str = "") -> list[Resource]:
    good = copy.deepcopy(GOOD)
    if change is not None:
        change(good[changed])
    return [
        Resource(f"urn:pulumi:prod::istio-canary::{type_}::{index}", type_, str(index), props)
        for index, (type_, props) in enumerate(good.items())
        if type_ != without
    ]


@pytest.mark.parametrize("rule", [rule.name for rule in RULES])
def test_good_clusters_pass(rule: str) -> None:
    assert found(rule, _resources()) == []


def test_every_rule_has_a_case() -> None:
    assert {rule for rule, *_ in CASES} == {rule.name for rule in RULES}


@pytest.mark.parametrize(("rule", "type_", "change", "words"), CASES)
def test_a_bad_cluster_is_found(rule: str, type_: str, change: Change, words: str) -> None:
    (finding,) = found(rule, _resources(type_, change))
    assert words in finding.message
    assert f"::{type_}::" in finding.urn
    assert finding.fix


def test_an_aks_cluster_without_a_lock_is_not_protected() -> None:
    (finding,) = found("cluster-deletion-protected", _resources(without=AKS_LOCK))
    assert "no lock" in finding.message
