"""The pods of a stack's versions: who decides about their number, and what is laid over them."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from rollout.observed_routes import ObservedRoutes
from rollout.proxy_sync import ProxySync
from stacks.cluster_facts import ClusterFacts
from stacks.environment import Environment
from stacks.pod_counts import replicas_of
from stacks.settings.loading import load
from tests.unit.mocks import Run, run_program
from traffic.model import Target

SCALED = {"minReplicas": 2, "maxReplicas": 10, "cpu": 70}
STABLE = Target("shop", "stable")
ACCOUNT = "kubernetes:core/v1:ServiceAccount"


def shop(stable: dict[str, Any], canary: dict[str, Any] | None = None, **keys: Any) -> dict[str, Any]:
    """A service with two versions, of which these keys are set."""
    versions = {
        "stable": {"image": "shop:1", "port": 8080, **stable},
        "canary": {"image": "shop:2", "port": 8080, **(canary or {})},
    }
    route = [{"to": {"stable": 90, "canary": 10}}]
    service = {"hosts": ["shop.example.com"], "versions": versions, "route": route, **keys}
    return {"mesh": {"install": False}, "services": {"shop": service}}


def run(values: dict[str, Any], pods: dict[Target, int] | None = None) -> Run:
    """What the program registers in a cluster whose versions have so many pods."""
    facts = ClusterFacts(uid="7b1f", routes=ObservedRoutes(replicas=pods or {}))
    return run_program(lambda: Environment(load(copy.deepcopy(values)), facts, "istio-canary/test").outputs, False)


def pod(values: dict[str, Any], version: str = "stable") -> dict[str, Any]:
    """The pod template of a version."""
    template: dict[str, Any] = run(values).named(f"shop-{version}").spec["template"]
    return template


@pytest.fixture(autouse=True)
def waited(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The versions that no Envoy had to use before their pods changed, in order."""
    found: list[str] = []
    monkeypatch.setattr(ProxySync, "until_unused", lambda self, targets: found.extend(one.version for one in targets))
    return found


@pytest.mark.parametrize(
    ("given", "pods", "replicas", "is_kept"),
    [
        ({}, 3, 1, False),
        ({"replicas": 0}, 3, 0, False),
        ({"replicas": None}, 3, None, True),
        ({"replicas": None}, 0, None, True),
        ({"replicas": None}, None, None, True),
        ({"autoscaling": SCALED}, None, 2, True),
        ({"autoscaling": SCALED}, 7, 2, True),
        ({"autoscaling": SCALED}, 0, 2, False),
    ],
    ids=["one", "none", "left alone", "left at 0", "new", "new, scaled", "scaled", "scaled from 0"],
)
def test_the_number_of_pods_is_set_only_where_the_stack_decides_about_it(
    given: dict[str, Any], pods: int | None, replicas: int | None, is_kept: bool
) -> None:
    values = shop(given, route=[{"to": {"stable": 0, "canary": 100}}])
    deployment = run(values, {} if pods is None else {STABLE: pods}).named("shop-stable")

    assert deployment.spec.get("replicas") == replicas
    assert ("spec.replicas" in deployment.ignores) == is_kept
    takes = deployment.metadata.get("annotations") == {"pulumi.com/patchForce": "true"}
    is_fixed = given.get("replicas", 1) is not None and "autoscaling" not in given
    assert takes == is_fixed, "the provider takes the field from others where the stack decides at all times"


@pytest.mark.parametrize(
    ("given", "observed", "pods"),
    [
        ({"replicas": 3}, 7, 3),
        ({"replicas": None}, 7, 7),
        ({"replicas": None}, 0, 0),
        ({"replicas": None}, None, 1),
        ({"autoscaling": SCALED}, None, 2),
        ({"autoscaling": SCALED}, 0, 2),
        ({"autoscaling": SCALED}, 7, 7),
        ({"autoscaling": SCALED}, 12, 10),
    ],
)
def test_the_pods_that_a_version_will_have_are_within_the_autoscalers_bounds(
    given: dict[str, Any], observed: int | None, pods: int
) -> None:
    settings = load(shop(given))

    assert replicas_of(settings, {} if observed is None else {STABLE: observed})[STABLE] == pods


def test_an_autoscaler_scales_the_versions_deployment_after_it_is_there() -> None:
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 60}}
    metric = {"type": "Pods", "pods": {"metric": {"name": "rps"}, "target": {"type": "AverageValue",
                                                                             "averageValue": "10"}}}  # fmt: skip
    registered = run(shop({"autoscaling": {**SCALED, "memory": 80, "metrics": [metric], "behavior": behavior}}))
    scaler, deployment = registered.named("shop-stable-autoscaler"), registered.named("shop-stable")

    resources = [
        {
            "type": "Resource",
            "resource": {"name": name, "target": {"type": "Utilization", "averageUtilization": percent}},
        }
        for name, percent in (("cpu", 70), ("memory", 80))
    ]
    assert scaler.spec == {
        "minReplicas": 2,
        "maxReplicas": 10,
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment.metadata["name"]},
        "metrics": [*resources, metric],
        "behavior": behavior,
    }
    assert (scaler.metadata["namespace"], scaler.metadata["labels"]["version"]) == ("shop", "shop-stable")
    assert deployment.urn in scaler.depends_on
    assert registered.of_type(":HorizontalPodAutoscaler") == [scaler], "the other version has none"


def test_the_autoscaler_of_a_version_that_gets_no_more_requests_waits_for_the_envoys(waited: list[str]) -> None:
    values = shop({}, {"autoscaling": SCALED}, route=[{"to": {"stable": 100, "canary": 0}}])
    canary = Target("shop", "canary")
    routes = ObservedRoutes(subsets=frozenset({STABLE, canary}), shares={STABLE: "90 %", canary: "10 %"},
                            routed=frozenset({"shop"}), replicas={canary: 12})  # fmt: skip
    facts = ClusterFacts(uid="7b1f", routes=routes)

    registered = run_program(lambda: Environment(load(values), facts, "istio-canary/test").outputs, False)

    order = [resource.name for resource in registered.resources]
    routes_at = order.index("shop-routing-virtual-service")
    assert routes_at < order.index("shop-canary") < order.index("shop-canary-autoscaler")
    assert waited == ["canary", "canary"], "both the Deployment and the autoscaler may take pods"


TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"team": "a"}, "annotations": {"prometheus.io/scrape": "true"}},
    "spec": {
        "nodeSelector": {"disktype": "ssd"},
        "initContainers": [{"name": "migrate", "image": "migrate:1"}],
        "containers": [
            {"name": "agent", "image": "agent:1"},
            {"name": "shop", "tty": True, "env": [{"name": "B", "value": "2"}], "resources": {"limits": {"cpu": 1}}},
        ],
    },
}


def test_a_template_is_laid_over_the_pods_container_by_container() -> None:
    laid_over = pod(shop({"env": {"A": "1"}, "podTemplate": TEMPLATE}))
    plain = pod(shop({"env": {"A": "1"}}))
    own, agent = laid_over["spec"]["containers"]

    assert laid_over["metadata"]["labels"] == {**plain["metadata"]["labels"], "team": "a"}
    assert laid_over["metadata"]["annotations"] == {"prometheus.io/scrape": "true"}
    assert laid_over["spec"]["nodeSelector"] == {"disktype": "ssd"}
    assert laid_over["spec"]["initContainers"] == [{"name": "migrate", "image": "migrate:1"}]
    assert agent == {"name": "agent", "image": "agent:1"}
    before = plain["spec"]["containers"][0]
    assert own == {**before, "tty": True, "resources": {"limits": {"cpu": 1}},
                   "env": [*before["env"], {"name": "B", "value": "2"}]}, "the rest stays as it was"  # fmt: skip


def test_the_services_template_is_laid_over_all_versions_and_a_versions_over_that() -> None:
    common = {"spec": {"nodeSelector": {"a": "1", "b": "1"}, "priorityClassName": "low"}}
    own = {"spec": {"nodeSelector": {"b": "2"}, "priorityClassName": None}}
    values = shop({}, {"podTemplate": own}, podTemplate=common)

    assert pod(values)["spec"]["nodeSelector"] == {"a": "1", "b": "1"}
    canary = pod(values, "canary")["spec"]
    assert canary["nodeSelector"] == {"a": "1", "b": "2"}
    assert "priorityClassName" not in canary


def test_labels_by_which_istio_names_pods_do_not_change_their_names_in_metrics() -> None:
    labels = {"app.kubernetes.io/name": "web", "app.kubernetes.io/version": "9"}
    given = pod(shop({"podTemplate": {"metadata": {"labels": labels}}}))["metadata"]["labels"]

    assert given["service.istio.io/canonical-name"] == given["app"] == "shop"
    assert given["service.istio.io/canonical-revision"] == given["version"] == "shop-stable"


def test_a_templates_configuration_of_the_proxy_keeps_what_the_telemetry_needs() -> None:
    own = {"metadata": {"annotations": {"proxy.istio.io/config": "holdApplicationUntilProxyStarts: true"}}}
    values = {**shop({"podTemplate": own}), "telemetry": {"prometheus": {"enabled": True}}}
    of_telemetry = json.loads(pod(values, "canary")["metadata"]["annotations"]["proxy.istio.io/config"])

    merged = json.loads(pod(values)["metadata"]["annotations"]["proxy.istio.io/config"])
    assert merged == {**of_telemetry, "holdApplicationUntilProxyStarts": True}


def test_a_probe_is_a_command_grpc_or_of_the_start() -> None:
    probes = {
        "readinessProbe": {"exec": {"command": ["/bin/health"]}},
        "livenessProbe": {"grpc": {"port": 8080, "service": "shop"}},
        "startupProbe": {"httpGet": {"path": "/started", "port": 8080}, "failureThreshold": 30},
    }
    container = pod(shop(probes))["spec"]["containers"][0]

    assert {name: container[name] for name in probes} == probes


def test_a_probe_is_sent_over_tls() -> None:
    probe = {"httpGet": {"path": "/health", "port": 8443, "scheme": "HTTPS"}}
    container = pod(shop({"readinessProbe": probe}))["spec"]["containers"][0]

    assert container["readinessProbe"] == probe


@pytest.mark.parametrize(("block", "key"), [("spec", "nodeSelector"), ("metadata", "annotations"),
                                            ("metadata", "labels")])  # fmt: skip
def test_null_in_a_versions_template_removes_an_entry_of_the_services(block: str, key: str) -> None:
    common = {block: {key: {"example.com/a": "1", "example.com/b": "2"}}}
    own = {block: {key: {"example.com/a": None}}}
    given = pod(shop({"podTemplate": own}, podTemplate=common))[block][key]

    assert "example.com/a" not in given
    assert given["example.com/b"] == "2"


@pytest.mark.parametrize(
    ("given", "accounts", "name"),
    [
        ({}, 1, "shop"),
        ({"annotations": {"iam.gke.io/gcp-service-account": "a@b.example.com"}}, 1, "shop"),
        ({"name": "bot"}, 0, "bot"),
    ],
)
def test_the_pods_have_the_services_account_or_one_that_exists(given: dict[str, Any], accounts: int, name: str) -> None:
    registered = run(shop({}, serviceAccount=given))
    made = registered.of_type(":ServiceAccount")

    assert len(made) == accounts
    assert all(one.metadata.get("annotations", {}) == given.get("annotations", {}) for one in made)
    assert registered.named("shop-stable").spec["template"]["spec"]["serviceAccountName"] == name
