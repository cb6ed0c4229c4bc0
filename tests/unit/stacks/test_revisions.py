"""Istio's revisions: namespaces and pods of each, and what is refused while a revision or a tag is in use."""

from __future__ import annotations

import copy
from typing import Any

import httpx2
import pytest
from lightkube.resources.admissionregistration_v1 import MutatingWebhookConfiguration
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import Namespace, Pod

from stacks.cluster_facts import ClusterFacts
from stacks.environment import Environment
from stacks.revisions import crds_version, keeps_crds, newest_version, removals_in_use
from stacks.settings.loading import load
from stacks.settings.model import Settings
from stacks.settings.problems import Problem
from tests.unit.conftest import WEBSITE
from tests.unit.mocks import Deploy, Run

NAMESPACE = "website-istio-ns"
BOTH: dict[str, Any] = {"revisions": {"1-31": {"version": "1.31.4"}, "1-32": {"version": "1.32.0"}}, "revision": "1-31"}


def _settings(mesh: dict[str, Any], revision: str | None = None) -> Settings:
    values = copy.deepcopy(WEBSITE)
    values["mesh"] = mesh
    if revision:
        values["namespaces"] = {NAMESPACE: {"revision": revision}}
    return load(values)


def _run(deploy: Deploy, settings: Settings, **facts: Any) -> Run:
    return deploy(lambda: Environment(settings, ClusterFacts(uid="7b1f", **facts), "istio-canary/test").outputs)


def _of(run: Run) -> tuple[dict[str, str], dict[str, str]]:
    """The labels of the services' namespace, and the annotations of a version's pods."""
    (namespace,) = (one for one in run.of_type(":Namespace") if one.inputs.get("metadata", {}).get("name") == NAMESPACE)
    pods = run.named("website-version-1").spec["template"]["metadata"]
    return namespace.metadata["labels"], pods.get("annotations", {})


@pytest.mark.parametrize(
    ("mesh", "revision", "label", "annotation"),
    [
        ({}, None, {"istio-injection": "enabled"}, None),
        ({"revisions": {"default": {}, "1-32": {}}}, None, {"istio-injection": "enabled"}, None),
        ({"revisions": {"default": {}, "1-32": {}}}, "1-32", {"istio.io/rev": "1-32"}, "1-32"),
        ({"revisions": {"1-32": {}}}, None, {"istio.io/rev": "1-32"}, "1-32"),
        (BOTH, None, {"istio.io/rev": "1-31"}, "1-31"),
        (BOTH, "1-32", {"istio.io/rev": "1-32"}, "1-32"),
        ({**BOTH, "tags": {"stable": "1-32"}}, "stable", {"istio.io/rev": "stable"}, "1-32"),
        ({**BOTH, "tags": {"default": "1-32"}}, "default", {"istio-injection": "enabled"}, None),
        ({"install": False, "revision": "1-30"}, None, {"istio.io/rev": "1-30"}, "1-30"),
    ],
)
def test_a_namespace_is_labelled_with_its_revision_and_its_pods_are_replaced_when_it_changes(
    deploy: Deploy, mesh: dict[str, Any], revision: str | None, label: dict[str, str], annotation: str | None
) -> None:
    labels, annotations = _of(_run(deploy, _settings(mesh, revision)))
    assert labels == label
    if mesh.get("tags") == {"default": "1-32"}:
        annotation = "1-32"
    assert annotations.get("istio-canary/revision") == annotation


def test_a_namespace_moves_to_a_revision_only_when_its_istiod_is_ready(deploy: Deploy) -> None:
    run = _run(deploy, _settings(BOTH, "1-32"))
    component = run.named(NAMESPACE, "istio-canary:index:Namespace")
    assert run.named("mesh-istiod-1-32").urn in component.depends_on


def test_moving_one_namespace_changes_nothing_of_the_mesh(deploy: Deploy) -> None:
    before, after = (_run(deploy, _settings(BOTH, one)).inputs() for one in ("1-31", "1-32"))
    changed = {urn.rpartition("::")[2] for urn in after if after[urn] != before.get(urn)}
    assert changed == {f"{NAMESPACE}-namespace", "website-version-1", "website-version-2"}


def test_a_weight_change_of_a_stack_of_services_registers_nothing_of_the_mesh(deploy: Deploy) -> None:
    mesh = {"install": False, "revision": "1-31"}
    run = _run(deploy, _settings(mesh))
    assert [one.type for one in run.resources if "Release" in one.type or "PeerAuthentication" in one.type] == []


@pytest.mark.parametrize(
    ("in_cluster", "kept"), [(None, False), ("1.31.4", False), ("1.32.0", False), ("1.32.1", True), ("1.33.0", True)]
)
def test_crds_are_never_of_an_older_release_than_they_are(deploy: Deploy, in_cluster: str | None, kept: bool) -> None:
    settings = _settings(BOTH)
    assert newest_version(settings.mesh) == "1.32.0"
    assert keeps_crds(settings.mesh, in_cluster) is kept
    assert bool(_run(deploy, settings, crds_version=in_cluster).named("mesh-base").ignores) is kept


def test_the_release_of_crds_is_known_of_this_projects_alone() -> None:
    def crd(release: str) -> Any:
        labels = {"app.kubernetes.io/version": "1.31.0"}
        annotations = {"meta.helm.sh/release-name": release}
        return Namespace.from_dict({"metadata": {"name": "x", "labels": labels, "annotations": annotations}})

    assert crds_version(crd("istio-canary-base")) == "1.31.0"
    assert crds_version(crd("istio-base")) is None
    assert crds_version(None) is None


class FakeCluster:
    """A cluster with the istiods of two revisions, the tag `stable`, and these pods and labelled namespaces."""

    def __init__(self, pods: list[tuple[str, str]], labelled: dict[str, str]) -> None:
        self.pods, self.labelled = pods, labelled

    def list(self, kind: Any, **_: Any) -> list[Any]:
        if kind is Deployment:
            return [_istiod(revision) for revision in ("1-31", "1-32")]
        if kind is MutatingWebhookConfiguration:
            labels = {"istio.io/tag": "stable", "istio.io/rev": "1-32"}
            return [kind.from_dict({"metadata": {"name": "tag", "labels": labels}})]
        if kind is Namespace:
            return [
                kind.from_dict({"metadata": {"name": n, "labels": {"istio.io/rev": r}}})
                for n, r in self.labelled.items()
            ]
        assert kind is Pod
        return [_pod(namespace, revision) for namespace, revision in self.pods]


def _istiod(revision: str) -> Any:
    metadata = {
        "name": f"istiod-{revision}",
        "labels": {"app": "istiod", "istio.io/rev": revision},
        "annotations": {"meta.helm.sh/release-name": f"istiod-{revision}"},
    }
    return Deployment.from_dict({"metadata": metadata, "spec": {"selector": {}, "template": {}}})


def _pod(namespace: str, revision: str) -> Any:
    metadata = {"name": "p", "namespace": namespace, "annotations": {"istio.io/rev": revision.removesuffix("!")}}
    if revision.endswith("!"):
        metadata["deletionTimestamp"] = "2026-11-26T08:04:31Z"
    container = {"name": "istio-proxy", "image": "docker.io/istio/proxyv2:1.31.4"}
    return Pod.from_dict({"metadata": metadata, "spec": {"containers": [container]}, "status": {"phase": "Running"}})


NEW_ALONE: dict[str, Any] = {"revisions": {"1-32": {"version": "1.32.0"}}, "tags": {"stable": "1-32"}}


def _refused(
    mesh: dict[str, Any], pods: list[tuple[str, str]], labelled: dict[str, str] | None = None
) -> list[Problem]:
    cluster: Any = FakeCluster(pods, labelled or {})
    return removals_in_use(cluster, _settings(mesh), "Pulumi.dev.yaml")


def test_a_revision_with_proxies_is_not_taken_away() -> None:
    pods = [(NAMESPACE, "1-31"), (NAMESPACE, "1-31"), ("istio-ingress", "1-31"), ("others", "1-31"), ("x", "1-32")]
    (problem,) = _refused(NEW_ALONE, pods)
    assert problem.path == "istio-canary:mesh.revisions"
    assert f"4 proxies in istio-ingress (1), others (1), {NAMESPACE} (2)" in problem.what
    assert problem.given == "the revisions 1-32"
    for words in (
        "put 1-31 back, and run `canary up`",
        f"write revision: 1-32 in istio-canary:namespaces.{NAMESPACE}",
        "write revision: 1-32 in istio-canary:mesh.gateway",
        "kubectl label namespace NAME istio.io/rev=1-32 --overwrite",
    ):
        assert words in problem.fix


def test_a_revision_with_a_labelled_namespace_of_others_is_not_taken_away() -> None:
    (problem,) = _refused(NEW_ALONE, [], {"idle": "1-31", NAMESPACE: "1-31", "moved": "1-32"})
    assert "the label of idle" in problem.what
    assert NAMESPACE not in problem.what, "the stack itself labels it anew"


@pytest.mark.parametrize("pods", [[], [("x", "1-32")], [("x", "1-31!")]], ids=["none", "of the other", "terminating"])
def test_a_revision_without_proxies_is_taken_away(pods: list[tuple[str, str]]) -> None:
    assert _refused(NEW_ALONE, pods) == []


def test_a_tag_that_a_namespace_has_is_not_taken_away() -> None:
    without = {key: value for key, value in NEW_ALONE.items() if key != "tags"}
    (problem,) = _refused(without, [], {"shop": "stable"})
    assert problem.path == "istio-canary:mesh.tags"
    assert "stable" in problem.what
    assert "shop" in problem.what
    assert _refused(without, [], {"shop": "1-32"}) == []


def test_nothing_is_looked_up_while_nothing_is_taken_away() -> None:
    class NoPods(FakeCluster):
        def list(self, kind: Any, **rest: Any) -> list[Any]:
            assert kind not in (Pod, Namespace)
            return super().list(kind, **rest)

    cluster: Any = NoPods([], {})
    assert removals_in_use(cluster, _settings({**BOTH, "tags": {"stable": "1-31"}}), "Pulumi.dev.yaml") == []


@pytest.mark.parametrize("code", [403, 500])
def test_who_may_not_read_the_cluster_may_preview_the_stack(code: int) -> None:
    class Forbidden(FakeCluster):
        def list(self, kind: Any, **_: Any) -> list[Any]:
            request = httpx2.Request("GET", "http://127.0.0.1")
            raise httpx2.HTTPStatusError("no", request=request, response=httpx2.Response(code, request=request))

    cluster: Any = Forbidden([], {})
    if code == 403:
        assert removals_in_use(cluster, _settings(NEW_ALONE), "Pulumi.dev.yaml") == []
        return
    with pytest.raises(httpx2.HTTPStatusError):
        removals_in_use(cluster, _settings(NEW_ALONE), "Pulumi.dev.yaml")
