"""The telemetry of a stack: which servers are built, what the mesh reports, and what the proxies count."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pulumi
import pytest
import yaml

from stacks.cluster_facts import ClusterFacts
from stacks.environment import Environment
from stacks.settings.loading import load
from tests.unit.mocks import Deploy, Run

FACTS = ClusterFacts(uid="7b1f")
SERVERS = {"prometheus": "Prometheus", "jaeger": "Jaeger", "grafana": "Grafana", "kiali": "Kiali"}
ALL_ON: dict[str, Any] = {name: {"enabled": True} for name in SERVERS}
PROXY_CONFIG = "proxy.istio.io/config"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"


def environment(
    values: dict[str, Any], telemetry: dict[str, Any], admin: str | None = None
) -> Callable[[], dict[str, Any]]:
    settings = load({**values, "telemetry": telemetry}, stack="dev")

    def program() -> dict[str, Any]:
        secret = None if admin is None else pulumi.Output.secret(admin)
        return Environment(settings, FACTS, "istio-canary/test", secret).outputs

    return program


def components(run: Run) -> set[str]:
    return {one.type.rpartition(":")[2] for one in run.resources if one.type.startswith("istio-canary:")}


def annotation(run: Run, deployment: str) -> str | None:
    metadata = run.named(deployment).spec["template"]["metadata"]
    text: str | None = (metadata.get("annotations") or {}).get(PROXY_CONFIG)
    return text


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_is_built_only_if_it_is_on(deploy: Deploy, website: dict[str, Any], name: str) -> None:
    needed = {"prometheus": {"enabled": True}} if name in ("grafana", "kiali") else {}
    off = components(deploy(environment(website, needed)))
    on = components(deploy(environment(website, {**needed, name: {"enabled": True}})))
    assert on - off >= {SERVERS[name]}
    assert off & set(SERVERS.values()) == {SERVERS[server] for server in needed}


def test_without_telemetry_nothing_of_it_is_built(deploy: Deploy, website: dict[str, Any]) -> None:
    run = deploy(environment(website, {}))
    assert components(run).isdisjoint({*SERVERS.values(), "MeshTelemetry", "GrafanaProvisioning"})
    assert annotation(run, "website-version-1") is None
    assert "extensionProviders" not in run.named("mesh-istiod").inputs["values"]["meshConfig"]


@pytest.mark.parametrize("prometheus", [{"enabled": True}, {"url": "http://prometheus.monitoring:9090"}])
def test_the_proxies_of_gateway_and_versions_count_for_any_prometheus(
    deploy: Deploy, website: dict[str, Any], prometheus: dict[str, Any]
) -> None:
    run = deploy(environment(website, {"prometheus": prometheus}))
    of_gateway = yaml.safe_load(run.named("mesh-gateway").inputs["values"]["podAnnotations"][PROXY_CONFIG])
    of_version = json.loads(annotation(run, "website-version-1") or "")
    assert of_gateway["proxyStatsMatcher"] == of_version["proxyStatsMatcher"]
    pattern, _ = of_version["proxyStatsMatcher"]["inclusionRegexps"]
    assert "website-istio-ns" in pattern
    assert of_gateway["proxyMetadata"] == {"EXIT_ON_ZERO_ACTIVE_CONNECTIONS": "true"}, "the gateway still drains"


def test_spans_go_to_the_stacks_jaeger_or_to_one_that_exists(deploy: Deploy, website: dict[str, Any]) -> None:
    def collector(jaeger: dict[str, Any]) -> Any:
        run = deploy(environment(website, {"jaeger": jaeger}))
        (provider,) = run.named("mesh-istiod").inputs["values"]["meshConfig"]["extensionProviders"]
        assert run.named("istio-system-telemetry-telemetry").spec["tracing"][0]["providers"] == [
            {"name": provider["name"]}
        ]
        return provider["opentelemetry"]

    assert collector({"enabled": True}) == {"service": "jaeger-collector.istio-system.svc.cluster.local", "port": 4317}
    elsewhere = {"url": "http://jaeger.tracing/jaeger", "collector": "collector.tracing.svc.cluster.local:4317"}
    assert collector(elsewhere) == {"service": "collector.tracing.svc.cluster.local", "port": 4317}


def test_custom_tags_are_written_as_istio_does(deploy: Deploy, website: dict[str, Any]) -> None:
    tags = {"tenant": {"header": "x-tenant"}, "env": {"literal": "staging"}, "zone": {"environment": "ZONE"}}
    tracing = {"sampling": 5.0, "customTags": tags}
    run = deploy(environment(website, {"jaeger": {"enabled": True}, "tracing": tracing}))
    (spec,) = run.named("istio-system-telemetry-telemetry").spec["tracing"]
    assert spec["randomSamplingPercentage"] == 5
    assert spec["customTags"] == {
        "tenant": {"header": {"name": "x-tenant"}},
        "env": {"literal": {"value": "staging"}},
        "zone": {"environment": {"name": "ZONE"}},
    }


def test_sampling_0_leaves_tracing_off(deploy: Deploy, website: dict[str, Any]) -> None:
    run = deploy(environment(website, {"jaeger": {"enabled": True}, "tracing": {"sampling": 0.0}}))
    assert "MeshTelemetry" not in components(run)
    assert "extensionProviders" not in run.named("mesh-istiod").inputs["values"]["meshConfig"]


def test_in_a_mesh_of_others_the_services_namespaces_report(deploy: Deploy, website: dict[str, Any]) -> None:
    values = {**website, "mesh": {"install": False}}
    run = deploy(environment(values, {"accessLogs": {"enabled": True, "filter": "response.code >= 400"}}))
    telemetry = run.named("website-istio-ns-telemetry-telemetry")
    assert telemetry.metadata["namespace"] == "website-istio-ns"
    assert telemetry.spec["accessLogging"][0]["filter"] == {"expression": "response.code >= 400"}


@pytest.mark.parametrize(
    ("namespace", "install", "is_managed"),
    [("monitoring", True, True), ("monitoring", False, True), ("istio-system", False, False)],
)
def test_the_servers_namespace_is_the_stacks_unless_it_is_that_of_a_mesh_of_others(
    deploy: Deploy, website: dict[str, Any], namespace: str, install: bool, is_managed: bool
) -> None:
    values = {**website, "mesh": {"install": install}}
    run = deploy(environment(values, {**ALL_ON, "namespace": namespace}))
    managed = {one.metadata["name"] for one in run.of_type("kubernetes:core/v1:Namespace")}
    assert (namespace in managed) is is_managed
    for server in ("prometheus", "jaeger", "grafana", "kiali"):
        assert run.named(f"{server}-server", DEPLOYMENT).metadata["namespace"] == namespace


def test_istiod_lets_a_kiali_of_another_namespace_see_its_proxies(deploy: Deploy, website: dict[str, Any]) -> None:
    def env(namespace: str) -> Any:
        run = deploy(environment(website, {**ALL_ON, "namespace": namespace}))
        return run.named("mesh-istiod").inputs["values"].get("env")

    assert env("istio-system") is None
    assert env("monitoring") == {"DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES": "monitoring"}


def test_the_admin_password_is_in_a_secret_alone(deploy: Deploy, website: dict[str, Any]) -> None:
    run = deploy(environment(website, ALL_ON, admin="correct horse"))
    holders = {one.type for one in run.custom() if "correct horse" in json.dumps(one.inputs, default=str)}
    assert not holders, "a Secret holds it encoded"
    assert "Y29ycmVjdCBob3JzZQ==" in json.dumps(run.named("grafana-admin").inputs, default=str)


def test_a_grafana_that_exists_gets_data_source_and_dashboard_and_nothing_else(
    deploy: Deploy, website: dict[str, Any]
) -> None:
    telemetry = {"prometheus": {"enabled": True}, "grafana": {"url": "https://grafana.example.com"}}
    run = deploy(environment(website, telemetry))
    assert "Grafana" not in components(run)
    made = {one.inputs["kind"] for one in run.custom() if "GrafanaProvisioning" in one.urn}
    assert made == {"ConfigMap"}


def test_a_change_of_weights_changes_the_route_and_the_wanted_share_alone(
    deploy: Deploy, website: dict[str, Any]
) -> None:
    def run(stable: int) -> dict[str, dict[str, Any]]:
        values = copy.deepcopy(website)
        values["services"]["website"]["route"] = [{"to": {"version-1": stable, "version-2": 100 - stable}}]
        return deploy(environment(values, {"prometheus": {"enabled": True}})).inputs()

    before, after = run(90), run(50)
    changed = {urn.rpartition("::")[2] for urn in before if before[urn] != after.get(urn)}
    assert changed == {"website-routing-virtual-service", "prometheus-config"}


def test_pods_of_allowed_namespaces_may_reach_every_server(deploy: Deploy, website: dict[str, Any]) -> None:
    def sources(telemetry: dict[str, Any], server: str) -> str:
        return json.dumps(deploy(environment(website, telemetry)).named(f"{server}-policy").spec["ingress"])

    for server in SERVERS:
        assert "namespaceSelector" not in sources(ALL_ON, server)
        assert "monitoring" in sources({**ALL_ON, "allowedNamespaces": ["monitoring"]}, server)
