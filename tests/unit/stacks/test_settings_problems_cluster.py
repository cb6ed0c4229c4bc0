"""What is wrong with a stack's cluster: the place, the value, what is allowed and the fix."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from stacks.checks import clusters
from stacks.settings.cluster import ClusterSettings, Kind, OtherStackSettings, SandboxSettings
from stacks.settings.loading import load, load_stack
from stacks.settings.problems import Problem, SettingsError
from tests.unit.components.clusters.stacks_with_clusters import CLUSTERS

GKE, EKS, AKS, KIND = (CLUSTERS[kind] for kind in ("gke", "eks", "aks", "kind"))


def _problems(cluster: Any) -> dict[str, Problem]:
    with pytest.raises(SettingsError) as error:
        load({"cluster": cluster})
    return {one.path.removeprefix("istio-canary:"): one for one in error.value.problems}


def _without(cluster: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in cluster.items() if name != key}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ClusterSettings()),
        ({"context": "dev"}, ClusterSettings(context="dev")),
        ({"kubeconfig": "/a", "context": "dev"}, ClusterSettings(kubeconfig="/a", context="dev")),
        ({"kind": "existing", "context": "dev"}, ClusterSettings(context="dev")),
        ({"kind": "sandbox"}, SandboxSettings(kind="sandbox")),
    ],
)
def test_a_cluster_without_a_kind_is_one_that_exists(given: dict[str, Any], expected: object) -> None:
    assert load({"cluster": given}).cluster == expected


def test_a_stack_reference_needs_no_kind() -> None:
    cluster = load({"cluster": CLUSTERS["stackReference"]}).cluster
    assert isinstance(cluster, OtherStackSettings)
    assert not cluster.is_created


@pytest.mark.parametrize("kind", CLUSTERS)
def test_the_settings_of_every_kind_are_valid(kind: str) -> None:
    cluster = load({"cluster": CLUSTERS[kind]}).cluster
    assert (cluster.late is None) == (kind in ("existing", "sandbox"))
    assert cluster.is_created == (kind in {*Kind} - {"existing", "sandbox"})


CASES: list[tuple[str, Any, str, str, str, str]] = [
    (
        "an unknown kind",
        {"kind": "gkee"},
        "kind",
        "no such kind of cluster; the nearest is gke",
        "existing, sandb",
        "gke",
    ),
    ("a kind that is no text", {"kind": 3}, "kind", "no such kind of cluster", "minikube, kind", "write existing"),
    ("a misspelt key", {"contxt": "a"}, "contxt", "the nearest is `context`", "kubeconfig", "rename it to `context`"),
    ("a key of another kind", {**EKS, "context": "a"}, "context", "no such key", "zones", "remove it"),
    ("no region", _without(EKS, "region"), "region", "missing", "AWS region", 'region: "eu-central-1"'),
    ("no location", _without(GKE, "location"), "location", "missing", "or zone", 'location: "europe-west1"'),
    ("no project", _without(GKE, "project"), "project", "missing", "Google Cloud", "project"),
    ("no networks", _without(AKS, "authorizedNetworks"), "authorizedNetworks", "missing", "API server", "198.51.100"),
    (
        "a list without networks",
        {**AKS, "authorizedNetworks": []},
        "authorizedNetworks",
        "empty",
        "API",
        "add an entry",
    ),
    ("a region of another cloud", {**EKS, "region": "westeurope"}, "region", "not a region of AWS", "eu-c", "describe"),
    (
        "the internet",
        {**EKS, "authorizedNetworks": ["0.0.0.0/0"]},
        "authorizedNetworks[0]",
        "most of the",
        "/8",
        "name",
    ),
    ("an address", {**EKS, "authorizedNetworks": ["10.1.1.1/8"]}, "authorizedNetworks[0]", "host", "/8", "10.0.0.0/8"),
    (
        "no prefix",
        {**EKS, "authorizedNetworks": ["10.1.1.1"]},
        "authorizedNetworks[0]",
        "no prefix",
        "/32",
        "10.1.1.1/32",
    ),
    ("a version as a number", {**EKS, "version": 1.34}, "version", "loses a 0", "in quotes", '"1.34"'),
    ("a version that lost its 0", {**EKS, "version": 1.4}, "version", "loses a 0", "in quotes", '"1.40"'),
    ("a version with a v", {**GKE, "version": "v1.34.1"}, "version", "not a release", "1.34", '"1.34.1"'),
    ("a version of GKE", {**GKE, "version": "1.34.1-gke.100"}, "version", "not a release", "1.34", '"1.34.1"'),
    ("a patch of EKS", {**EKS, "version": "1.34.1"}, "version", "three numbers", "with two numbers", '"1.34"'),
    ("an old version", {**EKS, "version": "1.20"}, "version", "older than what Istio supports", "1.31", '"1.31"'),
    ("no version at all", {**EKS, "version": "newest"}, "version", "not a release", "1.34", '"1.34"'),
    (
        "a kind without a patch",
        {**KIND, "kubernetesVersion": "1.34"},
        "kubernetesVersion",
        "two numbers",
        "tags of kindest/node",
        '"1.34.0"',
    ),
    ("a kind's version as a number", {**KIND, "kubernetesVersion": 1.34}, "kubernetesVersion", "0", "", '"1.34.0"'),
    (
        "more nodes at least than at most",
        {**GKE, "nodes": {"min": 5, "max": 2}},
        "nodes",
        "5 is more than max 2",
        "",
        "2",
    ),
    ("more nodes than the default", {**GKE, "nodes": {"min": 5}}, "nodes", "3, the default", "", "write max: 5, too"),
    ("a number of nodes", {**GKE, "nodes": 5}, "nodes", "follows the load", "min, max", "nodes: {min: 5, max: 5}"),
    ("a count of nodes", {**GKE, "nodeCount": 5}, "nodeCount", "follows the load", "", "nodes: {min: 5, max: 5}"),
    ("nodes of a kind", {**KIND, "nodes": 3}, "nodes", "beside the control plane's", "workers", "workers: 2"),
    (
        "workers of a minikube",
        {"kind": "minikube", "kubernetesVersion": "1.34.1", "workers": 1},
        "workers",
        "counts all nodes",
        "nodes",
        "write nodes: 2",
    ),
    ("GKE's region", {**_without(GKE, "location"), "region": "europe-west1"}, "region", "`location`", "", "rename it"),
    ("AWS's location", {**_without(EKS, "region"), "location": "eu-central-1"}, "location", "`region`", "", "rename"),
    ("a machine of AWS", {**EKS, "nodes": {"instanceType": "t3.large"}}, "nodes.instanceType", "`mach", "", "rename"),
    ("a misspelt stack", {"stackreference": "a/b/c"}, "stackreference", "is `stackReference`", "", "rename it to `st"),
    ("a stack in short", {"stack": "a/b/c"}, "stack", "its name here is `stackReference`", "", "rename it to `stackR"),
    ("a type", {"type": "gke"}, "type", "its name here is `kind`", "", "rename it to `kind`"),
    ("a key that says nothing", {"where": "there"}, "where", "no such key", "", "your kubeconfig's current context"),
    (
        "a stack of a kind",
        {"kind": "existing", "stackReference": "a/b/c"},
        "stackReference",
        "has no `kind`",
        "",
        "remove `kind`",
    ),
    ("no value for the kind", {"kind": None}, "kind", "has no value", "gke, eks, aks", "write existing"),
    ("an empty path", {"kubeconfig": ""}, "kubeconfig", "empty", "$KUBECONFIG", "write ~/.kube/config"),
    ("a path of spaces", {"kubeconfig": " "}, "kubeconfig", "empty", "$KUBECONFIG", "write ~/.kube/config"),
    (
        "a kubeconfig's text",
        {"kubeconfig": "apiVersion: v1\nkind: Config\n"},
        "kubeconfig",
        "the text of a kubeconfig",
        "the path of a file",
        "only you can read",
    ),
    ("a network of IPv6", {**AKS, "authorizedNetworks": ["2001:db8::/32"]}, "authorizedNetworks[0]", "IPv6", "", "v4"),
    ("a network without a /28", {**GKE, "controlPlaneCidr": "10.0.0.0/16"}, "controlPlaneCidr", "16", "", "10.0.0.0/2"),
    ("a public network", {**GKE, "controlPlaneCidr": "8.8.8.0/28"}, "controlPlaneCidr", "public", "priv", "172.16"),
    ("a long name", {**GKE, "name": "a" * 50}, "name", "name of a cluster of GKE", "1 to 40", "write aaaa"),
    ("a region with a space", {**AKS, "location": "West Europe"}, "location", "not a region", "", "write westeurope"),
    ("a zone for a region", {**EKS, "region": "eu-central-1a"}, "region", "not a region", "", "write eu-central-1"),
    ("a zone twice", {**EKS, "zones": ["eu-central-1a"] * 2}, "", "one zone", "two zones", "eu-central-1b"),
    ("too many nodes", {**GKE, "nodes": {"max": 5000}}, "nodes.max", "more than 1000", "1 to 1000", "whole number"),
    ("a channel in lower case", {**GKE, "releaseChannel": "stable"}, "releaseChannel", "STABLE", "RAPID", "STABLE"),
    ("a label in capitals", {**GKE, "labels": {"A": "b"}}, "labels.A", "not a label's name", "a-z", "write a"),
    ("a zone elsewhere", {**EKS, "zones": ["us-east-1a", "us-east-1b"]}, "", "not in eu-central-1", "zones of", "1a"),
    ("one zone", {**EKS, "zones": ["eu-central-1a"]}, "", "one zone", "two zones", "eu-central-1b"),
    (
        "a group's name",
        {**AKS, "adminGroups": ["admins"]},
        "adminGroups[0]",
        "not the object id",
        "1111",
        "az ad group",
    ),
    ("a stack's short name", {"stackReference": "prod"}, "stackReference", "not the full name", "<organ", "stack ls"),
    (
        "a stack and a context",
        {**CLUSTERS["stackReference"], "context": "a"},
        "context",
        "no such key",
        "",
        "remove it",
    ),
    ("a text", "dev", "", "text, but must be a mapping", "context", "write"),
]


@pytest.mark.parametrize(
    ("cluster", "key", "what", "allowed", "fix"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_a_mistake_is_told_with_its_place_what_is_allowed_and_the_fix(
    cluster: Any, key: str, what: str, allowed: str, fix: str
) -> None:
    problem = _problems(cluster)[f"cluster.{key}" if key else "cluster"]
    assert what in problem.what
    assert allowed in problem.allowed
    assert fix in problem.fix
    assert problem.fix


def test_all_keys_that_are_missing_are_told_at_once() -> None:
    assert _problems({"kind": "gke"}).keys() == {"cluster.project", "cluster.location", "cluster.authorizedNetworks"}


@pytest.mark.parametrize("version", [1.3, 1.34, 1.4, "1.34", "1.34.1", "v1.34.1", "1.34.1-gke.1", "newest", "1.20", 3])
@pytest.mark.parametrize(("kind", "key"), [("kind", "kubernetesVersion"), ("eks", "version"), ("gke", "version")])
def test_the_release_that_the_fix_names_is_valid(kind: str, key: str, version: object) -> None:
    given = {**CLUSTERS[kind], key: version}
    try:
        load({"cluster": given})
    except SettingsError as error:
        (problem,) = error.problems
        load({"cluster": {**given, key: re.findall(r'"([0-9.]+)"', problem.fix)[0]}})


def test_a_stack_does_not_take_its_cluster_from_itself(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.prod.yaml"
    text = "config:\n  istio-canary:cluster:\n    stackReference: organization/istio-canary/{}\n"
    file.write_text(text.format("prod"))
    with pytest.raises(SettingsError) as error:
        load_stack(file)
    (problem,) = error.value.problems
    assert (problem.path, problem.line) == ("istio-canary:cluster.stackReference", 3)
    assert "this is the stack itself" in problem.what
    assert "organization/istio-canary/prod-cluster" in problem.fix
    file.write_text(text.format("prod-cluster"))
    load_stack(file)


GATEWAYS = [
    ("kind", {}, "has no load balancer", "serviceType: NodePort, with nodePort: 30080"),
    ("sandbox", {}, "has no load balancer", "serviceType: NodePort, with nodePort: 30080"),
    ("kind", {"serviceType": "NodePort"}, "and none is given", "nodePort: 30080 beside it"),
    ("gke", {"serviceType": "NodePort"}, "leads nowhere", "serviceType: LoadBalancer"),
    ("kind", {"serviceType": "NodePort", "nodePort": 30080}, "", ""),
    ("sandbox", {"serviceType": "NodePort"}, "", ""),
    ("minikube", {}, "", ""),
    ("eks", {}, "", ""),
    ("existing", {}, "", ""),
]


@pytest.mark.parametrize(("kind", "gateway", "what", "fix"), GATEWAYS)
def test_a_gateway_without_an_address_is_warned_of(kind: str, gateway: dict[str, Any], what: str, fix: str) -> None:
    found = list(clusters.warnings(load({"cluster": CLUSTERS[kind], "mesh": {"gateway": gateway}})))
    assert len(found) == (1 if what else 0)
    for one in found:
        assert what in one.what
        assert fix in one.fix


def test_without_a_mesh_of_its_own_a_stack_has_no_gateway_to_warn_of() -> None:
    assert not list(clusters.warnings(load({"cluster": KIND, "mesh": {"install": False}})))
