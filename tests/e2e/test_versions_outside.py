"""Shares for what a stack does not make: pods of someone else, another Service without sidecars, a host outside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import by_hand
from tests.e2e.load import load
from tests.e2e.tools import Project

pytestmark = pytest.mark.long  # test_taking_over has shares for pods of someone else too

STACK, NAMESPACE, LEGACY, HOST = "foo", "versions-outside", "versions-outside-legacy", "versions-outside.example.com"
RATE = 100
NEW = {
    "image": by_hand.ECHO,
    "args": [f"-listen=:{by_hand.PORT}", "-version=new"],
    "port": by_hand.PORT,
    "readinessProbe": {"httpGet": {"path": "/health", "port": by_hand.PORT}, "periodSeconds": 1},
}
HELM = {"app.kubernetes.io/name": "foo"}


@pytest.fixture(scope="module")
def foo(mesh: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Pods in the service's namespace, and a Service in a namespace without sidecars; a project beside them."""
    by_hand.apply(
        mesh.cluster,
        by_hand.namespace(NAMESPACE),
        by_hand.deployment(NAMESPACE, "helm", {**HELM, "version": "1.4"}),
        by_hand.namespace(LEGACY, sidecars=False),
        by_hand.deployment(LEGACY, "legacy", {"app": "legacy"}),
        by_hand.service(LEGACY, "legacy", {"app": "legacy"}, port=8080),
    )
    project = Project.create(tmp_path_factory.mktemp("foo"), mesh.cluster)
    yield project
    project.canary("destroy", "--stack", STACK, "--yes")
    mesh.cluster.kubectl("delete", "namespace", NAMESPACE, LEGACY)


def write(project: Project, versions: dict[str, Any], to: Any, **keys: Any) -> None:
    service = {
        "namespace": NAMESPACE,
        "hosts": [HOST],
        "selector": HELM,
        "versions": versions,
        "route": [{"to": to}],
    }
    config = project.service_config({"foo": service}) | keys
    config["istio-canary:versionHeader"] = "x-served-version"
    project.write_stack(STACK, config)


def far(project: Project) -> dict[str, Any]:
    """A host outside: a pod without a sidecar, at its address."""
    (pod, *_) = project.cluster.get("pods", f"--namespace={LEGACY}")["items"]
    port = {"number": by_hand.PORT, "protocol": "HTTP"}
    entry = {
        "hosts": ["far.example.net"],
        "ports": [port],
        "resolution": "STATIC",
        "endpoints": [pod["status"]["podIP"]],
    }
    return {"istio-canary:egress": {"far": entry}}


PODS = {"labels": {"version": "1.4"}, "port": by_hand.PORT}
SERVICE = {"service": f"legacy.{LEGACY}", "port": 8080}


def measured(project: Project) -> dict[str, Any]:
    done = project.canary("verify", "--stack", STACK, "--json", "--count", "600")
    assert done.returncode == 0, done.stdout + done.stderr
    (rule,) = json.loads(done.stdout)["rules"]
    return {share["version"]: share["configured_percent"] for share in rule["versions"]}


def test_verify_measures_the_share_of_each_kind(foo: Project) -> None:
    shares = {"new": 10, "pods": 30, "service": 30, "egress/far": 30}
    write(foo, {"new": NEW, "pods": PODS, "service": SERVICE}, shares, **far(foo))
    foo.up(STACK)

    assert measured(foo) == shares
    status = json.loads(foo.canary("status", "--stack", STACK, "--json").stdout)
    (service,) = status["services"]
    assert {one["name"]: (one["ready"], one["desired"]) for one in service["versions"]} == {
        "new": (1, 1),
        "pods": (2, 2),
        "service": (2, 2),
    }
    assert (service["drift"], service["rules"][0]["live"]) == ("", shares)


def test_a_share_moves_to_and_from_each_kind_without_losing_a_request(foo: Project, tmp_path: Path) -> None:
    alone = {"new": NEW}
    write(foo, {**alone, "pods": PODS, "service": SERVICE}, {"new": 100, "pods": 0, "service": 0})
    foo.up(STACK)
    write(foo, alone, "new")
    foo.up(STACK)
    with load(foo.cluster.layout.gateway_url, tmp_path, rate=RATE, headers={"Host": HOST}) as done:
        for versions, to, keys in (
            ({**alone, "pods": PODS}, {"new": 50, "pods": 50}, {}),
            ({**alone, "service": SERVICE, "pods": PODS}, {"new": 50, "service": 50, "pods": 0}, {}),
            ({**alone, "service": SERVICE}, {"new": 50, "egress/far": 50, "service": 0}, far(foo)),
            (alone, "new", {}),
        ):
            write(foo, versions, to, **keys)
            foo.up(STACK)
    assert not done.failures, done.what_failed


@pytest.mark.parametrize(
    ("old", "words"),
    [
        pytest.param({"labels": {"version": "none"}, "port": 8080}, "no pod of old is in the cluster", id="pods"),
        pytest.param({"service": f"none.{LEGACY}"}, f"there is no Service none in namespace {LEGACY}", id="Service"),
        pytest.param({"service": f"legacy.{LEGACY}"}, "has no port 80", id="port"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_touched(foo: Project, old: dict[str, Any], words: str) -> None:
    write(foo, {"new": NEW, "old": old}, {"new": 10, "old": 90})
    done = foo.canary("preview", "--stack", STACK)

    assert done.returncode == 2
    assert words in done.stderr
