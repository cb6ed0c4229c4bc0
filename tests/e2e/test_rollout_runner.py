"""The runner in the cluster: it begins rollouts by itself, is killed and goes on, and needs only its own rights.

The stack's caller is a sidecar, whose counters Prometheus collects each second: rollouts have a limit, so that the
runner must reach Prometheus without a stack's file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from components.rollout_runner import NAME
from tests.e2e.load import load
from tests.e2e.rollouts.chain import echo, front, telemetry
from tests.e2e.tools import Cluster, Project, wait_until

STACK, NAMESPACE, RUNNER = "unattended", "unattended-shop", "unattended-runner"
HOST, SHOP = "unattended.example", "unattended-shop"
VERSIONS = ("version-1", "version-2")
RATE = 30
STEPS = [{"weight": 20, "for": "4s"}, {"weight": 60, "for": "4s"}, {"weight": 100}]
ACCOUNT = f"--as=system:serviceaccount:{RUNNER}:{NAME}"
MINUTES_3 = 180


def write(project: Project, to: str, *, mode: str = "deployment", rolled: bool = True) -> None:
    """The stack's file: all requests go to a version, by a rollout that starts by itself."""
    strategy = {"steps": STEPS, "autoStart": True, "limits": {"errors": "50%"}, "keepPrevious": "1s"}
    ends: Any = to if rolled else {name: 100 * (name == to) for name in VERSIONS}
    rule: dict[str, Any] = {"to": ends, "timeout": "10s", **({"rollout": strategy} if rolled else {})}
    shop = {
        "namespace": NAMESPACE,
        "hosts": ["unattended-shop.example"],
        "gateways": ["mesh"],
        "versions": {name: echo(f"-version={name}") for name in VERSIONS},
        "route": [rule],
    }
    config = project.service_config({SHOP: shop, "unattended-front": front(NAMESPACE, HOST, SHOP)})
    config["istio-canary:telemetry"] = telemetry(NAMESPACE)
    config["istio-canary:rolloutRunner"] = {"enabled": True, "namespace": RUNNER, "mode": mode}
    project.write_stack(STACK, config)


@pytest.fixture(scope="module")
def project(mesh: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A service whose requests all go to version-1, and a runner that runs."""
    project = Project.create(tmp_path_factory.mktemp("unattended"), mesh.cluster)
    write(project, VERSIONS[0], rolled=False)
    project.up(STACK)
    yield project
    destroyed = project.canary("destroy", "--stack", STACK, "--yes")
    assert destroyed.returncode == 0, destroyed.stdout + destroyed.stderr
    assert not mesh.cluster.exists("namespace", RUNNER)


@pytest.fixture
def shop(project: Project) -> Iterator[Project]:
    """The same under load, of which no request may fail."""
    url = f"{project.cluster.layout.gateway_url}/chain"
    with load(url, project.folder, rate=RATE, headers={"Host": HOST}) as sent:
        yield project
    assert not sent.failures, sent.what_failed


def record(cluster: Cluster) -> dict[str, Any]:
    """The record of the rollout; empty before the first one."""
    name = f"istio-canary-rollout-{SHOP}"
    if not cluster.exists("configmap", name, f"--namespace={NAMESPACE}"):
        return {}
    found: dict[str, Any] = json.loads(
        cluster.get("configmap", name, f"--namespace={NAMESPACE}")["data"]["record"]
    )  # fmt: skip
    return found


def roll_out(project: Project, *, mode: str = "deployment") -> str:
    """Ask for a rollout to the version that gets no requests, once the one before is closed; return its id."""
    before = record(project.cluster)
    to = VERSIONS[1] if not before or before["target"]["version"] == VERSIONS[0] else VERSIONS[0]
    write(project, to, mode=mode)
    project.up(STACK)
    found = record(project.cluster)
    assert found.get("id") != before.get("id"), "the up has written a rollout down"
    return str(found["id"])


def until_closed(project: Project, name: str) -> dict[str, Any]:
    """Wait until a rollout has ended and its way back is given up, without any command."""
    wait_until(lambda: record(project.cluster)["phase"] == "Closed", f"the end of {name}", MINUTES_3)
    found = record(project.cluster)
    assert found["id"] == name
    assert found["wanted"]["default"][found["target"]["version"]] == 100
    return found


def until_step(project: Project, step: int) -> None:
    """Wait until a step's time runs."""

    def runs() -> bool:
        found = record(project.cluster)
        return (found.get("step"), found.get("stage")) == (step, "Observing")

    wait_until(runs, f"step {step + 1}", MINUTES_3)


def pods(cluster: Cluster) -> list[str]:
    found = cluster.get("pods", f"--namespace={RUNNER}", f"--selector=app={NAME}")["items"]
    return [one["metadata"]["name"] for one in found if "deletionTimestamp" not in one["metadata"]]


def history(found: dict[str, Any]) -> list[dict[str, Any]]:
    """What has happened to this rollout: the record also keeps what happened to those before it."""
    begun = max(number for number, one in enumerate(found["history"]) if one["type"] == "Pending")
    own: list[dict[str, Any]] = found["history"][begun:]
    return own


def test_a_rollout_starts_by_itself_and_is_run_to_its_end(shop: Project) -> None:
    name = roll_out(shop)
    found = until_closed(shop, name)

    (pod,) = pods(shop.cluster)
    moved = [one for one in history(found) if one["type"] in ("Started", "StepWritten", "Settled", "Completed")]
    assert len(moved) == 2 + 2 * len(STEPS)
    assert all(one["by"].startswith(f"{pod}/") for one in moved), "nobody else has moved it"
    log = shop.cluster.kubectl("logs", pod, f"--namespace={RUNNER}").stdout
    assert f"{NAMESPACE}/{SHOP}: {name}: it starts by itself" in log
    assert f"{NAMESPACE}/{SHOP}: " in log
    assert "Completed: " in log
    decisions = shop.cluster.get("configmap", f"istio-canary-rollout-{SHOP}-log", f"--namespace={NAMESPACE}")["data"]
    assert "requests to" in decisions["decisions"], "the limit was read from Prometheus"
    assert "Prometheus has no numbers" not in decisions["decisions"].splitlines()[-1]


@pytest.mark.long
@pytest.mark.parametrize("how", [("--grace-period=0", "--force"), ()], ids=["killed", "ended"])
def test_the_next_pod_goes_on_in_mid_step(shop: Project, how: tuple[str, ...]) -> None:
    name = roll_out(shop)
    until_step(shop, 0)
    (first,) = pods(shop.cluster)
    shop.cluster.kubectl("delete", "pod", first, f"--namespace={RUNNER}", *how)
    found = until_closed(shop, name)

    (second,) = pods(shop.cluster)
    assert second != first
    by = {one["by"].partition("/")[0] for one in history(found) if one["type"] == "Completed"}
    assert by == {second}
    kinds = [one["type"] for one in history(found)]
    assert "Aborted" not in kinds
    assert ("HolderTaken" in kinds) or ("HolderLost" in kinds), kinds


@pytest.mark.long
def test_it_has_no_right_beyond_its_roles(project: Project) -> None:
    cluster = project.cluster

    def may(*words: str) -> bool:
        return cluster.kubectl("auth", "can-i", *words, ACCOUNT, check=False).stdout.strip() == "yes"

    assert may("patch", "virtualservices.networking.istio.io", f"--namespace={NAMESPACE}")
    for words in (
        ("*", "*", "--all-namespaces"),
        ("get", "secrets", f"--namespace={NAMESPACE}"),
        ("patch", "virtualservices.networking.istio.io", "--namespace=default"),
        ("patch", "deployments.apps", f"--namespace={NAMESPACE}"),
        ("create", "pods", f"--namespace={NAMESPACE}"),
        ("get", "configmaps", f"--namespace={RUNNER}"),
    ):
        assert not may(*words), words


@pytest.mark.long
def test_a_pod_each_minute_moves_a_rollout_to_its_end(shop: Project) -> None:
    name = roll_out(shop, mode="cronJob")
    cluster = shop.cluster
    assert not cluster.exists("deployment", NAME, f"--namespace={RUNNER}")
    cluster.kubectl("patch", "cronjob", NAME, f"--namespace={RUNNER}", '--patch={"spec": {"suspend": true}}')
    for number in range(20):
        job = f"{NAME}-{number}"
        cluster.kubectl("create", "job", job, f"--from=cronjob/{NAME}", f"--namespace={RUNNER}")
        done = cluster.kubectl(
            "wait", f"job/{job}", f"--namespace={RUNNER}", "--for=condition=Complete", "--timeout=60s"
        )
        assert "condition met" in done.stdout
        if record(cluster)["phase"] == "Closed":
            break
    found = record(cluster)
    said = cluster.kubectl("logs", f"job/{job}", f"--namespace={RUNNER}").stdout
    assert (found["id"], found["phase"]) == (name, "Closed"), f"{history(found)}\n{said}"
    assert found["wanted"]["default"][found["target"]["version"]] == 100
    assert not {"HolderTaken", "HolderLost"} & {one["type"] for one in history(found)}
