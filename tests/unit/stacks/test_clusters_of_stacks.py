"""How a run and the commands find a cluster that a stack creates, and what is looked at before it is created."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pulumi
import pytest

from canary.command_error import CommandError
from canary.engine import cluster_source as of_commands
from kube import kubeconfig
from kube.kubeconfig import ClusterUnreachableError
from stacks import cloud_checks, cluster_needs
from stacks.cluster_facts import NOT_CREATED, ClusterFacts, read_cluster_facts
from stacks.cluster_needs import require_needs
from stacks.cluster_source import find_cluster
from stacks.clusters import gateway_values
from stacks.environment import Environment
from stacks.program import OtherClusterError, deployed_to, require_same_cluster
from stacks.recording import record
from stacks.settings.loading import load
from stacks.settings.model import Settings
from stacks.settings.problems import Problem, SettingsError
from tests.unit.components.clusters.stacks_with_clusters import CLUSTERS, buildable
from tests.unit.mocks import run_program

FILE = "Pulumi.prod.yaml"
TEXT = json.dumps(
    {
        "clusters": [{"name": "c", "cluster": {"server": "https://c.example.com"}}],
        "users": [{"name": "u", "user": {"token": "very-secret"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "c",
    }
)


def _settings(kind: str, **more: Any) -> Settings:
    return load({"cluster": CLUSTERS[kind], **more})


def _problem(error: pytest.ExceptionInfo[SettingsError]) -> Problem:
    (problem,) = error.value.problems
    return problem


def _outputs(monkeypatch: pytest.MonkeyPatch, answer: Callable[[str], Any]) -> list[str]:
    """Let the engine's function answer; returns the stacks that were asked for."""
    asked: list[str] = []

    def invoke(function: str, arguments: dict[str, str]) -> Any:
        assert function == "pulumi:pulumi:readStackOutputs"
        asked.append(arguments["name"])
        return SimpleNamespace(value={"outputs": answer(arguments["name"])})

    monkeypatch.setattr(pulumi.runtime, "invoke", invoke)
    return asked


def _fails(message: str) -> Callable[[str], Any]:
    def answer(stack: str) -> Any:
        raise Exception(message)

    return answer


@pytest.fixture(autouse=True)
def _stack(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("organization", "organization"), ("project", "istio-canary"), ("stack", "prod")):
        monkeypatch.setattr(pulumi, f"get_{name}", lambda value=value: value)


def test_the_kubeconfig_of_another_stack_is_read_once_and_only_when_it_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = _outputs(monkeypatch, lambda stack: {"kubeconfig": TEXT})
    settings = _settings("stackReference")
    find_cluster(settings, FILE)
    assert asked == []

    for _ in range(2):
        chosen = kubeconfig.choose(settings.cluster)
        assert chosen.cluster.server == "https://c.example.com"
    assert asked == ["organization/istio-canary/prod-cluster"]


def test_the_kubeconfig_of_the_stacks_own_cluster_is_its_output(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _outputs(monkeypatch, lambda stack: {"kubeconfig": TEXT})
    settings = _settings("kind")
    find_cluster(settings, FILE)
    assert kubeconfig.choose(settings.cluster).cluster.server == "https://c.example.com"
    assert asked == ["organization/istio-canary/prod"]


def test_nothing_prints_a_kubeconfig(monkeypatch: pytest.MonkeyPatch) -> None:
    _outputs(monkeypatch, lambda stack: {"kubeconfig": TEXT})
    settings = _settings("stackReference")
    find_cluster(settings, FILE)
    assert settings.cluster.late is not None
    assert settings.cluster.late.text() == TEXT
    printed = f"{settings!r} {settings.model_dump_json()} {settings.cluster.late!r} {settings.cluster.late}"
    assert "very-secret" not in printed


def test_a_kubeconfig_that_is_none_is_refused_without_showing_it() -> None:
    settings = _settings("stackReference")
    assert settings.cluster.late is not None
    settings.cluster.late.learn("very-secret: [")
    with pytest.raises(ClusterUnreachableError, match="not a valid kubeconfig") as error:
        kubeconfig.choose(settings.cluster)
    assert "very-secret" not in str(error.value)


@pytest.mark.parametrize(
    ("answer", "what", "fix"),
    [
        (_fails('unknown stack "x"'), "there is no stack organization/istio-canary/prod-cluster", "canary up --stack"),
        (_fails("incorrect passphrase"), "cannot be read: incorrect passphrase", "passphrase"),
        (lambda stack: {"gateway": {}}, "has no output `kubeconfig`", "canary up --stack prod-cluster"),
    ],
    ids=["no such stack", "another passphrase", "no such output"],
)
def test_a_cluster_of_another_stack_that_is_not_there_is_refused(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[[str], Any], what: str, fix: str
) -> None:
    _outputs(monkeypatch, answer)
    settings = _settings("stackReference")
    find_cluster(settings, FILE)
    with pytest.raises(SettingsError) as error:
        read_cluster_facts(settings, "istio-canary/prod")
    problem = _problem(error)
    assert (problem.file, problem.path) == (FILE, "istio-canary:cluster.stackReference")
    assert what in problem.what
    assert fix in problem.fix


def test_a_cluster_still_to_create_has_no_facts_and_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    _outputs(monkeypatch, lambda stack: {})
    settings = _settings("kind")
    find_cluster(settings, FILE)
    assert read_cluster_facts(settings, "istio-canary/prod") == NOT_CREATED
    with pytest.raises(ClusterUnreachableError, match="does not exist yet"):
        kubeconfig.choose(settings.cluster)


def test_a_stack_of_another_cluster_does_not_move_to_one_still_to_create() -> None:
    token = deployed_to.set("7b1f")
    try:
        with pytest.raises(OtherClusterError, match="given:   one still to create"):
            require_same_cluster(NOT_CREATED, _settings("kind"))
    finally:
        deployed_to.reset(token)


@pytest.mark.parametrize("kind", buildable("kind", "minikube", "gke", "eks", "aks"))
@pytest.mark.parametrize("preview", [True, False])
def test_a_run_that_creates_the_cluster_knows_its_kubeconfig_then(kind: str, preview: bool) -> None:
    settings = _settings(kind, mesh={"install": False})
    run_program(lambda: Environment(settings, NOT_CREATED, "istio-canary/prod").outputs, preview=preview)
    assert settings.cluster.late is not None
    assert (settings.cluster.late.text() is None) == preview, "hooks of the same run ask the new cluster"


@pytest.mark.parametrize("kind", ["existing", "sandbox", *buildable("kind", "gke", "eks", "aks")])
def test_only_a_created_clusters_kubeconfig_is_an_output_of_the_stack(kind: str) -> None:
    settings = _settings(kind, mesh={"install": False})
    run = run_program(lambda: Environment(settings, ClusterFacts(uid="7b1f"), "a/b").outputs, preview=False)
    expected = {"cluster"} if kind in ("existing", "sandbox") else {"kubeconfig", "endpoint"}
    assert run.result.keys() == {"gateway", "services", *expected}


def test_what_is_recorded_offline_needs_no_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stacks.clusters.importlib.util.find_spec", lambda name: None)
    (provider,) = record(_settings("gke", mesh={"install": False}), "prod")
    assert provider.inputs["kubeconfig"] == "[secret]", "never the current context of this machine"


@pytest.mark.parametrize(("kind", "extra"), [("gke", "gcp"), ("eks", "aws"), ("aks", "azure"), ("kind", "local")])
def test_a_run_without_the_sdk_of_its_kind_is_refused(monkeypatch: pytest.MonkeyPatch, kind: str, extra: str) -> None:
    monkeypatch.setattr("stacks.clusters.importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingsError) as error:
        require_needs(_settings(kind), FILE)
    problem = _problem(error)
    assert (problem.path, problem.given) == ("istio-canary:cluster.kind", kind)
    assert f"'.[{extra}]'" in problem.fix


@pytest.mark.parametrize(
    ("kind", "program"),
    [
        ("minikube", "minikube"),
        ("kind", "kind"),
        ("gke", "gke-gcloud-auth-plugin"),
        ("eks", "aws"),
        ("aks", "kubelogin"),
    ],
)
def test_a_run_without_the_program_of_its_kind_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, program: str
) -> None:
    monkeypatch.setattr(cluster_needs, "needs_sdk", lambda cluster: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SettingsError) as error:
        require_needs(_settings(kind), FILE)
    problem = error.value.problems[0]
    assert f"the program {program}" in problem.what
    assert problem.given == kind
    assert "install" in problem.fix


def test_a_cluster_that_exists_needs_no_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cluster_needs, "needs_sdk", lambda cluster: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    settings = _settings("kind")
    assert settings.cluster.late is not None
    settings.cluster.late.learn(TEXT)
    require_needs(settings, FILE)


@pytest.mark.parametrize(("kind", "program"), [("kind", "docker"), ("minikube", "minikube")])
def test_a_release_that_is_not_offered_is_refused_by_what_the_program_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, program: str
) -> None:
    for name in ("kind", program):
        (tmp_path / name).write_text("#!/bin/sh\necho no such release >&2\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(cluster_needs, "needs_sdk", lambda cluster: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SettingsError) as error:
        require_needs(_settings(kind), FILE)
    problem = _problem(error)
    assert problem.path == "istio-canary:cluster.kubernetesVersion"
    assert "no such release" in problem.what
    assert problem.given.startswith('"1.34')


def _refused(monkeypatch: pytest.MonkeyPatch, kind: str, versions: Callable[[Any], Any]) -> list[Problem]:
    monkeypatch.setattr(cloud_checks, "_gke_versions", versions)
    monkeypatch.setattr(cloud_checks, "_eks_versions", versions)
    monkeypatch.setattr(cloud_checks, "_azure_identity", lambda: versions(None))
    cluster: Any = load({"cluster": {**CLUSTERS[kind], "version": "1.34"}}).cluster
    return list(cloud_checks.refused(cluster, FILE))


@pytest.mark.parametrize(("kind", "log_in"), [("gke", "gcloud auth"), ("eks", "aws sso login"), ("aks", "az login")])
def test_a_run_without_credentials_is_refused(monkeypatch: pytest.MonkeyPatch, kind: str, log_in: str) -> None:
    (problem,) = _refused(monkeypatch, kind, _fails("could not find default credentials"))
    assert "has not accepted the credentials" in problem.what
    assert (problem.file, problem.given) == (FILE, kind)
    assert log_in in problem.fix


@pytest.mark.parametrize(("kind", "key"), [("gke", "location"), ("eks", "region")])
def test_a_region_that_the_cloud_does_not_have_is_refused(monkeypatch: pytest.MonkeyPatch, kind: str, key: str) -> None:
    (problem,) = _refused(monkeypatch, kind, _fails("Location is not valid: region unknown"))
    assert problem.path == f"istio-canary:cluster.{key}"


@pytest.mark.parametrize("kind", ["gke", "eks"])
def test_a_version_that_the_cloud_does_not_offer_is_refused_with_those_that_it_does(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    (problem,) = _refused(monkeypatch, kind, lambda cluster: ["1.36.1", "1.35.2"])
    assert (problem.path, problem.given) == ("istio-canary:cluster.version", '"1.34"')
    assert "1.36.1, 1.35.2" in problem.allowed
    assert problem.fix == 'write version: "1.36"'


@pytest.mark.parametrize("offered", [["1.34"], ["1.34.1-gke.100", "1.33"]])
def test_a_version_that_is_offered_is_taken(monkeypatch: pytest.MonkeyPatch, offered: list[str]) -> None:
    assert _refused(monkeypatch, "gke", lambda cluster: offered) == []


def test_whoever_may_not_ask_for_versions_may_create_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _refused(monkeypatch, "eks", _fails("AccessDeniedException: not authorized")) == []


def _asked(code: int, stdout: str = "", stderr: str = "") -> Any:
    class Engine:
        def __init__(self, *given: Any) -> None: ...

        def output(self, name: str, of: str | None) -> subprocess.CompletedProcess[str]:
            return subprocess.CompletedProcess([], code, stdout, stderr)

    return Engine


@pytest.mark.parametrize(
    ("kind", "engine", "expected"),
    [
        ("kind", _asked(0, TEXT + "\n"), TEXT),
        ("kind", _asked(255, stderr="error: current stack does not have output property 'kubeconfig'"), None),
        ("kind", _asked(255, stderr="error: incorrect passphrase"), "passphrase"),
        ("stackReference", _asked(0, TEXT), TEXT),
        ("stackReference", _asked(255, stderr="no stack named 'x' found"), "there is no stack"),
        ("stackReference", _asked(255, stderr="does not have output property"), "has no output `kubeconfig`"),
    ],
)
def test_commands_read_the_kubeconfig_by_pulumi(
    monkeypatch: pytest.MonkeyPatch, kind: str, engine: Any, expected: str | None
) -> None:
    monkeypatch.setattr("canary.engine.driver.Engine", engine)
    monkeypatch.setattr("canary.engine.toolchain.find_toolchain", lambda project: None)
    settings = _settings(kind)
    project: Any = SimpleNamespace(root=Path())
    of_commands.find_cluster(project, "prod", settings.cluster)
    late = settings.cluster.late
    assert late is not None
    if expected in (TEXT, None):
        assert late.text() == expected
        return
    with pytest.raises(CommandError) as error:
        late.text()
    assert re.search(str(expected), str(error.value))


@pytest.mark.parametrize("kind", ["gke", "eks", "aks"])
def test_the_gateways_load_balancer_has_the_annotations_of_its_cloud(kind: str) -> None:
    mine = {"service": {"annotations": {"mine": "a"}}}
    settings = _settings(kind, mesh={"values": {"gateway": mine}})
    annotations = gateway_values(settings)["service"]["annotations"]
    assert annotations["mine"] == "a"
    assert len(annotations) > 1


def test_a_gateway_in_the_sandbox_has_no_annotations_of_a_cloud() -> None:
    assert gateway_values(_settings("sandbox")) == {}
