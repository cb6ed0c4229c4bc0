"""Credential plugins that work, and those that fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from lightkube import Client

from kube.client import query, require
from kube.credential_plugin import GROUP
from kube.kubeconfig import ClusterUnreachableError
from tests.unit.kube.clusters import Access, api_server, kubeconfig

Plugin = Callable[..., Access]
NAMESPACE = json.dumps({"kind": "Namespace", "metadata": {"name": "kube-system"}})


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plugin:
    """Write a kubeconfig whose plugin is a shell script."""
    monkeypatch.setenv("NO_PROXY", "*")

    def write(script: str, version: str = "v1", server: str = "http://127.0.0.1:1") -> Access:
        command = tmp_path / "log-in"
        command.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        command.chmod(0o755)
        user = {"exec": {"apiVersion": f"{GROUP}/{version}", "command": str(command), "args": ["--secret=s3cret"]}}
        return kubeconfig(tmp_path / "kubeconfig", user, server)

    return write


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha1"])
def test_a_plugin_is_told_its_version_and_its_token_is_used(version: str, plugin: Plugin) -> None:
    tokens: list[str] = []
    named = """version=$(echo "$KUBERNETES_EXEC_INFO" | grep -o 'k8s.io/[a-z0-9]*')"""
    script = named + """\necho "{\\"status\\": {\\"token\\": \\"for-$version\\"}}\""""
    with api_server(200, NAMESPACE, tokens) as server:
        require(plugin(script, version, server))

    assert tokens == [f"Bearer for-k8s.io/{version}"]


@pytest.mark.parametrize(
    ("script", "version", "reason", "fix"),
    [
        ("echo please log in", "v1", "did not print an ExecCredential in JSON", "log in again"),
        ("true", "v1beta1", "did not print an ExecCredential in JSON", "log in again"),
        ("echo '{}'", "v1", "printed no status.token", "log in again"),
        ("echo '[]'", "v1", "printed no status.token", "log in again"),
        ("""echo '{"status": null}'""", "v1", "printed no status.token", "log in again"),
        ("""echo '{"status": {"clientCertificateData": "x"}}'""", "v1", "printed no status.token", "log in again"),
        ("echo session expired >&2; exit 3", "v1", "returned 3: session expired", "log in again"),
        ("true", "v2", f"has the apiVersion {GROUP}/v2, which is not supported", f"{GROUP}/v1, {GROUP}/v1beta1"),
    ],
)
def test_a_failed_plugin_is_named_with_what_was_wrong_and_the_fix(
    script: str, version: str, reason: str, fix: str, plugin: Plugin
) -> None:
    with pytest.raises(ClusterUnreachableError) as error:
        require(plugin(script, version))

    assert "context here" in error.value.cluster
    assert "log-in`" in error.value.reason, "the command is named"
    assert reason in error.value.reason
    assert fix in error.value.fix
    assert "s3cret" not in str(error.value), "arguments may be secret"


def test_a_plugin_that_cannot_be_run_is_to_be_installed(tmp_path: Path) -> None:
    user = {"exec": {"apiVersion": f"{GROUP}/v1", "command": "no-such-plugin"}}
    with pytest.raises(ClusterUnreachableError, match="no-such-plugin` cannot be run: No such file") as error:
        require(kubeconfig(tmp_path / "kubeconfig", user))

    assert "install it" in error.value.fix


def test_a_plugin_that_waits_for_a_login_is_named_at_the_deadline(
    plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kube.client.DEADLINE", 0.2)
    with pytest.raises(ClusterUnreachableError, match=r"no answer within 0\.2 s") as error:
        require(plugin("sleep 10"))

    assert "log-in` waits for a login" in error.value.reason
    assert error.value.fix.startswith("log in first")
    assert "start the cluster" in error.value.fix, "it may be the cluster all the same"


def test_an_error_of_the_caller_is_not_taken_for_one_of_the_plugin(plugin: Plugin) -> None:
    def ask(client: Client) -> None:
        raise KeyError("token")

    with pytest.raises(KeyError):
        query(plugin("true"), ask)
