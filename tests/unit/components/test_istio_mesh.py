"""The mesh: Istio's charts, pinned, in order, with the user's values merged in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi
import pytest

from components.istio_mesh import GatewayArgs, IstioMesh, IstioMeshArgs, RevisionArgs, merged
from tests.unit.mocks import Deploy, Run, in_cluster
from traffic.model import gateway_selector

OFFICIAL = "https://blob.istio.io/istio-release/charts"
RELEASE = "kubernetes:helm.sh/v3:Release"


def _mesh(
    *, gateway: dict[str, Any] | None = None, charts: str = OFFICIAL, hub: str | None = None, **changes: Any
) -> Callable[[], pulumi.Output[Any]]:
    given: dict[str, Any] = {
        "revisions": {"default": RevisionArgs(version="1.31.0", charts=charts, hub=hub)},
        "namespace": "istio-system",
        "mtls": "STRICT",
        "gateway": GatewayArgs(
            **{
                "name": "istio-ingressgateway",
                "namespace": "istio-ingress",
                "service_type": "NodePort",
                "ports": [80],
                **(gateway or {}),
            }
        ),
        **changes,
    }

    def program() -> pulumi.Output[Any]:
        mesh = IstioMesh("mesh", IstioMeshArgs(**given), in_cluster())
        return pulumi.Output.all(mesh.gateway_service, mesh.gateway_namespace)

    return program


def _releases(run: Run) -> dict[str, dict[str, Any]]:
    return {r.name: r.inputs for r in run.of_type(RELEASE)}


def test_the_charts_are_base_istiod_and_gateway_all_of_the_pinned_version(deploy: Deploy) -> None:
    releases = _releases(deploy(_mesh()))

    assert {name: r["chart"] for name, r in releases.items()} == {
        "mesh-base": "base",
        "mesh-istiod": "istiod",
        "mesh-gateway": "gateway",
    }
    for name, release in releases.items():
        assert release["version"] == "1.31.0", f"{name} would use the latest version"
        assert release["repositoryOpts"] == {"repo": OFFICIAL}
        assert release["timeout"] == 300


@pytest.mark.parametrize(
    ("charts", "chart"),
    [
        ("/var/lib/charts", "/var/lib/charts/base"),
        ("./charts/", "./charts/base"),
        ("oci://registry.example.com/istio", "oci://registry.example.com/istio/base"),
    ],
)
def test_charts_come_from_a_folder_or_an_oci_registry_without_a_repository(
    deploy: Deploy, charts: str, chart: str
) -> None:
    base = _releases(deploy(_mesh(charts=charts)))["mesh-base"]

    assert base["chart"] == chart
    assert "repositoryOpts" not in base, "Helm does not look up a path in a repository"
    assert base["version"] == "1.31.0"


def test_each_part_depends_on_what_it_needs(deploy: Deploy) -> None:
    run = deploy(_mesh())

    istiod = run.named("mesh-istiod")
    assert run.named("mesh-base").urn in istiod.depends_on, "istiod needs the CRDs"
    for name in ("mesh-gateway", "mesh-peer-authentication"):
        assert istiod.urn in run.named(name).depends_on, f"{name} needs istiod's webhooks"


def test_the_mtls_mode_applies_to_the_whole_mesh(deploy: Deploy) -> None:
    policy = deploy(_mesh(mtls="PERMISSIVE", namespace="mesh-root")).named("mesh-peer-authentication")

    assert policy.inputs == {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": {"name": "default", "namespace": "mesh-root"},
        "spec": {"mtls": {"mode": "PERMISSIVE"}},
    }


def test_the_push_debounce_is_set_in_istiods_environment(deploy: Deploy) -> None:
    assert _releases(deploy(_mesh(push_debounce="10ms")))["mesh-istiod"]["values"]["env"] == {
        "PILOT_DEBOUNCE_AFTER": "10ms"
    }
    assert "env" not in _releases(deploy(_mesh()))["mesh-istiod"]["values"], "by default, it is not set"


def test_the_hub_is_set_for_istiod_which_injects_it_into_gateway_and_sidecars(deploy: Deploy) -> None:
    releases = _releases(deploy(_mesh(hub="registry.example.com/istio")))

    assert releases["mesh-istiod"]["values"]["global"] == {
        "istioNamespace": "istio-system",
        "hub": "registry.example.com/istio",
    }
    assert "hub" not in str(releases["mesh-base"]["values"]), "the chart has no images"
    assert "hub" not in str(releases["mesh-gateway"]["values"]), "istiod injects the gateway's image"
    assert "hub" not in _releases(deploy(_mesh()))["mesh-istiod"]["values"]["global"], (
        "by default, the chart's hub is used"
    )


def test_the_gateway_exposes_its_ports_and_the_node_port_is_that_of_the_first(deploy: Deploy) -> None:
    gateway = {"ports": [80, 9191], "node_ports": {80: 30080}}
    values = _releases(deploy(_mesh(gateway=gateway)))["mesh-gateway"]["values"]

    assert values["service"] == {
        "type": "NodePort",
        "ports": [
            {"name": "status-port", "port": 15021, "protocol": "TCP", "targetPort": 15021},
            {"name": "http2", "port": 80, "protocol": "TCP", "targetPort": 80, "nodePort": 30080},
            {"name": "http2-9191", "port": 9191, "protocol": "TCP", "targetPort": 9191},
        ],
    }
    assert values["labels"] == {"istio": "ingressgateway"}, "the samples' Gateways select this label"


def test_the_users_values_override_the_components(deploy: Deploy) -> None:
    run = deploy(
        _mesh(
            push_debounce="10ms",
            istiod_values={
                "env": {"PILOT_ENABLE_ALPN_FILTER": "false"},
                "meshConfig": {"accessLogFile": "/dev/stdout"},
            },
            gateway_values={"imagePullPolicy": "IfNotPresent", "service": {"type": "ClusterIP"}},
        )
    )
    releases = _releases(run)

    istiod = releases["mesh-istiod"]["values"]
    assert istiod["env"] == {"PILOT_DEBOUNCE_AFTER": "10ms", "PILOT_ENABLE_ALPN_FILTER": "false"}
    assert istiod["meshConfig"]["accessLogFile"] == "/dev/stdout"
    assert istiod["meshConfig"]["defaultConfig"] == {"holdApplicationUntilProxyStarts": True}
    gateway = releases["mesh-gateway"]["values"]
    assert gateway["imagePullPolicy"] == "IfNotPresent"
    assert gateway["service"]["type"] == "ClusterIP"
    assert gateway["service"]["ports"], "values that the user does not set are kept"


@pytest.mark.parametrize(
    ("base", "overrides", "result"),
    [
        ({"a": 1}, {}, {"a": 1}),
        ({"a": 1}, {"a": 2, "b": 3}, {"a": 2, "b": 3}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": 2}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"b": 1}}, {"a": None}, {"a": None}),
        ({"a": 0}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    ],
)
def test_mappings_are_merged_and_everything_else_is_replaced(
    base: dict[str, Any], overrides: dict[str, Any], result: dict[str, Any]
) -> None:
    assert merged(base, overrides) == result


@pytest.mark.parametrize(
    ("release", "label"), [("istio-ingressgateway", "ingressgateway"), ("edge", "edge"), ("istio-a-b", "a-b")]
)
def test_the_selector_is_the_label_set_by_the_gateway_chart(release: str, label: str) -> None:
    assert gateway_selector(release) == {"istio": label}


def test_the_outputs_name_the_gateway(deploy: Deploy) -> None:
    run = deploy(_mesh())

    assert run.result == ["istio-ingressgateway", "istio-ingress"]
    assert run.named("mesh").outputs == {
        "gateway_service": "istio-ingressgateway",
        "gateway_namespace": "istio-ingress",
    }
