"""The resources that are registered for a stack's settings."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from stacks.cluster_facts import ClusterFacts
from stacks.environment import Environment
from stacks.mesh_of_stack import described
from stacks.settings.loading import load
from tests.unit.mocks import Deploy, Run

OWNER = "istio-canary/test"
FACTS = ClusterFacts(uid="7b1f")
RESTRICTED = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "runAsGroup": 65532,
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
LOOSEST = {
    "runAsNonRoot": False,
    "runAsUser": 0,
    "runAsGroup": 0,
    "allowPrivilegeEscalation": True,
    "readOnlyRootFilesystem": False,
    "capabilities": {"drop": []},
    "seccompProfile": {"type": "Unconfined"},
}


def _environment(values: dict[str, Any], facts: ClusterFacts = FACTS) -> Callable[[], dict[str, Any]]:
    settings = load(values)
    return lambda: Environment(settings, facts, OWNER).outputs


def _changed(before: Run, after: Run) -> list[str]:
    old, new = before.inputs(), after.inputs()
    return sorted(urn.rpartition("::")[2] for urn in old.keys() | new.keys() if old.get(urn) != new.get(urn))


def _objects(run: Run) -> set[tuple[str, str, str]]:
    """Kind, namespace and name of every object."""
    return {
        (r.inputs["kind"], r.metadata.get("namespace", ""), r.metadata["name"])
        for r in run.custom()
        if "kind" in r.inputs
    }


def test_the_objects_of_a_stack_with_the_website(deploy: Deploy, website: dict[str, Any]) -> None:
    run = deploy(_environment(website))

    assert _objects(run) == {
        ("Namespace", "", "istio-system"),
        ("Namespace", "", "istio-ingress"),
        ("Namespace", "", "website-istio-ns"),
        ("PeerAuthentication", "istio-system", "default"),
        ("ServiceAccount", "website-istio-ns", "website"),
        ("Service", "website-istio-ns", "website"),
        ("Deployment", "website-istio-ns", "web-v1"),
        ("Deployment", "website-istio-ns", "web-v2"),
        ("Gateway", "website-istio-ns", "website-gateway"),
        ("VirtualService", "website-istio-ns", "website"),
        ("DestinationRule", "website-istio-ns", "website"),
    }
    assert [r.inputs["name"] for r in run.of_type(":Release")] == [
        "istio-canary-base",
        "istiod",
        "istio-ingressgateway",
    ]
    namespace = run.named("website-istio-ns-namespace")
    assert namespace.metadata["labels"] == {"istio-injection": "enabled"}
    replicas = {d.metadata["name"]: d.spec["replicas"] for d in run.of_type(":Deployment")}
    assert replicas == {"web-v1": 4, "web-v2": 1}


def test_every_object_has_a_component_as_its_parent_and_the_clusters_provider(
    deploy: Deploy, website: dict[str, Any]
) -> None:
    run = deploy(_environment(website))

    components = {r.urn for r in run.resources if r.type.startswith("istio-canary:")}
    provider = run.named("cluster", "pulumi:providers:kubernetes")
    for resource in run.custom():
        assert resource.parent in components, f"{resource.name} is not a child of a component"
        assert resource.provider.startswith(provider.urn), (
            f"{resource.name} would be created in kubectl's current context"
        )


def test_the_provider_is_for_the_settings_cluster_identified_by_its_uid(
    deploy: Deploy, website: dict[str, Any]
) -> None:
    website["cluster"] = {"kubeconfig": "/etc/cluster/kubeconfig", "context": "staging"}
    run = deploy(_environment(website))

    assert run.named("cluster").inputs == {
        "kubeconfig": "/etc/cluster/kubeconfig",
        "context": "staging",
        "clusterIdentifier": "7b1f",
        "enableConfigMapMutable": "true",
        "enableSecretMutable": "true",
    }


def test_all_outputs_of_all_components_are_registered(deploy: Deploy, website: dict[str, Any]) -> None:
    run = deploy(_environment(website))

    silent = [r.name for r in run.resources if r.type.startswith("istio-canary:") and r.outputs is None]
    assert silent == [], "Pulumi shows a component that registers no outputs as unfinished"


def test_a_change_of_weights_changes_exactly_one_resource(deploy: Deploy, website: dict[str, Any]) -> None:
    changed = copy.deepcopy(website)
    changed["services"]["website"]["route"][1]["to"] = {"version-1": 50, "version-2": 50}

    before, after = deploy(_environment(website)), deploy(_environment(changed))
    assert _changed(before, after) == ["website-routing-virtual-service"]


@pytest.mark.parametrize(
    ("change", "changed_resources"),
    [
        pytest.param({"replicas": 2}, ["website-version-1"], id="replicas"),
        pytest.param({"image": "hashicorp/http-echo:1.0.1"}, ["website-version-1"], id="image"),
        pytest.param(
            {"configFiles": {"/config": {"a.txt": "new"}}}, ["website-version-1", "website-version-1/config"], id="file"
        ),
    ],
)
def test_a_change_of_one_version_changes_only_that_version(
    deploy: Deploy, website: dict[str, Any], change: dict[str, Any], changed_resources: list[str]
) -> None:
    website["services"]["website"]["versions"]["version-1"]["configFiles"] = {"/config": {"a.txt": "old"}}
    changed = copy.deepcopy(website)
    changed["services"]["website"]["versions"]["version-1"] |= change

    assert _changed(deploy(_environment(website)), deploy(_environment(changed))) == changed_resources


def test_nothing_that_needs_the_mesh_is_created_before_istiod_is_ready(deploy: Deploy, website: dict[str, Any]) -> None:
    run = deploy(_environment(website))

    istiod = run.named("mesh-istiod").urn
    for name in ("website", "website-routing"):
        assert istiod in run.named(name, None if name != "website" else SERVICE).depends_on, f"{name} needs istiod"
    routing = run.named("website-routing")
    deployments = {d.urn for d in run.of_type(":Deployment")}
    assert deployments <= set(routing.depends_on), "requests would be routed to pods that are not ready"


def test_an_existing_namespace_is_adopted_not_created(deploy: Deploy, website: dict[str, Any]) -> None:
    facts = ClusterFacts(uid="7b1f", foreign_namespaces=frozenset({"website-istio-ns", "istio-system"}))
    run = deploy(_environment(website, facts))

    created = {r.metadata["name"] for r in run.of_type("core/v1:Namespace")}
    patched = {r.metadata["name"] for r in run.of_type("core/v1:NamespacePatch")}
    assert created == {"istio-ingress"}
    assert patched == {"website-istio-ns"}, "istio-system needs no label, so it is not changed"


@pytest.mark.parametrize(
    ("mesh", "hub"),
    [
        ({}, "docker.io/istio"),
        ({"hub": "registry.example.com/istio"}, "registry.example.com/istio"),
        ({"values": {"istiod": {"global": {"hub": "registry.example.com/istio"}}}}, "registry.example.com/istio"),
    ],
)
def test_istios_images_come_from_the_hub_of_the_settings(
    deploy: Deploy, website: dict[str, Any], mesh: dict[str, Any], hub: str
) -> None:
    website["mesh"] |= mesh

    assert deploy(_environment(website)).named("mesh-istiod").inputs["values"]["global"]["hub"] == hub


def test_an_existing_mesh_is_used_and_not_changed(deploy: Deploy, website: dict[str, Any]) -> None:
    website["mesh"] = {"install": False}
    run = deploy(_environment(website))

    assert run.of_type(":Release") == []
    assert {namespace for kind, namespace, _ in _objects(run) if kind != "Namespace"} == {"website-istio-ns"}
    assert {name for kind, _, name in _objects(run) if kind == "Namespace"} == {"website-istio-ns"}
    assert run.result["gateway"] == {"service": "istio-ingressgateway", "namespace": "istio-ingress"}


def test_two_services_in_one_namespace_share_it(deploy: Deploy, website: dict[str, Any]) -> None:
    other = copy.deepcopy(website["services"]["website"])
    other["hosts"] = ["shop.example.com"]
    for version, settings in other["versions"].items():
        settings["name"] = f"shop-{version}"
    website["services"]["website"]["hosts"] = ["www.example.com"]
    website["services"]["shop"] = other
    run = deploy(_environment(website))

    assert len([r for r in run.of_type("core/v1:Namespace") if r.metadata["name"] == "website-istio-ns"]) == 1


def _security_context(run: Run, version: str) -> dict[str, Any]:
    (container,) = run.named(f"website-{version}").spec["template"]["spec"]["containers"]
    context: dict[str, Any] = container["securityContext"]
    return context


def test_the_pods_meet_the_restricted_pod_security_standard(deploy: Deploy, website: dict[str, Any]) -> None:
    run = deploy(_environment(website))

    for version in ("version-1", "version-2"):
        assert _security_context(run, version) == RESTRICTED, "the default is the strictest"


@pytest.mark.parametrize(
    ("given", "differs"),
    [
        pytest.param(
            {"runAsUser": 0, "runAsNonRoot": False, "readOnlyRootFilesystem": False},
            {"runAsUser": 0, "runAsNonRoot": False, "readOnlyRootFilesystem": False},
            id="root",
        ),
        pytest.param({"runAsGroup": 0}, {"runAsGroup": 0}, id="group of root"),
        pytest.param({"allowPrivilegeEscalation": True}, {"allowPrivilegeEscalation": True}, id="escalation"),
        pytest.param(
            {"capabilities": {"add": ["NET_BIND_SERVICE"]}},
            {"capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]}},
            id="one capability",
        ),
        pytest.param({"capabilities": {"drop": []}}, {"capabilities": None}, id="the runtime's capabilities"),
        pytest.param(
            {"seccompProfile": {"type": "Unconfined"}}, {"seccompProfile": {"type": "Unconfined"}}, id="seccomp"
        ),
    ],
)
def test_a_version_sets_only_what_differs_from_the_strictest(
    deploy: Deploy, website: dict[str, Any], given: dict[str, Any], differs: dict[str, Any]
) -> None:
    website["services"]["website"]["versions"]["version-1"]["securityContext"] = given
    run = deploy(_environment(website))

    expected = {key: value for key, value in (RESTRICTED | differs).items() if value is not None}
    assert _security_context(run, "version-1") == expected, "0 and false must be set: omitted, they mean something else"
    assert _security_context(run, "version-2") == RESTRICTED, "the other version sets nothing"


@pytest.mark.parametrize("security", [{}, LOOSEST], ids=["strictest", "loosest"])
def test_objects_hold_no_empty_or_zero_values_which_kubernetes_would_drop(
    deploy: Deploy, website: dict[str, Any], security: dict[str, Any]
) -> None:
    website["services"]["website"]["versions"]["version-1"]["securityContext"] = security
    run = deploy(_environment(website))

    for resource in run.custom():
        if "kind" in resource.inputs:
            dropped = _dropped(resource.inputs)
            assert dropped == [], f"{resource.name} would always differ from its live object: {dropped}"


def test_a_services_disruption_budget_is_that_of_its_versions_unless_they_have_their_own(
    deploy: Deploy, website: dict[str, Any]
) -> None:
    service = website["services"]["website"]
    service["podDisruptionBudget"] = {"maxUnavailable": 1}
    service["versions"]["version-1"]["podDisruptionBudget"] = {"minAvailable": "50%"}
    run = deploy(_environment(website))

    budgets = {one.metadata["name"]: one.spec for one in run.of_type(":PodDisruptionBudget")}
    assert {name: set(spec) - {"selector"} for name, spec in budgets.items()} == {
        "web-v1": {"minAvailable"},
        "web-v2": {"maxUnavailable"},
    }


def test_without_a_disruption_budget_none_is_created(deploy: Deploy, website: dict[str, Any]) -> None:
    assert deploy(_environment(website)).of_type(":PodDisruptionBudget") == []


def test_the_recreate_strategy_has_no_rolling_update(deploy: Deploy, website: dict[str, Any]) -> None:
    website["services"]["website"]["versions"]["version-1"]["strategy"] = {"type": "Recreate"}
    run = deploy(_environment(website))

    assert run.named("website-version-1").spec["strategy"] == {"type": "Recreate"}
    assert run.named("website-version-2").spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
    }


def test_the_gateway_exposes_the_ports_of_the_settings(deploy: Deploy, website: dict[str, Any]) -> None:
    website["mesh"] = {**website.get("mesh", {}), "gateway": {"ports": [80, 9191]}}
    website["services"]["website"]["gatewayPort"] = 9191
    run = deploy(_environment(website))

    ports = run.named("mesh-gateway").inputs["values"]["service"]["ports"]
    assert [port["port"] for port in ports] == [15021, 80, 9191]
    gateway = run.named("website-routing-gateway")
    assert gateway.spec["servers"][0]["port"]["number"] == 9191


def test_the_outputs_describe_the_cluster_the_gateway_and_the_services(deploy: Deploy, website: dict[str, Any]) -> None:
    assert deploy(_environment(website)).result == {
        "cluster": "7b1f",
        "gateway": {"service": "istio-ingressgateway", "namespace": "istio-ingress"},
        "mesh": described(load(website)),
        "services": {
            "website": {
                "namespace": "website-istio-ns",
                "hosts": ["*"],
                "versions": {"version-1": "web-v1", "version-2": "web-v2"},
                "weights": {"version-1": 90, "version-2": 10},
            }
        },
    }


SERVICE = "istio-canary:index:VersionedService"
POINTERS = {
    *("maxUnavailable", "maxSurge", "replicas", "automountServiceAccountToken", "allowPrivilegeEscalation"),
    *("runAsUser", "runAsGroup", "runAsNonRoot", "readOnlyRootFilesystem"),
}
"""Fields that Kubernetes keeps at zero and false, since unset means something else."""


def _dropped(value: Any, path: str = "") -> list[str]:
    """Paths of the values that the API server drops from an object."""
    if isinstance(value, dict):
        below = [_dropped(item, f"{path}.{key}") for key, item in value.items() if key not in POINTERS]
        return ([] if value else [path]) + [found for paths in below for found in paths]
    if isinstance(value, list):
        below = [_dropped(item, f"{path}[{index}]") for index, item in enumerate(value)]
        return ([] if value else [path]) + [found for paths in below for found in paths]
    return [] if value not in (0, False, "", None) else [path]
