"""Waiting for the real Envoys: what they hold of pods that are not ready, which istiod sends them since Istio 1.31."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from rollout.proxy_sync import ProxySync, ProxySyncTimeoutError
from stacks.settings.loading import load_stack
from tests.e2e.tools import Cluster, Project, wait_until
from traffic.model import Target, gateway_selector

pytestmark = pytest.mark.long

STACK, NAMESPACE = "sync", "proxy-sync"
V2 = Target("shop", "version-2")


@pytest.fixture(scope="module")
def shop(mesh: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A service with a version that every Envoy knows by name, and that has no pods."""
    project = Project.create(tmp_path_factory.mktemp("sync"), mesh.cluster)
    version: dict[str, Any] = {
        "image": "hashicorp/http-echo:1.0.0",
        "args": ["-listen=:5678", "-text=shop"],
        "port": 5678,
        "preStopSeconds": 0,
        "terminationGracePeriodSeconds": 1,
    }
    shop = {
        "namespace": NAMESPACE,
        "hosts": ["sync.example"],
        "versions": {"version-1": version, "version-2": {**version, "replicas": 0}},
        "route": [{"to": {"version-1": 100, "version-2": 0}}],
    }
    project.write_stack(STACK, project.service_config({"shop": shop}))
    project.up(STACK)
    yield project
    project.canary("destroy", "--stack", STACK, "--yes")


def sync(project: Project, timeout_seconds: float) -> ProxySync:
    settings = load_stack(project.folder / f"Pulumi.{STACK}.yaml").settings
    gateway = settings.mesh.gateway
    return ProxySync(
        cluster=settings.cluster,
        routes=settings.services,
        gateway_namespace=gateway.namespace,
        gateway_selector=gateway_selector(gateway.name),
        timeout_seconds=timeout_seconds,
        in_mesh=False,
    )


def create_pod(cluster: Cluster, name: str, probed_port: int) -> None:
    """A pod of version-2, which is ready if something listens on the probed port."""
    container = {
        "name": "shop",
        "image": "hashicorp/http-echo:1.0.0",
        "args": ["-listen=:5678", "-text=shop"],
        "ports": [{"name": "http", "containerPort": 5678}],
        "readinessProbe": {"httpGet": {"path": "/", "port": probed_port}, "periodSeconds": 1},
    }
    labels = {"app": "shop", "version": "shop-version-2"}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
    }
    cluster.kubectl("apply", "--filename=-", stdin=json.dumps(pod))
    place = ("pod", name, f"--namespace={NAMESPACE}")
    wait_until(lambda: "podIP" in cluster.get(*place)["status"], f"an address of {name}")


def test_a_pod_that_is_not_ready_does_not_make_its_version_known(shop: Project, cluster: Cluster) -> None:
    create_pod(cluster, "not-ready", probed_port=9)
    with pytest.raises(ProxySyncTimeoutError, match="has no healthy endpoint of shop/version-2"):
        sync(shop, timeout_seconds=5).until_known([V2], "shop")
    create_pod(cluster, "ready", probed_port=5678)
    sync(shop, timeout_seconds=60).until_known([V2], "shop")
    cluster.kubectl("delete", "pod", "not-ready", "ready", f"--namespace={NAMESPACE}")
