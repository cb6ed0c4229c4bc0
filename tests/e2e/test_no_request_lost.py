"""Changes of versions and routes under load: not one request may fail.

The load is a constant 250 requests per second from the first change of a test to the last, so that a gap of a few
milliseconds is detected.
"""

from __future__ import annotations

import copy
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.envoys import envoy_of, gateway_pod
from tests.e2e.load import Load, load
from tests.e2e.tools import LONG, Project

pytestmark = pytest.mark.under_load

ROUNDS = 5 if LONG else 1
"""Of each change; `make test-long` asks for more."""
RATE = 250
STICKY = {"cookie": "shop-version", "ttl": "1h"}
INSIDE_RATE, SLOW_RATE = 100, 10
STACK, NAMESPACE, HOST = "shop", "no-request-lost", "no-request-lost.example.com"
CALLER = f"""
apiVersion: v1
kind: Pod
metadata: {{name: caller, namespace: {NAMESPACE}}}
spec: {{containers: [{{name: caller, image: "istio-canary/echo:1.0.0", imagePullPolicy: IfNotPresent}}]}}
"""
Services = dict[str, Any]


class Shop:
    """A stack with one service under load."""

    def __init__(self, project: Project, folder: Path) -> None:
        self.project, self.folder = project, folder

    def services(self, *versions: str, to: Any, **changes: Any) -> Services:
        """The service in these versions, with one rule; `changes` apply to every version."""
        each = {
            version: {
                "image": "istio-canary/echo:1.0.0",
                "args": ["-listen=:8080", f"-version={version}"],
                "port": 8080,
                "replicas": 2,
                "readinessProbe": {"httpGet": {"path": "/health", "port": 8080}, "periodSeconds": 1},
                **copy.deepcopy(changes),
            }
            for version in versions
        }
        return {"shop": {"namespace": NAMESPACE, "hosts": [HOST], "versions": each, "route": [{"to": to}]}}

    def up(self, services: Services) -> dict[str, int]:
        """Deploy the services; return the number of resources by operation."""
        config = self.project.service_config(services)
        config["istio-canary:versionHeader"] = "x-served-version"
        self.project.write_stack(STACK, config)
        changes: dict[str, int] = self.project.up(STACK)["changes"]
        return changes

    def under_load(self) -> Any:
        """Load on the service while the block runs."""
        return load(self.project.cluster.layout.gateway_url, self.folder, rate=RATE, headers={"Host": HOST})

    def under_slow_load(self) -> Any:
        """Requests that take longer than a pod's `preStopSeconds`, each on a new connection."""
        headers = {"Host": HOST, "x-echo-delay": "3s"}
        url = self.project.cluster.layout.gateway_url
        return load(url, self.folder, rate=SLOW_RATE, headers=headers, keepalive=False)

    def under_load_from_inside(self) -> Any:
        """Load from a pod in the mesh, routed by its sidecar."""
        cluster, service = self.project.cluster, f"shop.{NAMESPACE}.svc.cluster.local"
        cluster.kubectl("apply", "--filename=-", stdin=CALLER)
        cluster.kubectl("wait", "--for=condition=Ready", f"--namespace={NAMESPACE}", "pod/caller", "--timeout=60s")
        address = cluster.get("service", "shop", f"--namespace={NAMESPACE}")["spec"]["clusterIP"]
        return load(
            f"http://{address}/", self.folder, rate=INSIDE_RATE, headers={"Host": service}, inside=envoy_of("caller")
        )


@pytest.fixture(scope="module")
def shop(mesh: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The project of the service, and load on it."""
    project = Project.create(tmp_path_factory.mktemp("shop"), mesh.cluster)
    yield Shop(project, tmp_path_factory.mktemp("load"))
    project.leave(STACK, NAMESPACE)


@pytest.fixture
def settled(shop: Shop) -> Shop:
    """The service in two versions at 90/10, the start of every test."""
    shop.up(shop.services("version-1", "version-2", to={"version-1": 90, "version-2": 10}))
    return shop


def assert_nothing_lost(done: Load, *versions: str, rate: int = RATE) -> None:
    """Every request was answered with 2xx by these versions, at (nearly) the configured rate."""
    assert not done.failures, done.what_failed
    assert done.rate >= rate * 0.8, f"only {done.rate:.0f} requests per second were sent"
    assert set(done.versions) == set(versions), dict(done.versions)


def test_versions_are_added_renamed_and_removed(settled: Shop) -> None:
    """With callers outside the mesh and inside, whose sidecars have the same routes."""

    def up(*versions: str, to: Any) -> None:
        services = settled.services(*versions, to=to)
        services["shop"]["gateways"] = ["shop-gateway", "mesh"]
        settled.up(services)

    with settled.under_load() as done, settled.under_load_from_inside() as inside:
        for _ in range(ROUNDS):
            added = ("version-1", "version-2", "version-3")
            up(*added, to={"version-1": 50, "version-2": 10, "version-3": 40})
            up(*added, to={"version-1": 60, "version-2": 0, "version-3": 40})
            up("version-1", "version-b", "version-3", to={"version-1": 60, "version-b": 40, "version-3": 0})
            up("version-1", "version-b", to={"version-1": 100, "version-b": 0})
            up("version-1", "version-2", to={"version-1": 90, "version-2": 10})
    everything = ("version-1", "version-2", "version-3", "version-b")
    assert_nothing_lost(done, *everything)
    assert_nothing_lost(inside, *everything, rate=INSIDE_RATE)


def test_a_version_is_promoted_the_old_one_scaled_to_zero_and_both_are_reverted(settled: Shop) -> None:
    """With short requests, and with some that take longer than the `preStopSeconds` of the pods that serve them."""
    both = ("version-1", "version-2")
    with settled.under_load() as done, settled.under_slow_load() as slow:
        for _ in range(ROUNDS):
            promoted = settled.services(*both, to={"version-1": 0, "version-2": 100})
            promoted["shop"]["versions"]["version-1"]["replicas"] = 0
            settled.up(promoted)
            settled.up(settled.services(*both, to={"version-1": 100, "version-2": 0}))
    assert_nothing_lost(done, *both)
    assert_nothing_lost(slow, *both, rate=SLOW_RATE)


def test_a_version_is_rolled_out_and_replaced_by_a_deployment_of_another_name(settled: Shop) -> None:
    both, weights = ("version-1", "version-2"), {"version-1": 50, "version-2": 50}
    with settled.under_load() as done:
        for number in range(ROUNDS):
            settled.up(settled.services(*both, to=weights, env={"ROUND": str(number)}))
            named = settled.services(*both, to=weights, env={"ROUND": str(number)})
            named["shop"]["versions"]["version-1"]["name"] = f"shop-{number}"
            settled.up(named)
    assert_nothing_lost(done, *both)


@pytest.mark.long
def test_subsets_scale_and_rules_change(settled: Shop) -> None:
    both, weights = ("version-1", "version-2"), {"version-1": 50, "version-2": 50}
    with settled.under_load() as done:
        for number in range(ROUNDS):
            changed = settled.services(*both, to=weights, replicas=1 + number % 2)
            balancer = ("ROUND_ROBIN", "RANDOM", "LEAST_REQUEST")[number % 3]
            changed["shop"]["versions"]["version-1"]["trafficPolicy"] = {"loadBalancer": {"simple": balancer}}
            changed["shop"]["trafficPolicy"] = {"connectionPool": {"http": {"maxRequestsPerConnection": 50 + number}}}
            if number % 2:
                changed["shop"]["trafficPolicy"]["outlierDetection"] = {"consecutive5xxErrors": 3}
                changed["shop"]["route"] = [
                    {"match": [{"headers": {"x-tester": {"exact": "yes"}}}], "to": "version-2"},
                    {"to": weights, "sticky": STICKY, "mirrors": [{"to": "version-2", "percentage": {"value": 10}}]},
                ]
            settled.up(changed)
    assert_nothing_lost(done, *both)


@pytest.mark.long
def test_the_gateway_is_restarted(settled: Shop) -> None:
    deployment = ("deployment/istio-ingressgateway", "--namespace=istio-ingress")
    kubectl = settled.project.cluster.kubectl
    with settled.under_load() as done:
        for _ in range(ROUNDS):
            kubectl("rollout", "restart", *deployment)
            kubectl("rollout", "status", *deployment, "--timeout=60s")
    assert_nothing_lost(done, "version-1", "version-2")


def test_removing_a_version_that_still_has_weight_is_refused_and_changes_nothing(settled: Shop) -> None:
    services = settled.services("version-1", to="version-1")
    config = settled.project.service_config(services)
    settled.project.write_stack(STACK, config)
    for command in (("preview",), ("up", "--yes")):
        done = settled.project.canary(*command, "--stack", STACK)
        assert done.returncode == 2, done.stdout + done.stderr
        assert "version-2 is removed while the cluster still routes requests to it (10 % in Virtual" in done.stderr
        assert "`version-2: 0`" in done.stderr
    subsets = settled.project.cluster.get("destinationrule", "shop", f"--namespace={NAMESPACE}")["spec"]["subsets"]
    assert [subset["name"] for subset in subsets] == ["version-1", "version-2"]
    assert settled.project.cluster.exists("deployment", "shop-version-2", f"--namespace={NAMESPACE}")


@pytest.mark.long
def test_an_envoy_that_does_not_apply_the_routes_is_named_and_the_pods_are_kept_until_it_does(settled: Shop) -> None:
    """The gateway's Envoy is stopped, as if it hung; the last up continues where the failed ones stopped."""
    services = settled.services("version-1", "version-2", to={"version-1": 100, "version-2": 0}, replicas=1)
    services["shop"]["versions"]["version-2"]["replicas"] = 0
    config = {**settled.project.service_config(services), "istio-canary:takenWithin": 3}
    settled.project.write_stack(STACK, config)
    gateway = gateway_pod(settled.project.cluster)
    envoy = envoy_of(gateway)
    os.kill(envoy, signal.SIGSTOP)
    try:
        for run in ("first run", "next run, which finds the routes written"):
            done = settled.project.canary("up", "--stack", STACK, "--yes")
            assert done.returncode == 1, f"the {run}: {done.stdout}{done.stderr}"
            assert "did not apply the routes within 3 s" in done.stderr
            assert f"istio-ingress/{gateway}" in done.stderr
            assert "Traceback" not in done.stderr
            assert replicas_of_version_2(settled) == 2, "the Envoy may still send requests to these pods"
    finally:
        os.kill(envoy, signal.SIGCONT)
    settled.project.up(STACK)
    assert replicas_of_version_2(settled) == 0


def replicas_of_version_2(shop: Shop) -> int:
    """The desired replicas of its Deployment."""
    deployment = shop.project.cluster.get("deployment", "shop-version-2", f"--namespace={NAMESPACE}")
    return int(deployment["spec"].get("replicas", 0))
