"""What becomes of the state that a killed run left: each unfinished operation, by what the cluster says of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from canary.engine.recovery import INTERRUPTED, SECRET_SIGNATURE, Mended, plain, repaired

PROJECT = "urn:pulumi:dev::istio-canary"
DEPLOYMENT = {
    "urn": f"{PROJECT}::kubernetes:apps/v1:Deployment::website-version-1",
    "type": "kubernetes:apps/v1:Deployment",
    "custom": True,
    "inputs": {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web-v1", "namespace": "website"},
    },
}
NAMESPACE = {
    "urn": f"{PROJECT}::kubernetes:core/v1:Namespace::website",
    "type": "kubernetes:core/v1:Namespace",
    "inputs": {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "website"}},
}
RELEASE = {
    "urn": f"{PROJECT}::kubernetes:helm.sh/v3:Release::mesh-istiod",
    "type": "kubernetes:helm.sh/v3:Release",
    "inputs": {"name": {SECRET_SIGNATURE: "1b47", "plaintext": '"istiod"'}, "namespace": "istio-system"},
}
LIVE = {"metadata": {"managedFields": [{"manager": "kubectl"}, {"manager": "pulumi-kubernetes-1234"}]}}


@dataclass
class Cluster:
    """A cluster that holds the named objects and releases."""

    objects: Mapping[tuple[str, str, str], Mapping[str, Any]] = field(default_factory=dict)
    releases: frozenset[tuple[str, str]] = frozenset()
    asked: list[tuple[str, str]] = field(default_factory=list)

    def find(self, api_version: str, kind: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        return self.objects.get((kind, namespace, name))

    def release_is_deployed(self, namespace: str, name: str) -> bool:
        self.asked.append((namespace, name))
        return (namespace, name) in self.releases


def state(pending: list[tuple[str, Mapping[str, Any]]], resources: tuple[Any, ...] = ()) -> dict[str, Any]:
    operations = [{"type": kind, "resource": resource} for kind, resource in pending]
    return json.loads(  # type: ignore[no-any-return]
        json.dumps({"version": 3, "deployment": {"resources": list(resources), "pending_operations": operations}})
    )


def test_an_object_that_was_made_is_recorded_as_one_that_did_not_start() -> None:
    cluster = Cluster(objects={("Deployment", "website", "web-v1"): LIVE})
    mended_state, mended = repaired(state([("creating", DEPLOYMENT)]), cluster)
    deployment = mended_state["deployment"]
    assert "pending_operations" not in deployment, "nothing is left unfinished"
    (resource,) = deployment["resources"]
    assert resource["id"] == "website/web-v1", "the provider's id is namespace/name"
    assert resource["initErrors"] == [INTERRUPTED], "the next up must write it again and wait for it"
    assert resource["outputs"]["__fieldManager"] == "pulumi-kubernetes-1234", "fields keep their manager"
    assert resource["outputs"]["__inputs"] == DEPLOYMENT["inputs"], "the next diff is against what was asked for"
    assert mended == Mended(recorded=("website-version-1",)), "a person is told which"


def test_an_object_without_namespace_is_known_by_its_name() -> None:
    cluster = Cluster(objects={("Namespace", "", "website"): {"metadata": {}}})
    mended_state, _ = repaired(state([("creating", NAMESPACE)]), cluster)
    assert mended_state["deployment"]["resources"][0]["id"] == "website"


def test_an_object_that_was_not_made_is_forgotten() -> None:
    mended_state, mended = repaired(state([("creating", DEPLOYMENT)]), Cluster())
    assert mended_state["deployment"]["resources"] == [], "the next up makes it"
    assert mended == Mended(forgotten=("website-version-1",))


def test_what_was_being_changed_is_written_again() -> None:
    mended_state, mended = repaired(state([("updating", DEPLOYMENT)], (DEPLOYMENT,)), Cluster())
    (resource,) = mended_state["deployment"]["resources"]
    assert resource["initErrors"] == [INTERRUPTED], "the cluster may hold the new value and the state the old one"
    assert mended == Mended(repeated=("website-version-1",))


def test_what_was_being_deleted_is_forgotten_once_it_is_gone_and_nothing_depends_on_it() -> None:
    dependent = {**NAMESPACE, "dependencies": [DEPLOYMENT["urn"]], "propertyDependencies": {"a": [DEPLOYMENT["urn"]]}}
    mended_state, mended = repaired(state([("deleting", DEPLOYMENT)], (DEPLOYMENT, dependent)), Cluster())
    (resource,) = mended_state["deployment"]["resources"]
    assert resource["urn"] == NAMESPACE["urn"]
    assert resource["dependencies"] == []
    assert resource["propertyDependencies"] == {"a": []}
    assert mended == Mended(deleted=("website-version-1",))


def test_the_end_of_a_deletion_that_a_cancelled_run_had_begun_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    objects: dict[tuple[str, str, str], Any] = {
        ("Deployment", "website", "web-v1"): {"metadata": {"deletionTimestamp": "2026-01-02T03:04:05Z"}}
    }
    monkeypatch.setattr("time.sleep", lambda _: objects.clear())
    mended_state, mended = repaired(state([], (DEPLOYMENT,)), Cluster(objects), frozenset({str(DEPLOYMENT["urn"])}))
    assert mended_state["deployment"]["resources"] == []
    assert mended == Mended(deleted=("website-version-1",))


def test_what_was_to_be_deleted_and_never_was_stays_as_it_is() -> None:
    cluster = Cluster(objects={("Deployment", "website", "web-v1"): LIVE})
    mended_state, mended = repaired(state([("deleting", DEPLOYMENT)], (DEPLOYMENT,)), cluster)
    assert mended_state["deployment"]["resources"] == [DEPLOYMENT]
    assert mended == Mended()
    assert str(mended) == "", "there is nothing to tell"


def test_a_release_that_was_being_uninstalled_is_written_again() -> None:
    mended_state, _ = repaired(state([("deleting", RELEASE)], (RELEASE,)), Cluster())
    assert mended_state["deployment"]["resources"][0]["initErrors"] == [INTERRUPTED]


@pytest.mark.parametrize("deployed", [True, False])
def test_a_release_is_recorded_if_helm_had_finished_it(deployed: bool) -> None:
    cluster = Cluster(releases=frozenset({("istio-system", "istiod")} if deployed else ()))
    mended_state, mended = repaired(state([("creating", RELEASE)]), cluster)
    assert [entry.get("id") for entry in mended_state["deployment"]["resources"]] == (
        ["istio-system/istiod"] if deployed else []
    ), "a name that is secret is read all the same"
    assert bool(mended.recorded) is deployed


def test_a_release_that_was_being_upgraded_is_freed_of_its_unfinished_revision() -> None:
    cluster = Cluster()
    repaired(state([("updating", RELEASE)], (RELEASE,)), cluster)
    assert cluster.asked == [("istio-system", "istiod")], "helm refuses to upgrade over a pending revision"


def test_the_exported_state_is_left_as_it_was() -> None:
    before = state([("creating", DEPLOYMENT)])
    repaired(before, Cluster())
    assert before == state([("creating", DEPLOYMENT)]), "what is imported is a new document"


def test_the_message_says_what_was_mended() -> None:
    told = str(Mended(recorded=("a", "b"), forgotten=("c",)))
    assert "a, b made but not recorded" in told
    assert "c not made yet" in told
    assert "\n" not in told, "one line is enough"


def test_secrets_are_unwrapped_at_any_depth() -> None:
    wrapped = {"a": [{"b": {SECRET_SIGNATURE: "1b47", "plaintext": '{"c": 1}'}}]}
    assert plain(wrapped) == {"a": [{"b": {"c": 1}}]}
