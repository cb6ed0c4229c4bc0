"""Messages of the engine, and the errors that `canary` reports instead."""

from __future__ import annotations

import pytest

from canary.command_error import CommandError
from canary.engine.driver import Operation, Outcome
from canary.engine.engine_errors import failure_of, is_race_with_a_step, stack_is_missing
from canary.engine.events import Diagnostic, Record
from canary.exit_codes import ExitCode
from kube.kubeconfig import ClusterUnreachableError
from stacks.settings.problems import Problem, SettingsError


def outcome(stderr: str = "", errors: tuple[Diagnostic, ...] = (), code: int = 255) -> Outcome:
    return Outcome(Operation.UP, Record(diagnostics=list(errors)), code, stderr, 1.0)


SECRETS = "error: getting stack configuration: get stack secrets manager:"
# stderr of pulumi 3.200, recorded; text of the error; exit code
WRITTEN = [
    (f"{SECRETS} incorrect passphrase", "passphrase does not decrypt", ExitCode.CONFIG),
    (
        f"{SECRETS} passphrase must be set with PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE "
        "environment variables",
        "need a passphrase",
        ExitCode.CONFIG,
    ),
    ("error: validating stack config: bad value", "own key does not decrypt", ExitCode.CONFIG),
    (
        "error: validating stack config: cipher: message authentication failed",
        "what another stack has encrypted cannot be copied",
        ExitCode.CONFIG,
    ),
    (
        "error: PULUMI_ACCESS_TOKEN must be set for login during non-interactive CLI sessions",
        "requires a login",
        ExitCode.CONFIG,
    ),
    (
        "error: unable to open bucket file:///nonexistent/x?no_tmp_dir=true: stat /nonexistent/x: no such file or "
        "directory",
        "file:///nonexistent/x cannot be opened",
        ExitCode.CONFIG,
    ),
    (
        'error: getting user info from https://127.0.0.1:1: performing HTTP request: Get "https://127.0.0.1:1/api/user"'
        ": dial tcp 127.0.0.1:1: connect: connection refused",
        "https://127.0.0.1:1 does not answer",
        ExitCode.UNREACHABLE,
    ),
    (
        "error: getting stack configuration: invalid YAML file: yaml: line 1: did not find expected ',' or ']'",
        "line 1: did not find expected",
        ExitCode.CONFIG,
    ),
    (
        'error: update of resource "urn:pulumi:e::a::b" failed: virtualservices.networking.istio.io "shop" not found\n'
        'unable to get cluster state: virtualservices.networking.istio.io "shop" not found',
        "virtualservices.networking.istio.io shop of stack dev does not exist in the cluster any more",
        ExitCode.FAILED,
    ),
    (
        "error: 1 error occurred: Server-Side Apply field conflict detected: Apply failed with 1 conflict: conflict "
        'with "kubectl-edit" using networking.istio.io/v1: .spec.http',
        "were changed by hand (kubectl-edit)",
        ExitCode.FAILED,
    ),
    (
        "error: 1 error occurred: Server-Side Apply field conflict detected: Apply failed with 1 conflict: conflict "
        'with "istio-canary-rollout" using networking.istio.io/v1: .spec.http',
        "canary up --during-rollout",
        ExitCode.FAILED,
    ),
    (
        "error: ValidatingAdmissionPolicy 'istio-canary-fence.istio-canary.dev' with binding "
        "'istio-canary-fence.istio-canary.dev' denied request: website: an aborted rollout has barred version-2",
        "denies the routes of stack dev: website: an aborted rollout has barred version-2",
        ExitCode.FAILED,
    ),
    ("error: some unknown failure", "some unknown failure", ExitCode.FAILED),
]


@pytest.mark.parametrize(("stderr", "message", "code"), WRITTEN)
def test_messages_of_the_engine_become_errors_with_a_fix(stderr: str, message: str, code: ExitCode) -> None:
    failure = failure_of(outcome(stderr), "dev")
    assert message in str(failure)
    assert failure.code is code
    assert failure.fix, "every error has a fix"


def test_a_missing_provider_is_named_with_the_command_that_installs_it() -> None:
    missing = Diagnostic(
        "error", "no resource plugin 'pulumi-resource-kubernetes' found in the workspace or on your $PATH"
    )
    failure = failure_of(outcome(errors=(missing,)), "dev")
    assert "pulumi-resource-kubernetes is not installed" in failure.message
    assert "pulumi plugin install" in failure.fix


def test_the_engines_closing_lines_are_left_out() -> None:
    errors = (
        Diagnostic("error", 'object "web-v1" already exists', "urn:pulumi:dev::p::t::website-version-1"),
        Diagnostic("error", "an unhandled error occurred: nice message\nsecond"),
        Diagnostic("error", "update failed"),
    )
    failure = failure_of(outcome(errors=errors), "dev")
    assert failure.details == ('website-version-1: object "web-v1" already exists',), "once, with its resource"


def test_a_crash_of_the_program_is_reported_without_its_traceback() -> None:
    crash = Diagnostic(
        "error", "python inline source runtime error: division by zero\nTraceback (most recent call last):\n"
    )
    failure = failure_of(outcome(errors=(crash,)), "dev")
    assert "division by zero" in str(failure)
    assert "Traceback" not in str(failure)


def test_invalid_settings_and_an_unreachable_cluster_have_their_own_exit_codes() -> None:
    problem = Problem(path="istio-canary:mesh.install", what="there is a mesh", given="true", allowed="", fix="")
    causes = (
        (SettingsError([problem], "Pulumi.dev.yaml"), ExitCode.CONFIG),
        (ClusterUnreachableError("context dev", "no route", "start it"), ExitCode.UNREACHABLE),
    )
    for cause, code in causes:
        error = RuntimeError("as the program raises it")
        error.__context__ = cause
        failed = outcome()
        failed.program_failure = error
        failure = failure_of(failed, "dev")
        assert failure.code is code, f"{type(cause).__name__} was found by the program, within the engine's run"
        assert str(cause) == failure.message


def test_an_error_of_what_comes_before_the_program_keeps_its_exit_code() -> None:
    failed = outcome()
    failed.program_failure = CommandError("there is no stack prod-cluster", ExitCode.CONFIG, fix="create it")
    failure = failure_of(failed, "prod")

    assert (failure.message, failure.code) == ("there is no stack prod-cluster", ExitCode.CONFIG)


def test_a_killed_engine_and_an_interrupted_one() -> None:
    assert "killed by signal 9" in str(failure_of(outcome(code=-9), "dev"))
    interrupted = outcome()
    interrupted.interrupted = True
    failure = failure_of(interrupted, "dev")
    assert failure.code is ExitCode.INTERRUPTED
    assert "canary up --stack dev" in failure.fix


def test_a_stack_that_the_backend_does_not_know() -> None:
    assert stack_is_missing("error: no stack named 'nope' found")
    assert not stack_is_missing("error: no such file")


RACE = Diagnostic(
    "error",
    'Apply failed with 1 conflict: conflict with "istio-canary-rollout" using networking.istio.io/v1: .spec.http',
)


@pytest.mark.parametrize(
    ("errors", "race"),
    [
        ((RACE, Diagnostic("error", "update failed")), True),
        ((RACE, RACE), True),
        ((RACE, Diagnostic("error", "quota exceeded")), False),
        ((Diagnostic("error", RACE.message.replace("istio-canary-rollout", "argocd-controller")),), False),
        ((), False),
    ],
    ids=["of one route", "of two routes", "not alone", "with somebody else", "no error"],
)
def test_a_run_that_failed_by_a_step_of_a_rollout_alone_is_a_race(errors: tuple[Diagnostic, ...], race: bool) -> None:
    assert is_race_with_a_step(outcome(errors=errors)) is race
