"""Which pod behind a Service a port is forwarded to, and what is said when there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kube.client import query
from kube.service_pods import PodPort, PortForwardError, ServiceNotFoundError, ready_pod
from tests.unit.kube.port_forwards import NAMESPACE, PORT, SERVICE, FakeCluster, cluster_with, pod

SELECTOR = {"app": "prometheus"}


def chosen(cluster: FakeCluster, access: Any, failed: tuple[str, ...] = ()) -> PodPort:
    return query(access, lambda client: ready_pod(client, NAMESPACE, SERVICE, PORT, failed))


@pytest.mark.parametrize(
    ("target", "expected"),
    [("http", 9091), (9091, 9091), (None, PORT)],
    ids=["by name", "by number", "the Service's own port"],
)
def test_the_pods_port_is_the_target_port_of_the_service(target: Any, expected: int, tmp_path: Path) -> None:
    with cluster_with(tmp_path) as (cluster, access, _):
        cluster.pods = [pod("a", port=9091)]
        cluster.service = {"selector": SELECTOR, "ports": [{"port": 80}, {"port": PORT, "targetPort": target}]}
        assert chosen(cluster, access) == PodPort("a", expected)


def test_pods_that_are_not_ready_or_are_terminating_are_not_chosen(tmp_path: Path) -> None:
    with cluster_with(tmp_path) as (cluster, access, _):
        cluster.pods = [pod("a", ready=False), pod("b", ends=True), pod("c")]
        assert chosen(cluster, access).pod == "c"


@pytest.mark.parametrize(
    ("failed", "expected"),
    [((), "a"), (("a",), "b"), (("a", "b"), "c"), (("b", "c", "a"), "b"), (("gone", "a"), "b")],
)
def test_pods_that_failed_are_chosen_last_and_the_most_recent_one_after_all_others(
    failed: tuple[str, ...], expected: str, tmp_path: Path
) -> None:
    with cluster_with(tmp_path) as (cluster, access, _):
        cluster.pods = [pod("a"), pod("b"), pod("c")]
        assert chosen(cluster, access, failed).pod == expected


def test_a_missing_service_has_an_error_of_its_own(tmp_path: Path) -> None:
    with cluster_with(tmp_path) as (cluster, access, _):
        cluster.service = None
        with pytest.raises(ServiceNotFoundError, match="there is no Service prometheus in the namespace istio-system"):
            chosen(cluster, access)


@pytest.mark.parametrize(
    ("service", "pods", "words"),
    [
        (
            {"selector": SELECTOR, "ports": [{"port": 80}, {"port": 443}]},
            [pod("a")],
            ("has no port 9090", "its ports: 80, 443"),
        ),
        ({"ports": [{"port": PORT}]}, [pod("a")], ("has no selector",)),
        (
            {"selector": SELECTOR, "ports": [{"port": PORT, "targetPort": "web"}]},
            [pod("a")],
            ("has a port named web", "fix:  name the container's port web"),
        ),
        (
            {"selector": SELECTOR, "ports": [{"port": PORT}]},
            [],
            ("has no pod (labels app=prometheus)", "kubectl get deployments --namespace=istio-system"),
        ),
        (
            {"selector": SELECTOR, "ports": [{"port": PORT}]},
            [pod("a", ready=False, waiting="ImagePullBackOff"), pod("b", ends=True)],
            (
                "no pod of the Service istio-system/prometheus is ready",
                "pod a:",
                "container prometheus: ImagePullBackOff",
                "pod b (terminating):",
                "  no reason is reported",
                "kubectl get pods --namespace=istio-system --selector=app=prometheus",
            ),
        ),
    ],
    ids=["no such port", "no selector", "no such port name", "no pods", "no ready pods"],
)
def test_an_error_says_what_is_wrong_and_how_to_fix_it(
    service: dict[str, Any], pods: list[dict[str, Any]], words: tuple[str, ...], tmp_path: Path
) -> None:
    with cluster_with(tmp_path) as (cluster, access, _):
        cluster.service, cluster.pods = service, pods
        with pytest.raises(PortForwardError) as error:
            chosen(cluster, access)
        for word in words:
            assert word in str(error.value)


def test_reasons_are_given_without_the_right_to_list_events(tmp_path: Path) -> None:
    with cluster_with(tmp_path) as (cluster, access, _):
        cluster.pods = [pod("a", ready=False, waiting="ErrImagePull")]
        cluster.refused["/events"] = 403
        with pytest.raises(PortForwardError) as error:
            chosen(cluster, access)
        assert error.value.details == (
            "pod a:",
            "  container prometheus: ErrImagePull",
            "  (its events cannot be read: HTTP 403)",
        )


@pytest.mark.parametrize(("path", "right"), [("/services/", "get services"), ("/pods", "list pods")])
def test_a_missing_right_is_named_with_the_commands_that_grant_it(path: str, right: str, tmp_path: Path) -> None:
    with cluster_with(tmp_path, "a") as (cluster, access, _):
        cluster.refused[path] = 403
        with pytest.raises(PortForwardError) as error:
            chosen(cluster, access)
        assert f"the right to {right} in the namespace istio-system is missing" in error.value.message
        assert "kubectl create role --namespace=istio-system" in error.value.fix
