"""Rollouts that another engine moves: what the program registers, and that nothing else sees them as rollouts."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from rollout.engines.target import EngineTarget
from rollout.observed_routes import ObservedRoutes
from stacks.cluster_facts import ClusterFacts
from stacks.engine_objects import target_of
from stacks.environment import Environment
from stacks.rollout_states import read_rollout_states
from stacks.settings.engines import engines_of
from stacks.settings.loading import load, warnings
from stacks.settings.model import Settings
from stacks.with_rollouts import with_rollouts
from tests.unit.mocks import Run, run_program
from tests.unit.rollout.api_server import ApiServer
from tests.unit.stacks.engine_stacks import stack, values
from traffic.model import Target

ENGINES = ("argo", "flagger")
FACTS = ClusterFacts(uid="7b1f")


def registered(settings: Settings, facts: ClusterFacts = FACTS) -> Run:
    return run_program(lambda: Environment(settings, facts, "istio-canary/test").outputs, preview=False)


def begun(run: Run, kind: str) -> dict[str, Any]:
    """The one object of a kind."""
    (found,) = run.of_type(f":{kind}")
    return found.inputs


@pytest.mark.parametrize("engine", ENGINES)
def test_no_rule_has_a_rollout_any_more(engine: str) -> None:
    settings = stack(engine)
    assert not settings.services["shop"].rolled
    effective = with_rollouts(settings, {}, "Pulumi.dev.yaml")
    assert (effective.problems, effective.asks, effective.settings) == ((), (), settings)
    assert set(engines_of(settings)) == {"shop"}


@pytest.mark.parametrize("engine", ENGINES)
def test_its_strategy_is_in_use(engine: str) -> None:
    found = [one.path for one in warnings(stack(engine))]
    assert "istio-canary:rollouts.careful" not in found


def test_engine_canary_is_a_rollout_as_always() -> None:
    given = values("canary", service={"versions": {name: {"image": "shop:1", "port": 80} for name in ("main", "old")}})
    settings = load(given)
    assert settings.services["shop"].rolled
    assert engines_of(settings) == {}


def test_argo_gets_a_rollout_of_the_deployment_and_routes_between_two_subsets() -> None:
    run = registered(stack("argo"))
    spec = begun(run, "Rollout")["spec"]
    assert spec["workloadRef"]["name"] == "shop-main"
    assert spec["replicas"] == 3
    (route,) = begun(run, "VirtualService")["spec"]["http"]
    assert spec["strategy"]["canary"]["trafficRouting"]["istio"]["virtualService"]["routes"] == [route["name"]]
    subsets = {one["name"]: one["labels"] for one in begun(run, "DestinationRule")["spec"]["subsets"]}
    assert subsets["stable"] == subsets["canary"] == {"version": "shop-main"}
    assert {one["destination"]["subset"]: one["weight"] for one in route["route"]} == {"stable": 100, "canary": 0}


def test_the_rollout_is_made_after_its_deployment_its_routes_and_its_templates() -> None:
    run = registered(stack("argo"))
    rollout = next(one for one in run.resources if one.type.endswith(":Rollout"))
    templates = {one.urn for one in run.of_type(":AnalysisTemplate")}
    assert templates <= set(rollout.depends_on)
    component = next(one for one in run.resources if one.urn == rollout.parent)
    after = {
        one.urn for one in (*run.of_type(":VirtualService"), *run.of_type("apps/v1:Deployment")) if "shop" in one.name
    }
    assert after <= set(component.depends_on)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_number_of_pods_is_the_engines_once_the_deployment_exists(engine: str) -> None:
    run = registered(stack(engine))
    deployment = run.named("shop-main")
    assert deployment.spec["replicas"] == 3
    assert deployment.ignores == ("spec.replicas",)
    assert "pulumi.com/patchForce" not in (deployment.metadata.get("annotations") or {})


def test_what_argo_writes_is_left_alone_once_it_has_begun() -> None:
    settings = stack("argo")
    before = registered(settings)
    shares = {Target("shop", "stable"): "100 % in VirtualService shop/shop, rule 1"}
    routes = ObservedRoutes(shares=shares, routed=frozenset({"shop"}))
    after = registered(settings, replace(FACTS, routes=routes))
    ignored = [
        {kind: run.of_type(f":{kind}")[0].ignores for kind in ("VirtualService", "DestinationRule")}
        for run in (before, after)
    ]
    assert ignored == [
        {"VirtualService": (), "DestinationRule": ()},
        {"VirtualService": ("spec.http",), "DestinationRule": ("spec.subsets",)},
    ]


def test_flagger_gets_a_canary_and_neither_a_virtual_service_nor_a_destination_rule_is_ours() -> None:
    run = registered(stack("flagger"))
    assert run.of_type(":VirtualService") == run.of_type(":DestinationRule") == []
    service = begun(run, "Canary")["spec"]["service"]
    assert service["gateways"] == ["shop-gateway"]
    assert service["hosts"] == ["shop.example.com"]
    assert [one.metadata["name"] for one in run.of_type(":Gateway")] == ["shop-gateway"]
    assert run.named("shop-service").ignores == ("spec.selector", "spec.ports")


@pytest.mark.parametrize(
    ("engine", "versions", "by_host"),
    [("argo", ("stable", "canary"), False), ("flagger", ("shop-primary", "shop-canary"), True)],
)
def test_the_gate_service_is_told_where_weights_and_counters_are(
    engine: str, versions: tuple[str, str], by_host: bool
) -> None:
    (config,) = (one for one in registered(stack(engine)).of_type(":ConfigMap") if one.name == "shop-rollout-gate")
    found = EngineTarget.from_json(config.inputs["data"]["target"])
    assert (found.stable, found.canary, found.by_host) == (*versions, by_host)
    assert found.counters.source == "envoy"
    assert found.counters.hosts == (versions if by_host else ())
    assert config.metadata["labels"] == {"istio-canary/gate": "shop"}


def test_both_virtual_services_are_told() -> None:
    settings = stack("argo", service={"hosts": ["*"], "gateways": ["shop-gateway", "mesh"]})
    assert target_of(settings, "shop").virtual_services == ("shop", "shop-mesh")


def test_copies_of_requests_make_a_split_that_is_not_judged() -> None:
    versions = {"main": {"image": "shop:1", "port": 8080}}
    other = {"hosts": ["other.example.com"], "versions": versions}
    given = values("argo", rule={"mirrors": [{"to": "other/main", "percentage": {"value": 10}}]})
    given["services"]["other"] = other
    assert not target_of(load(given), "shop").counters.split_judged
    assert target_of(stack("argo"), "shop").counters.split_judged


def test_without_gates_the_gate_service_is_told_nothing_and_not_asked() -> None:
    given = values("argo")
    del given["rollouts"]["careful"]["gates"], given["gateService"]
    run = registered(load(given))
    assert run.of_type(":AnalysisTemplate") == []
    assert not [one for one in run.of_type(":ConfigMap") if "gate" in one.name]


@pytest.mark.parametrize("given", [{}, {"enabled": True}, {"url": "http://gate.canary:8087"}])
def test_the_gate_service_is_in_the_cluster_only_where_the_file_says_so(given: dict[str, Any]) -> None:
    settings = values("argo")
    settings["gateService"] = given
    if not given:
        del settings["rollouts"]["careful"]["gates"]
    run = registered(load(settings))
    assert bool(run.of_type(":GateService")) is (given.get("enabled") is True)


def test_the_gate_service_may_read_two_kinds_in_the_namespaces_of_its_services_and_write_nothing() -> None:
    run = registered(stack("argo"))
    (role,) = run.of_type(":Role")
    assert role.metadata["namespace"] == "shop"
    assert {(*rule["resources"], *rule["verbs"]) for rule in role.inputs["rules"]} == {
        ("configmaps", "list"),
        ("virtualservices", "get"),
    }
    (pod,) = (one.spec["template"]["spec"] for one in run.of_type(":Deployment") if one.name == "gate-service-server")
    (container,) = pod["containers"]
    assert container["args"] == [
        *("gate", "serve", "--namespace", "shop"),
        *("--prometheus", "http://prometheus.istio-system:9090"),
        *("--listen", "0.0.0.0:8087"),
    ]


@pytest.mark.parametrize(
    ("gate", "asks"),
    [
        ({"enabled": True}, {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "istio-canary-gate"}}}),
        (
            {"enabled": True, "namespace": "gate"},
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "gate"}}},
        ),
    ],
)
def test_the_gate_service_may_query_prometheus(gate: dict[str, Any], asks: dict[str, Any]) -> None:
    run = registered(load({**values("argo"), "gateService": gate}))
    (policy,) = (one for one in run.of_type(":NetworkPolicy") if one.metadata["name"] == "prometheus")
    assert asks in policy.spec["ingress"][0]["from"]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_rollout_of_another_engine_has_no_weights_recorded_that_alerts_would_compare(engine: str) -> None:
    run = registered(stack(engine))
    rules = next(one.inputs["data"] for one in run.of_type(":ConfigMap") if "canary-weights.yml" in one.inputs["data"])
    assert "istio_canary:weight" not in rules["canary-weights.yml"]


def test_the_proxies_keep_the_statistics_of_flaggers_services() -> None:
    run = registered(stack("flagger"))
    annotation = run.named("shop-main").spec["template"]["metadata"]["annotations"]["proxy.istio.io/config"]
    patterns = json.loads(annotation)["proxyStatsMatcher"]["inclusionRegexps"]
    assert any("shop-primary" in one and "shop-canary" in one for one in patterns)


def test_no_record_is_asked_for_and_none_refuses_an_up() -> None:
    states = read_rollout_states(ApiServer().client, stack("argo"), [])
    assert states == {}
