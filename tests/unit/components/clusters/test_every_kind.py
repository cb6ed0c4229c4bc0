"""What a cluster of each kind registers, in a preview and in an update."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from components.clusters.kubeconfigs import aks_plugin, eks_plugin, gke_plugin, kubeconfig
from kube import kubeconfig as access
from policies import configuration
from policies.engine import findings
from policies.resource import from_recorded
from policies.rule import Enforcement
from stacks.recording import SECRET, UNKNOWN, Recorded
from tests.unit.components.clusters.stacks_with_clusters import (
    CLUSTERS,
    NETWORKS,
    NODE_PORT,
    buildable,
    one,
    registered,
)
from tests.unit.test_layout import ROOT

ALL, CLOUDS = buildable(*CLUSTERS), buildable("gke", "eks", "aks")
MADE = buildable("minikube", "kind", "gke", "eks", "aks")
CLUSTER = {
    "gke": "gcp:container/cluster:Cluster",
    "eks": "aws:eks/cluster:Cluster",
    "aks": "azure-native:containerservice:ManagedCluster",
}


def _provider(resources: tuple[Recorded, ...]) -> Recorded:
    return one(resources, "providers:kubernetes")


@pytest.mark.parametrize("kind", ALL)
def test_a_preview_registers_what_an_update_does(kind: str) -> None:
    preview, update = (registered(kind, preview=preview) for preview in (True, False))
    assert [(r.urn, r.parent) for r in preview] == [(r.urn, r.parent) for r in update]


@pytest.mark.parametrize("kind", ALL)
def test_the_kubernetes_provider_has_the_same_urn_for_every_kind(kind: str) -> None:
    found = _provider(registered(kind))
    assert found.urn == "urn:pulumi:prod::istio-canary::pulumi:providers:kubernetes::cluster"
    assert found.parent is None, "a stack whose cluster changes its kind would replace everything in it"
    assert found.ignores == ("clusterIdentifier",)


@pytest.mark.parametrize("kind", ALL)
def test_endpoint_and_kubeconfig_are_outputs_and_the_kubeconfig_is_a_secret(kind: str) -> None:
    component = next(r for r in registered(kind) if r.is_component)
    assert component.outputs is not None
    assert component.outputs.keys() == {"endpoint", "kubeconfig"}
    assert component.outputs["kubeconfig"] == SECRET
    has_address = kind not in ("existing", "sandbox")
    assert component.outputs["endpoint"].startswith("https://") == has_address


@pytest.mark.parametrize("kind", MADE)
def test_a_cluster_that_does_not_exist_yet_has_no_address_in_a_preview(kind: str) -> None:
    component = next(r for r in registered(kind, preview=True) if r.is_component)
    assert component.outputs is not None
    assert component.outputs["endpoint"] == UNKNOWN
    assert _provider(registered(kind, preview=True)).inputs["kubeconfig"] in (SECRET, UNKNOWN)


@pytest.mark.parametrize("kind", CLOUDS)
@pytest.mark.parametrize("preview", [True, False])
def test_a_cloud_cluster_has_no_finding_of_any_policy(kind: str, preview: bool) -> None:
    resources = from_recorded(registered(kind, preview=preview))
    found = [one for one in findings(resources, configuration.read()) if one.enforcement is Enforcement.MANDATORY]
    assert found == []


@pytest.mark.parametrize("kind", CLOUDS)
def test_the_name_is_that_of_project_and_stack_unless_one_is_given(kind: str) -> None:
    key = "resourceName" if kind == "aks" else "name"
    assert one(registered(kind), CLUSTER[kind]).inputs[key] == "istio-canary-prod"
    assert one(registered(kind, name="shop"), CLUSTER[kind]).inputs[key] == "shop"


@pytest.mark.parametrize("kind", CLOUDS)
def test_labels_for_bills_are_on_cluster_and_nodes(kind: str) -> None:
    wanted = {"pulumi-project": "istio-canary", "pulumi-stack": "prod", "cost-center": "shop"}
    inputs = one(registered(kind), CLUSTER[kind]).inputs
    labels = inputs["resourceLabels" if kind == "gke" else "tags"]
    assert wanted.items() <= labels.items()


@pytest.mark.parametrize("kind", buildable("gke", "eks"))
def test_the_cloud_refuses_to_delete_a_cluster_until_it_is_said(kind: str) -> None:
    assert one(registered(kind), CLUSTER[kind]).inputs["deletionProtection"] is True
    assert one(registered(kind, deletionProtection=False), CLUSTER[kind]).inputs["deletionProtection"] is False


@pytest.mark.parametrize("kind", buildable("aks"))
def test_a_lock_protects_an_aks_cluster(kind: str) -> None:
    assert one(registered(kind), ":ManagementLockByScope").inputs["level"] == "CanNotDelete"
    unlocked = registered(kind, deletionProtection=False)
    assert not [r for r in unlocked if r.type.endswith(":ManagementLockByScope")]


@pytest.mark.parametrize("kind", buildable("gke"))
def test_a_gke_cluster_is_private_and_lets_its_api_server_call_istiods_webhooks(kind: str) -> None:
    resources = registered(kind)
    cluster, pool = one(resources, CLUSTER[kind]).inputs, one(resources, ":NodePool")
    assert cluster["masterAuthorizedNetworksConfig"]["cidrBlocks"] == [{"cidrBlock": NETWORKS[0]}]
    assert cluster["workloadIdentityConfig"] == {"workloadPool": "my-project-1.svc.id.goog"}
    assert cluster["releaseChannel"] == {"channel": "REGULAR"}
    assert pool.inputs["autoscaling"]["totalMinNodeCount"] == 2
    assert pool.inputs["autoscaling"]["totalMaxNodeCount"] == 5
    assert set(pool.ignores) >= {"nodeCount"}, "the autoscaler decides about it"
    firewall = one(resources, ":Firewall").inputs
    assert firewall["allows"] == [{"protocol": "tcp", "ports": ["15017"]}]
    assert firewall["sourceRanges"] == [cluster["privateClusterConfig"]["masterIpv4CidrBlock"]]
    assert set(firewall["targetTags"]) <= set(pool.inputs["nodeConfig"]["tags"])
    roles = {r.inputs["role"] for r in resources if r.type == "gcp:projects/iAMMember:IAMMember"}
    assert roles == {"roles/container.defaultNodeServiceAccount"}, "nodes may do what nodes do, and nothing else"


@pytest.mark.parametrize("kind", buildable("gke"))
def test_a_gke_cluster_can_be_created_again_though_its_ring_of_keys_is_never_deleted(kind: str) -> None:
    assert "name" not in one(registered(kind), ":KeyRing").inputs, "Pulumi names it anew each time"


@pytest.mark.parametrize("kind", buildable("eks"))
def test_an_eks_clusters_nodes_are_in_private_subnets_and_keep_their_credentials_from_pods(kind: str) -> None:
    resources = registered(kind)
    group, template = one(resources, ":NodeGroup"), one(resources, ":LaunchTemplate").inputs
    assert group.inputs["subnetIds"] == ["eks-private-eu-central-1a", "eks-private-eu-central-1b"]
    assert group.inputs["scalingConfig"] == {"minSize": 2, "maxSize": 5, "desiredSize": 2}
    assert group.ignores == ("scalingConfig.desiredSize",), "the autoscaler decides about it"
    assert template["metadataOptions"]["httpTokens"] == "required"
    assert template["metadataOptions"]["httpPutResponseHopLimit"] == 1
    assert template["blockDeviceMappings"][0]["ebs"]["encrypted"] == "true"
    cluster = one(resources, CLUSTER[kind]).inputs
    assert cluster["vpcConfig"]["publicAccessCidrs"] == NETWORKS
    assert cluster["accessConfig"]["authenticationMode"] == "API"
    (policy,) = [r for r in resources if r.type == "aws:iam/rolePolicy:RolePolicy"]
    changing = [one for one in json.loads(policy.inputs["policy"])["Statement"] if "Condition" in one]
    assert changing[0]["Condition"] == {
        "StringEquals": {"aws:ResourceTag/k8s.io/cluster-autoscaler/istio-canary-prod": "owned"}
    }


@pytest.mark.parametrize("kind", buildable("aks"))
def test_an_aks_cluster_knows_groups_of_entra_and_no_local_accounts(kind: str) -> None:
    cluster = one(registered(kind), CLUSTER[kind]).inputs
    assert cluster["disableLocalAccounts"] is True
    assert cluster["aadProfile"]["adminGroupObjectIDs"] == ["11111111-2222-3333-4444-555555555555"]
    assert cluster["apiServerAccessProfile"]["authorizedIPRanges"] == NETWORKS
    (pool,) = cluster["agentPoolProfiles"]
    assert (pool["minCount"], pool["maxCount"], pool["enableAutoScaling"]) == (2, 5, True)
    assert cluster["securityProfile"]["workloadIdentity"] == {"enabled": True}


@pytest.mark.parametrize("kind", buildable("minikube", "kind"))
def test_a_local_cluster_with_another_name_is_another_cluster_and_the_old_one_is_deleted(kind: str) -> None:
    key = "profile" if kind == "minikube" else "name"
    named: list[dict[str, Any]] = [{key: "one"}, {key: "two"}]
    before, after = (one(registered(kind, **keys), ":Command").inputs for keys in named)
    assert before["triggers"] != after["triggers"], "without that, only the command would be another one"
    assert "one" in before["delete"]


@pytest.mark.parametrize("plugin", [gke_plugin(), eks_plugin("shop", "eu-central-1"), aks_plugin("id")])
def test_a_clouds_kubeconfig_has_a_credential_plugin_and_no_credentials(plugin: dict[str, object]) -> None:
    text = kubeconfig("shop", "https://c.example.com", "Y2E=", plugin)
    (context,) = json.loads(text)["contexts"]
    (user,) = json.loads(text)["users"]
    assert (context["name"], json.loads(text)["current-context"]) == ("shop", "shop")
    assert user["user"].keys() == {"exec"}
    assert access._parsed(text, None).contexts.keys() == {"shop"}


def _fake(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


PROGRAMS = {
    "kind": '[ "$1" = get ] && { cat existing; exit 0; }; cat > stdin; echo "$@" > asked; echo made > "$KUBECONFIG"',
    "minikube": '[ "$1" = profile ] && { cat existing; exit 0; }; echo "$@" > asked; echo made > "$KUBECONFIG"',
}


@pytest.mark.parametrize("kind", buildable("kind", "minikube"))
def test_the_command_prints_the_kubeconfig_alone_and_leaves_the_users_as_it_is(kind: str, tmp_path: Path) -> None:
    command = one(registered(kind), ":Command").inputs
    _fake(tmp_path, kind, PROGRAMS[kind])
    (tmp_path / "existing").write_text("")
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "KUBECONFIG": str(tmp_path / "mine"), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        ["/bin/sh", "-c", command["create"]],
        cwd=tmp_path,
        env=env,
        input=command.get("stdin", ""),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "made\n", "")
    assert not (tmp_path / "mine").exists()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [], "the kubeconfig is a secret"
    asked = (tmp_path / "asked").read_text()
    assert re.search(r"kindest/node:v1\.34\.0" if kind == "kind" else r"--kubernetes-version v1\.34\.1", asked)


@pytest.mark.parametrize("kind", buildable("kind", "minikube"))
def test_a_cluster_that_somebody_else_has_made_is_not_taken_over(kind: str, tmp_path: Path) -> None:
    command = one(registered(kind), ":Command").inputs
    _fake(tmp_path, kind, PROGRAMS[kind])
    (tmp_path / "existing").write_text('istio-canary\n{"valid":[{"Name":"istio-canary"}]}\n')
    done = subprocess.run(
        ["/bin/sh", "-c", command["create"]],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        input="",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "exists already, and this stack has not made it" in done.stderr
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize("kind", buildable("kind"))
def test_a_kind_opens_the_gateways_node_ports_at_this_machine_alone(kind: str) -> None:
    command = one(registered(kind, mesh=NODE_PORT), ":Command").inputs
    assert "hostPort: 30080\n    listenAddress: 127.0.0.1" in command["stdin"]


SDKS = ("pulumi_command", "pulumi_gcp", "pulumi_aws", "pulumi_azure_native")


PREVIEW = """
from stacks.recording import record
from stacks.settings.loading import load
assert record(load({"cluster": {"kind": "sandbox"}}), "dev", preview=True)
"""


@pytest.mark.parametrize(
    ("arguments", "loaded"),
    [(["-m", "canary", "--help"], "canary.app"), (["-c", PREVIEW], "components.clusters.existing")],
    ids=["canary --help", "a preview in the sandbox"],
)
def test_no_sdk_of_a_cloud_is_loaded_for(arguments: list[str], loaded: str) -> None:
    command = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert loaded in imported
    assert imported & set(SDKS) == set()
