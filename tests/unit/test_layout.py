"""The rules that hold for every component, and the direction of imports."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import re
from functools import cache
from pathlib import Path
from types import ModuleType

import pulumi
import pytest

import components
from components.base import Component
from components.clusters.cluster import Cluster

ROOT = Path(__file__).parents[2]

TOKENS = {
    f"istio-canary:index:{name}"
    for name in (
        "AksCluster",
        "CanaryRouting",
        "Egress",
        "EksCluster",
        "EngineRollout",
        "ExistingCluster",
        "GateService",
        "GatewayPolicies",
        "GkeCluster",
        "Grafana",
        "GrafanaProvisioning",
        "IstioMesh",
        "Jaeger",
        "Kind",
        "MeshTelemetry",
        "Minikube",
        "Kiali",
        "Namespace",
        "Prometheus",
        "ReferencedCluster",
        "RevisionTags",
        "RolloutFence",
        "RolloutRunner",
        "SecurityPolicies",
        "SharedGateways",
        "VersionedService",
    )
}
FORMER_TOKENS = {
    "istio-canary:canary_routing:CanaryRouting",
    "istio-canary:egress:Egress",
    "istio-canary:istio_mesh:IstioMesh",
    "istio-canary:namespace:Namespace",
    "istio-canary:security_policies:SecurityPolicies",
    "istio-canary:shared_gateways:SharedGateways",
    "istio-canary:versioned_service:VersionedService",
}
"""Tokens of a time when they were derived from the file's name: stacks have them in their state."""


OPTIONAL = {"pulumi_aws", "pulumi_azure_native", "pulumi_command", "pulumi_gcp"}
"""SDKs of clusters, which are extras: without one, the components that need it cannot be imported."""


def _imported(name: str) -> list[ModuleType]:
    try:
        return [importlib.import_module(name)]
    except ModuleNotFoundError as error:
        if error.name not in OPTIONAL:
            raise
        return []


def _components() -> list[type[Component]]:
    names = [module.name for module in pkgutil.walk_packages(components.__path__, f"{components.__name__}.")]
    modules = [module for name in names for module in _imported(name)]
    found = {
        value
        for module in modules
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, Component) and value not in (Component, Cluster)
    }
    return sorted(found, key=lambda component: component.__name__)


def _sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@cache
def _imports(path: Path) -> set[str]:
    """The modules that a file imports, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return names


def _importers(paths: list[Path], forbidden: str) -> list[str]:
    return [
        str(path.relative_to(ROOT))
        for path in paths
        if any(name == forbidden or name.startswith(f"{forbidden}.") for name in _imports(path))
    ]


def test_the_type_tokens_are_the_ones_that_stacks_have_in_their_state() -> None:
    texts = [path.read_text(encoding="utf-8") for path in _sources("components")]
    tokens = set(re.findall(r'"(istio-canary:\w+:\w+)"', "".join(texts)))

    assert tokens == TOKENS | FORMER_TOKENS, "a changed token needs an alias, or everything below it is replaced"


@pytest.mark.parametrize("component", _components(), ids=lambda component: component.__name__)
def test_a_component_is_made_from_a_name_frozen_arguments_and_options(component: type[Component]) -> None:
    parameters = inspect.signature(component.__init__).parameters
    assert list(parameters) == ["self", "name", "args", "opts"]
    assert parameters["opts"].default is None

    args = getattr(importlib.import_module(component.__module__), f"{component.__name__}Args")
    assert dataclasses.is_dataclass(args)
    frozen = getattr(args, "__dataclass_params__")  # noqa: B009 - typeshed does not know it
    assert frozen.frozen, "what a component was given must not change afterwards"
    assert all(field.kw_only for field in dataclasses.fields(args)), "arguments are given by name"


@pytest.mark.parametrize("component", _components(), ids=lambda component: component.__name__)
def test_a_components_outputs_are_annotated(component: type[Component]) -> None:
    assert inspect.get_annotations(component), f"{component.__name__} must annotate its outputs"
    assert issubclass(component, pulumi.ComponentResource)


@pytest.mark.parametrize("path", _sources("components"), ids=lambda path: path.name)
def test_no_component_reads_configuration_or_the_environment(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    for reader in ("pulumi.Config", "runtime.config", "os.environ", "getenv"):
        assert reader not in source, f"{path.name} reads {reader}: hand the value over as an argument"


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("traffic", "pulumi"),
        ("traffic", "pulumi_kubernetes"),
        ("traffic", "kubernetes"),
        ("traffic", "lightkube"),
        ("traffic", "components"),
        ("traffic", "stacks"),
        ("traffic", "canary"),
        ("traffic", "rollout"),
        ("traffic", "kube"),
        ("traffic", "metrics"),
        ("kube", "pulumi"),
        ("kube", "traffic"),
        ("kube", "rollout"),
        ("kube", "stacks"),
        ("rollout", "pulumi"),
        ("rollout", "components"),
        ("rollout", "stacks"),
        ("rollout", "canary"),
        ("metrics", "rollout"),
        ("metrics", "pulumi"),
        ("metrics", "kube"),
        ("metrics", "components"),
        ("metrics", "stacks"),
        ("metrics", "canary"),
        ("rollout/gates", "kube"),
        ("rollout/gates", "lightkube"),
        ("rollout/gates", "time"),
        ("rollout/gates", "datetime"),
        ("rollout/gates", "numpy"),
        ("rollout/gates", "scipy"),
        ("policies", "pulumi_kubernetes"),
        ("policies", "kube.client"),
        ("policies", "kube.kubeconfig"),
        ("policies", "components"),
        ("policies", "stacks"),
        ("policies", "canary"),
        ("components", "stacks"),
        ("components", "canary"),
        ("stacks", "canary"),
        ("sandbox", "stacks"),
        ("sandbox", "components"),
        ("sandbox", "canary"),
        ("components", "rollout"),
        ("sandbox", "rollout"),
        ("components", "policies"),
        ("stacks", "policies"),
        ("traffic", "policies"),
        ("sandbox/builder", "sandbox.cluster"),
    ],
)
def test_imports_point_one_way(folder: str, forbidden: str) -> None:
    assert _importers(_sources(folder), forbidden) == [], f"{folder} stands below {forbidden}"


def test_the_rules_need_no_pulumi() -> None:
    rules = [path for path in _sources("policies") if path.name not in ("pack.py", "__main__.py")]

    assert _importers(rules, "pulumi") == []
    assert _importers(rules, "pulumi_policy") == []


def test_only_the_sandbox_commands_and_tests_import_the_sandbox() -> None:
    others = [
        path
        for folder in ("traffic", "metrics", "kube", "rollout", "policies", "components", "stacks", "canary")
        for path in _sources(folder)
    ]
    importers = _importers([*others, ROOT / "__main__.py"], "sandbox")

    assert [path for path in importers if not path.startswith("canary/commands/sandbox")] == []


@pytest.mark.parametrize("folder", ["canary", "components", "metrics", "rollout", "stacks"])
def test_promql_is_written_in_one_module(folder: str) -> None:
    promql = re.compile(
        r"\b(rate|increase|histogram_quantile|label_replace)\((?!\))|\bsum by\b|istio_requests_total|envoy_cluster_"
    )
    written = {path for path in _sources(folder) if promql.search(path.read_text(encoding="utf-8"))}
    assert written <= {ROOT / "metrics" / name for name in ("queries.py", "promql.py", "statistics.py")}
