"""A kubeconfig whose text is encrypted in the stack's file: who reads it and how, and what is said of a wrong one."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pulumi
import pytest
import yaml
from pulumi.runtime.config import set_all_config

from canary.command_error import CommandError
from canary.engine import cluster_source as of_commands
from canary.exit_codes import ExitCode
from kube import kubeconfig
from kube.kubeconfig import ClusterUnreachableError
from stacks.cluster_facts import ClusterFacts
from stacks.environment import Environment
from stacks.program import runtime_secrets, settings_of_stack
from stacks.recording import record
from stacks.settings.cluster import ClusterSettings
from stacks.settings.loading import json_schema, load, load_runtime, load_stack
from stacks.settings.problems import SettingsError
from stacks.settings.stack_file import read_stack_file
from tests.unit.mocks import Deploy

KEY, PATH = "istio-canary:cluster", "istio-canary:cluster.kubeconfig"
SET = f"pulumi config set --secret --path '{PATH}'"
CIPHER = "v1:YWJjZGVmZ2hpams=:bm90IGEgcGFzc3dvcmQ="
SECRET = "very-secret"  # noqa: S105 - what is never to be seen


def text_of(user: dict[str, Any] | None = None, cluster: dict[str, Any] | None = None) -> str:
    """A kubeconfig with the contexts `here`, its current one, and `there`."""
    servers = {name: f"https://{name}.example.com" for name in ("here", "there")}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "clusters": [
                {"name": name, "cluster": {"server": server, **(cluster or {})}} for name, server in servers.items()
            ],
            "users": [{"name": "u", "user": user or {"token": SECRET}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": "u"}} for name in servers],
            "current-context": "here",
        }
    )


TEXT = text_of()


def stack_file(folder: Path, cluster: str = f"{{context: there, kubeconfig: {{secure: '{CIPHER}'}}}}") -> Path:
    path = folder / "Pulumi.test.yaml"
    path.write_text(f"config:\n  {KEY}: {cluster}\n  istio-canary:mesh: {{install: false}}\n", encoding="utf-8")
    return path


def encrypted(text: str | None = None, **more: Any) -> ClusterSettings:
    """The settings of a cluster with an encrypted kubeconfig, whose text is known, if one is given."""
    cluster = load({"cluster": {"kubeconfig": {"secure": CIPHER}, **more}}).cluster
    assert isinstance(cluster, ClusterSettings)
    assert cluster.late is not None
    if text is not None:
        cluster.late.learn(text)
    return cluster


@pytest.mark.parametrize(("context", "server"), [(None, "here"), ("here", "here"), ("there", "there")])
def test_the_context_is_chosen_in_the_text_and_by_default_its_current_one(context: str | None, server: str) -> None:
    cluster = encrypted(TEXT, **({"context": context} if context else {}))
    assert kubeconfig.choose(cluster).cluster.server == f"https://{server}.example.com"


def test_a_context_that_the_text_does_not_have_is_refused_with_those_that_it_has(tmp_path: Path) -> None:
    path = stack_file(tmp_path, f"\n    kubeconfig: {{secure: '{CIPHER}'}}\n    context: nowhere")
    cluster = load_stack(path).settings.cluster
    assert cluster.late is not None
    cluster.late.learn(TEXT)
    with pytest.raises(ClusterUnreachableError) as error:
        kubeconfig.choose(cluster)
    assert str(error.value).startswith("Pulumi.test.yaml:4: istio-canary:cluster.context: ")
    assert error.value.fix == "set istio-canary:cluster.context to one of its contexts: here, there"
    assert SECRET not in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        SECRET,
        f"{SECRET}: [",
        f"users: [{SECRET}]",
        f"[{SECRET}]",
        f"clusters: {{name: {SECRET}}}",
        f"\t{SECRET}: a",
    ],
)
def test_a_text_that_is_no_kubeconfig_is_refused_with_its_place_and_without_showing_it(
    text: str, tmp_path: Path
) -> None:
    cluster = load_stack(stack_file(tmp_path)).settings.cluster
    assert cluster.late is not None
    cluster.late.learn(text)
    with pytest.raises(ClusterUnreachableError) as error:
        kubeconfig.choose(cluster)
    assert str(error.value).startswith(f"Pulumi.test.yaml:2: {PATH}: ")
    assert SECRET not in str(error.value)
    if "users" not in text:
        assert "not a valid kubeconfig" in error.value.reason
        assert SET in error.value.fix


@pytest.mark.parametrize(
    ("user", "cluster", "keys"),
    [
        ({"client-certificate": "a.crt", "client-key": "a.key"}, {}, "client-certificate, client-key"),
        ({"tokenFile": "token"}, {}, "tokenFile"),
        ({"token": SECRET}, {"certificate-authority": "ca.crt"}, "certificate-authority"),
    ],
)
def test_a_text_that_names_files_of_its_folder_is_refused(
    user: dict[str, Any], cluster: dict[str, Any], keys: str
) -> None:
    with pytest.raises(ClusterUnreachableError) as error:
        kubeconfig.choose(encrypted(text_of(user, cluster)))
    assert error.value.reason.startswith(f"{keys}: ")
    assert "kubectl config view --raw --flatten" in error.value.fix


@pytest.mark.parametrize(
    ("user", "cluster"),
    [
        ({"client-certificate": "/etc/a.crt", "client-key": "/etc/a.key"}, {}),
        ({"token": SECRET}, {"certificate-authority": "ca.crt", "certificate-authority-data": "Y2E="}),
    ],
    ids=["files of the machine", "what is in the text goes before a file"],
)
def test_a_text_may_name_files_by_their_full_path(user: dict[str, Any], cluster: dict[str, Any]) -> None:
    assert kubeconfig.choose(encrypted(text_of(user, cluster))).context_name == "here"


def run_config() -> dict[str, str]:
    """What Pulumi hands to the program: the key's value as JSON, decrypted."""
    return {KEY: json.dumps({"context": "there", "kubeconfig": TEXT}), "istio-canary:mesh": '{"install": false}'}


def test_the_program_reads_the_text_from_what_pulumi_has_decrypted(deploy: Deploy, tmp_path: Path) -> None:
    stack_file(tmp_path)

    def program() -> str:
        set_all_config(run_config(), [KEY])
        settings = settings_of_stack(tmp_path)
        assert SECRET not in f"{settings!r} {settings.model_dump_json()}"
        return kubeconfig.choose(settings.cluster).cluster.server

    assert deploy(program).result == "https://there.example.com"


def test_a_run_whose_config_has_no_text_is_refused_with_the_command(deploy: Deploy, tmp_path: Path) -> None:
    stack_file(tmp_path)

    def program() -> None:
        set_all_config({**run_config(), KEY: '{"context": "there", "kubeconfig": {}}'}, [KEY])
        kubeconfig.choose(load_stack_in_program(tmp_path))

    with pytest.raises(SettingsError) as error:
        deploy(program)
    (problem,) = error.value.problems
    assert problem.path == PATH
    assert SET in problem.fix


def load_stack_in_program(folder: Path) -> Any:
    """The cluster of the settings in the file, found as the program finds it."""
    from stacks.cluster_source import find_cluster

    settings = load_stack(folder / "Pulumi.test.yaml").settings
    find_cluster(settings, "Pulumi.test.yaml")
    return settings.cluster


def test_the_kubernetes_provider_gets_the_text_as_a_secret_and_the_context_beside_it(
    deploy: Deploy, tmp_path: Path
) -> None:
    stack_file(tmp_path)

    def program() -> Any:
        set_all_config(run_config(), [KEY])
        settings = settings_of_stack(tmp_path)
        return Environment(settings, ClusterFacts(uid="7b1f"), "a/b", None, runtime_secrets()).outputs

    run = deploy(program)
    (provider,) = [one for one in run.resources if one.is_provider]
    secret = {pulumi.runtime.rpc._special_sig_key: pulumi.runtime.rpc._special_secret_sig, "value": TEXT}
    assert provider.inputs["kubeconfig"] == secret
    assert provider.inputs["context"] == "there"
    assert run.result.keys() == {"cluster", "gateway", "services"}, "the kubeconfig is no output of the stack"
    (component,) = [one for one in run.resources if one.type == "istio-canary:index:ExistingCluster"]
    assert component.outputs == {"endpoint": "", "kubeconfig": secret}
    everything = json.dumps([[one.inputs, one.outputs] for one in run.resources]).replace(json.dumps(secret), "")
    assert SECRET not in everything


def test_a_stack_that_moves_from_a_file_to_a_text_keeps_the_names_of_everything() -> None:
    of_file = record(load({"cluster": {"kubeconfig": "/etc/kubeconfig"}, "mesh": {"install": False}}), "prod")
    of_text = record(load({"cluster": {"kubeconfig": {"secure": CIPHER}}, "mesh": {"install": False}}), "prod")
    assert [(one.urn, one.provider) for one in of_file] == [(one.urn, one.provider) for one in of_text]


def test_what_is_recorded_offline_has_a_mask_and_never_the_context_of_this_machine() -> None:
    (_, provider) = record(load({"cluster": {"kubeconfig": {"secure": CIPHER}}, "mesh": {"install": False}}), "prod")
    assert provider.inputs["kubeconfig"] == "[secret]"


def test_the_decrypted_config_of_a_run_gives_the_settings_of_the_file(tmp_path: Path) -> None:
    file = stack_file(tmp_path)
    found = load_runtime(run_config(), read_stack_file(file), secrets={KEY})
    assert found == load_stack(file).settings
    assert SECRET not in f"{found!r}"


def engine(code: int, stdout: str = "", stderr: str = "") -> tuple[type, list[str]]:
    """An engine whose CLI answers so, and the paths that it was asked for."""
    asked: list[str] = []

    class Engine:
        def __init__(self, *given: Any) -> None: ...

        def config_value(self, path: str) -> subprocess.CompletedProcess[str]:
            asked.append(path)
            return subprocess.CompletedProcess([], code, stdout, stderr)

    return Engine, asked


@pytest.fixture
def of_command(monkeypatch: pytest.MonkeyPatch) -> Callable[[type], ClusterSettings]:
    """The cluster as a command finds it by an engine."""

    def find(by: type) -> ClusterSettings:
        monkeypatch.setattr("canary.engine.driver.Engine", by)
        monkeypatch.setattr("canary.engine.toolchain.find_toolchain", lambda project: None)
        cluster = encrypted(context="there")
        project: Any = SimpleNamespace(root=Path())
        of_commands.find_cluster(project, "prod", cluster)
        return cluster

    return find


def test_a_command_asks_pulumi_for_the_text_once_and_only_when_it_needs_the_cluster(
    of_command: Callable[[type], ClusterSettings],
) -> None:
    by, asked = engine(0, f"{TEXT}\n")
    cluster = of_command(by)
    assert asked == []
    for _ in range(2):
        assert kubeconfig.choose(cluster).cluster.server == "https://there.example.com"
    assert asked == [PATH]


@pytest.mark.parametrize(
    ("said", "what", "fix"),
    [
        (
            "error: passphrase must be set with PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE environment "
            "variables",
            "need a passphrase, but none is set",
            "set PULUMI_CONFIG_PASSPHRASE, or PULUMI_CONFIG_PASSPHRASE_FILE",
        ),
        ("error: incorrect passphrase", "the passphrase does not decrypt", "set PULUMI_CONFIG_PASSPHRASE or"),
        ("error: no stack named 'prod' found", "the backend has no stack prod", "pulumi stack init prod"),
        (
            "error: could not decrypt configuration value: : cipher: message authentication failed",
            f"{PATH} of stack prod, an encrypted kubeconfig, cannot be decrypted",
            f"encrypt it again: {SET} < FILE",
        ),
    ],
    ids=["no passphrase", "another passphrase", "a new backend", "what another stack has encrypted"],
)
def test_a_command_that_cannot_decrypt_the_text_says_what_to_do(
    of_command: Callable[[type], ClusterSettings], said: str, what: str, fix: str
) -> None:
    by, _ = engine(255, stderr=f"{said}\n")
    with pytest.raises(CommandError) as error:
        kubeconfig.choose(of_command(by))
    assert error.value.code is ExitCode.CONFIG
    assert what in error.value.message
    assert fix in error.value.fix


IN_PLAIN: list[tuple[str, dict[str, Any]]] = [
    ("the text", {"cluster": {"kubeconfig": TEXT}}),
    ("one line of it", {"cluster": {"kubeconfig": f"apiVersion: {SECRET}"}}),
    ("JSON", {"cluster": {"kubeconfig": json.dumps({"users": SECRET})}}),
    ("its keys as keys", {"cluster": {"kubeconfig": {"apiVersion": "v1", "users": [SECRET]}}}),
    ("any keys", {"cluster": {"kubeconfig": {"content": SECRET}}}),
    ("a list", {"cluster": {"kubeconfig": [SECRET]}}),
    ("a key beside the encrypted text", {"cluster": {"kubeconfig": {"secure": CIPHER, "token": SECRET}}}),
    ("base64", {"cluster": {"kubeconfig": SECRET.replace("-", "") * 30}}),
    ("its keys in the cluster", {"cluster": {"users": [{"name": "u", "user": {"token": SECRET}}]}}),
    ("the text as the cluster", {"cluster": TEXT}),
    ("a misspelt key", {"cluster": {"kubeConfig": f"apiVersion: {SECRET}"}}),
    ("a key of another kind", {"cluster": {"kind": "sandbox", "kubeconfig": TEXT}}),
    ("without --path", {"cluster.kubeconfig": TEXT}),
    ("a key of its own", {"kubeconfig": TEXT}),
]


@pytest.mark.parametrize("given", [one[1] for one in IN_PLAIN], ids=[one[0] for one in IN_PLAIN])
def test_a_text_in_plain_is_refused_with_the_command_and_without_showing_it(given: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as error:
        load(given)
    problem = error.value.problems[-1]
    assert "the text of a kubeconfig, not encrypted" in problem.what
    assert f"{SET} < FILE" in problem.fix
    assert SECRET not in str(error.value)
    assert SECRET.replace("-", "") not in str(error.value)


def test_what_is_under_secure_and_not_encrypted_is_refused_without_showing_it() -> None:
    with pytest.raises(SettingsError) as error:
        load({"cluster": {"kubeconfig": {"secure": TEXT}}})
    assert "not what Pulumi writes" in str(error.value)
    assert SECRET not in str(error.value)


def test_a_text_of_an_environment_of_pulumi_esc_is_refused_without_showing_it(tmp_path: Path) -> None:
    file = read_stack_file(stack_file(tmp_path, "{context: there}"))
    with pytest.raises(SettingsError) as error:
        load_runtime(run_config(), file, secrets={KEY})
    (problem,) = error.value.problems
    assert problem.path == KEY
    assert f"{SET} < FILE" in problem.fix
    assert SECRET not in str(error.value)


def test_a_path_and_a_text_together_are_refused(tmp_path: Path) -> None:
    path = stack_file(tmp_path, f"\n    kubeconfig: /etc/kubeconfig\n    kubeconfig: {{secure: '{CIPHER}'}}")
    with pytest.raises(SettingsError) as error:
        load_stack(path)
    (problem,) = error.value.problems
    assert (problem.path, problem.line, problem.fix) == (PATH, 4, "remove one of the two")
    assert "given twice, first in line 3" in problem.what


def test_an_encrypted_text_without_path_is_refused_with_the_command() -> None:
    with pytest.raises(SettingsError) as error:
        load({"cluster.kubeconfig": {"secure": CIPHER}})
    (problem,) = error.value.problems
    assert "without --path" in problem.what
    assert SET in problem.fix


def test_only_the_text_of_a_cluster_can_be_encrypted() -> None:
    for cluster in ({"context": {"secure": CIPHER}}, {"secure": CIPHER}):
        with pytest.raises(SettingsError) as error:
            load({"cluster": cluster})
        (problem,) = error.value.problems
        assert "only the text of its kubeconfig can be encrypted" in problem.what
        assert f"{SET} < FILE" in problem.fix


@pytest.mark.parametrize(
    ("value", "valid"),
    [({"secure": CIPHER}, True), ("~/.kube/config", True), ({"secure": "a text"}, False), (3, False)],
)
def test_the_schema_for_editors_has_a_path_or_an_encrypted_text(value: Any, valid: bool) -> None:
    validator = jsonschema.Draft202012Validator(json_schema())
    assert validator.is_valid({"config": {KEY: {"kubeconfig": value}}}) is valid
