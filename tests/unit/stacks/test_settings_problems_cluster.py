"""What is wrong with a stack's cluster: the place, the value, what is allowed and the fix."""

from __future__ import annotations

from typing import Any

import pytest

from stacks.settings.cluster import ClusterSettings, Kind, OtherStackSettings, SandboxSettings
from stacks.settings.loading import load
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
    ("an old version", {**EKS, "version": "1.20"}, "version", "older than what Istio supports", "1.31", "newer"),
    ("no version at all", {**EKS, "version": "newest"}, "version", "not a release", "1.34", '"1.34"'),
    ("a kind without a patch", {**KIND, "kubernetesVersion": "1.34"}, "", "no image", "three numbers", '"1.34.0"'),
    (
        "more nodes at least than at most",
        {**GKE, "nodes": {"min": 5, "max": 2}},
        "nodes",
        "5 is more than max 2",
        "",
        "2",
    ),
    ("too many nodes", {**GKE, "nodes": {"max": 5000}}, "nodes.max", "more than 1000", "1 to 1000", "whole number"),
    ("a channel in lower case", {**GKE, "releaseChannel": "stable"}, "releaseChannel", "STABLE", "RAPID", "STABLE"),
    ("a label in capitals", {**GKE, "labels": {"A": "b"}}, "labels.A", "not a label's name", "a-z", "cost-center"),
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
