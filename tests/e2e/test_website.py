"""The website canary, from the first `up` to a measured split and `destroy`: the lifecycle of one stack.

The tests build on each other: each continues where the previous one ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.tools import Cluster, Project, bodies, wait_until

STACK = "dev"
HEADER = {"qa": "canary-test"}
pytestmark = pytest.mark.long  # the README's commands, which make test runs, do the same with this sample

ISTIO_KINDS = ("gateways", "virtualservices", "destinationrules", "peerauthentications")


@pytest.fixture(scope="module")
def stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The dev stack's project, in a cluster with objects that do not belong to it."""
    project = Project.create(tmp_path_factory.mktemp("website"), cluster)
    cluster.kubectl("create", "namespace", "other-team")
    cluster.kubectl("create", "configmap", "other", "--namespace=other-team", "--from-literal=key=value")
    yield project
    project.canary("destroy", "--stack", STACK, "--yes")
    cluster.kubectl("delete", "namespace", "other-team", "--ignore-not-found")


def with_weights(project: Project, stable: float) -> dict[str, Any]:
    """The dev stack's config with the header rule and weights."""
    config = project.dev_config()
    route = [
        {"match": [{"headers": {"qa": {"exact": "canary-test"}}}], "to": "version-2"},
        {"to": {"version-1": stable, "version-2": 100 - stable}},
    ]
    config["istio-canary:services"] = {"website": {"route": route}}
    return config


def verify(project: Project, *words: str) -> tuple[int, dict[str, Any]]:
    done = project.canary("verify", "--stack", STACK, "--json", *words)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_the_first_up_succeeds(stack: Project) -> None:
    stack.write_stack(STACK, stack.dev_config())
    done = stack.canary("up", "--stack", STACK, "--yes")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_second_up_changes_nothing(stack: Project) -> None:
    changes = stack.up(STACK)["changes"]
    assert set(changes) == {"same"}, f"istiod rewrites its webhooks, which must not cause a diff: {changes}"


FORMER_TOKENS = {
    "istio-canary:index:CanaryRouting": "istio-canary:canary_routing:CanaryRouting",
    "istio-canary:index:IstioMesh": "istio-canary:istio_mesh:IstioMesh",
    "istio-canary:index:Namespace": "istio-canary:namespace:Namespace",
    "istio-canary:index:VersionedService": "istio-canary:versioned_service:VersionedService",
}


def test_a_state_with_the_former_tokens_shows_no_change(stack: Project) -> None:
    state = stack.pulumi("stack", "export", "--stack", STACK).stdout
    former = state
    for token, before in FORMER_TOKENS.items():
        assert token in former
        former = former.replace(token, before)
    stack.pulumi("stack", "import", "--stack", STACK, stdin=former)
    preview = json.loads(stack.canary("preview", "--stack", STACK, "--json").stdout)
    assert set(preview["changes"]) == {"same"}, preview
    assert set(stack.up(STACK)["changes"]) == {"same"}
    assert "canary_routing:" not in stack.pulumi("stack", "export", "--stack", STACK).stdout, "the state is migrated"


@pytest.mark.parametrize(
    ("headers", "body"),
    [({}, "echo-v1"), (HEADER, "echo-v2"), ({"qa": "another"}, "echo-v1"), ({"qa": "canary-test-2"}, "echo-v1")],
)
def test_the_header_rule_routes_each_request_as_configured(stack: Project, headers: dict[str, str], body: str) -> None:
    assert bodies(stack.cluster.layout.gateway_url, 100, headers=headers) == {body: 100}


def test_verify_passes_for_the_header_rule(stack: Project) -> None:
    code, result = verify(stack)
    assert code == 0, result


def test_every_pod_of_the_website_has_a_sidecar(stack: Project) -> None:
    pods = stack.cluster.get("pods", "--namespace=website-istio-ns")["items"]
    assert len(pods) == 5, "four of version-1 and one of version-2"
    for pod in pods:
        containers = pod["spec"]["containers"] + pod["spec"].get("initContainers", [])
        assert "istio-proxy" in {container["name"] for container in containers}, pod["metadata"]["name"]


def test_a_plain_text_call_to_a_pod_fails_while_the_gateway_works(stack: Project) -> None:
    pod = stack.cluster.get("pods", "--namespace=website-istio-ns")["items"][0]
    address = f"http://{pod['status']['podIP']}:5678/"
    with pytest.raises(Exception, match=r"reset|disconnected"):
        bodies(address, 1)
    assert bodies(stack.cluster.layout.gateway_url, 1) == {"echo-v1": 1}


def test_the_deployed_objects_are_those_of_the_sample(stack: Project) -> None:
    namespace = "--namespace=website-istio-ns"
    deployments = {item["metadata"]["name"]: item for item in stack.cluster.get("deployments", namespace)["items"]}
    assert {name: item["spec"]["replicas"] for name, item in deployments.items()} == {"web-v1": 4, "web-v2": 1}
    for name, item in deployments.items():
        labels = item["spec"]["template"]["metadata"]["labels"]
        assert labels["app"] == "website"
        assert labels["version"] == f"website-version-{name[-1]}"
    ports = stack.cluster.get("service", "website", namespace)["spec"]["ports"]
    assert [(port["name"], port["port"]) for port in ports] == [("http", 80)]
    gateway = stack.cluster.get("gateways.networking.istio.io", "website-gateway", namespace)["spec"]
    assert gateway["selector"] == {"istio": "ingressgateway"}
    subsets = stack.cluster.get("destinationrules.networking.istio.io", "website", namespace)["spec"]["subsets"]
    assert [subset["name"] for subset in subsets] == ["version-1", "version-2"]


def test_at_90_to_10_verify_passes_over_2000_requests(stack: Project) -> None:
    stack.write_stack(STACK, with_weights(stack, 90))
    stack.up(STACK)
    code, result = verify(stack, "--count", "2000")
    assert code == 0, result


def test_the_header_rule_still_applies_beside_the_weights(stack: Project) -> None:
    assert bodies(stack.cluster.layout.gateway_url, 100, headers=HEADER) == {"echo-v2": 100}


def test_verify_fails_after_a_manual_edit_of_a_weight_and_up_reverts_it(stack: Project) -> None:
    edited = [{"op": "replace", "path": "/spec/http/1/route/0/weight", "value": 70}]
    edited.append({"op": "replace", "path": "/spec/http/1/route/1/weight", "value": 30})
    stack.cluster.kubectl(
        *("patch", "virtualservices.networking.istio.io", "website", "--namespace=website-istio-ns"),
        *("--type=json", f"--patch={json.dumps(edited)}"),
    )

    def share_of_version_2() -> float:
        return bodies(stack.cluster.layout.gateway_url, 200)["echo-v2"] / 200

    wait_until(lambda: share_of_version_2() > 0.2, "the edited weight at the gateway", 20)
    code, _ = verify(stack, "--count", "2000")
    assert code == 3, "the split is not as configured"
    status = stack.canary("status", "--stack", STACK)
    assert "70" in status.stdout, f"status shows the live weights:\n{status.stdout}"
    assert stack.canary("refresh", "--stack", STACK, "--yes").returncode == 0
    assert stack.up(STACK)["changes"].get("update") == 1
    code, result = verify(stack, "--count", "2000")
    assert code == 0, result


def test_a_share_below_one_percent_is_deployed_measured_and_shown(stack: Project) -> None:
    stack.write_stack(STACK, with_weights(stack, 99.5))
    stack.up(STACK)
    code, result = verify(stack)
    assert code == 0, result
    rule = result["rules"][1]
    assert rule["requests"] > 5000, "so small a share takes more than the usual number"
    assert [share["configured_percent"] for share in rule["versions"]] == [99.5, 0.5]
    status = stack.canary("status", "--stack", STACK)
    assert "0.5 %" in status.stdout, f"the live weights are read as proportions:\n{status.stdout}"
    code, result = verify(stack, "--count", "200")
    assert (code, result["rules"][1]["verdict"]) == (3, "not enough")
    stack.write_stack(STACK, with_weights(stack, 90))
    stack.up(STACK)


def test_a_weight_change_is_previewed_as_the_route_and_the_wanted_share_and_deployed(stack: Project) -> None:
    stack.write_stack(STACK, with_weights(stack, 50))
    preview = json.loads(stack.canary("preview", "--stack", STACK, "--json").stdout)
    changed = [resource for resource in preview["resources"] if resource["op"] != "same"]
    assert sorted((resource["op"], resource["type"]) for resource in changed) == [
        ("update", "kubernetes:core/v1:ConfigMap"),
        ("update", "kubernetes:networking.istio.io/v1:VirtualService"),
    ], changed
    shown = stack.canary("preview", "--stack", STACK).stdout
    assert "90" in shown, f"the old weight is shown:\n{shown}"
    assert "50" in shown, f"the new weight is shown:\n{shown}"
    assert stack.up(STACK)["changes"]["update"] == 2
    code, result = verify(stack, "--count", "2000")
    assert code == 0, result
    assert set(stack.up(STACK)["changes"]) == {"same"}


def test_status_names_versions_replicas_weights_and_gateway(stack: Project) -> None:
    status = stack.canary("status", "--stack", STACK)
    assert status.returncode == 0, status.stderr
    for expected in ("version-1", "version-2", "4 of 4", "1 of 1", "50", stack.cluster.layout.gateway_url):
        assert expected in status.stdout, f"{expected} is missing in\n{status.stdout}"


def test_destroy_deletes_everything_of_the_stack_and_nothing_else(stack: Project) -> None:
    done = stack.canary("destroy", "--stack", STACK, "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    cluster = stack.cluster
    namespaces = {item["metadata"]["name"] for item in cluster.get("namespaces")["items"]}
    assert namespaces == {"default", "kube-system", "kube-public", "kube-node-lease", "other-team"}
    assert cluster.kubectl("get", "crds", "--output=name").stdout == ""
    for kind in (
        "validatingwebhookconfigurations",
        "mutatingwebhookconfigurations",
        "clusterroles",
        "clusterrolebindings",
    ):
        assert "istio" not in cluster.kubectl("get", kind, "--output=name").stdout.replace("istio-canary-sandbox:", "")
    config_maps = cluster.kubectl("get", "configmaps", "--all-namespaces", "--output=name").stdout
    assert "istio" not in config_maps, config_maps
    assert cluster.get("configmap", "other", "--namespace=other-team")["data"] == {"key": "value"}
