"""Cluster, mesh and services in three stacks; an upgrade of Istio by revisions, under load: not one request may fail.

The two releases are real ones: 1.30.4, built for this file (`tests.e2e.second_istio`), and the sandbox's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cluster_stack import make_cluster_stack
from tests.e2e.conftest import EXISTING
from tests.e2e.load import load
from tests.e2e.runs import is_open
from tests.e2e.second_istio import VERSION, charts_of_old_istio
from tests.e2e.tools import Cluster, Completed, Project, bodies, wait_until

pytestmark = [
    pytest.mark.under_load,
    pytest.mark.long,
    pytest.mark.skipif(EXISTING is not None, reason="it installs a mesh of its own: not into a sandbox that has one"),
]

MESH, SHOP = "mesh", "shop"
OLD, NEW = "1-30", "1-31"
RATE = 100
NAMESPACES = ("shop", "back")
HOSTS = {name: f"{name}.example.com" for name in NAMESPACES}
CRD = "virtualservices.networking.istio.io"


class Stacks:
    """The stack of the mesh and that of the services, on the cluster of a third one."""

    def __init__(self, project: Project, cluster: str, old_charts: Path) -> None:
        self.project, self.cluster_stack, self.old_charts = project, cluster, old_charts
        self.moved: dict[str, str] = {}
        self.newest = project.dev_config()["istio-canary:mesh"]["version"]

    def mesh_is(self, *revisions: str, usual: str, **changes: Any) -> None:
        """Write the file of the mesh's stack, with these revisions."""
        config = self.project.mesh_config()
        config["istio-canary:cluster"] = {"stackReference": self.cluster_stack}
        values = {"global": {"tag": VERSION}}
        known = {OLD: {"version": VERSION, "charts": str(self.old_charts), "values": values}, NEW: {}}
        config["istio-canary:mesh"] |= {"revisions": {one: known[one] for one in revisions}, "revision": usual}
        config["istio-canary:mesh"] |= changes
        self.project.write_stack(MESH, config)

    def services_are(self, weight: int = 10, **revisions: str) -> None:
        """Write the file of the services' stack, with the revision of each namespace."""
        self.moved = revisions
        services = {name: _service(name, weight) for name in NAMESPACES}
        config = self.project.service_config(services)
        config["istio-canary:cluster"] = {"stackReference": self.cluster_stack}
        config["istio-canary:mesh"] = {"stackReference": f"organization/istio-canary/{MESH}"}
        config["istio-canary:namespaces"] = {name: {"revision": one} for name, one in revisions.items()}
        self.project.write_stack(SHOP, config)

    def proxies(self, stack: str = SHOP) -> dict[str, dict[str, list[str]]]:
        """The releases of the proxies by namespace and revision, as `canary status` says."""
        done = self.project.canary("status", "--stack", stack, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return {one["namespace"]: one["releases"] for one in json.loads(done.stdout)["proxies"]}

    def preview(self, stack: str) -> list[str]:
        """What a preview would do to objects of the cluster, as `<operation> <name>`."""
        done = self.project.canary("preview", "--stack", stack, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        resources = json.loads(done.stdout)["resources"]
        return [f"{one['op']} {one['type']}" for one in resources if one["type"].startswith("kubernetes:")]

    def state_of_mesh(self) -> bytes:
        """The state of the mesh's stack, as the backend has it."""
        return (self.project.folder / f"backend/.pulumi/stacks/istio-canary/{MESH}.json").read_bytes()

    def release_of_crds(self) -> str:
        found = self.project.cluster.get("crd", CRD)
        return str(found["metadata"]["labels"]["app.kubernetes.io/version"])


def _service(name: str, weight: int) -> dict[str, Any]:
    versions = {
        version: {
            "image": "istio-canary/echo:1.0.0",
            "args": ["-listen=:8080", f"-version={version}"],
            "port": 8080,
            "replicas": 1,
            "readinessProbe": {"httpGet": {"path": "/health", "port": 8080}, "periodSeconds": 1},
        }
        for version in ("version-1", "version-2")
    }
    route = [{"to": {"version-1": 100 - weight, "version-2": weight}}]
    return {"namespace": name, "hosts": [HOSTS[name]], "versions": versions, "route": route}


@pytest.fixture(scope="module")
def stacks(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stacks]:
    """All three stacks, with the older release of Istio alone."""
    folder = tmp_path_factory.mktemp("upgrade")
    project = Project.create(folder, cluster)
    found = Stacks(project, make_cluster_stack(project, folder / "a-cluster"), charts_of_old_istio(cluster.layout))
    found.mesh_is(OLD, usual=OLD)
    project.up(MESH)
    found.services_are()
    project.up(SHOP)
    yield found
    for stack in (SHOP, MESH):
        destroyed = project.canary("destroy", "--stack", stack, "--yes")
        assert destroyed.returncode == 0, destroyed.stdout + destroyed.stderr


def _all_answer(project: Project) -> None:
    url = project.cluster.layout.gateway_url
    wait_until(lambda: is_open(url), "the gateway's port", 20)
    for host in HOSTS.values():
        wait_until(lambda host=host: _answers(url, host), f"the route of {host}", 20)  # type: ignore[misc]


def _answers(url: str, host: str) -> bool:
    return not any(body.startswith("HTTP") for body in bodies(url, 8, host=host))


def test_an_upgrade_by_revisions_loses_no_request_forth_and_back(stacks: Stacks, tmp_path: Path) -> None:
    project = stacks.project
    _all_answer(project)
    assert stacks.proxies() == {name: {OLD: [VERSION]} for name in (*NAMESPACES, "istio-ingress")}

    with load(project.cluster.layout.gateway_url, tmp_path, rate=RATE, hosts=HOSTS) as done:
        stacks.mesh_is(OLD, NEW, usual=OLD)
        project.up(MESH)
        assert stacks.release_of_crds() == stacks.newest
        stacks.services_are(shop=NEW)
        project.up(SHOP)
        assert stacks.proxies() == {
            "shop": {NEW: [stacks.newest]},
            "back": {OLD: [VERSION]},
            "istio-ingress": {OLD: [VERSION]},
        }

        stacks.mesh_is(NEW, usual=NEW)
        refused = project.canary("up", "--stack", MESH, "--yes")
        _is_refused(refused, f"the revision {OLD} is taken away while it is in use", "back (2)", "istio-ingress (1)")

        # Back: the upgrade is given up, and the newer istiod taken away. Its CRDs stay.
        stacks.services_are()
        stacks.mesh_is(OLD, NEW, usual=OLD)
        project.up(SHOP)
        assert stacks.proxies()["shop"] == {OLD: [VERSION]}
        stacks.mesh_is(OLD, usual=OLD)
        project.up(MESH)
        assert not project.cluster.exists("deployment", f"istiod-{NEW}", "--namespace=istio-system")
        assert stacks.release_of_crds() == stacks.newest

        # Forth again, to the end.
        stacks.mesh_is(OLD, NEW, usual=OLD)
        project.up(MESH)
        stacks.services_are(shop=NEW, back=NEW)
        project.up(SHOP)
        stacks.mesh_is(OLD, NEW, usual=NEW)
        project.up(MESH)
        assert stacks.proxies() == {name: {NEW: [stacks.newest]} for name in (*NAMESPACES, "istio-ingress")}
        stacks.mesh_is(NEW, usual=NEW)
        project.up(MESH)
        assert not project.cluster.exists("deployment", f"istiod-{OLD}", "--namespace=istio-system")

    assert not done.failures, done.what_failed
    assert {answer.target for answer in done.answers} == set(HOSTS)


def test_a_change_of_weights_touches_nothing_of_the_mesh(stacks: Stacks) -> None:
    before = stacks.state_of_mesh()
    stacks.services_are(weight=50, **stacks.moved)
    assert stacks.preview(SHOP) == ["update kubernetes:networking.istio.io/v1:VirtualService"] * len(NAMESPACES)
    stacks.project.up(SHOP)
    assert stacks.preview(MESH) == []
    assert stacks.state_of_mesh() == before
    for words in (("verify",), ("status",)):
        done = stacks.project.canary(*words, "--stack", SHOP)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_mesh_of_a_stack_that_is_not_there_or_has_none_is_refused(stacks: Stacks) -> None:
    config = stacks.project.service_config({})
    config["istio-canary:cluster"] = {"stackReference": stacks.cluster_stack}
    for named, what in (
        ("organization/istio-canary/nope", "there is no stack organization/istio-canary/nope"),
        (stacks.cluster_stack, f"the stack {stacks.cluster_stack} has no mesh"),
    ):
        config["istio-canary:mesh"] = {"stackReference": named}
        stacks.project.write_stack("other", config)
        for command in (("preview",), ("up", "--yes")):
            _is_refused(stacks.project.canary(*command, "--stack", "other"), "mesh.stackReference", what)


def _is_refused(done: Completed, *words: str) -> None:
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 2, said
    assert all(one in said for one in (*words, "fix:")), said
