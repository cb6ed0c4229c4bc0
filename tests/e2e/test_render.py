"""The rendered dev stack, applied with kubectl, is what `canary up` makes; the tests build on each other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.e2e.tools import Cluster, Project, bodies, wait_until

pytestmark = pytest.mark.long

STACK = "dev"
HEADER = {"qa": "canary-test"}
APPLY = ("apply", "--server-side", "--filename=-")
ADDED_BY_SERVERS = {
    *("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid", "status"),
    *("caBundle", "clusterIP", "clusterIPs"),  # istiod's certificate, and addresses
}
OF_THE_TOOL = ("deployment.kubernetes.io/", "kubectl.kubernetes.io/", "meta.helm.sh/", "pulumi.com/")
"""Annotations that say who applied an object, or how often."""
MANAGED_BY = "app.kubernetes.io/managed-by"
Objects = dict[tuple[str, str, str], Any]


@pytest.fixture(scope="module")
def stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The dev stack's project in an empty cluster."""
    project = Project.create(tmp_path_factory.mktemp("render"), cluster)
    project.write_stack(STACK, project.dev_config())
    yield project
    project.canary("destroy", "--stack", STACK, "--yes")


@pytest.fixture(scope="module")
def rendered(stack: Project) -> str:
    """What `canary render` prints."""
    done = stack.canary("render", "--stack", STACK)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def applied(stack: Project, rendered: str) -> Objects:
    """The objects after kubectl applied them, which are deleted again."""
    cluster = stack.cluster
    cluster.kubectl(*APPLY, stdin=rendered, check=False)  # Istio's kinds are not served before their CRDs exist
    said: list[str] = []

    def again() -> bool:
        # Once istiod runs, it owns failurePolicy of the webhook that the chart has, and sets it again.
        done = cluster.kubectl(*APPLY, "--force-conflicts", stdin=rendered, check=False)
        said.append(done.stderr)
        return done.returncode == 0

    wait_until(again, lambda: f"the second apply ({said[-1]})", 180)
    wait_until(lambda: is_available(cluster), "the pods of all Deployments", 180)
    found = live(cluster, rendered)
    assert_requests_reach_the_versions(cluster)
    cluster.kubectl("delete", "--filename=-", "--ignore-not-found", "--wait=true", stdin=rendered)
    return found


def is_available(cluster: Cluster) -> bool:
    deployments = cluster.get("deployments", "--all-namespaces")["items"]
    return all(one["status"].get("availableReplicas", 0) >= one["spec"]["replicas"] for one in deployments)


def assert_requests_reach_the_versions(cluster: Cluster) -> None:
    url = cluster.layout.gateway_url
    wait_until(lambda: set(bodies(url, 8)) == {"echo-v1"}, "the gateway's first route")
    assert bodies(url, 40) == {"echo-v1": 40}
    assert bodies(url, 40, headers=HEADER) == {"echo-v2": 40}


def live(cluster: Cluster, rendered: str) -> Objects:
    """The objects of the stream as the API server has them, without what servers and tools add."""
    found: Objects = {}
    listed = json.loads(cluster.kubectl("get", "--filename=-", "--output=json", stdin=rendered).stdout)["items"]
    for one in listed:
        metadata = one["metadata"]
        found[one["kind"], metadata.get("namespace", ""), metadata["name"]] = without_additions(one)
    for wanted in filter(None, yaml.safe_load_all(rendered)):
        if wanted["kind"] == "Service":
            made = found["Service", wanted["metadata"]["namespace"], wanted["metadata"]["name"]]
            for port, given in zip(made["spec"]["ports"], wanted["spec"]["ports"], strict=True):
                if "nodePort" not in given:
                    port.pop("nodePort", None)  # any free one
    return found


def without_additions(value: Any) -> Any:
    if isinstance(value, list):
        return [without_additions(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    kept = {key: without_additions(entry) for key, entry in value.items() if key not in ADDED_BY_SERVERS}
    for name in ("annotations", "labels"):
        if isinstance(kept.get(name), dict):
            kept[name] = {
                key: entry for key, entry in kept[name].items() if key != MANAGED_BY and not key.startswith(OF_THE_TOOL)
            }
            if not kept[name]:
                del kept[name]
    return kept


def test_every_rendered_object_exists_after_kubectl_apply(applied: Objects, rendered: str) -> None:
    wanted = [one for one in yaml.safe_load_all(rendered) if one]
    assert len(applied) == len(wanted) > 50
    assert {kind for kind, _, _ in applied} >= {"CustomResourceDefinition", "VirtualService", "Deployment"}


def test_up_makes_the_same_objects(stack: Project, applied: Objects, rendered: str) -> None:
    stack.up(STACK)
    made = live(stack.cluster, rendered)
    assert made.keys() == applied.keys()
    for key, manifest in applied.items():
        assert made[key] == manifest, key
    assert_requests_reach_the_versions(stack.cluster)


def test_the_api_server_finds_nothing_to_change_in_the_routes_of_the_stream(stack: Project, rendered: str) -> None:
    routes = [
        one for one in yaml.safe_load_all(rendered) if one and one["kind"] in ("VirtualService", "DestinationRule")
    ]
    assert routes
    done = stack.cluster.kubectl(
        "diff", "--server-side", "--force-conflicts", "--filename=-", stdin=yaml.safe_dump_all(routes), check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
