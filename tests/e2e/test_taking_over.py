"""docs/taking-over.md under load: a canary written by hand becomes a stack, and not one request fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import by_hand
from tests.e2e.load import Load, load
from tests.e2e.tools import Project

RATE = 150
STACK, NAMESPACE, HOST = "foo", "taking-over", "taking-over.example.com"
BY_HAND = {version: {"labels": {"version": version}, "port": by_hand.PORT} for version in ("v1", "v2")}
OWN = {
    "image": by_hand.ECHO,
    "args": [f"-listen=:{by_hand.PORT}", "-version=stable"],
    "port": by_hand.PORT,
    "replicas": 2,
    "readinessProbe": {"httpGet": {"path": "/health", "port": by_hand.PORT}, "periodSeconds": 1},
}


@pytest.fixture
def foo(mesh: Project, tmp_path: Path) -> Iterator[Project]:
    """The canary written by hand, and a project for it."""
    by_hand.apply(
        mesh.cluster,
        by_hand.namespace(NAMESPACE),
        by_hand.deployment(NAMESPACE, "foo-v1", {"app": "foo", "version": "v1"}),
        by_hand.deployment(NAMESPACE, "foo-v2", {"app": "foo", "version": "v2"}),
        by_hand.service(NAMESPACE, "foo", {"app": "foo"}),
        *by_hand.routing(NAMESPACE, "foo", HOST, {"v1": 90, "v2": 10}),
    )
    project = Project.create(tmp_path, mesh.cluster)
    yield project
    project.canary("destroy", "--stack", STACK, "--yes")
    mesh.cluster.kubectl("delete", "namespace", NAMESPACE)


def write(project: Project, versions: dict[str, Any], to: Any, **keys: Any) -> None:
    service = {"namespace": NAMESPACE, "hosts": [HOST], "versions": versions, "route": [{"to": to}], **keys}
    config = project.service_config({"foo": service})
    config["istio-canary:versionHeader"] = "x-served-version"
    project.write_stack(STACK, config)


def up(project: Project, versions: dict[str, Any], to: Any, **keys: Any) -> dict[str, int]:
    write(project, versions, to, **{"adopt": True, **keys})
    changes: dict[str, int] = project.up(STACK)["changes"]
    return changes


def under_load(project: Project, folder: Path) -> Any:
    return load(project.cluster.layout.gateway_url, folder, rate=RATE, headers={"Host": HOST})


def assert_nothing_lost(done: Load) -> None:
    assert not done.failures, done.what_failed
    assert done.rate >= RATE * 0.8, f"only {done.rate:.0f} requests per second were sent"


def uid(project: Project, kind: str, name: str = "foo") -> str:
    return str(project.cluster.get(kind, name, f"--namespace={NAMESPACE}")["metadata"]["uid"])


def test_a_canary_written_by_hand_becomes_a_stack_and_loses_no_request(foo: Project, tmp_path: Path) -> None:
    kinds = ("service", "destinationrule.networking.istio.io", "virtualservice.networking.istio.io")
    before = {kind: uid(foo, kind) for kind in kinds}
    pods = uid(foo, "deployment", "foo-v1")
    with under_load(foo, tmp_path) as done:
        up(foo, BY_HAND, {"v1": 90, "v2": 10})
        assert {kind: uid(foo, kind) for kind in kinds} == before, "taken over in place"
        assert uid(foo, "deployment", "foo-v1") == pods, "the Deployments are not the stack's"
        up(foo, {**BY_HAND, "stable": OWN}, {"v1": 90, "v2": 10, "stable": 0})
        up(foo, {**BY_HAND, "stable": OWN}, {"v1": 0, "v2": 0, "stable": 100})
        up(foo, {"stable": OWN}, "stable")
        foo.cluster.kubectl("delete", "deployment", "foo-v1", "foo-v2", f"--namespace={NAMESPACE}")
        up(foo, {"stable": OWN}, "stable", adopt=False)
    assert_nothing_lost(done)
    ports = foo.cluster.get("service", "foo", f"--namespace={NAMESPACE}")["spec"]["ports"]
    assert [(port["name"], port["port"]) for port in ports] == [("http-web", 80)], "the port has kept its name"


@pytest.mark.long
def test_a_version_with_weight_is_renamed_and_a_port_changed_in_one_run_each(foo: Project, tmp_path: Path) -> None:
    up(foo, {**BY_HAND, "stable": OWN}, {"v1": 0, "v2": 0, "stable": 100})
    up(foo, {"stable": OWN}, "stable")
    with under_load(foo, tmp_path) as done:
        up(foo, {"renamed": OWN}, "renamed")
        up(foo, {"renamed": OWN}, "renamed", port=8081)
        up(foo, {"stable": OWN}, "stable", port=80)
    assert_nothing_lost(done)
    rule = foo.cluster.get("destinationrule.networking.istio.io", "foo", f"--namespace={NAMESPACE}")
    assert [subset["name"] for subset in rule["spec"]["subsets"]] == ["stable"], "nothing is left of the old name"
    ports = foo.cluster.get("service", "foo", f"--namespace={NAMESPACE}")["spec"]["ports"]
    assert [port["port"] for port in ports] == [80], "nothing is left of the other port"


@pytest.mark.long
def test_without_adopt_what_someone_else_has_made_is_not_overwritten(foo: Project) -> None:
    write(foo, BY_HAND, {"v1": 90, "v2": 10})
    done = foo.canary("up", "--stack", STACK, "--yes")

    assert done.returncode == 2
    assert f"VirtualService {NAMESPACE}/foo (by kubectl" in done.stderr
    assert "adopt: true" in done.stderr


@pytest.mark.long
def test_an_own_version_with_the_name_of_a_deployment_is_refused_before_anything_is_touched(foo: Project) -> None:
    write(foo, {"v1": OWN}, "v1", adopt=True)
    done = foo.canary("preview", "--stack", STACK)

    assert done.returncode == 2
    assert "the Deployment foo-v1 exists, with pods of another version (version=v1)" in done.stderr
