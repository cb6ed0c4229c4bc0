"""Whether a Deployment has rolled out."""

from __future__ import annotations

from typing import Any

import pytest
from lightkube.resources.apps_v1 import Deployment

from kube.rollouts import missing_of

DONE = {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}


def deployment(replicas: int, status: dict[str, Any] | None) -> Any:
    """A Deployment of generation 3."""
    metadata = {"namespace": "shop", "name": "shop", "generation": 3}
    given = {"metadata": metadata, "spec": {"replicas": replicas, "selector": {}, "template": {}}}
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
