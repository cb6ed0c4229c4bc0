"""Other engines on a real cluster: Argo Rollouts' controller asks the gate service, and goes by its verdict.

The old pods fail in 1 % of the requests. The caller is a sidecar, whose counters the stack's Prometheus collects each
second. Of Flagger only the objects are tried: the API server accepts them, by CRDs that are fetched with a pinned hash.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from rollout.engines.losses import losses
from tests.e2e.engines import argo_controller, argo_crds, flagger_crds, with_crds
from tests.e2e.load import load
from tests.e2e.rollouts.chain import echo, front, telemetry
from tests.e2e.tools import Cluster, Project, bodies, wait_until

STACK, NAMESPACE, SERVICE = "engines", "engines-moved", "engines-shop"
HOST = "engines-front.example"
RATE = 50
STEPS: list[dict[str, Any]] = [{"weight": 20, "for": "10s"}, {"weight": 50, "for": "10s"}, {"weight": 100}]
# Durations on a busy machine are not what this is about.
GATES = {"tolerance": "5%", "latency": {"enabled": False}}
SECONDS = 400


def config(project: Project, engine: str, port: int, release: str, percent: int) -> dict[str, Any]:
    """The stack's config: `release` is what the pods answer with, `percent` how many of the requests fail there."""
    shop = {
        "namespace": NAMESPACE,
        "hosts": ["engines-shop.example"],
        "gateways": ["mesh"],
        "versions": {"main": echo(f"-version={release}", f"-fail-percent={percent}")},
        "route": [{"to": "main", "timeout": "3s", "rollout": "careful"}],
    }
    given = project.service_config({SERVICE: shop, "engines-front": front(NAMESPACE, HOST, SERVICE)})
    given["istio-canary:telemetry"] = telemetry(NAMESPACE)
    given["istio-canary:gateService"] = {"url": f"http://127.0.0.1:{port}"}
    given["istio-canary:rollouts"] = {"careful": {"engine": engine, "steps": STEPS, "gates": GATES}}
    return given


@dataclass
class World:
    """A service whose rollout Argo Rollouts moves, under load, with the gate service beside it."""

    project: Project
    port: int

    def release(self, name: str, percent: int) -> None:
        """What a person does: change the image of the version, here its arguments, and `up`."""
        self.project.write_stack(STACK, config(self.project, "argo", self.port, name, percent))
        self.project.up(STACK)

    @property
    def cluster(self) -> Cluster:
        return self.project.cluster

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.cluster.get("rollout.argoproj.io", SERVICE, f"--namespace={NAMESPACE}")["status"]
        return found

    @property
    def verdict(self) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"http://127.0.0.1:{self.port}/{NAMESPACE}/{SERVICE}", trust_env=False).json()
        return found

    @property
    def weights(self) -> dict[str, int]:
        spec = self.cluster.get("virtualservice", SERVICE, f"--namespace={NAMESPACE}")["spec"]
        return {one["destination"]["subset"]: one["weight"] for one in spec["http"][0]["route"]}

    def answers(self) -> set[str]:
        """Which release answers."""
        url = f"{self.cluster.layout.gateway_url}/chain"
        return {found for text in bodies(url, 60, host=HOST) for found in re.findall(r"release-\w+", text)}

    def runs(self) -> list[dict[str, Any]]:
        """The AnalysisRuns, with the answers that they were given."""
        found: list[dict[str, Any]] = self.cluster.get("analysisruns.argoproj.io", f"--namespace={NAMESPACE}")["items"]
        return found

    def settled(self, phase: str) -> bool:
        status = self.status
        return status.get("phase") == phase and status.get("observedGeneration") is not None


def answers_of(run: dict[str, Any]) -> list[dict[str, Any]]:
    """The replies of the gate service that an AnalysisRun keeps."""
    return [
        json.loads(one["value"])
        for metric in run["status"].get("metricResults", [])
        for one in metric.get("measurements", [])
        if one.get("value")
    ]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@contextmanager
def gate_service(project: Project, port: int) -> Iterator[None]:
    """`canary gate serve`, as docs/engines.md runs it, until the end."""
    process = project.popen("gate", "serve", "--stack", STACK, "--listen", f"127.0.0.1:{port}")
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(process.stdout or ()), daemon=True)
    reader.start()
    try:
        wait_until(lambda: any("serving the gates" in line for line in lines), "the gate service", 60)
        yield
    finally:
        process.terminate()
        assert process.wait(30) == 0, "".join(lines)
        reader.join(10)
        (project.folder / "gate.log").write_text("".join(lines))


@pytest.fixture(scope="module")
def world(mesh: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The service, whose first pods answer as release-one."""
    project = Project.create(tmp_path_factory.mktemp("engines"), mesh.cluster)
    port = free_port()
    made = World(project, port)
    with with_crds(mesh.cluster, argo_crds()), argo_controller(mesh.cluster, NAMESPACE, project.folder / "argo.log"):
        try:
            made.release("release-one", 1)
            wait_until(lambda: made.settled("Healthy"), "the Rollout has its first pods", SECONDS)
            url = f"{mesh.cluster.layout.gateway_url}/chain"
            with gate_service(project, port), load(url, project.folder, rate=RATE, headers={"Host": HOST}):
                yield made
        finally:
            destroyed = project.canary("destroy", "--stack", STACK, "--yes")
    assert destroyed.returncode == 0, destroyed.stdout + destroyed.stderr


@pytest.mark.long
def test_the_pods_of_the_deployment_are_taken_over(world: World) -> None:
    wait_until(
        lambda: not world.cluster.get("deployment", f"{SERVICE}-main", f"--namespace={NAMESPACE}")["spec"]["replicas"],
        "the Deployment is scaled down",
    )
    assert world.answers() == {"release-one"}
    assert world.weights == {"stable": 100, "canary": 0}
    assert (world.verdict["answer"], world.verdict["weight"]) == ("Hold", 0)


@pytest.mark.long
def test_a_good_canary_is_promoted_by_the_verdicts_of_the_gate_service(world: World) -> None:
    world.release("release-two", 1)
    wait_until(lambda: world.weights["canary"] == STEPS[0]["weight"], "the first weight", SECONDS)
    wait_until(lambda: world.settled("Healthy") and world.weights["canary"] == 0, "the promotion", SECONDS)

    assert world.answers() == {"release-two"}
    rises = [one for one in world.runs() if one["spec"]["metrics"][0]["name"] == "rise"]
    passed = [one for one in rises if one["status"]["phase"] == "Successful"]
    assert len(passed) == len(STEPS) - 1, "each weight but the last was allowed by the gate"
    for one in passed:
        last = answers_of(one)[-1]
        assert (last["answer"], last["pass"]) == ("Rise", True)
        assert last["metrics"]["errors"]["requests"]["new"] > 0
    assert not any(answer["harm"] for one in world.runs() for answer in answers_of(one))


@pytest.mark.long
def test_a_bad_canary_is_taken_back_by_the_verdict_of_the_gate_service(world: World) -> None:
    world.release("release-bad", 40)
    wait_until(lambda: world.status.get("abort") is True, "the abort", SECONDS)
    wait_until(lambda: world.weights["canary"] == 0, "all requests at the old pods")

    assert world.answers() == {"release-two"}
    failed = [one for one in world.runs() if one["status"]["phase"] == "Failed"]
    assert failed
    assert any(answer["harm"] for answer in answers_of(failed[0]))
    assert max(answer["e"] for answer in answers_of(failed[0])) >= 100


@pytest.mark.long
def test_status_and_verify_go_by_the_weights_of_the_engine(world: World) -> None:
    status = world.project.canary("status", "--stack", STACK)
    assert status.returncode == 0, status.stderr
    assert "moved by Argo Rollouts" in status.stdout
    up = world.project.canary("preview", "--stack", STACK)
    assert up.returncode == 0, up.stdout + up.stderr


@pytest.mark.long
@pytest.mark.parametrize("engine", ["argo", "flagger"])
def test_what_is_lost_is_said_without_the_engine(world: World, engine: Any) -> None:
    done = world.project.canary("rollout", "plan", SERVICE, "--stack", STACK, "--engine", engine)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n  - ") + done.stdout.startswith("  - ") >= len(losses(engine))


def test_the_gate_service_in_the_cluster_answers_with_no_more_rights_than_its_role(
    mesh: Project, tmp_path: Path
) -> None:
    project = Project.create(tmp_path, mesh.cluster)
    inside = f"{NAMESPACE}-inside"
    given = config(project, "argo", 8087, "release-one", 1)
    for one in given["istio-canary:services"].values():
        one["namespace"] = inside
    given["istio-canary:services"] = {SERVICE: given["istio-canary:services"][SERVICE]}
    given["istio-canary:gateService"] = {"enabled": True, "namespace": f"{inside}-gate"}
    given["istio-canary:telemetry"] = telemetry(inside)
    project.write_stack(STACK, given)
    with with_crds(mesh.cluster, argo_crds()):
        try:
            project.up(STACK)
            path = f"/api/v1/namespaces/{inside}-gate/services/istio-canary-gate:8087/proxy/{inside}/{SERVICE}"
            answer = json.loads(mesh.cluster.kubectl("get", f"--raw={path}").stdout)
        finally:
            destroyed = project.canary("destroy", "--stack", STACK, "--yes")
    assert (answer["answer"], answer["weight"], answer["pass"]) == ("Hold", 0, False)
    assert destroyed.returncode == 0, destroyed.stdout + destroyed.stderr


@pytest.mark.long
def test_the_api_server_accepts_the_objects_of_flagger(mesh: Project, tmp_path: Path) -> None:
    project = Project.create(tmp_path, mesh.cluster)
    project.write_stack(STACK, config(project, "flagger", 8087, "release-one", 1))
    rendered = project.canary("render", "--stack", STACK)
    assert rendered.returncode == 0, rendered.stderr
    objects = [one for one in yaml.safe_load_all(rendered.stdout) if one and "flagger.app" in one["apiVersion"]]
    assert [one["kind"] for one in objects] == ["MetricTemplate", "Canary"]
    with with_crds(mesh.cluster, [flagger_crds()]):
        for one in objects:
            one["metadata"]["namespace"] = "default"  # a dry run makes no namespace
            mesh.cluster.kubectl(
                "apply", "--server-side", "--dry-run=server", "--validate=strict", "--filename=-", stdin=json.dumps(one)
            )


def test_without_the_crds_an_up_changes_nothing_and_says_what_to_install(mesh: Project, tmp_path: Path) -> None:
    project = Project.create(tmp_path, mesh.cluster)
    project.write_stack(STACK, config(project, "flagger", 8087, "release-one", 1))
    up = project.canary("up", "--stack", STACK, "--yes")
    assert up.returncode == 2, up.stdout + up.stderr
    assert "install Flagger" in up.stdout + up.stderr
    assert "nothing was touched" in up.stdout + up.stderr
