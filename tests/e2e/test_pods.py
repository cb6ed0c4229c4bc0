"""Pods on the real cluster: a template laid over them, probes, and who decides about their number.

The sandbox has no metrics server: an autoscaler keeps the number within its bounds, and does not scale by load.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.load import load
from tests.e2e.tools import Project, wait_until

STACK, NAMESPACE, HOST = "pods", "pods-of-production", "pods.example.com"
SCALED = {"minReplicas": 2, "maxReplicas": 6, "cpu": 70}
RATE = 100
ECHO = {
    "image": "hashicorp/http-echo:1.0.0",
    "args": ["-listen=:5678", "-text=stable"],
    "port": 5678,
    "resources": {"requests": {"cpu": "1m"}},
}
TEMPLATE = {
    "metadata": {"labels": {"team": "shop", "app.kubernetes.io/version": "9"}, "annotations": {"example.com/a": "b"}},
    "spec": {
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "volumes": [{"name": "cache", "emptyDir": {}}],
        "initContainers": [{"name": "prepare", "image": "hashicorp/http-echo:1.0.0", "args": ["-version"],
                            "resources": {"requests": {"cpu": "1m"}}}],
        "containers": [
            {"name": "shop", "env": [{"name": "EXTRA", "value": "1"}],
             "volumeMounts": [{"name": "cache", "mountPath": "/cache"}]},
            {"name": "agent", "image": "hashicorp/http-echo:1.0.0", "args": ["-listen=:9090", "-text=agent"],
             "ports": [{"containerPort": 9090}], "resources": {"requests": {"cpu": "1m"}}},
        ],
    },
}  # fmt: skip


class Shop:
    """A stack with one service in one version."""

    def __init__(self, project: Project, folder: Path) -> None:
        self.project, self.folder = project, folder

    def write(self, **version: Any) -> None:
        """Write the stack's file, with these keys of the version."""
        stable = {**copy.deepcopy(ECHO), **version}
        services = {"shop": {"namespace": NAMESPACE, "hosts": [HOST], "versions": {"stable": stable}}}
        config = self.project.service_config(services)
        config["istio-canary:versionHeader"] = "x-served-version"
        self.project.write_stack(STACK, config)

    def up(self, **version: Any) -> dict[str, int]:
        """Deploy the version with these keys; return the number of resources by operation."""
        self.write(**version)
        changes: dict[str, int] = self.project.up(STACK)["changes"]
        return changes

    def deployment(self) -> dict[str, Any]:
        found: dict[str, Any] = self.project.cluster.get("deployment", "shop-stable", f"--namespace={NAMESPACE}")
        return found

    def pods(self) -> list[dict[str, Any]]:
        """The pods that are not terminating."""
        listed = self.project.cluster.get("pods", f"--namespace={NAMESPACE}", "--selector=app=shop")
        return [pod for pod in listed["items"] if "deletionTimestamp" not in pod["metadata"]]

    def names(self) -> set[str]:
        return {pod["metadata"]["name"] for pod in self.pods()}

    def scale(self, pods: int) -> None:
        """Scale as an autoscaler does, by the subresource `scale`."""
        words = ("scale", "deployment", "shop-stable", f"--namespace={NAMESPACE}", f"--replicas={pods}")
        self.project.cluster.kubectl(*words)


@pytest.fixture(scope="module")
def shop(mesh: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    project = Project.create(tmp_path_factory.mktemp("pods"), mesh.cluster)
    yield Shop(project, tmp_path_factory.mktemp("load"))
    project.leave(STACK, NAMESPACE)


def test_a_template_reaches_the_pods_and_a_second_up_changes_nothing(shop: Shop) -> None:
    shop.up(podTemplate=TEMPLATE)
    (pod,) = shop.pods()

    labels, spec = pod["metadata"]["labels"], pod["spec"]
    assert (labels["team"], labels["service.istio.io/canonical-revision"]) == ("shop", "shop-stable")
    assert pod["metadata"]["annotations"]["example.com/a"] == "b"
    assert {"key": "dedicated", "operator": "Exists"} in spec["tolerations"]
    containers = {one["name"]: one for one in spec["containers"]}
    assert {"shop", "agent"} <= containers.keys()
    assert {"name": "EXTRA", "value": "1"} in containers["shop"]["env"]
    prepared = next(one for one in pod["status"]["initContainerStatuses"] if one["name"] == "prepare")
    assert prepared["state"]["terminated"]["exitCode"] == 0, "the init container ran"
    assert set(shop.up(podTemplate=TEMPLATE)) == {"same"}


def test_the_kubelet_probes_by_a_command_and_at_the_start(shop: Shop) -> None:
    shop.up(
        startupProbe={"httpGet": {"path": "/", "port": 5678}, "periodSeconds": 1, "failureThreshold": 60},
        readinessProbe={"exec": {"command": ["/http-echo", "-version"]}, "timeoutSeconds": 5},
    )
    (pod,) = shop.pods()

    status = next(one for one in pod["status"]["containerStatuses"] if one["name"] == "shop")
    assert (status["started"], status["ready"]) == (True, True)


@pytest.mark.long
def test_the_kubelet_probes_by_grpc(shop: Shop) -> None:
    """http-echo speaks no gRPC: that its probe fails shows that it is run."""
    shop.write(startupProbe={"grpc": {"port": 5678}, "periodSeconds": 1, "failureThreshold": 100})
    path = shop.project.folder / f"Pulumi.{STACK}.yaml"
    path.write_text(path.read_text() + "  istio-canary:readyWithin: 20\n")

    done = shop.project.canary("up", "--stack", STACK, "--yes")

    assert done.returncode != 0, "a pod that has not started is not ready"
    events = shop.project.cluster.get("events", f"--namespace={NAMESPACE}", "--field-selector=reason=Unhealthy")
    assert any("Startup probe failed" in event["message"] for event in events["items"])
    shop.up()


@pytest.mark.long
def test_an_up_leaves_the_number_of_pods_to_whoever_else_decides_about_it(shop: Shop) -> None:
    shop.up(replicas=None)
    shop.scale(5)

    shop.up(replicas=None, env={"CHANGED": "1"})

    assert shop.deployment()["spec"]["replicas"] == 5
    assert len(shop.pods()) == 5
    shop.up(replicas=1, env={"CHANGED": "1"})
    assert shop.deployment()["spec"]["replicas"] == 1, "the number in the file is taken back"


@pytest.mark.long
def test_from_replicas_to_an_autoscaler_no_pod_and_no_request_is_lost(shop: Shop) -> None:
    shop.up(replicas=3)
    before = shop.names()

    with load(shop.project.cluster.layout.gateway_url, shop.folder, rate=RATE, headers={"Host": HOST}) as done:
        shop.up(autoscaling=SCALED)
        assert shop.names() == before
        assert set(shop.up(autoscaling=SCALED)) == {"same"}
        shop.scale(5)
        wait_until(lambda: shop.deployment()["status"].get("readyReplicas") == 5, "five ready pods")
        shop.up(autoscaling=SCALED, env={"CHANGED": "2"})
        assert shop.deployment()["spec"]["replicas"] == 5
    assert not done.failures, done.what_failed

    scaler = shop.project.cluster.get("horizontalpodautoscaler", "shop-stable", f"--namespace={NAMESPACE}")
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (2, 6)


@pytest.mark.long
def test_an_autoscaler_keeps_the_number_within_its_bounds(shop: Shop) -> None:
    shop.up(autoscaling=SCALED)
    shop.scale(1)

    wait_until(lambda: shop.deployment()["spec"]["replicas"] >= 2, "the autoscaler's least number of pods", seconds=90)
