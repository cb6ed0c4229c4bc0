"""What of versions that a stack does not make must be in the cluster, and what someone else has made there."""

from __future__ import annotations

from typing import Any

import pytest
from lightkube.resources.core_v1 import Pod, Service
from lightkube.resources.discovery_v1 import EndpointSlice

from rollout.observed_routes import ObservedRoutes
from stacks.cluster_facts import ClusterFacts
from stacks.environment import Environment
from stacks.outside import foreign_objects, missing_versions, target_port
from stacks.settings.loading import load
from stacks.settings.model import Settings
from tests.unit.mocks import run_program
from traffic.model import Target

NEW = {"image": "shop:1", "port": 8080}


def settings_of(old: dict[str, Any], **shop: Any) -> Settings:
    versions = {"new": NEW, "old": old}
    route = [{"to": {"new": 10, "old": 90}}]
    return load({"services": {"shop": {"hosts": ["shop.example.com"], "versions": versions, "route": route, **shop}}})


def pod(ready: bool = True, port: str | None = "http") -> Any:
    container = {
        "name": "shop",
        "image": "shop:0",
        "ports": [{"containerPort": 8080, **({"name": port} if port else {})}],
    }
    condition = {"type": "Ready", "status": str(ready)}
    status = {"phase": "Running", "conditions": [condition]}
    return Pod.from_dict({"metadata": {"name": "a"}, "spec": {"containers": [container]}, "status": status})


class FakeCluster:
    """A cluster with these pods, and one Service with these ports."""

    def __init__(self, *pods: Any, ports: tuple[int, ...] = (), ready: bool = True) -> None:
        self.pods, self.ports, self.ready = pods, ports, ready
        self.asked: list[tuple[str, dict[str, str]]] = []

    def get(self, kind: Any, name: str, namespace: str) -> Any:
        if not self.ports:
            import httpx2

            request = httpx2.Request("GET", "http://a")
            raise httpx2.HTTPStatusError("", request=request, response=httpx2.Response(404, request=request))
        assert kind is Service
        spec = {"ports": [{"port": port} for port in self.ports]}
        return Service.from_dict({"metadata": {"name": name}, "spec": spec})

    def list(self, kind: Any, namespace: str, labels: dict[str, str]) -> list[Any]:
        self.asked.append((namespace, labels))
        if kind is Pod:
            return list(self.pods)
        endpoint = {"addresses": ["10.0.0.1"], "conditions": {"ready": self.ready}}
        return [EndpointSlice.from_dict({"addressType": "IPv4", "endpoints": [endpoint]})]


PODS = {"labels": {"version": "v1"}, "port": 8080}
SERVICE = {"service": "legacy.bar", "port": 8080}


@pytest.mark.parametrize(
    ("old", "cluster", "words"),
    [
        pytest.param(PODS, FakeCluster(), "no pod of old is in the cluster", id="no pod"),
        pytest.param(PODS, FakeCluster(pod(ready=False)), "none of the 1 pods of old is ready", id="no ready pod"),
        pytest.param({**PODS, "port": 9090}, FakeCluster(pod(port=None)), "by the name 'http'", id="no port name"),
        pytest.param(SERVICE, FakeCluster(), "there is no Service legacy in namespace bar", id="no Service"),
        pytest.param(SERVICE, FakeCluster(ports=(80,)), "has no port 8080", id="another port"),
        pytest.param(SERVICE, FakeCluster(ports=(8080,), ready=False), "no endpoint of the Service", id="no endpoint"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_touched(old: dict[str, Any], cluster: Any, words: str) -> None:
    (problem,) = missing_versions(cluster, settings_of(old), "Pulumi.dev.yaml")

    assert words in problem.what
    assert problem.path.startswith("istio-canary:services.shop.versions.old")
    assert problem.allowed
    assert problem.fix


@pytest.mark.parametrize(
    ("old", "cluster"),
    [
        pytest.param(PODS, FakeCluster(pod()), id="a ready pod"),
        pytest.param(PODS, FakeCluster(pod(port=None)), id="a port without a name, of the same number"),
        pytest.param({**PODS, "port": 9090}, FakeCluster(pod()), id="a port with the name"),
        pytest.param(SERVICE, FakeCluster(ports=(80, 8080)), id="a Service"),
        pytest.param({"host": "old.example.net"}, FakeCluster(), id="a host, which only the proxies look up"),
    ],
)
def test_what_is_there_gets_its_share(old: dict[str, Any], cluster: Any) -> None:
    assert missing_versions(cluster, settings_of(old), "Pulumi.dev.yaml") == []


def test_pods_without_a_share_may_be_missing() -> None:
    settings = settings_of(PODS, route=[{"to": {"new": 100, "old": 0}}])
    cluster: Any = FakeCluster()

    assert missing_versions(cluster, settings, "Pulumi.dev.yaml") == []


def test_pods_are_those_that_the_service_selects() -> None:
    cluster: Any = FakeCluster(pod())
    missing_versions(cluster, settings_of(PODS, selector={"app.kubernetes.io/name": "shop"}), "Pulumi.dev.yaml")

    assert cluster.asked == [("shop", {"app.kubernetes.io/name": "shop", "version": "v1"})]


@pytest.mark.parametrize(("port", "found"), [(8080, 8080), (9090, None), (None, None)])
def test_the_service_finds_pods_by_the_port_number_only_if_all_have_the_same(
    port: int | None, found: int | None
) -> None:
    old = {"labels": {"version": "v1"}, **({"port": port} if port else {})}
    assert target_port(settings_of(old).services["shop"]) == found


def test_objects_that_someone_else_has_made_are_only_overwritten_on_request() -> None:
    observed = ObservedRoutes(foreign={"shop": ("VirtualService shop/shop (by kubectl)",)})
    (problem,) = foreign_objects(settings_of(PODS), observed, "Pulumi.dev.yaml")

    assert "VirtualService shop/shop (by kubectl)" in problem.what
    assert "istio-canary:services.shop.adopt: true" in problem.fix
    assert foreign_objects(settings_of(PODS, adopt=True), observed, "Pulumi.dev.yaml") == []


def test_a_version_cannot_have_the_name_of_a_deployment_with_other_pods() -> None:
    observed = ObservedRoutes(version_labels={("shop", "shop-new"): "v1"})
    (problem,) = foreign_objects(settings_of(PODS), observed, "Pulumi.dev.yaml")

    assert problem.path == "istio-canary:services.shop.versions.new"
    assert "labels: {version: v1}" in problem.fix


def objects(settings: Settings, observed: ObservedRoutes | None = None) -> dict[str, Any]:
    """The objects that a stack registers, by name."""
    facts = ClusterFacts(uid="7b1f", routes=observed or ObservedRoutes())
    run = run_program(lambda: Environment(settings, facts, "istio-canary/test").outputs, preview=True)
    return {resource.name: resource for resource in run.resources}


def test_the_stack_deploys_no_pods_of_such_a_version() -> None:
    found = objects(settings_of(PODS, selector={"team": "shop"}))

    assert "shop-new" in found
    assert "shop-old" not in found
    assert found["shop-service"].inputs["spec"]["selector"] == {"team": "shop"}
    template = found["shop-new"].inputs["spec"]["template"]
    assert template["metadata"]["labels"] == {"team": "shop", "app": "shop", "version": "shop-new"}


def test_a_host_outside_is_known_before_the_routes_name_it() -> None:
    found = objects(settings_of({"host": "old.example.net", "port": 443}))
    routes = found["shop-routing-virtual-service"]

    names = ("shop-routing-shop-old-service-entry", "shop-routing-shop-old-destination-rule")
    assert {found[name].urn for name in names} <= set(routes.depends_on)


def test_adopted_objects_are_overwritten_and_others_are_not() -> None:
    force = "pulumi.com/patchForce"
    for adopt in (True, False):
        found = objects(settings_of(PODS, adopt=adopt))
        for name in ("shop-service", "shop-routing-destination-rule", "shop-routing-virtual-service"):
            assert (force in (found[name].inputs["metadata"].get("annotations") or {})) is adopt


def test_a_renamed_versions_subset_goes_after_the_routes() -> None:
    gone, kept = Target("shop", "gone"), Target("shop", "old")
    observed = ObservedRoutes(
        subsets=frozenset({gone, kept}), shares={gone: "10 %", kept: "90 %"}, routed=frozenset({"shop"})
    )
    found = objects(settings_of({"image": "shop:0", "port": 8080}), observed)

    rule, routes = found["shop-routing-destination-rule"], found["shop-routing-virtual-service"]
    assert routes.urn in rule.depends_on
    assert rule.urn not in routes.depends_on


def test_a_service_loses_its_old_port_after_the_routes_and_keeps_the_name_of_a_port() -> None:
    shares = {Target("shop", name): "50 %" for name in ("new", "old")}
    observed = ObservedRoutes(
        subsets=frozenset(shares),
        shares=shares,
        routed=frozenset({"shop"}),
        ports={"shop": frozenset({80})},
        service_ports={"shop": {80: "web"}},
    )
    found = objects(settings_of({"image": "shop:0", "port": 8080}, port=8080), observed)
    assert found["shop-routing-virtual-service"].urn in found["shop-service"].depends_on

    same = objects(settings_of({"image": "shop:0", "port": 8080}), observed)["shop-service"].inputs["spec"]["ports"][0]
    assert (same["name"], same["appProtocol"]) == ("web", "http"), "endpoints are found by the name"
