"""Recovering the state after an interrupted run: each unfinished operation, by what the cluster holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from canary.engine.recovery import INTERRUPTED, SECRET_SIGNATURE, Recovered, plain, repaired

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


def test_an_object_that_was_created_is_recorded_as_not_ready() -> None:
    cluster = Cluster(objects={("Deployment", "website", "web-v1"): LIVE})
    new_state, recovered = repaired(state([("creating", DEPLOYMENT)]), cluster)
    deployment = new_state["deployment"]
    assert "pending_operations" not in deployment, "nothing is left unfinished"
    (resource,) = deployment["resources"]
    assert resource["id"] == "website/web-v1", "the provider's id is namespace/name"
    assert resource["initErrors"] == [INTERRUPTED], "the next up must write it again and wait for it"
    assert resource["outputs"]["__fieldManager"] == "pulumi-kubernetes-1234", "the field manager is kept"
    assert resource["outputs"]["__inputs"] == DEPLOYMENT["inputs"], "the next diff is against the inputs"
    assert recovered == Recovered(recorded=("website-version-1",)), "the resources are named"


def test_the_id_of_a_cluster_wide_object_is_its_name() -> None:
    cluster = Cluster(objects={("Namespace", "", "website"): {"metadata": {}}})
    new_state, _ = repaired(state([("creating", NAMESPACE)]), cluster)
    assert new_state["deployment"]["resources"][0]["id"] == "website"


def test_an_object_that_was_not_created_is_dropped() -> None:
    new_state, recovered = repaired(state([("creating", DEPLOYMENT)]), Cluster())
    assert new_state["deployment"]["resources"] == [], "the next up creates it"
    assert recovered == Recovered(dropped=("website-version-1",))


def test_an_unfinished_update_is_written_again() -> None:
    new_state, recovered = repaired(state([("updating", DEPLOYMENT)], (DEPLOYMENT,)), Cluster())
    (resource,) = new_state["deployment"]["resources"]
    assert resource["initErrors"] == [INTERRUPTED], "the cluster may have the new value and the state the old one"
    assert recovered == Recovered(repeated=("website-version-1",))


def test_a_deleted_resource_is_dropped_together_with_the_dependencies_on_it() -> None:
    dependent = {**NAMESPACE, "dependencies": [DEPLOYMENT["urn"]], "propertyDependencies": {"a": [DEPLOYMENT["urn"]]}}
    new_state, recovered = repaired(state([("deleting", DEPLOYMENT)], (DEPLOYMENT, dependent)), Cluster())
    (resource,) = new_state["deployment"]["resources"]
    assert resource["urn"] == NAMESPACE["urn"]
    assert resource["dependencies"] == []
    assert resource["propertyDependencies"] == {"a": []}
    assert recovered == Recovered(deleted=("website-version-1",))


def test_recovery_waits_for_a_deletion_that_a_cancelled_run_started(monkeypatch: pytest.MonkeyPatch) -> None:
    objects: dict[tuple[str, str, str], Any] = {
        ("Deployment", "website", "web-v1"): {"metadata": {"deletionTimestamp": "2026-01-02T03:04:05Z"}}
    }
    monkeypatch.setattr("time.sleep", lambda _: objects.clear())
    new_state, recovered = repaired(state([], (DEPLOYMENT,)), Cluster(objects), frozenset({str(DEPLOYMENT["urn"])}))
    assert new_state["deployment"]["resources"] == []
    assert recovered == Recovered(deleted=("website-version-1",))


def test_an_object_whose_deletion_never_started_is_kept() -> None:
    cluster = Cluster(objects={("Deployment", "website", "web-v1"): LIVE})
    new_state, recovered = repaired(state([("deleting", DEPLOYMENT)], (DEPLOYMENT,)), cluster)
    assert new_state["deployment"]["resources"] == [DEPLOYMENT]
    assert recovered == Recovered()
    assert str(recovered) == "", "nothing was done"


def test_a_release_that_was_being_uninstalled_is_written_again() -> None:
    new_state, _ = repaired(state([("deleting", RELEASE)], (RELEASE,)), Cluster())
    assert new_state["deployment"]["resources"][0]["initErrors"] == [INTERRUPTED]


@pytest.mark.parametrize("deployed", [True, False])
def test_a_release_is_recorded_if_helm_had_deployed_it(deployed: bool) -> None:
    cluster = Cluster(releases=frozenset({("istio-system", "istiod")} if deployed else ()))
    new_state, recovered = repaired(state([("creating", RELEASE)]), cluster)
    assert [entry.get("id") for entry in new_state["deployment"]["resources"]] == (
        ["istio-system/istiod"] if deployed else []
    ), "a secret name is read, too"
    assert bool(recovered.recorded) is deployed


def test_the_pending_revision_of_an_interrupted_upgrade_is_removed() -> None:
    cluster = Cluster()
    repaired(state([("updating", RELEASE)], (RELEASE,)), cluster)
    assert cluster.asked == [("istio-system", "istiod")], "Helm refuses to upgrade over a pending revision"


def test_the_exported_state_is_not_modified() -> None:
    before = state([("creating", DEPLOYMENT)])
    repaired(before, Cluster())
    assert before == state([("creating", DEPLOYMENT)]), "the imported state is a new document"


def test_the_message_says_what_was_recovered() -> None:
    message = str(Recovered(recorded=("a", "b"), dropped=("c",)))
    assert "created but not recorded, now in the state: a, b" in message
    assert "not created yet: c" in message
    assert "\n" not in message


def test_secrets_are_unwrapped_at_any_depth() -> None:
    wrapped = {"a": [{"b": {SECRET_SIGNATURE: "1b47", "plaintext": '{"c": 1}'}}]}
    assert plain(wrapped) == {"a": [{"b": {"c": 1}}]}
