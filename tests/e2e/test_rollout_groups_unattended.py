"""A group of two services that a terminal has left in the middle: the runner in the cluster brings it to its end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from canary.exit_codes import ExitCode
from components.rollout_runner import NAME
from rollout.group_store import group_name
from rollout.store import name_of
from tests.e2e.load import load
from tests.e2e.rollouts.chain import echo, front, telemetry
from tests.e2e.test_rollout_runner import MINUTES_3, RATE
from tests.e2e.tools import Project, wait_until

pytestmark = pytest.mark.long

STACK, NAMESPACE, RUNNER = "left-group", "left-group-shop", "left-group-runner"
GROUP, CALLEE, CALLER = "left-group-both", "left-group-articles", "left-group-front"
HOST = "left-group.example"
OLD, NEW = "version-1", "version-2"
STEPS = [{"weight": 20, "for": "8s"}, {"weight": 60, "for": "4s"}, {"weight": 100}]


def write(project: Project, *, rolled: bool) -> None:
    """The stack's file: all requests at the old versions, or a rollout of both that a person has to start."""
    strategy = {"steps": STEPS, "limits": {"errors": "50%"}, "keepPrevious": "1s"}
    rule: dict[str, Any] = {"to": NEW, "rollout": "together"} if rolled else {"to": {OLD: 100, NEW: 0}}
    calls = f"-next=http://{CALLEE}.{NAMESPACE}/chain"
    services = {
        name: {
            "namespace": NAMESPACE,
            "hosts": [f"{name}.example"],
            "gateways": ["mesh"],
            "versions": {
                one: echo(f"-service={name}", f"-version={one}", *([calls] if name == CALLER else []))
                for one in (OLD, NEW)
            },
            "route": [{**rule, "timeout": "3s"}],
        }
        for name in (CALLEE, CALLER)
    }
    # The mesh's gateway keeps no numbers of these versions: the callers are sidecars.
    config = project.service_config({**services, "left-group-entry": front(NAMESPACE, HOST, CALLER)})
    config["istio-canary:rollouts"] = {"together": strategy}
    config["istio-canary:rolloutGroups"] = {GROUP: {"services": [CALLEE, CALLER]}}
    config["istio-canary:telemetry"] = telemetry(NAMESPACE)
    config["istio-canary:rolloutRunner"] = {"enabled": True, "namespace": RUNNER}
    project.write_stack(STACK, config)


@pytest.fixture
def shop(mesh: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Both services under load, of which no request may fail, and a runner that runs."""
    project = Project.create(tmp_path_factory.mktemp("left-group"), mesh.cluster)
    write(project, rolled=False)
    project.up(STACK)
    url = f"{project.cluster.layout.gateway_url}/chain"
    with load(url, project.folder, rate=RATE, headers={"Host": HOST}) as sent:
        yield project
    assert not sent.failures, sent.what_failed
    destroyed = project.canary("destroy", "--stack", STACK, "--yes")
    assert destroyed.returncode == 0, destroyed.stdout + destroyed.stderr


def record(project: Project, name: str) -> dict[str, Any]:
    """What a ConfigMap keeps of a service's rollout, or of the group's."""
    data = project.cluster.get("configmap", name, f"--namespace={NAMESPACE}")["data"]
    found: dict[str, Any] = json.loads(data["record"])
    return found


def log_of(project: Project, pod: str) -> str:
    return project.cluster.kubectl("logs", pod, f"--namespace={RUNNER}").stdout


def test_a_group_that_a_terminal_has_left_is_brought_to_its_end_by_the_runner_in_the_cluster(shop: Project) -> None:
    write(shop, rolled=True)
    shop.up(STACK)
    (pod,) = [
        one["metadata"]["name"]
        for one in shop.cluster.get("pods", f"--namespace={RUNNER}", f"--selector=app={NAME}")["items"]
    ]
    assert not shop.cluster.exists("configmap", group_name(GROUP), f"--namespace={NAMESPACE}"), "nobody has started it"

    left = shop.canary("rollout", "start", GROUP, "--stack", STACK, "--timeout", "5s")
    assert left.returncode == ExitCode.HELD, left.stdout + left.stderr
    assert record(shop, group_name(GROUP))["phase"] in ("Pending", "Progressing")
    wait_until(
        lambda: record(shop, group_name(GROUP))["phase"] == "Closed",
        lambda: f"the end of the group: {record(shop, group_name(GROUP))}\n{log_of(shop, pod)}",
        MINUTES_3,
    )

    group = record(shop, group_name(GROUP))
    completed = next(one for one in group["history"] if one["type"] == "Completed")
    assert completed["by"].startswith(f"{pod}/"), "the runner in the cluster has moved it"
    assert any(not one["by"].startswith(f"{pod}/") for one in group["history"]), "and somebody else has started it"
    for service in (CALLEE, CALLER):
        found = record(shop, name_of(service))
        assert (found["phase"], found["wanted"]["default"][NEW]) == ("Closed", 100)
        assert "Aborted" not in {one["type"] for one in found["history"]}
    assert f"{NAMESPACE}/group {GROUP}: {group['id']}: it goes on" in log_of(shop, pod)
    decisions = shop.cluster.get("configmap", f"{name_of(CALLEE)}-log", f"--namespace={NAMESPACE}")["data"]
    assert "requests to" in decisions["decisions"], "its limits were read from Prometheus"
