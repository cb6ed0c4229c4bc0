"""What every component registers, in a preview and in an update."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from components.base import Component
from components.clusters.cluster import Cluster
from components.clusters.existing import ExistingCluster
from stacks.cluster_facts import ClusterFacts
from stacks.environment import Environment
from stacks.settings.loading import load
from tests.unit.mocks import Run, run_program
from tests.unit.test_layout import _components

ECHO = {"image": "hashicorp/http-echo:1.0.0", "port": 5678}
JWT = [{"issuer": "https://issuer.example.com", "jwksUri": "https://issuer.example.com/keys"}]
STEPS = [{"weight": 10, "for": "1m"}, {"weight": 100}]
EVERYTHING: dict[str, Any] = {
    "mesh": {"tags": {"stable": "default"}},
    "egress": {"payments": {"hosts": ["payments.example.com"]}},
    "gateways": {"public": {"servers": [{"port": 80, "hosts": ["*.example.com"]}]}},
    "namespaces": {"shop": {"denyByDefault": True, "mtls": "STRICT"}},
    "services": {
        "shop": {
            "namespace": "shop",
            "hosts": ["shop.example.com"],
            "gateways": ["public", "mesh"],
            "authorization": {"allow": [{"methods": ["GET"], "remoteIpBlocks": ["198.51.100.0/24"]}]},
            "jwt": JWT,
            "mtls": {"mode": "STRICT"},
            "versions": {"one": {**ECHO, "configFiles": {"/etc/shop": {"a.conf": "a"}}}, "two": ECHO},
            "route": [
                {"match": [{"claims": {"groups": {"exact": "beta"}}}], "to": "two"},
                {"to": {"one": 90, "two": 10}},
            ],
        },
        "page": {"namespace": "shop", "hosts": ["page.example.org"], "versions": {"one": ECHO}},
        "api": {
            "namespace": "shop",
            "hosts": ["api.example.org"],
            "ingressClassName": "istio",
            "versions": {"one": ECHO},
        },
    },
    "telemetry": {
        **{name: {"enabled": True} for name in ("prometheus", "grafana", "jaeger", "kiali", "accessLogs")},
        "tracing": {"sampling": 100},
    },
}
MOVED: dict[str, Any] = {
    "telemetry": {"metrics": "envoy", "prometheus": {"enabled": True}},
    "gateService": {"enabled": True},
    "services": {
        name: {
            "hosts": [f"{name}.example.com"],
            "versions": {"main": ECHO},
            "route": [{"to": "main", "rollout": {"engine": engine, "steps": STEPS, "gates": {}}}],
        }
        for name, engine in (("by-argo", "argo"), ("by-flagger", "flagger"))
    },
}
RUNNER = {"enabled": True, "namespace": "rollouts"}
CASES: tuple[dict[str, Any], ...] = (
    {**EVERYTHING, "rolloutRunner": RUNNER},
    MOVED,
    {
        "services": {"shop": {"hosts": ["shop.example.com"], "versions": {"one": ECHO}}},
        "rolloutRunner": {**RUNNER, "mode": "cronJob"},
    },
    {"telemetry": {"prometheus": {"enabled": True}, "grafana": {"url": "https://grafana.example.com"}}},
)
SERVER = {"ConfigMap", "Deployment", "NetworkPolicy", "Service"}
REGISTERED: dict[str, set[str]] = {
    "CanaryRouting": {"DestinationRule", "Gateway", "Ingress", "VirtualService"},
    "Egress": {"ServiceEntry"},
    "EngineRollout": {"AnalysisTemplate", "Canary", "ConfigMap", "MetricTemplate", "Rollout"},
    "ExistingCluster": set(),
    "GateService": {"Deployment", "NetworkPolicy", "Role", "RoleBinding", "Service", "ServiceAccount"},
    "GatewayPolicies": {"AuthorizationPolicy", "RequestAuthentication"},
    "Grafana": {*SERVER, "Secret", "ServiceAccount"},
    "GrafanaProvisioning": {"ConfigMap"},
    "IstioMesh": {"IngressClass", "PeerAuthentication", "Release"},
    "Jaeger": {*SERVER, "PersistentVolumeClaim"},
    "Kiali": {*SERVER, "ClusterRole", "ClusterRoleBinding", "Secret", "ServiceAccount"},
    "MeshTelemetry": {"Telemetry"},
    "Namespace": {"Namespace", "NamespacePatch"},
    "Prometheus": {*SERVER, "ClusterRole", "ClusterRoleBinding", "PersistentVolumeClaim", "ServiceAccount"},
    "RevisionTags": {"MutatingWebhookConfiguration"},
    "RolloutFence": {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"},
    "RolloutRunner": {
        *("ClusterRole", "ClusterRoleBinding", "CronJob", "Deployment", "NetworkPolicy", "Role", "RoleBinding"),
        "ServiceAccount",
    },
    "SecurityPolicies": {"AuthorizationPolicy", "PeerAuthentication", "RequestAuthentication"},
    "SharedGateways": {"Gateway"},
    "VersionedService": {"ConfigMap", "Deployment", "Service", "ServiceAccount"},
}
"""The kinds of objects of each component, together over all CASES."""


COMPONENTS = [one for one in _components() if not issubclass(one, Cluster) or one is ExistingCluster]
"""A stack has one kind of cluster; test_every_kind.py has the others."""


@cache
def registered(preview: bool) -> tuple[Run, ...]:
    """What the cases register, in a cluster that has the namespace shop already."""
    facts = ClusterFacts(uid="7b1f", foreign_namespaces=frozenset({"shop"}), has_fence=True)

    def program(values: dict[str, Any]) -> Callable[[], Any]:
        return lambda: Environment(load(values), facts, "istio-canary/test").outputs

    return tuple(run_program(program(values), preview) for values in CASES)


@pytest.fixture(params=[True, False], ids=["preview", "update"])
def runs(request: pytest.FixtureRequest) -> tuple[Run, ...]:
    return registered(request.param)


def test_the_table_has_every_component() -> None:
    assert [component.__name__ for component in COMPONENTS] == sorted(REGISTERED)


@pytest.mark.parametrize("component", REGISTERED)
def test_a_component_registers_its_kinds_of_objects_as_its_children(component: str, runs: tuple[Run, ...]) -> None:
    parents = {one.urn for run in runs for one in run.of_type(f":{component}") if one.is_component}
    children = [one for run in runs for one in run.custom() if one.parent in parents]
    assert {one.type.rpartition(":")[2] for one in children} == REGISTERED[component]


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.__name__)
def test_a_component_registers_outputs_that_are_its_attributes(
    component: type[Component], runs: tuple[Run, ...]
) -> None:
    made = [one for run in runs for one in run.of_type(f":{component.__name__}") if one.is_component]
    assert made
    for one in made:
        assert one.outputs is not None, f"Pulumi shows {one.name} as unfinished"
        assert set(one.outputs) <= set(component.__annotations__), f"{one.name} has no attribute of these names"


def test_every_object_has_a_component_as_parent_and_its_provider(runs: tuple[Run, ...]) -> None:
    for run in runs:
        components = {one.urn for one in run.resources if one.is_component}
        (provider,) = (one for one in run.resources if one.is_provider)
        for one in run.custom():
            assert one.parent in components
            assert one.provider == provider.urn


def test_a_preview_registers_the_objects_of_the_update() -> None:
    preview, update = (
        [(one.urn, one.depends_on, one.ignores) for run in registered(preview) for one in run.resources]
        for preview in (True, False)
    )
    assert preview == update
