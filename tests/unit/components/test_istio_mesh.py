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


TWO = {"1-31": RevisionArgs(version="1.31.4", charts=OFFICIAL), "1-32": RevisionArgs(version="1.32.0", charts=OFFICIAL)}


def test_each_revision_is_an_istiod_of_its_own_and_the_crds_are_those_of_the_newest(deploy: Deploy) -> None:
    run = deploy(_mesh(revisions=TWO, revision="1-31", gateway={"revision": "1-31"}))
    releases = _releases(run)

    assert {name: (r["name"], r["version"], r["values"].get("revision")) for name, r in releases.items()} == {
        "mesh-base": ("istio-canary-base", "1.32.0", None),
        "mesh-istiod-1-31": ("istiod-1-31", "1.31.4", "1-31"),
        "mesh-istiod-1-32": ("istiod-1-32", "1.32.0", "1-32"),
        "mesh-gateway": ("istio-ingressgateway", "1.31.4", "1-31"),
    }
    assert releases["mesh-base"]["values"]["defaultRevision"] == "1-31", "it checks Istio's objects of the cluster"
    base = run.named("mesh-base").urn
    for name in ("mesh-istiod-1-31", "mesh-istiod-1-32"):
        assert base in run.named(name).depends_on, "CRDs come first"
    assert {run.named(f"mesh-istiod-{one}").urn for one in TWO} <= set(run.named("mesh-gateway").depends_on)


def test_a_new_revision_changes_neither_the_other_istiod_nor_the_gateway(deploy: Deploy) -> None:
    before = _releases(deploy(_mesh(revisions={"1-31": TWO["1-31"]}, revision="1-31", gateway={"revision": "1-31"})))
    after = _releases(deploy(_mesh(revisions=TWO, revision="1-31", gateway={"revision": "1-31"})))

    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {"mesh-base", "mesh-istiod-1-32"}


def test_the_gateway_moves_to_a_revision_by_its_label_and_its_pods_are_replaced(deploy: Deploy) -> None:
    def gateway(revision: str) -> dict[str, Any]:
        tags = {"stable": "1-31"}
        run = deploy(_mesh(revisions=TWO, revision="1-31", tags=tags, gateway={"revision": revision}))
        return _releases(run)["mesh-gateway"]

    old, new, tagged = gateway("1-31"), gateway("1-32"), gateway("stable")
    assert [one["values"]["revision"] for one in (old, new, tagged)] == ["1-31", "1-32", "stable"]
    assert [one["version"] for one in (old, new, tagged)] == ["1.31.4", "1.32.0", "1.31.4"]
    pods = [one["values"]["podAnnotations"]["istio-canary/revision"] for one in (old, new, tagged)]
    assert pods == ["1-31", "1-32", "1-31"], "a tag that moves replaces them too"


def test_crds_of_a_newer_release_are_kept(deploy: Deploy) -> None:
    assert deploy(_mesh()).named("mesh-base").ignores == ()
    kept = deploy(_mesh(keeps_crds=True))
    assert set(kept.named("mesh-base").ignores) == {"chart", "version", "repositoryOpts"}
    assert kept.named("mesh-istiod").ignores == (), "istiod may be of an older release"


def test_a_revisions_values_go_before_those_of_all(deploy: Deploy) -> None:
    revisions = {
        "default": TWO["1-31"],
        "1-32": RevisionArgs(
            version="1.32.0", charts="/charts", hub="mirror.example.com", values={"pilot": {"cpu": 2}}
        ),
    }
    releases = _releases(deploy(_mesh(revisions=revisions, istiod_values={"pilot": {"cpu": 1, "memory": 1}})))

    assert releases["mesh-istiod"]["values"]["pilot"] == {"cpu": 1, "memory": 1}
    new = releases["mesh-istiod-1-32"]
    assert new["values"]["pilot"] == {"cpu": 2, "memory": 1}
    assert new["values"]["global"]["hub"] == "mirror.example.com"
    assert new["chart"] == "/charts/istiod"
    assert "revision" not in releases["mesh-istiod"]["values"], "Istio's default has no name"


def test_a_tag_is_the_webhooks_of_its_revision_and_moves_in_one_write(deploy: Deploy) -> None:
    def webhooks(revision: str, tag: str = "stable") -> dict[str, Any]:
        run = deploy(_mesh(revisions=TWO, revision="1-31", tags={tag: revision}, gateway={"revision": tag}))
        found = run.named(f"mesh-tags-{tag}")
        parent = run.named("mesh-tags")
        assert run.named(f"mesh-istiod-{revision}").urn in parent.depends_on, "its istiod is ready before"
        return found.inputs

    old, new = webhooks("1-31"), webhooks("1-32")
    assert old["metadata"]["name"] == new["metadata"]["name"] == "istio-revision-tag-stable"
    assert new["metadata"]["labels"]["istio.io/rev"] == "1-32", "by this istiod finds it, to write its certificate"
    assert {one["clientConfig"]["service"]["name"] for one in new["webhooks"]} == {"istiod-1-32"}
    assert [one["name"] for one in new["webhooks"]] == [
        "rev.namespace.sidecar-injector.istio.io",
        "rev.object.sidecar-injector.istio.io",
    ]
    assert new["webhooks"][0]["namespaceSelector"]["matchExpressions"][0] == {
        "key": "istio.io/rev",
        "operator": "In",
        "values": ["stable"],
    }
    assert all("caBundle" not in one["clientConfig"] for one in new["webhooks"]), "istiod writes it"
    default = [one["name"].partition(".sidecar")[0] for one in webhooks("1-31", "default")["webhooks"]]
    assert default == ["rev.namespace", "rev.object", "namespace", "object"]
