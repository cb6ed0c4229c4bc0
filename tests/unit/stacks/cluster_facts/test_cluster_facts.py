"""The facts about the cluster, and the errors if it cannot be reached."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.names import BASE_RELEASE, OWNER_ANNOTATION
from kube.client import DEADLINE
from kube.kubeconfig import REQUEST_TIMEOUT, ClusterUnreachableError
from kube.objects import FEW_NAMESPACES
from stacks.cluster_facts import ClusterFacts, read_cluster_facts
from stacks.settings.loading import load
from stacks.settings.model import Settings
from stacks.settings.problems import SettingsError

OWNER = "istio-canary/dev"
Kubeconfig = Callable[..., Path]
Objects = dict[str, dict[str, Any]]

NAMESPACES = "/api/v1/namespaces"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NO_ISTIOD: Objects = {
    "/apis/apps/v1/namespaces/istio-system/deployments?labelSelector=app%3Distiod": {"items": []},
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations?labelSelector=app%3Dsidecar-injector": {
        "items": []
    },
}
CRD = f"{CRDS}/peerauthentications.security.istio.io"


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kubeconfig:
    """Write a kubeconfig with the contexts `here` (current) and `there` for a server."""
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "*")

    def write(server: str, user: dict[str, Any] | None = None, cluster: dict[str, Any] | None = None) -> Path:
        path = tmp_path / "kubeconfig"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": server, **(cluster or {})}}],
            "users": [{"name": "u", "user": user or {"token": "t"}}],
            "contexts": [{"name": name, "context": {"cluster": "c", "user": "u"}} for name in ("here", "there")],
            "current-context": "here",
        }
        path.write_text(yaml.safe_dump(content))
        return path

    return write


@pytest.fixture
def requests() -> list[str]:
    """The paths requested from the API server, in order."""
    return []


@pytest.fixture
def api_server(requests: list[str]) -> Iterator[Callable[[Objects], str]]:
    """Serve objects by their path, and 404 for all others; an object with `code` is an error of that code."""
    servers: list[ThreadingHTTPServer] = []

    def serve(objects: Objects) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                requests.append(self.path)
                found = objects.get(self.path, {"kind": "Status", "code": 404, "message": f"{self.path} not found"})
                body = json.dumps(found).encode()
                self.send_response(found.get("code", 200))
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Do not log requests."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def _settings(website: dict[str, Any], path: Path | None = None, context: str | None = None, **mesh: Any) -> Settings:
    cluster = {"kubeconfig": str(path) if path else None, "context": context}
    website["cluster"] = {key: value for key, value in cluster.items() if value}
    website["mesh"] = mesh if mesh.get("install") is False else website["mesh"] | mesh
    return load(website)


def _namespace(name: str, **annotations: str) -> Objects:
    metadata = {"name": name, "uid": f"uid-of-{name}", "annotations": annotations}
    return {f"{NAMESPACES}/{name}": {"kind": "Namespace", "metadata": metadata}}


def test_the_facts_are_the_uid_of_kube_system_and_the_namespaces_of_other_owners(
    website: dict[str, Any], kubeconfig: Kubeconfig, api_server: Callable[[Objects], str]
) -> None:
    server = api_server(
        _namespace("kube-system")
        | _namespace("istio-system", **{OWNER_ANNOTATION: OWNER})
        | _namespace("istio-ingress", **{OWNER_ANNOTATION: "istio-canary/other"})
        | _namespace("website-istio-ns")
    )

    assert read_cluster_facts(_settings(website, kubeconfig(server)), OWNER) == ClusterFacts(
        uid="uid-of-kube-system", foreign_namespaces=frozenset({"istio-ingress", "website-istio-ns"})
    ), "a namespace of another stack is as foreign as one without an owner"


def test_missing_namespaces_are_not_foreign(
    website: dict[str, Any], kubeconfig: Kubeconfig, api_server: Callable[[Objects], str]
) -> None:
    facts = read_cluster_facts(_settings(website, kubeconfig(api_server(_namespace("kube-system")))), OWNER)

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
    settings = _settings(website, kubeconfig(api_server(_namespace("kube-system") | objects)))

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
    there = [found for name in names[:3] for found in _namespace(name).values()]
    objects = {**_namespace("kube-system"), NAMESPACES: {"items": there}}

    facts = read_cluster_facts(_settings(website, kubeconfig(api_server(objects))), OWNER)

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
    settings = _settings(website, kubeconfig(api_server(_namespace("kube-system") | crd | NO_ISTIOD)), install=install)

    if not refused:
        assert read_cluster_facts(settings, OWNER).uid == "uid-of-kube-system"
        return
    with pytest.raises(SettingsError, match=r"mesh\.install.* the cluster already has Istio's CRDs") as error:
        read_cluster_facts(settings, OWNER)
    assert "Pulumi.dev.yaml" in str(error.value)
    assert "set istio-canary:mesh.install to false" in str(error.value)


@pytest.mark.parametrize(("code", "fix"), [(401, "log in again"), (403, "docs/rights.md"), (500, "API server's log")])
def test_an_error_of_the_api_server_is_reported_with_the_fix(
    website: dict[str, Any], kubeconfig: Kubeconfig, api_server: Callable[[Objects], str], code: int, fix: str
) -> None:
    refusal: Objects = {f"{NAMESPACES}/kube-system": {"kind": "Status", "code": code, "message": "no such luck"}}
    with pytest.raises(ClusterUnreachableError) as error:
        read_cluster_facts(_settings(website, kubeconfig(api_server(refusal))), OWNER)

    assert f"HTTP {code}: no such luck" in str(error.value)
    assert fix in str(error.value)


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
    server = api_server(_namespace("kube-system") | _crds(bundles))

    warnings = read_cluster_facts(_settings(website, kubeconfig(server), version="1.31.4"), OWNER).warnings

    named = [str(warning).partition("the CRD ")[2].partition(".")[0] for warning in warnings]
    assert named == ignored


def test_the_warning_names_crd_bundle_minimum_and_fix(
    website: dict[str, Any], kubeconfig: Kubeconfig, api_server: Callable[[Objects], str]
) -> None:
    server = api_server(_namespace("kube-system") | _crds({"tlsroutes": "v1.4.1"}, channel="experimental"))

    (warning,) = read_cluster_facts(_settings(website, kubeconfig(server), version="1.31.4"), OWNER).warnings

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
    server = api_server(_namespace("kube-system") | _crds({"tlsroutes": "v1.4.1"}))

    assert len(read_cluster_facts(_settings(website, kubeconfig(server), **mesh), OWNER).warnings) == warned
    assert any("tlsroutes" in path for path in requests) is bool(warned), "no unnecessary request"


def _refused_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"https://127.0.0.1:{probe.getsockname()[1]}"


def test_a_cluster_that_is_down_is_reported_at_once(website: dict[str, Any], kubeconfig: Kubeconfig) -> None:
    server = _refused_port()
    path = kubeconfig(server)
    with pytest.raises(ClusterUnreachableError) as error:
        read_cluster_facts(_settings(website, path, context="there"), OWNER)

    for part in ("context there", str(path), server, "refused", "canary sandbox up"):
        assert part in str(error.value), f"{part!r} is missing, which helps to find the mistake"


def test_a_server_that_never_answers_times_out(
    website: dict[str, Any], kubeconfig: Kubeconfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert REQUEST_TIMEOUT < DEADLINE <= 5, "the error must come within 5 s"
    monkeypatch.setattr("kube.kubeconfig.REQUEST_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = _settings(website, kubeconfig(f"http://127.0.0.1:{silent.getsockname()[1]}"))
        with pytest.raises(ClusterUnreachableError, match="no answer in time"):
            read_cluster_facts(settings, OWNER)


def test_a_server_that_is_not_an_api_server_is_reported(
    website: dict[str, Any], kubeconfig: Kubeconfig, api_server: Callable[[Objects], str]
) -> None:
    page: Objects = {f"{NAMESPACES}/kube-system": {"metadata": "a page of some other server"}}
    with pytest.raises(ClusterUnreachableError, match="not a Kubernetes API server"):
        read_cluster_facts(_settings(website, kubeconfig(api_server(page))), OWNER)


def test_all_requests_together_have_a_deadline(
    website: dict[str, Any], kubeconfig: Kubeconfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A credential plugin ignores HTTP timeouts."""
    monkeypatch.setattr("kube.client.DEADLINE", 0.2)
    plugin = {"exec": {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "sleep", "args": ["1"]}}
    with pytest.raises(ClusterUnreachableError, match=r"no answer within 0\.2 s"):
        read_cluster_facts(_settings(website, kubeconfig(_refused_port(), user=plugin)), OWNER)


@pytest.mark.parametrize(
    ("user", "cluster"),
    [
        pytest.param({"token": "t"}, {"certificate-authority-data": "no base64!"}, id="CA is not base64"),
        pytest.param(
            {"token": "t"},
            {"certificate-authority-data": base64.b64encode(b"no certificate").decode()},
            id="CA is not a certificate",
        ),
        pytest.param({"token": "t"}, {"certificate-authority": "/no/such/ca.crt"}, id="CA is missing"),
        pytest.param(
            {"client-certificate": "/no/such/tls.crt", "client-key": "/no/such/tls.key"}, {}, id="key is missing"
        ),
        pytest.param({"auth-provider": {"name": "gcp"}}, {}, id="legacy auth provider"),
        pytest.param(
            {"exec": {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "no-such-command"}},
            {},
            id="plugin is not installed",
        ),
    ],
)
def test_unusable_credentials_are_reported_with_the_context(
    website: dict[str, Any], kubeconfig: Kubeconfig, user: dict[str, Any], cluster: dict[str, Any]
) -> None:
    with pytest.raises(ClusterUnreachableError) as error:
        read_cluster_facts(_settings(website, kubeconfig(_refused_port(), user, cluster)), OWNER)

    assert "credentials" in error.value.reason
    assert "context here" in str(error.value)


def test_an_unknown_context_is_reported_with_the_known_ones(website: dict[str, Any], kubeconfig: Kubeconfig) -> None:
    path = kubeconfig(_refused_port())
    with pytest.raises(ClusterUnreachableError, match="no such context") as error:
        read_cluster_facts(_settings(website, path, context="production"), OWNER)

    assert "context production" in str(error.value)
    assert "here, there" in error.value.fix


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "clusters: {",
        "clusters: 3",
        "{clusters: [{name: c}], contexts: []}",
        "{clusters: [], users: [], contexts: [{name: here, context: {cluster: c, user: u}}], current-context: here}",
        "{clusters: [], users: [], contexts: []}",
        "\0",
    ],
)
def test_an_invalid_kubeconfig_is_named(
    website: dict[str, Any], tmp_path: Path, kubeconfig: Kubeconfig, text: str
) -> None:
    path = tmp_path / "broken"
    path.write_text(text)
    with pytest.raises(ClusterUnreachableError) as error:
        read_cluster_facts(_settings(website, path), OWNER)

    assert str(path) in str(error.value)


def test_a_missing_kubeconfig_is_named_with_the_command_that_creates_it(
    website: dict[str, Any], tmp_path: Path, kubeconfig: Kubeconfig
) -> None:
    with pytest.raises(ClusterUnreachableError, match="no such file") as error:
        read_cluster_facts(_settings(website, tmp_path / "absent"), OWNER)

    assert str(tmp_path / "absent") in str(error.value)
    assert "canary sandbox up" in error.value.fix


def test_without_a_setting_the_files_in_kubeconfig_are_searched_for_the_context(
    website: dict[str, Any],
    tmp_path: Path,
    kubeconfig: Kubeconfig,
    api_server: Callable[[Objects], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = {"clusters": [{"name": "x", "cluster": {"server": _refused_port()}}], "users": [], "contexts": []}
    (tmp_path / "other").write_text(yaml.safe_dump(other))
    path = kubeconfig(api_server(_namespace("kube-system")))
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'other'}:{tmp_path / 'absent'}:{path}")

    assert read_cluster_facts(_settings(website), OWNER).uid == "uid-of-kube-system"
