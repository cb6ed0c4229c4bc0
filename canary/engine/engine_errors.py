"""The engine's failures in words for a person: what happened, how the command ends, and the fix."""

from __future__ import annotations

import re
from dataclasses import dataclass

from canary.command_error import CommandError
from canary.engine.driver import Operation, Outcome
from canary.engine.events import Diagnostic
from canary.engine.locks import Lock, locks_in
from canary.exit_codes import ExitCode

NO_STACK = re.compile(r"no stack named '.*' found")
CLOSING = re.compile(
    r"^(an unhandled error occurred: .*|(update|preview|refresh|destroy) (failed|canceled))$", re.DOTALL
)
PYTHON_ERROR = re.compile(r"^python inline source runtime error: (.*?)\nTraceback", re.DOTALL)


@dataclass(frozen=True)
class Known:
    """A text of the engine's that has a better one."""

    pattern: str
    message: str
    fix: str
    code: ExitCode = ExitCode.FAILED


KNOWN = (
    Known(
        r"incorrect passphrase",
        "the passphrase does not open the secrets of stack {stack}",
        "set PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE to the one that the stack was made with",
        ExitCode.CONFIG,
    ),
    Known(
        r"passphrase must be set with",
        "the secrets of stack {stack} need a passphrase, and none is set",
        "set PULUMI_CONFIG_PASSPHRASE, or PULUMI_CONFIG_PASSPHRASE_FILE to a file with it",
        ExitCode.CONFIG,
    ),
    Known(
        r"PULUMI_ACCESS_TOKEN must be set",
        "Pulumi's backend asks for a login",
        "`pulumi login`, or set PULUMI_BACKEND_URL (file://<folder> keeps the state on this machine)",
        ExitCode.CONFIG,
    ),
    Known(
        r"unable to open bucket ([^?\s]+?)(?:\?\S*)?: ",
        "the backend {0} cannot be opened",
        "make the folder or bucket, or set PULUMI_BACKEND_URL to another",
        ExitCode.CONFIG,
    ),
    Known(
        r"getting user info from (\S+?):? ",
        "Pulumi's backend {0} does not answer",
        "see whether it can be reached, or set PULUMI_BACKEND_URL to another",
        ExitCode.UNREACHABLE,
    ),
    Known(
        r"invalid YAML file: (.*)",
        "the stack's file is not YAML: {0}",
        "mend the file at that line",
        ExitCode.CONFIG,
    ),
    Known(
        r"no resource plugin '(pulumi-resource-[\w-]+)' found",
        "the provider {0} is not installed",
        "`pulumi plugin install resource kubernetes`",
    ),
)


def locked(stack: str, lock: Lock) -> CommandError:
    """Return the failure for a stack whose lock somebody holds."""
    return CommandError(
        f"the stack {stack} is locked: {lock}",
        ExitCode.LOCKED,
        fix=f"wait for that run to end; if you know that it ended, free the lock: canary cancel --stack {stack}",
    )


def stack_is_missing(stderr: str) -> bool:
    """Whether the engine said that the backend knows no such stack."""
    return NO_STACK.search(stderr) is not None


def failure_of(outcome: Outcome, stack: str) -> CommandError:
    """Return why a run failed."""
    if outcome.interrupted:
        return CommandError(
            f"{outcome.operation} was stopped; what had begun is recorded, and the stack is usable",
            ExitCode.INTERRUPTED,
            fix=f"`canary up --stack {stack}` goes on from here",
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
        texts.append(f"the engine was killed by signal {-outcome.code}; the next `canary up` mends what it left")
    known = _known("\n".join(texts), stack)
    if known is not None:
        return known
    fix = "" if outcome.operation is Operation.PREVIEW else "mend the cause, then run the command again"
    return CommandError(f"{outcome.operation} of stack {stack} failed", details=tuple(texts), fix=fix)


def essential(errors: tuple[Diagnostic, ...]) -> tuple[Diagnostic, ...]:
    """Return the errors without the engine's closing lines, which say again what was said."""
    return tuple(error for error in errors if not CLOSING.match(error.message)) or errors


def described(error: Diagnostic) -> str:
    """Return an error with the resource that it is about."""
    crash = PYTHON_ERROR.match(error.message)
    message = f"the project's program ended in an error: {crash[1]}" if crash else _bare(error.message)
    return f"{error.urn.rsplit('::', 1)[-1]}: {message}" if error.urn else message


def _cause(error: BaseException | None) -> CommandError | None:
    """What the program found wrong before it built anything: bad settings, or a cluster that does not answer."""
    if error is None:
        return None
    from kube.kubeconfig import ClusterUnreachableError
    from stacks.settings.problems import SettingsError

    for cause in (error, error.__cause__, error.__context__):
        if isinstance(cause, SettingsError):
            return CommandError(str(cause), ExitCode.CONFIG)
        if isinstance(cause, ClusterUnreachableError):
            return CommandError(str(cause), ExitCode.UNREACHABLE)
    return None


def _known(text: str, stack: str) -> CommandError | None:
    for known in KNOWN:
        found = re.search(known.pattern, text)
        if found:
            return CommandError(known.message.format(*found.groups(), stack=stack), known.code, known.fix)
    return None


def _bare(text: str) -> str:
    return text.removeprefix("error: ").strip()
