"""Kubeconfigs that cannot be used, and servers that refuse: the reason and the fix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kube.client import require
from kube.kubeconfig import ClusterUnreachableError
from tests.unit.kube.clusters import Access, api_server, kubeconfig

SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


def refusal(cluster: Access) -> ClusterUnreachableError:
    with pytest.raises(ClusterUnreachableError) as error:
        require(cluster)
    return error.value


@pytest.mark.parametrize("method", ["stat", "read_text"], ids=["folder cannot be entered", "file cannot be read"])
def test_a_kubeconfig_without_read_permission_is_reported_as_such(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is injected: for root, every file is readable."""
    path = tmp_path / "kubeconfig"
    cluster = kubeconfig(path, {"token": "t"})
    original = getattr(Path, method)

    def denied(self: Path, *args: Any, **kwargs: Any) -> Any:
        if self == path:
            raise PermissionError(13, "Permission denied", str(path))
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Path, method, denied)
    error = refusal(cluster)

    assert str(path) in error.cluster
    assert error.reason == "the file cannot be read: Permission denied"
    assert "readable for this user" in error.fix
    assert "belongs to root" in error.fix


@pytest.mark.parametrize(
    ("content", "reason", "fix"),
    [
        (b"", "it is empty", "fetch a new kubeconfig"),
        (b"[]", "it is not a mapping", "fetch a new kubeconfig"),
        (b"\xff\xfe", "codec can't decode", "fetch a new kubeconfig"),
        (b"clusters: [{name: c}]", "an entry has no 'cluster'", "fetch a new kubeconfig"),
        (b"apiVersion: v1", "it has no contexts", "fetch a new kubeconfig"),
        (b"{clusters: null, contexts: null, users: null}", "it has no contexts", "fetch a new kubeconfig"),
        (
            b"{contexts: [{name: a, context: {cluster: c}}], current-context: a}",
            "names the cluster or user 'c', which is not in the file",
            "fetch a new kubeconfig",
        ),
        (
            b"{contexts: [{name: a, context: {cluster: c}}, {name: b, context: {cluster: c}}], current-context: a}",
            "names the cluster or user 'c', which is not in the file",
            "one of its contexts: b",
        ),
    ],
)
def test_an_unusable_kubeconfig_is_reported_with_reason_and_fix(
    content: bytes, reason: str, fix: str, tmp_path: Path
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_bytes(content)
    error = refusal(Access(str(path)))

    assert str(path) in error.cluster
    assert reason in error.reason
    assert "Error" not in error.reason, "no Python"
    assert fix in error.fix
    assert "that has one" not in error.fix


def test_a_folder_is_no_kubeconfig(tmp_path: Path) -> None:
    assert "it is a folder" in refusal(Access(str(tmp_path))).reason


def test_a_user_without_a_home_has_no_kubeconfig_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(uid: int) -> None:
        raise KeyError(uid)

    for name in ("HOME", "KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    assert "no such file" in refusal(Access(None)).reason


def test_a_pod_without_a_service_account_token_is_told_to_mount_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not Path(SERVICE_ACCOUNT).exists(), "the tests do not run in a pod"
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    error = refusal(Access(None))

    assert SERVICE_ACCOUNT in error.reason
    assert "automountServiceAccountToken" in error.fix


@pytest.mark.parametrize(
    ("user", "cluster", "words"),
    [
        ({"client-certificate": "/x"}, {}, "the user has a client-certificate, but no client-key"),
        ({"client-certificate-data": "eA=="}, {}, "the user has a client-certificate, but no client-key"),
        ({"client-certificate": "absent.crt", "client-key": "absent.key"}, {}, "absent.crt"),
        ({"client-certificate-data": "eA==", "client-key": "/no/such/tls.key"}, {}, "/no/such/tls.key"),
        ({"token": "t"}, {"certificate-authority": "/no/such/ca.crt"}, "/no/such/ca.crt"),
    ],
)
def test_a_missing_certificate_or_key_is_named(
    user: dict[str, Any], cluster: dict[str, Any], words: str, tmp_path: Path
) -> None:
    error = refusal(kubeconfig(tmp_path / "kubeconfig", user, cluster=cluster))

    assert words in error.reason
    assert "fetch a new kubeconfig" in error.fix


@pytest.mark.parametrize(
    ("code", "what"),
    [
        (401, "the cluster refused the request"),
        (403, "the cluster refused the request"),
        (500, "cannot reach the cluster"),
    ],
)
def test_a_status_of_the_server_is_reported_without_the_http_clients_advice(
    code: int, what: str, tmp_path: Path
) -> None:
    with api_server(code, "a page of a proxy") as server:
        error = refusal(kubeconfig(tmp_path / "kubeconfig", {"token": "t"}, server))

    assert str(error).startswith(f"{what} (context here")
    assert f"HTTP {code}" in error.reason
    assert "For more information" not in str(error)
    assert "mozilla" not in str(error)


@pytest.mark.parametrize(
    ("said", "right"),
    [
        (
            'nodes is forbidden: User "ci" cannot list resource "nodes" in API group "" at the cluster scope',
            "have the right to list nodes in the whole cluster granted",
        ),
        (
            'deployments.apps is forbidden: User "ci" cannot list resource "deployments" in API group "apps" in the '
            'namespace "shop"',
            "have the right to list deployments.apps in the namespace shop granted",
        ),
        ("forbidden by the proxy", "have the right granted"),
    ],
)
def test_a_missing_right_is_named_with_the_page_that_has_all_of_them(said: str, right: str, tmp_path: Path) -> None:
    with api_server(403, json.dumps({"kind": "Status", "code": 403, "message": said})) as server:
        error = refusal(kubeconfig(tmp_path / "kubeconfig", {"token": "t"}, server))

    assert error.fix.startswith(f"{right} (docs/rights.md")
