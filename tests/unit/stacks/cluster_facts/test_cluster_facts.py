"""The facts about the cluster: whose namespaces, whether another mesh, which CRDs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from components.names import BASE_RELEASE, OWNER_ANNOTATION
from kube.objects import FEW_NAMESPACES
from stacks.cluster_facts import ClusterFacts, read_cluster_facts
from stacks.settings.problems import SettingsError
from tests.unit.stacks.cluster_facts.clusters import NAMESPACES, OWNER, Kubeconfig, Objects, namespace, settings_of

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NO_ISTIOD: Objects = {
    "/apis/apps/v1/namespaces/istio-system/deployments?labelSelector=app%3Distiod": {"items": []},
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations?labelSelector=app%3Dsidecar-injector": {
        "items": []
    },
}
CRD = f"{CRDS}/peerauthentications.security.istio.io"


def test_the_facts_are_the_uid_of_kube_system_and_the_namespaces_of_other_owners(
    website: dict[str, Any], kubeconfig: Kubeconfig, api_server: Callable[[Objects], str]
) -> None:
    server = api_server(
        namespace("kube-system")
        | namespace("istio-system", **{OWNER_ANNOTATION: OWNER})
        | namespace("istio-ingress", **{OWNER_ANNOTATION: "istio-canary/other"})
        | namespace("website-istio-ns")
    )

    assert read_cluster_facts(settings_of(website, kubeconfig(server)), OWNER) == ClusterFacts(
        uid="uid-of-kube-system", foreign_namespaces=frozenset({"istio-ingress", "website-istio-ns"})
    ), "a namespace of another stack is as foreign as one without an owner"


def test_missing_namespaces_are_not_foreign(
    website: dict[str, Any], kubeconfig: Kubeconfig, api_server: Callable[[Objects], str]
) -> None:
    facts = read_cluster_facts(settings_of(website, kubeconfig(api_server(namespace("kube-system")))), OWNER)

    assert facts.foreign_namespaces == frozenset()


def test_removing_a_version_that_still_gets_requests_is_refused(
    website: dict[str, Any], kubeconfig: Kubeconfig, api_server: Callable[[Objects], str]
) -> None:
    metadata = {"name": "website", "namespace": "website-istio-ns"}
    host = "website.website-istio-ns.svc.cluster.local"
    routes = [
        {"destination": {"host": host, "subset": f"version-{number}"}, "weight": weight}
        for number, weight in ((1, 90), (3, 10))
    ]
    subsets = [{"name": f"version-{number}"} for number in (1, 2, 3)]
    istio = "/apis/networking.istio.io/v1/namespaces/website-istio-ns"
    objects: Objects = {
        f"{istio}/virtualservices": {"items": [{"metadata": metadata, "spec": {"http": [{"route": routes}]}}]},
        f"{istio}/destinationrules": {"items": [{"metadata": metadata, "spec": {"host": host, "subsets": subsets}}]},
    }
    settings = settings_of(website, kubeconfig(api_server(namespace("kube-system") | objects)))

    with pytest.raises(SettingsError, match="version-3 is removed while the cluster still routes requests to it"):
        read_cluster_facts(settings, OWNER)


def test_many_namespaces_are_read_with_few_requests(
    website: dict[str, Any], kubeconfig: Kubeconfig, api_server: Callable[[Objects], str]
) -> None:
    names = [f"shop-{number}" for number in range(FEW_NAMESPACES)]
    service = website["services"]["website"]
    website["services"] |= {
        name: {**service, "namespace": name, "hosts": [f"{name}.example.com"], "gatewayPort": 80} for name in names
    }
    there = [found for name in names[:3] for found in namespace(name).values()]
    objects = {**namespace("kube-system"), NAMESPACES: {"items": there}}

    facts = read_cluster_facts(settings_of(website, kubeconfig(api_server(objects))), OWNER)

    assert facts.foreign_namespaces == frozenset(names[:3]), "they are listed, not read one by one"


@pytest.mark.parametrize(
    ("install", "release", "refused"),
    [(True, "istio-base", True), (True, BASE_RELEASE, False), (True, None, True), (False, "istio-base", False)],
)
def test_a_second_mesh_is_refused_before_anything_is_created(
    website: dict[str, Any],
    kubeconfig: Kubeconfig,
    api_server: Callable[[Objects], str],
    install: bool,
    release: str | None,
    refused: bool,
) -> None:
    annotations = {"meta.helm.sh/release-name": release} if release else {}
    crd: Objects = {CRD: {"metadata": {"name": "peerauthentications", "annotations": annotations}, "spec": {}}}
    settings = settings_of(website, kubeconfig(api_server(namespace("kube-system") | crd | NO_ISTIOD)), install=install)

    if not refused:
        assert read_cluster_facts(settings, OWNER).uid == "uid-of-kube-system"
        return
    with pytest.raises(SettingsError, match=r"mesh\.install.* the cluster already has Istio's CRDs") as error:
        read_cluster_facts(settings, OWNER)
    assert "Pulumi.dev.yaml" in str(error.value)
    assert "set istio-canary:mesh.install to false" in str(error.value)


def _crds(bundles: dict[str, str | None], channel: str = "standard") -> Objects:
    """CRDs of the Gateway API by the first part of their names, each with its bundle version."""
    group = "gateway.networking.k8s.io"
    return {
        f"{CRDS}/{name}.{group}": {
            "metadata": {
                "name": f"{name}.{group}",
                "annotations": bundle and {f"{group}/bundle-version": bundle, f"{group}/channel": channel},
            },
        }
        for name, bundle in bundles.items()
    }


@pytest.mark.parametrize(
    ("bundles", "ignored"),
    [
        ({}, []),
        ({"tlsroutes": "v1.5.0", "tcproutes": "v1.6.0", "grpcroutes": "v1.1.0", "backendtlspolicies": "v1.4.0"}, []),
        ({"tlsroutes": "v1.5.0-rc.1", "tcproutes": "v1.10.0"}, []),
        ({"httproutes": "v0.8.0", "gateways": None}, []),
        ({"tlsroutes": "v1.4.1", "tcproutes": "v1.6.1"}, ["tlsroutes"]),
        (
            {"tlsroutes": "v1.0.0", "tcproutes": "v1.5.1", "grpcroutes": "v1.0.0", "backendtlspolicies": "v1.3.0"},
            ["grpcroutes", "backendtlspolicies", "tlsroutes", "tcproutes"],
        ),
        ({"tcproutes": None, "tlsroutes": "main"}, ["tlsroutes", "tcproutes"]),
    ],
)
def test_crds_of_the_gateway_api_that_istio_ignores_are_warned_about(
    website: dict[str, Any],
    kubeconfig: Kubeconfig,
    api_server: Callable[[Objects], str],
    bundles: dict[str, str | None],
    ignored: list[str],
) -> None:
    server = api_server(namespace("kube-system") | _crds(bundles))

    warnings = read_cluster_facts(settings_of(website, kubeconfig(server), version="1.31.4"), OWNER).warnings

    named = [str(warning).partition("the CRD ")[2].partition(".")[0] for warning in warnings]
    assert named == ignored


def test_the_warning_names_crd_bundle_minimum_and_fix(
    website: dict[str, Any], kubeconfig: Kubeconfig, api_server: Callable[[Objects], str]
) -> None:
    server = api_server(namespace("kube-system") | _crds({"tlsroutes": "v1.4.1"}, channel="experimental"))

    (warning,) = read_cluster_facts(settings_of(website, kubeconfig(server), version="1.31.4"), OWNER).warnings

    for words in (
        "Pulumi.dev.yaml: istio-canary:mesh.version: Istio 1.31.4 ignores",
        "the CRD tlsroutes.gateway.networking.k8s.io",
        "bundle v1.4.1",
        "allowed: bundle v1.5.0 or newer",
        "kubectl apply --server-side --filename "
        "https://github.com/kubernetes-sigs/gateway-api/releases/download/v1.5.0/experimental-install.yaml",
    ):
        assert words in str(warning), f"{words!r} is missing in:\n{warning}"


@pytest.mark.parametrize(
    ("mesh", "warned"),
    [
        ({"version": "1.31.4"}, 1),
        ({"version": "1.32.0"}, 1),
        ({"version": "1.30.5"}, 0),
        ({"install": False}, 0),
    ],
)
def test_the_crds_are_read_only_if_the_minimums_are_known(
    website: dict[str, Any],
    kubeconfig: Kubeconfig,
    api_server: Callable[[Objects], str],
    requests: list[str],
    mesh: dict[str, Any],
    warned: int,
) -> None:
    server = api_server(namespace("kube-system") | _crds({"tlsroutes": "v1.4.1"}))

    assert len(read_cluster_facts(settings_of(website, kubeconfig(server), **mesh), OWNER).warnings) == warned
    assert any("tlsroutes" in path for path in requests) is bool(warned), "no unnecessary request"
