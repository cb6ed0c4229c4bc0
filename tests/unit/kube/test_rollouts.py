"""Whether a Deployment has rolled out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import Pod

from kube.kubeconfig import ClusterUnreachableError
from kube.rollouts import RolloutTimeoutError, missing_of, until_rolled_out
from stacks.settings.cluster import ClusterSettings

DONE = {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}


def deployment(replicas: int, status: dict[str, Any] | None) -> Any:
    """A Deployment of generation 3."""
    metadata = {"namespace": "shop", "name": "shop", "generation": 3}
    given = {
        "metadata": metadata,
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "shop"}}, "template": {}},
    }
    return Deployment.from_dict(given if status is None else {**given, "status": status})


@pytest.mark.parametrize(
    ("replicas", "status", "missing"),
    [
        pytest.param(2, DONE, None, id="all pods are new and available"),
        pytest.param(0, {"observedGeneration": 3}, None, id="no pods are wanted, and there are none"),
        pytest.param(2, None, "its controller has not seen the change yet", id="just created"),
        pytest.param(2, {**DONE, "observedGeneration": 2}, "its controller has not seen the change yet", id="unseen"),
        pytest.param(
            1,
            {"observedGeneration": 3, "replicas": 1, "availableReplicas": 1},
            "0 of 1 pods are new",
            id="scaled under the old revision, which Pulumi's provider takes for rolled out",
        ),
        pytest.param(2, {**DONE, "replicas": 3}, "1 of 3 pods are old", id="an old pod is left"),
        pytest.param(0, {"observedGeneration": 3, "replicas": 1}, "1 of 1 pods are old", id="scaled to none"),
        pytest.param(2, {**DONE, "availableReplicas": 1}, "1 of 2 new pods are available", id="a pod is not available"),
    ],
)
def test_a_deployment_has_rolled_out_when_only_new_pods_run_and_are_available(
    replicas: int, status: dict[str, Any] | None, missing: str | None
) -> None:
    assert missing_of(deployment(replicas, status)) == missing


class FakeCluster:
    """A cluster with one Deployment, and a pod whose container crashes."""

    def __init__(self, found: Any) -> None:
        self.found = found

    def get(self, kind: Any, name: str, namespace: str) -> Any:
        return self.found

    def list(self, kind: Any, **_: Any) -> list[Any]:
        if kind is not Pod:
            return []
        state = {"terminated": {"exitCode": 2, "reason": "Error"}}
        container = {"name": "shop", "ready": False, "restartCount": 1, "image": "", "imageID": "", "state": state}
        status = {"containerStatuses": [container]}
        return [Pod.from_dict({"metadata": {"name": "shop-1", "namespace": "shop"}, "status": status})]

    def log(self, *_: Any, **__: Any) -> Iterator[str]:
        yield "no such flag\n"


def test_a_rollout_that_is_not_complete_in_time_is_reported_with_what_is_missing_and_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = FakeCluster(deployment(1, {"observedGeneration": 3, "replicas": 1, "availableReplicas": 1}))
    monkeypatch.setattr("kube.rollouts.query", lambda _, ask: ask(cluster))
    with pytest.raises(RolloutTimeoutError) as error:
        until_rolled_out(ClusterSettings(), "shop", "shop", -1)
    for words in (
        "the Deployment shop/shop",
        "0 of 1 pods are new",
        "pod shop-1:",
        "exited with 2",
        "no such flag",
        "fix:",
    ):
        assert words in str(error.value)


def test_a_rollout_that_is_complete_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kube.rollouts.query", lambda _, ask: ask(FakeCluster(deployment(2, DONE))))
    until_rolled_out(ClusterSettings(), "shop", "shop", -1)


def test_an_api_server_that_has_answered_may_be_silent_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = ClusterUnreachableError("here", "no answer in time", "wait")
    answers: list[str | Exception | None] = ["1 of 2 pods are new", silent, silent, None]

    def asked(cluster: Any, ask: Any) -> str | None:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr("kube.rollouts.query", asked)
    monkeypatch.setattr("kube.rollouts.PAUSE", 0.0)
    until_rolled_out(ClusterSettings(), "shop", "shop", 60)
    assert not answers

    answers[:] = [silent]
    with pytest.raises(ClusterUnreachableError):
        until_rolled_out(ClusterSettings(), "shop", "shop", 60)

    monkeypatch.setattr("kube.rollouts.SILENT", -1.0)
    answers[:] = ["1 of 2 pods are new", silent]
    with pytest.raises(ClusterUnreachableError):
        until_rolled_out(ClusterSettings(), "shop", "shop", 60)


def test_a_deployment_that_has_not_changed_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    unready = deployment(2, {**DONE, "availableReplicas": 0})
    monkeypatch.setattr("kube.rollouts.query", lambda _, ask: ask(FakeCluster(unready)))
    until_rolled_out(ClusterSettings(), "shop", "shop", -1, since=3)
    with pytest.raises(RolloutTimeoutError):
        until_rolled_out(ClusterSettings(), "shop", "shop", -1, since=2)
