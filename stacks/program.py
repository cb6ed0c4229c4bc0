"""The Pulumi side of the program: the current stack's settings and owner, warnings and errors."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable
from contextvars import ContextVar
from pathlib import Path
from typing import NoReturn

import pulumi
from pulumi.runtime import config

from stacks.cluster_facts import ClusterFacts
from stacks.cluster_source import find_cluster
from stacks.mesh_of_stack import require_cluster_of_mesh, with_deployed_mesh
from stacks.secret_texts import RuntimeSecrets
from stacks.settings.loading import StackSettings, load_runtime, warnings
from stacks.settings.mesh_reference import file_of_reference
from stacks.settings.model import Settings
from stacks.settings.problems import NAMESPACE, Problem
from stacks.settings.stack_file import read_stack_file
from stacks.stack_commands import told

MOST_WARNINGS = 20
"""Further warnings are only counted."""

REPORTED = 32
"""Exit code that tells Pulumi's language host that the error has been reported, so that it adds no message."""

loaded: ContextVar[StackSettings | None] = ContextVar("loaded", default=None)
"""The stack's settings, if `canary` has already read and checked them in this process."""

deployed_to: ContextVar[str | None] = ContextVar("deployed_to", default=None)
"""The uid of the cluster that the stack was last deployed to, if `canary` has read it from the state."""


class OtherClusterError(Exception):
    """The stack was deployed to another cluster than the one that its settings lead to now. Nothing was changed."""

    def __init__(self, stack: str, settings: Settings, deployed: str | None, given: str) -> None:
        late = settings.cluster.late
        context = late.words if late else settings.cluster.context or "the kubeconfig's current context"
        given_words = f"a cluster whose namespace kube-system has the uid {given}" if given else "one still to create"
        super().__init__(
            f"stack {stack} is deployed to another cluster than the one that {context} leads to\n"
            f"    given:   {given_words}\n"
            f"    allowed: the cluster with the uid {deployed}\n"
            f"    fix:     name its context in istio-canary:cluster.context; if that cluster no longer exists, run "
            f"`canary refresh --stack {stack}`, which drops what is not in this one from the state, then `canary up`"
        )


def require_same_cluster(facts: ClusterFacts, settings: Settings) -> None:
    """Raise OtherClusterError if the stack is deployed to another cluster than that of `facts`.

    Its resources would be taken for those of this cluster. Plain `pulumi` does not tell the program what is deployed.
    Raises SettingsError if the mesh of another stack is in another cluster.
    """
    known = deployed_to.get()
    if known not in (None, facts.uid):
        raise OtherClusterError(pulumi.get_stack(), settings, known, facts.uid)
    require_cluster_of_mesh(settings, facts.uid, stack_file())


def settings_of_stack(project: Path) -> Settings:
    """Return the checked settings of the stack.

    The values come from Pulumi's runtime; the stack's file in `project`, the folder of Pulumi.yaml, supplies the line
    numbers of messages. Raises SettingsError with all problems at once; warnings go to the engine.
    """
    found = loaded.get() or _from_runtime(project)
    problems = warnings(found.settings, found.source)
    find_cluster(found.settings, stack_file())
    warn(problems[:MOST_WARNINGS])
    if len(problems) > MOST_WARNINGS:
        pulumi.log.warn(f"{len(problems) - MOST_WARNINGS} more warnings about the settings")
    own = found.source.values.get("mesh") if found.source else None
    has_file = _has_file_of_mesh(found, project)
    return with_deployed_mesh(found.settings, stack_file(), has_file, own if isinstance(own, dict) else {})


def _has_file_of_mesh(found: StackSettings, project: Path) -> bool:
    """Whether the file of the stack with the mesh is beside that of this one, and was read with it."""
    named = found.settings.mesh.stack_reference
    return named is not None and found.source is not None and file_of_reference(named, project).is_file()


def _from_runtime(project: Path) -> StackSettings:
    file = project / stack_file()
    source = read_stack_file(file) if file.is_file() else None
    given = config.CONFIG.get()
    secrets = frozenset(key for key in given if config.is_config_secret(key))
    return StackSettings(load_runtime(given, source, secrets, pulumi.get_stack()), source)


def stack_file() -> str:
    """Return the name of the stack's file."""
    return f"Pulumi.{pulumi.get_stack()}.yaml"


def grafana_admin_password() -> pulumi.Output[str] | None:
    """Return the password of Grafana's user admin as a secret, None if the stack has none."""
    settings, key = pulumi.Config(NAMESPACE), "grafanaAdminPassword"
    return settings.get_secret(key) if settings.get(key) else None  # Pulumi.yaml's default is empty


def runtime_secrets() -> RuntimeSecrets:
    """Return the texts that are encrypted in the stack's file, as Pulumi has decrypted them for this run."""
    return RuntimeSecrets.of_run()


def fail(message: str) -> NoReturn:
    """End the program with this message as its only error."""
    pulumi.log.error(told(message))
    raise SystemExit(REPORTED)


def exit_quietly_on_interrupt() -> None:
    """Exit without a traceback on SIGINT.

    The engine sends it after a failed hook, and the terminal on Ctrl-C; the engine reports both itself.
    """
    if threading.current_thread() is threading.main_thread():  # `canary` runs the program in a thread of its own
        signal.signal(signal.SIGINT, lambda *_: os._exit(REPORTED))


def warn(problems: Iterable[Problem]) -> None:
    """Report problems as warnings, which do not stop the run."""
    for problem in problems:
        pulumi.log.warn(told(str(problem)))


def owner_of_stack() -> str:
    """Return `<project>/<stack>`, the owner in the annotation of the stack's namespaces."""
    return f"{pulumi.get_project()}/{pulumi.get_stack()}"
