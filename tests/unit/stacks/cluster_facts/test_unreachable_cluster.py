"""The errors if the cluster cannot be reached, or is not known."""

from __future__ import annotations

import base64
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kube.client import DEADLINE
from kube.kubeconfig import REQUEST_TIMEOUT, ClusterUnreachableError
from stacks.cluster_facts import read_cluster_facts
from tests.unit.stacks.cluster_facts.clusters import NAMESPACES, OWNER, Kubeconfig, Objects, namespace, settings_of


@pytest.mark.parametrize(("code", "fix"), [(401, "log in again"), (403, "docs/rights.md"), (500, "API server's log")])
def test_an_error_of_the_api_server_is_reported_with_the_fix(
    website: dict[str, Any], kubeconfig: Kubeconfig, api_server: Callable[[Objects], str], code: int, fix: str
) -> None:
    refusal: Objects = {f"{NAMESPACES}/kube-system": {"kind": "Status", "code": code, "message": "no such luck"}}
    with pytest.raises(ClusterUnreachableError) as error:
        read_cluster_facts(settings_of(website, kubeconfig(api_server(refusal))), OWNER)

    assert f"HTTP {code}: no such luck" in str(error.value)
    assert fix in str(error.value)


@pytest.fixture
def refused() -> Iterator[str]:
    """An address where nobody listens, and nobody else can meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"https://127.0.0.1:{bound.getsockname()[1]}"


def test_a_cluster_that_is_down_is_reported_at_once(
    website: dict[str, Any], kubeconfig: Kubeconfig, refused: str
) -> None:
    path = kubeconfig(refused)
    with pytest.raises(ClusterUnreachableError) as error:
        read_cluster_facts(settings_of(website, path, context="there"), OWNER)

    for part in ("context there", str(path), refused, "refused", "canary sandbox up"):
        assert part in str(error.value), f"{part!r} is missing, which helps to find the mistake"


def test_a_server_that_never_answers_times_out(
    website: dict[str, Any], kubeconfig: Kubeconfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert REQUEST_TIMEOUT < DEADLINE <= 5, "the error must come within 5 s"
    monkeypatch.setattr("kube.kubeconfig.REQUEST_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = settings_of(website, kubeconfig(f"http://127.0.0.1:{silent.getsockname()[1]}"))
        with pytest.raises(ClusterUnreachableError, match="no answer in time"):
            read_cluster_facts(settings, OWNER)


def test_a_server_that_is_not_an_api_server_is_reported(
    website: dict[str, Any], kubeconfig: Kubeconfig, api_server: Callable[[Objects], str]
) -> None:
    page: Objects = {f"{NAMESPACES}/kube-system": {"metadata": "a page of some other server"}}
    with pytest.raises(ClusterUnreachableError, match="not a Kubernetes API server"):
        read_cluster_facts(settings_of(website, kubeconfig(api_server(page))), OWNER)


def test_all_requests_together_have_a_deadline(
    website: dict[str, Any], kubeconfig: Kubeconfig, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    """A credential plugin ignores HTTP timeouts."""
    monkeypatch.setattr("kube.client.DEADLINE", 0.2)
    plugin = {"exec": {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "sleep", "args": ["10"]}}
    with pytest.raises(ClusterUnreachableError, match=r"no answer within 0\.2 s"):
        read_cluster_facts(settings_of(website, kubeconfig(refused, user=plugin)), OWNER)


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
    website: dict[str, Any], kubeconfig: Kubeconfig, user: dict[str, Any], cluster: dict[str, Any], refused: str
) -> None:
    with pytest.raises(ClusterUnreachableError) as error:
        read_cluster_facts(settings_of(website, kubeconfig(refused, user, cluster)), OWNER)

    assert "credentials" in error.value.reason
    assert "context here" in str(error.value)


def test_an_unknown_context_is_reported_with_the_known_ones(
    website: dict[str, Any], kubeconfig: Kubeconfig, refused: str
) -> None:
    path = kubeconfig(refused)
    with pytest.raises(ClusterUnreachableError, match="no such context") as error:
        read_cluster_facts(settings_of(website, path, context="production"), OWNER)

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
        read_cluster_facts(settings_of(website, path), OWNER)

    assert str(path) in str(error.value)


def test_a_missing_kubeconfig_is_named_with_the_command_that_creates_it(
    website: dict[str, Any], tmp_path: Path, kubeconfig: Kubeconfig
) -> None:
    with pytest.raises(ClusterUnreachableError, match="no such file") as error:
        read_cluster_facts(settings_of(website, tmp_path / "absent"), OWNER)

    assert str(tmp_path / "absent") in str(error.value)
    assert "canary sandbox up" in error.value.fix


def test_without_a_setting_the_files_in_kubeconfig_are_searched_for_the_context(
    website: dict[str, Any],
    tmp_path: Path,
    kubeconfig: Kubeconfig,
    api_server: Callable[[Objects], str],
    monkeypatch: pytest.MonkeyPatch,
    refused: str,
) -> None:
    other = {"clusters": [{"name": "x", "cluster": {"server": refused}}], "users": [], "contexts": []}
    (tmp_path / "other").write_text(yaml.safe_dump(other))
    path = kubeconfig(api_server(namespace("kube-system")))
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'other'}:{tmp_path / 'absent'}:{path}")

    assert read_cluster_facts(settings_of(website), OWNER).uid == "uid-of-kube-system"
