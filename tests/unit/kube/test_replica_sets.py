"""What a Deployment ran before, by its ReplicaSets."""

from __future__ import annotations

from typing import Any

import pytest
from lightkube.resources.apps_v1 import Deployment, ReplicaSet

from kube.replica_sets import REVISION, Revision, revisions

LABELS = {"app": "shop", "version": "shop-v1"}


def replica_set(revision: int | None, image: str, owner: str = "uid-1", container: str = "shop") -> Any:
    """A ReplicaSet of a Deployment."""
    annotations = {} if revision is None else {REVISION: str(revision)}
    owners = [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop", "uid": owner}]
    containers = [{"name": "other", "image": "other:1"}, {"name": container, "image": image}]
    return ReplicaSet.from_dict(
        {
            "metadata": {"name": f"shop-{image}", "annotations": annotations, "ownerReferences": owners},
            "spec": {"selector": {"matchLabels": LABELS}, "template": {"spec": {"containers": containers}}},
        }
    )


class FakeClient:
    """An API server with one Deployment and these ReplicaSets."""

    def __init__(self, *sets: Any) -> None:
        self.sets = sets
        self.asked: dict[str, Any] = {}

    def get(self, kind: Any, name: str, namespace: str) -> Any:
        assert (kind, name, namespace) == (Deployment, "shop-v1", "web")
        return Deployment.from_dict(
            {"metadata": {"name": name, "uid": "uid-1"}, "spec": {"selector": {"matchLabels": LABELS}, "template": {}}}
        )

    def list(self, kind: Any, namespace: str, labels: dict[str, str]) -> Any:
        assert (kind, namespace, labels) == (ReplicaSet, "web", LABELS), "only those that the Deployment selects"
        return iter(self.sets)


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        ([], ()),
        ([replica_set(1, "shop:1")], (Revision(1, "shop:1"),)),
        ([replica_set(9, "shop:9"), replica_set(10, "shop:10")], (Revision(10, "shop:10"), Revision(9, "shop:9"))),
        ([replica_set(2, "shop:2"), replica_set(1, "shop:1", owner="uid-0")], (Revision(2, "shop:2"),)),
        ([replica_set(None, "shop:0"), replica_set(1, "shop:1")], (Revision(1, "shop:1"), Revision(0, "shop:0"))),
        ([replica_set(1, "shop:1", container="former-name")], (Revision(1, ""),)),
    ],
    ids=["none", "one", "by number", "of a Deployment of the same name before", "unnumbered", "another container"],
)
def test_the_revisions_of_a_deployment_are_the_newest_first(sets: list[Any], expected: tuple[Revision, ...]) -> None:
    client: Any = FakeClient(*sets)

    assert revisions(client, "web", "shop-v1", "shop") == expected


def test_a_deployment_that_does_not_exist_has_no_revisions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kube.replica_sets.find", lambda *_: None)
    client: Any = FakeClient(replica_set(1, "shop:1"))

    assert revisions(client, "web", "shop-v1", "shop") == ()
