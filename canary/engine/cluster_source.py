"""How commands find a cluster whose kubeconfig is no file, but an output of a stack or encrypted in the stack's file.

Pulumi says it, and it stays in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from canary.command_error import CommandError
from canary.engine.engine_errors import known_error, stack_is_missing
from canary.exit_codes import ExitCode

if TYPE_CHECKING:
    from canary.engine.driver import Engine
    from canary.project import Project
    from stacks.settings.cluster import AnyClusterSettings

KUBECONFIG = "kubeconfig"
NO_OUTPUT = "does not have output property"


def find_cluster(project: Project, stack: str, cluster: AnyClusterSettings) -> None:
    """Let a stack's cluster read its kubeconfig by Pulumi, when a command needs it.

    Nothing is asked before that, so commands that need no cluster need neither Pulumi nor a passphrase. Reading raises
    CommandError if Pulumi cannot decrypt the text, or if the cluster is that of another stack without such an output.
    """
    from stacks.settings.cluster import ClusterSettings

    late = cluster.late
    if late is None:
        return
    if isinstance(cluster, ClusterSettings):
        late.read_by(lambda: _decrypted(project, stack))
        return
    other = getattr(cluster, "stack_reference", None)
    late.read_by(lambda: _read(project, stack, other))


def _engine(project: Project, stack: str) -> Engine:
    from canary.engine.driver import Engine
    from canary.engine.toolchain import find_toolchain

    return Engine(project, stack, find_toolchain(project), lambda line: None)


def _decrypted(project: Project, stack: str) -> str:
    """The text that is encrypted in the stack's file."""
    from stacks.settings.kubeconfig_text import PATH, SET

    asked = _engine(project, stack).config_value(PATH)
    if asked.returncode == 0:
        return asked.stdout
    what = f"{PATH} of stack {stack}, an encrypted kubeconfig, cannot be decrypted"
    if stack_is_missing(asked.stderr):
        raise CommandError(
            f"{what}: the backend has no stack {stack}",
            ExitCode.CONFIG,
            fix=f"log in to the backend that has it; in a new one, create it: pulumi stack init {stack}",
        )
    error = CommandError(
        what,
        ExitCode.CONFIG,
        fix="log in to the backend that has the stack, and set its passphrase or the rights on its key; if another "
        f"stack's key has encrypted it, encrypt it again: {SET} < FILE",
        details=tuple(asked.stderr.strip().splitlines()),
    )
    raise known_error(asked.stderr, stack) or error


def _read(project: Project, stack: str, other: str | None) -> str | None:
    asked = _engine(project, stack).output(KUBECONFIG, of=other)
    if asked.returncode == 0:
        return asked.stdout.strip() or None
    if other is None and (stack_is_missing(asked.stderr) or NO_OUTPUT in asked.stderr):
        return None
    raise _unread(project, stack, other, asked.stderr)


def _unread(project: Project, stack: str, other: str | None, said: str) -> CommandError:
    from stacks.cluster_source import no_output, no_stack
    from stacks.settings.stack_file import with_line

    file = f"Pulumi.{stack}.yaml"
    if other is None:
        error = CommandError(
            f"the kubeconfig of stack {stack}, one of its outputs, cannot be read",
            ExitCode.CONFIG,
            fix=f"`pulumi stack output {KUBECONFIG} --show-secrets --stack {stack}` must work: log in to the backend, "
            "and set its passphrase or the rights on its key",
            details=tuple(said.strip().splitlines()),
        )
        return known_error(said, stack) or error
    problem = no_output(other, file, []) if NO_OUTPUT in said else no_stack(other, file, said)
    return CommandError(str(with_line(problem, project.root / file)), ExitCode.CONFIG)
