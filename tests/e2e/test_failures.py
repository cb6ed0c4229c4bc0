"""Failures and what is said of them: an unresponsive API server, pods that never become ready, invalid settings."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

import pytest

from canary.exit_codes import ExitCode
from sandbox.cluster import namespaces
from sandbox.cluster.supervision import Supervisor
from tests.e2e.runs import STACK, answers, the_shop
from tests.e2e.tools import Cluster, Project, bodies, wait_until


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
    shop.write_stack(STACK, {**shop.service_config(services), "istio-canary:readyWithin": 30})
    began = time.monotonic()
    done = shop.canary("up", "--stack", STACK, "--yes")
    assert done.returncode == 1, done.stdout + done.stderr
    assert time.monotonic() - began < 90, "the time limit holds"
    output = (done.stdout + done.stderr).lower()
    for version, (_, words) in broken.items():
        for word in words:
            assert word in output, f"{version}: {word!r} is missing in\n{output}"
    shop.write_stack(STACK, shop.service_config(the_shop()))
    assert shop.up(STACK)["changes"].get("create", 0) < 8, "what was already created is in the state"
    assert answers(shop) == {"version-1", "version-2"}


@pytest.mark.long
def test_pods_that_do_not_start_are_reported_although_their_number_changed_too(shop: Project) -> None:
    """Pulumi's provider takes a Deployment that is also scaled for rolled out before the first new pod exists."""
    two = the_shop()
    two["shop"]["versions"]["version-1"]["replicas"] = 2
    shop.write_stack(STACK, shop.service_config(two))
    shop.up(STACK)
    services = the_shop()
    services["shop"]["versions"]["version-1"]["args"] = ["-no-such-flag"]
    services["shop"]["route"] = [{"to": {"version-1": 100, "version-2": 0}}]
    shop.write_stack(STACK, {**shop.service_config(services), "istio-canary:readyWithin": 15})
    done = shop.canary("up", "--stack", STACK, "--yes")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "no-such-flag" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert answers(shop) == {"version-1", "version-2"}, "the route is unchanged"
    shop.write_stack(STACK, shop.service_config(the_shop()))
    shop.up(STACK)


def test_a_weight_that_was_edited_by_hand_fails_verify_until_an_up_takes_it_back(shop: Project) -> None:
    shop.up(STACK)
    assert answers(shop) == {"version-1", "version-2"}
    edited = [{"op": "replace", "path": f"/spec/http/0/route/{at}/weight", "value": 90 - 80 * at} for at in (0, 1)]
    place = ("virtualservices.networking.istio.io", "shop", "--namespace=shop")
    shop.cluster.kubectl("patch", *place, "--type=json", f"--patch={json.dumps(edited)}")

    def edited_weights_count() -> bool:
        return bodies(shop.cluster.layout.gateway_url, 100, host="shop.example")["version-2"] < 25

    wait_until(edited_weights_count, "the edited weights at the gateway", 20)
    verify = ("verify", "--stack", STACK, "--count", "500")
    done = shop.canary(*verify)
    assert done.returncode == ExitCode.SPLIT, done.stdout + done.stderr
    assert shop.canary("refresh", "--stack", STACK, "--yes").returncode == 0
    assert shop.up(STACK)["changes"].get("update") == 1
    done = shop.canary(*verify)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
def test_an_unresponsive_api_server_is_an_error_within_10_seconds_that_names_the_context(
    shop: Project, cluster: Cluster
) -> None:
    """Beyond what the machine needs for a run while others are going on."""
    began = time.monotonic()
    shop.up(STACK)
    usual = time.monotonic() - began
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
                assert time.monotonic() - began < 10 + usual, f"{command[0]} took too long"
                assert cluster.layout.context in done.stderr
                assert "Traceback" not in done.stderr
        finally:
            subprocess.run(running.enter(["kill", resume, pid]), check=True)
    wait_until(lambda: cluster.kubectl("get", "--raw=/readyz", check=False).returncode == 0, "the API server", 60)


@pytest.mark.long
def test_a_cluster_that_was_made_anew_gets_everything_after_a_refresh(shop: Project, cluster: Cluster) -> None:
    """The cluster's identity cannot be changed, so the state is made to name another one."""
    shop.up(STACK)
    uid = cluster.get("namespace", "kube-system")["metadata"]["uid"]
    state = shop.pulumi("stack", "export", "--stack", STACK).stdout
    shop.pulumi("stack", "import", "--stack", STACK, stdin=state.replace(uid, "00000000-0000-0000-0000-000000000000"))
    cluster.kubectl("delete", "namespace", "shop")

    for command in (["preview"], ["up", "--yes"]):
        refused = shop.canary(command[0], "--stack", STACK, *command[1:])
        assert refused.returncode == 2, refused.stdout + refused.stderr
        assert "is deployed to another cluster" in refused.stderr
        assert f"`canary refresh --stack {STACK}`" in refused.stderr
        assert "Traceback" not in refused.stderr
    assert not cluster.exists("namespace", "shop"), "nothing was touched"

    assert shop.canary("refresh", "--stack", STACK, "--yes").returncode == 0
    assert "create" in shop.up(STACK)["changes"]
    assert answers(shop) == {"version-1", "version-2"}
    assert set(shop.up(STACK)["changes"]) == {"same"}


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


@pytest.mark.long
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
