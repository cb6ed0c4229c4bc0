"""Failures and recovery from them: killed runs, locks, an unresponsive API server, pods that never become ready."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.cluster import namespaces
from sandbox.cluster.supervision import Supervisor
from tests.e2e.tools import Cluster, Project, bodies, service, wait_until

STACK = "failures"
ROUTE: list[dict[str, Any]] = [{"to": {"version-1": 50, "version-2": 50}}]


@pytest.fixture
def shop(mesh: Project, tmp_path: Path) -> Iterator[Project]:
    """A project with one service in the existing mesh, destroyed at the end."""
    project = Project.create(tmp_path, mesh.cluster)
    project.write_stack(STACK, project.service_config(the_shop()))
    yield project
    destroyed = project.canary("destroy", "--stack", STACK, "--yes")
    assert destroyed.returncode == 0, destroyed.stdout + destroyed.stderr
    assert not mesh.cluster.exists("namespace", "shop")


def the_shop(**rest: Any) -> dict[str, Any]:
    return service("shop", host="shop.example", namespace="shop", route=ROUTE, **rest)


def answers(project: Project) -> set[str]:
    return set(bodies(project.cluster.layout.gateway_url, 60, host="shop.example"))


def running_pulumi(folder: Path) -> list[int]:
    """Process ids of the engine and the providers of this project."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            words = (process / "cmdline").read_bytes()
            environment = (process / "environ").read_bytes()
        except OSError:
            continue
        if b"pulumi" in words and str(folder).encode() in environment:
            found.append(int(process.name))
    return found


def kill_all(project: Project, command: subprocess.Popen[str]) -> None:
    """Kill the command, the engine and its providers at once, as in a power failure."""
    for pid in [command.pid, *running_pulumi(project.folder)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def kill_half_way(project: Project, command: subprocess.Popen[str], whom: str, moment: float) -> None:
    """Kill only the command, or all its processes, after `moment` seconds; return when none is running."""
    try:
        command.wait(moment)
    except subprocess.TimeoutExpired:
        if whom == "the command":
            command.kill()
        else:
            kill_all(project, command)
    command.wait()
    wait_until(lambda: not running_pulumi(project.folder), "the end of the orphaned engine", 30)


@pytest.mark.parametrize("moment", [0.8, 2.0, 4.0])
@pytest.mark.parametrize("whom", ["the command", "all its processes"])
def test_a_killed_up_is_recovered_by_the_next_one(shop: Project, whom: str, moment: float) -> None:
    kill_half_way(shop, shop.popen("up", "--stack", STACK, "--yes"), whom, moment)
    again = shop.canary("up", "--stack", STACK, "--yes")
    if again.returncode:  # at most one fix is needed
        assert "canary cancel" in again.stdout + again.stderr, again.stdout + again.stderr
        assert shop.canary("cancel", "--stack", STACK).returncode == 0
        again = shop.canary("up", "--stack", STACK, "--yes")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "Traceback" not in again.stdout + again.stderr
    assert answers(shop) == {"version-1", "version-2"}
    assert set(shop.up(STACK)["changes"]) == {"same"}


def test_the_second_of_two_concurrent_ups_is_refused_with_the_holder_and_the_fix(shop: Project) -> None:
    first = shop.popen("up", "--stack", STACK, "--yes")
    locks = shop.folder / "backend" / ".pulumi" / "locks"
    wait_until(lambda: bool(list(locks.rglob("*.json"))), "the first one's lock", 30)
    second = shop.canary("up", "--stack", STACK, "--yes")
    assert second.returncode == 4, second.stdout + second.stderr
    assert f"canary cancel --stack {STACK}" in second.stderr
    assert "process" in second.stderr or "pid" in second.stderr, second.stderr
    output, _ = first.communicate(timeout=120)
    assert first.returncode == 0, output


@pytest.mark.parametrize(
    ("whom", "moment"), [("the command", 1.3), ("all its processes", 1.0), ("all its processes", 1.8)]
)
def test_an_up_after_a_killed_destroy_succeeds(shop: Project, whom: str, moment: float) -> None:
    """Running deletions continue, and the up must not assume that the objects exist."""
    shop.up(STACK)
    kill_half_way(shop, shop.popen("destroy", "--stack", STACK, "--yes"), whom, moment)
    again = shop.canary("up", "--stack", STACK, "--yes")
    assert again.returncode == 0, again.stdout + again.stderr
    assert answers(shop) == {"version-1", "version-2"}


@pytest.mark.parametrize("command", ["up", "destroy"])
def test_ctrl_c_leaves_the_stack_usable(shop: Project, command: str) -> None:
    if command == "destroy":
        shop.up(STACK)
    run = shop.popen(command, "--stack", STACK, "--yes")
    locks = shop.folder / "backend" / ".pulumi" / "locks"
    wait_until(lambda: bool(list(locks.rglob("*.json"))), "the lock", 30)
    time.sleep(0.8)  # any moment during the run must work
    os.killpg(run.pid, signal.SIGINT)
    output, _ = run.communicate(timeout=120)
    assert run.returncode in (0, 130), output
    assert "Traceback" not in output
    assert not running_pulumi(shop.folder)
    assert shop.up(STACK)["stack"] == STACK
    assert answers(shop) == {"version-1", "version-2"}


def test_a_pod_that_never_becomes_ready_is_reported_with_the_reason(shop: Project) -> None:
    broken: dict[str, tuple[dict[str, Any], list[str]]] = {
        "version-1": ({"image": "hashicorp/http-echo:no-such-tag"}, ["no-such-tag", "pull"]),
        "version-2": ({"args": ["-no-such-flag"]}, ["no-such-flag"]),
        "version-3": ({"readinessProbe": {"httpGet": {"path": "/", "port": 9}}}, ["probe"]),
    }
    services = the_shop(versions=tuple(broken))
    services["shop"]["route"] = [{"to": {"version-1": 50, "version-2": 50, "version-3": 0}}]
    for version, (settings, _) in broken.items():
        services["shop"]["versions"][version] |= settings
    shop.write_stack(STACK, {**shop.service_config(services), "istio-canary:readyWithin": 15})
    began = time.monotonic()
    done = shop.canary("up", "--stack", STACK, "--yes")
    assert done.returncode == 1, done.stdout + done.stderr
    assert time.monotonic() - began < 45, "the time limit holds"
    output = (done.stdout + done.stderr).lower()
    for version, (_, words) in broken.items():
        for word in words:
            assert word in output, f"{version}: {word!r} is missing in\n{output}"
    shop.write_stack(STACK, shop.service_config(the_shop()))
    assert shop.up(STACK)["changes"].get("create", 0) < 8, "what was already created is in the state"
    assert answers(shop) == {"version-1", "version-2"}


def test_an_unresponsive_api_server_is_an_error_within_10_seconds_that_names_the_context(
    shop: Project, cluster: Cluster
) -> None:
    shop.up(STACK)
    supervisor = Supervisor(cluster.layout)
    running = namespaces.find(cluster.layout)
    assert running is not None
    pid = str(supervisor.state("kube-apiserver").pid)
    for stop, resume in (("-STOP", "-CONT"),):
        subprocess.run(running.enter(["kill", stop, pid]), check=True)
        try:
            for command in (["preview"], ["up", "--yes"], ["destroy", "--yes"]):
                began = time.monotonic()
                done = shop.canary(command[0], "--stack", STACK, *command[1:])
                assert done.returncode == 5, (command, done.stdout, done.stderr)
                assert time.monotonic() - began < 10, f"{command[0]} took too long"
                assert cluster.layout.context in done.stderr
                assert "Traceback" not in done.stderr
        finally:
            subprocess.run(running.enter(["kill", resume, pid]), check=True)
    wait_until(lambda: cluster.kubectl("get", "--raw=/readyz", check=False).returncode == 0, "the API server", 60)


def test_invalid_settings_change_nothing(project: Project, cluster: Cluster) -> None:
    before = cluster.kubectl("get", "namespaces", "--output=name").stdout
    services = the_shop()
    services["shop"]["route"] = [{"to": {"version-1": 90, "version-3": 11}}]
    services["shop"]["replicaz"] = 1
    project.write_stack(STACK, project.service_config(services))
    done = project.canary("up", "--stack", STACK, "--yes")
    assert done.returncode == 2
    assert "version-3" in done.stderr
    assert "replicaz" in done.stderr
    assert "101" in done.stderr
    assert not list((project.folder / "backend").rglob("*.json")), "no stack was created"
    assert cluster.kubectl("get", "namespaces", "--output=name").stdout == before


def test_an_existing_namespace_is_adopted_and_restored(shop: Project, cluster: Cluster) -> None:
    cluster.kubectl("create", "namespace", "adopted")
    services = the_shop()
    services["shop"]["namespace"] = "adopted"
    shop.write_stack(STACK, shop.service_config(services))
    shop.up(STACK)
    assert cluster.get("namespace", "adopted")["metadata"]["labels"]["istio-injection"] == "enabled"
    assert set(shop.up(STACK)["changes"]) == {"same"}
    assert shop.canary("destroy", "--stack", STACK, "--yes").returncode == 0
    labels = cluster.get("namespace", "adopted")["metadata"]["labels"]
    assert "istio-injection" not in labels, "the namespace is as it was before"
    assert json.loads(cluster.kubectl("get", "pods", "--namespace=adopted", "--output=json").stdout)["items"] == []
    cluster.kubectl("delete", "namespace", "adopted")
