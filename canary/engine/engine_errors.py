"""Turns the engine's failures into errors with an exit code and a fix."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from canary.command_error import CommandError
from canary.engine.driver import Operation, Outcome
from canary.engine.events import CLUSTER_OUTPUT, Diagnostic
from canary.engine.locks import Lock, locks_in
from canary.exit_codes import ExitCode

if TYPE_CHECKING:
    from stacks.settings.model import Settings

NO_STACK = re.compile(r"no stack named '.*' found")
CLOSING = re.compile(
    r"^(an unhandled error occurred: .*|(update|preview|refresh|destroy) (failed|canceled))$", re.DOTALL
)
PYTHON_ERROR = re.compile(r"^python inline source runtime error: (.*?)\nTraceback", re.DOTALL)


@dataclass(frozen=True)
class Known:
    """A message of the engine that is replaced by a clearer one."""

    pattern: str
    message: str
    fix: str
    code: ExitCode = ExitCode.FAILED


CONFLICT_WITH_ROLLOUT = re.compile(r'conflict with "istio-canary-rollout"')
"""The API server's 409: a rollout owns the routes, and they are others than the program's (Server-Side Apply)."""

KNOWN = (
    Known(
        CONFLICT_WITH_ROLLOUT.pattern,
        "a rollout has written routes that are others than those of stack {stack}; they stay as the rollout wants them",
        "run it again: it reads how far the rollout is. If it fails again, `canary rollout status` tells why: in the "
        "middle of a rollout `canary up --during-rollout <service>` changes a route, after its end `canary up --yes` "
        "takes the routes back",
    ),
    Known(
        r"ValidatingAdmissionPolicy '(istio-canary-fence\.\S+)' with binding \S+ denied request: (.*)",
        "the admission policy {0} denies the routes of stack {stack}: {1}",
        "send no requests to that version; or, once its fault is corrected, `canary rollout retry <service> <reason>`",
    ),
    Known(
        r'conflict with "(kubectl[^"]*)" using networking\.istio\.io/\S+ \.spec\.http',
        "the routes of a VirtualService of stack {stack} were changed by hand ({0}); they stay so for now",
        "for a service in a rollout, `canary rollout resume <service>` and `canary rollout start <service>` write its "
        "routes again; else undo the change by hand, then run it again",
    ),
    Known(
        r'(\S+) "(\S+)" not found\n\s*unable to get cluster state',
        "{0} {1} of stack {stack} does not exist in the cluster any more",
        "run `canary refresh`, which drops what is not in the cluster from the state, then `canary up`, which makes it "
        "again",
    ),
    Known(
        r"incorrect passphrase",
        "the passphrase does not decrypt the secrets of stack {stack}",
        "set PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE to the one that the stack was created with",
        ExitCode.CONFIG,
    ),
    Known(
        r"passphrase must be set with",
        "the secrets of stack {stack} need a passphrase, but none is set",
        "set PULUMI_CONFIG_PASSPHRASE, or PULUMI_CONFIG_PASSPHRASE_FILE to a file that contains it",
        ExitCode.CONFIG,
    ),
    Known(
        r"validating stack config: (?:.*: )?(?:bad value|illegal base64|cipher: message authentication failed)",
        "the file of stack {stack} has an encrypted value that the stack's own key does not decrypt",
        "set each of its encrypted values again: pulumi config set --secret --path '<its path>', which asks for it; "
        "what another stack has encrypted cannot be copied",
        ExitCode.CONFIG,
    ),
    Known(
        r"PULUMI_ACCESS_TOKEN must be set",
        "Pulumi's backend requires a login",
        "run `pulumi login`, or set PULUMI_BACKEND_URL (file://<folder> keeps the state on this machine)",
        ExitCode.CONFIG,
    ),
    Known(
        r"unable to open bucket ([^?\s]+?)(?:\?\S*)?: ",
        "the backend {0} cannot be opened",
        "create the folder or bucket, or set PULUMI_BACKEND_URL to another backend",
        ExitCode.CONFIG,
    ),
    Known(
        r"getting user info from (\S+?):? ",
        "Pulumi's backend {0} does not answer",
        "check that it is reachable, or set PULUMI_BACKEND_URL to another backend",
        ExitCode.UNREACHABLE,
    ),
    Known(
        r"invalid YAML file: (.*)",
        "the stack's file is not valid YAML: {0}",
        "correct the file at that line",
        ExitCode.CONFIG,
    ),
    Known(
        r"failed to load checkpoint: (?:unexpected )?EOF",
        "the state of stack {stack} cannot be read: its file, or the .attrs file beside it, is empty or cut short",
        "an .attrs file holds no state and can be deleted; the state's last version is in the .bak file beside it",
    ),
    Known(
        r"no resource plugin '(pulumi-resource-[\w-]+)' found",
        "the provider {0} is not installed",
        "run `pulumi plugin install resource kubernetes`",
    ),
)


def locked(stack: str, lock: Lock) -> CommandError:
    """Return the error for a stack that is locked by another run."""
    return CommandError(
        f"stack {stack} is locked by {lock}",
        ExitCode.LOCKED,
        fix=f"wait for that run to end; if it has ended, release the lock: canary cancel --stack {stack}",
    )


def other_cluster(outcome: Outcome, stack: str, settings: Settings) -> CommandError:
    """Return the error for a preview of a stack that is deployed to another cluster; an `up` refuses to start."""
    from stacks.program import OtherClusterError

    record = outcome.record
    error = OtherClusterError(stack, settings, record.deployed_to, record.outputs.get(CLUSTER_OUTPUT, ""))
    return CommandError(str(error), ExitCode.CONFIG)


def is_race_with_a_step(outcome: Outcome) -> bool:
    """Whether a run failed only because a rollout has written its routes since the program read them."""
    errors = essential(outcome.record.errors)
    return bool(errors) and all(CONFLICT_WITH_ROLLOUT.search(error.message) for error in errors)


def stack_is_missing(stderr: str) -> bool:
    """Whether the engine reported that the stack does not exist in the backend."""
    return NO_STACK.search(stderr) is not None


def failure_of(outcome: Outcome, stack: str) -> CommandError:
    """Return the error for a failed run."""
    if outcome.interrupted:
        return CommandError(
            f"{outcome.operation} was interrupted; its finished operations are recorded in the stack's state",
            ExitCode.INTERRUPTED,
            fix=f"run `canary up --stack {stack}` to continue",
        )
    locks = locks_in(outcome.stderr)
    if locks:
        return locked(stack, locks[0])
    cause = _cause(outcome.program_failure)
    if cause is not None:
        return cause
    errors = essential(outcome.record.errors)
    texts = [described(error) for error in errors] or [_bare(line) for line in outcome.stderr.splitlines() if line]
    if outcome.code < 0:
        texts.append(
            f"the engine was killed by signal {-outcome.code}; the next `canary up` recovers its unfinished operations"
        )
    known = known_error("\n".join(texts), stack)
    if known is not None:
        return known
    fix = "" if outcome.operation is Operation.PREVIEW else "fix the cause, then run the command again"
    return CommandError(f"{outcome.operation} of stack {stack} failed", details=tuple(texts), fix=fix)


def essential(errors: tuple[Diagnostic, ...]) -> tuple[Diagnostic, ...]:
    """Return the errors without the engine's closing lines, which repeat them."""
    return tuple(error for error in errors if not CLOSING.match(error.message)) or errors


def described(error: Diagnostic) -> str:
    """Return an error's message, prefixed with its resource."""
    crash = PYTHON_ERROR.match(error.message)
    message = f"the Pulumi program failed: {crash[1]}" if crash else _bare(error.message)
    return f"{error.urn.rsplit('::', 1)[-1]}: {message}" if error.urn else message


def _cause(error: BaseException | None) -> CommandError | None:
    """The error of what came before the first resource: of the command's own part, invalid settings, no cluster."""
    if error is None or isinstance(error, CommandError):
        return error
    from kube.kubeconfig import ClusterUnreachableError
    from stacks.program import OtherClusterError
    from stacks.settings.problems import SettingsError

    for cause in (error, error.__cause__, error.__context__):
        if isinstance(cause, (SettingsError, OtherClusterError)):
            return CommandError(str(cause), ExitCode.CONFIG)
        if isinstance(cause, ClusterUnreachableError):
            return CommandError(str(cause), ExitCode.UNREACHABLE)
    return None


def known_error(text: str, stack: str) -> CommandError | None:
    """Return the clearer error for what the engine says, None if there is none."""
    for known in KNOWN:
        found = re.search(known.pattern, text)
        if found:
            return CommandError(known.message.format(*found.groups(), stack=stack), known.code, known.fix)
    return None


def _bare(text: str) -> str:
    return text.removeprefix("error: ").strip()
