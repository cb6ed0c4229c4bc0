"""The sandbox's provider's settings: the kubeconfig, and when a change of them replaces everything."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from sandbox.provider import kubeconfig, settings
from sandbox.provider.values import UNKNOWN


def _config(server: str = "https://one:6443", **context: Any) -> dict[str, Any]:
    return {
        "current-context": "here",
        "clusters": [{"name": "c", "cluster": {"server": server}}, {"name": "d", "cluster": {"server": "https://d"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [
            {"name": "here", "context": {"cluster": "c", "user": "u", **context}},
            {"name": "there", "context": {"cluster": "d", "user": "u"}},
        ],
    }


def _text(**kw: Any) -> str:
    return json.dumps(_config(**kw))


def test_a_kubeconfig_is_taken_as_text_and_as_a_path(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(_text())
    for given in (_text(), str(path)):
        connection = kubeconfig.load(given, None, None, None)
        assert (connection.context, connection.server, connection.namespace) == ("here", "https://one:6443", "default")


def test_paths_in_a_kubeconfig_file_start_at_its_folder(tmp_path: Path) -> None:
    document = _config()
    document["clusters"][0]["cluster"]["certificate-authority"] = "ca.crt"
    (tmp_path / "ca.crt").write_bytes(b"pem")
    (tmp_path / "kubeconfig").write_text(json.dumps(document))
    assert kubeconfig.load(str(tmp_path / "kubeconfig"), None, None, None).ca == b"pem"


def test_certificates_are_taken_from_the_text_too() -> None:
    document = _config()
    document["users"][0]["user"] = {"client-certificate-data": base64.b64encode(b"crt").decode()}
    assert kubeconfig.load(json.dumps(document), None, None, None).client_certificate == b"crt"


def test_context_cluster_and_namespace_are_overridden() -> None:
    connection = kubeconfig.load(_text(), "there", "c", "mine")
    assert (connection.context, connection.server, connection.namespace) == ("there", "https://one:6443", "mine")
    assert connection.document["current-context"] == "there", "helm gets the same choice"


def test_the_first_file_of_kubeconfig_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text(_text(server="https://a"))
    (tmp_path / "b").write_text(_text(server="https://b"))
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/a:{tmp_path}/b:{tmp_path}/missing")
    assert kubeconfig.load(None, None, None, None).server == "https://a"


@pytest.mark.parametrize(
    ("given", "context", "message"),
    [
        ("/no/such/file", None, "/no/such/file"),
        ("a: [\n", None, "not valid YAML"),
        ("- x\n", None, "holds no configuration"),
        (_text(), "elsewhere", "no context 'elsewhere'; it has: here, there"),
        (_text(cluster="z"), None, "names a cluster that is not there: 'z'"),
        (_text(user="z"), None, "names a user that is not there: 'z'"),
        ('{"contexts": []}', None, "no current-context"),
    ],
)
def test_a_bad_kubeconfig_is_told_with_its_place(given: str, context: str | None, message: str) -> None:
    with pytest.raises(kubeconfig.KubeconfigError, match=message.replace("(", r"\(")):
        kubeconfig.load(given, context, None, None)


def test_a_bad_kubeconfig_is_a_state_and_no_error_of_configure() -> None:
    made = settings.from_variables({"kubernetes:config:kubeconfig": "/no/such/file"})
    assert "/no/such/file" in made.unreachable


def test_flags_come_from_variables_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_K8S_ENABLE_CONFIGMAP_MUTABLE", "true")
    monkeypatch.setenv("PULUMI_K8S_ENABLE_SECRET_MUTABLE", "true")
    made = settings.from_variables(
        {"kubernetes:config:kubeconfig": _text(), "kubernetes:config:enableConfigMapMutable": "false"}
    )
    assert (made.enable_config_map_mutable, made.enable_secret_mutable) == (False, True)


@pytest.mark.parametrize("name", ["renderYamlToDirectory", "enableServerSideApply"])
def test_what_the_stand_in_cannot_do_is_refused_in_check_and_in_configure(name: str) -> None:
    value = "false" if name == "enableServerSideApply" else "out"
    assert settings.check("urn:pulumi:s::p::pulumi:providers:kubernetes::k", {name: value})[0][0] == name
    with pytest.raises(settings.SettingsError, match=name):
        settings.from_variables({f"kubernetes:config:{name}": value})


def test_strict_mode_wants_a_named_provider_with_kubeconfig_and_context() -> None:
    failures = settings.check("urn:pulumi:s::p::pulumi:providers:kubernetes::default_4_34_2", {"strictMode": "true"})
    assert [key for key, _ in failures] == ["", "kubeconfig", "context"]


_ONE, _OTHER = _text(), _text(server="https://other")


@pytest.mark.parametrize(
    ("olds", "news", "replaces"),
    [
        ({"kubeconfig": _ONE}, {"kubeconfig": _ONE}, ()),
        ({"kubeconfig": _ONE}, {"kubeconfig": _OTHER}, ("kubeconfig",)),
        ({"kubeconfig": _ONE}, {"kubeconfig": _ONE, "context": "there"}, ("context",)),
        ({"kubeconfig": _ONE}, {"kubeconfig": _ONE, "cluster": "d"}, ("cluster",)),
        ({"kubeconfig": _ONE}, {"kubeconfig": _text(namespace="x")}, ()),
        ({"kubeconfig": _ONE}, {"kubeconfig": UNKNOWN}, ("kubeconfig",)),
        ({"kubeconfig": "/no/such/file"}, {"kubeconfig": _ONE}, ()),
        ({"kubeconfig": _ONE, "clusterIdentifier": "x"}, {"kubeconfig": _OTHER, "clusterIdentifier": "x"}, ()),
        ({"kubeconfig": _ONE, "clusterIdentifier": "x"}, {"kubeconfig": UNKNOWN, "clusterIdentifier": "x"}, ()),
        (
            {"kubeconfig": _ONE, "clusterIdentifier": "x"},
            {"kubeconfig": _ONE, "clusterIdentifier": "y"},
            ("clusterIdentifier",),
        ),
        ({"kubeconfig": _ONE}, {"kubeconfig": _ONE, "clusterIdentifier": "y"}, ()),
        ({"kubeconfig": _ONE, "clusterIdentifier": "x"}, {"kubeconfig": _ONE}, ()),
        ({"kubeconfig": _ONE}, {"kubeconfig": _ONE, "suppressDeprecationWarnings": "true"}, ()),
    ],
)
def test_the_provider_is_replaced_only_when_the_cluster_is_another(
    olds: dict[str, Any], news: dict[str, Any], replaces: tuple[str, ...]
) -> None:
    assert settings.diff(olds, news).replaces == replaces
