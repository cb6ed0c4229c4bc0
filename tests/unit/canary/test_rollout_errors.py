"""The mistakes and troubles around `canary rollout`: place, what was given, what is allowed, the fix, the exit code."""

from __future__ import annotations

import json

import pytest

from canary.exit_codes import ExitCode
from kube.kubeconfig import ClusterUnreachableError
from tests.unit.canary.rollouts import NAMESPACE, STACK, World, run

VERBS = [
    ("status", "website"),
    ("pause", "website"),
    ("resume", "website"),
    ("promote", "website"),
    ("approve", "website"),
    ("abort", "website"),
    ("undo", "website"),
    ("retry", "website", "again"),
    ("report", "website"),
    ("start", "website"),
]
NAMES = [verb[0] for verb in VERBS]
CONFIG_MAP = ("configmaps", NAMESPACE, "istio-canary-rollout-website")


@pytest.mark.parametrize("verb", VERBS, ids=NAMES)
def test_before_up_every_verb_says_that_there_is_no_rollout_yet(verb: tuple[str, ...], world: World) -> None:
    error = run(*verb, "--stack", "dev", code=ExitCode.CONFIG).stderr

    assert "error: website has no rollout in the cluster" in error
    assert "fix: canary up --stack dev" in error or "run `canary up --stack dev`" in error


@pytest.mark.parametrize("verb", [*VERBS, ("plan", "website")], ids=[*NAMES, "plan"])
def test_a_service_that_is_not_in_the_file_is_told_with_those_that_are(verb: tuple[str, ...], deployed: World) -> None:
    name, _, *rest = verb
    error = run(name, "webside", *rest, "--stack", "dev", code=ExitCode.CONFIG).stderr

    assert "error: the stack has no service 'webside'\n" in error
    assert "fix: did you mean website? its services are: website" in error


@pytest.mark.parametrize("verb", [("status", "website"), ("start", "website"), ("plan", "website")], ids=lambda v: v[0])
def test_a_service_whose_rules_have_no_rollout_is_told_with_file_and_line(verb: tuple[str, ...], world: World) -> None:
    world.file.write_text(
        "config:\n  istio-canary:samples: [website]\n"
        "  istio-canary:services:\n    website:\n      route: [{to: {version-1: 90, version-2: 10}}]\n"
    )
    error = run(*verb, "--stack", "dev", code=ExitCode.CONFIG).stderr

    assert "error: no rule of website has a rollout\n" in error
    assert "  in:      Pulumi.dev.yaml:5: istio-canary:services.website.route\n" in error
    assert "fix: write `rollout: {steps: [{weight: 10, for: 10m}, {weight: 100}]}` beside `to`" in error


@pytest.mark.parametrize("verb", VERBS, ids=NAMES)
def test_a_record_that_cannot_be_read_is_left_alone(verb: tuple[str, ...], deployed: World) -> None:
    deployed.server.objects[CONFIG_MAP]["data"]["record"] = json.dumps({"schema": 2})
    writes = deployed.server.writes
    error = run(*verb, "--stack", "dev", code=ExitCode.FAILED).stderr

    assert f"the record of the rollout of website (ConfigMap {NAMESPACE}/istio-canary-rollout-website)" in error
    assert "the record cannot be read: schema: Input should be 1" in error
    assert "fix: use the version of canary that wrote it" in error
    assert deployed.server.writes == writes


@pytest.mark.parametrize("verb", VERBS, ids=NAMES)
def test_a_missing_right_is_told_with_the_right(verb: tuple[str, ...], deployed: World) -> None:
    deployed.forbid("get", "list")
    error = run(*verb, "--stack", "dev", code=ExitCode.UNREACHABLE).stderr

    assert "the cluster refused the request" in error
    assert "have the right to get " in error
    assert f"in the namespace {NAMESPACE} granted" in error


@pytest.mark.parametrize("verb", [*VERBS, ("plan", "website")], ids=[*NAMES, "plan"])
def test_a_cluster_that_does_not_answer_is_told(
    verb: tuple[str, ...], deployed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def choose(cluster: object) -> object:
        raise ClusterUnreachableError("context a", "no connection", "start the cluster")

    monkeypatch.setattr("kube.kubeconfig.choose", choose)
    error = run(*verb, "--stack", "dev", code=ExitCode.UNREACHABLE).stderr

    assert "error: cannot reach the cluster (context a)" in error
    assert "fix:     start the cluster" in error


def test_a_namespace_that_does_not_exist_is_told(world: World) -> None:
    world.server.objects.clear()
    error = run("status", "website", "--stack", "dev", code=ExitCode.CONFIG).stderr

    assert f"error: website has no rollout in the cluster: the namespace {NAMESPACE} does not exist\n" in error
    assert "fix: canary up --stack dev" in error


def test_without_a_stack_the_missing_record_is_told_with_its_name(world: World) -> None:
    error = run("status", "website", "--namespace", NAMESPACE, code=ExitCode.CONFIG).stderr

    assert f"there is no ConfigMap istio-canary-rollout-website in the namespace {NAMESPACE}" in error
    assert "fix: check --namespace and --context" in error


@pytest.mark.parametrize(
    ("arguments", "what", "fix"),
    [
        (("abort", "website", "--stack", "dev", "-n", "a"), "--stack and --namespace are both given", "keep --stack"),
        (("abort", "website", "--context", "a"), "--context is given without --namespace", "add --namespace"),
        (("abort", "Website", "-n", "a"), "SERVICE is not a name of Kubernetes", "kubectl get services"),
        (("abort", "website", "-n", "a/b"), "--namespace is not a name of Kubernetes", "kubectl get services"),
        (("status", "--watch"), "--watch is given without a service", "canary rollout status SERVICE --watch"),
        (("status", "-n", "a"), "--namespace is given without a service", "canary rollout status SERVICE --namespace"),
        (
            ("start", "website", "--detach", "--once"),
            "--detach is given with --once or --timeout",
            "leave --detach out",
        ),
        (("start", "website", "--timeout", "soon"), "--timeout is not a duration", "write 30m, for example"),
        (("pause", "website", "-s", "dev", "--for", "-5m"), "--for is not a duration", "write 30m, for example"),
        (
            ("promote", "website", "-s", "dev", "--despite-harm"),
            "--despite-harm is given without a reason",
            "--despite-h",
        ),
        (("status", "website", "--stack", "prod"), "stack 'prod' has no file Pulumi.prod.yaml", "choose one of: dev"),
    ],
)
def test_a_mistake_on_the_command_line_is_told(
    arguments: tuple[str, ...], what: str, fix: str, deployed: World
) -> None:
    writes = deployed.server.writes
    error = run(*arguments, code=ExitCode.CONFIG).stderr

    assert f"error: {what}" in error
    assert fix in error.partition("fix: ")[2]
    assert deployed.server.writes == writes


@pytest.mark.parametrize("verb", ["status", "abort", "pause"])
def test_mistakes_elsewhere_in_the_file_keep_nobody_from_a_verb(
    verb: str, deployed: World, finished: list[str]
) -> None:
    deployed.file.write_text(STACK + "  istio-canary:readyWithin: soon\n")
    result = run(verb, "website", "--stack", "dev")

    assert "website-1" in result.stdout
    assert ("Pulumi.dev.yaml has mistakes" in result.stderr) is (verb != "abort")


def test_plan_needs_a_file_without_mistakes(deployed: World) -> None:
    deployed.file.write_text(STACK + "  istio-canary:readyWithin: soon\n")
    error = run("plan", "website", "--stack", "dev", code=ExitCode.CONFIG).stderr

    assert "Pulumi.dev.yaml:10: istio-canary:readyWithin" in error


def test_an_error_is_one_json_document_with_json(world: World) -> None:
    result = run("status", "website", "--stack", "dev", "--json", code=ExitCode.CONFIG)

    assert json.loads(result.stdout)["error"]["fix"] == "canary up --stack dev"
    assert result.stderr == ""
