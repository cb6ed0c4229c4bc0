"""One command's work on one stack: settings, engine, and a run that gets past what an earlier run left behind."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from canary.command_error import CommandError
from canary.engine.driver import Engine, Operation, Outcome
from canary.engine.engine_errors import failure_of, locked, stack_is_missing
from canary.engine.kubernetes_provider import provider_line
from canary.engine.locks import Lock, locks_in, wait_for_end
from canary.engine.toolchain import find_toolchain, pulumi_home
from canary.exit_codes import ExitCode
from canary.project import Project, choose_stack, find_project
from canary.ui import Ui

if TYPE_CHECKING:
    from canary.engine.events import Diagnostic, ResourceStep
    from canary.engine.recovery import Cluster
    from stacks.settings.loading import StackSettings
    from stacks.settings.model import Settings

T = TypeVar("T")
ORPHAN_SECONDS = 60.0
"""How long an engine whose `canary` was killed may take to end what it had begun."""
CLUSTER_SECONDS = 90.0
"""For all questions of a recovery; it may wait for a deletion to end."""
ATTEMPTS = 4
"""A run, after at most: freeing a lock, making the stack, mending the state."""


@dataclass
class Session:
    """A command's project, stack and settings. Nothing was touched when it is made."""

    ui: Ui
    project: Project
    stack: str
    loaded: StackSettings

    @property
    def settings(self) -> Settings:
        """The stack's settings."""
        return self.loaded.settings

    @cached_property
    def engine(self) -> Engine:
        """The engine for the stack; where its state lies and which provider it uses is said once."""
        toolchain = find_toolchain(self.project)
        for note in (*toolchain.notes, provider_line(toolchain.env, pulumi_home(toolchain.env))):
            self.ui.note(note)
        return Engine(self.project, self.stack, toolchain, self.ui.note, self.loaded)

    def run(self, operation: Operation) -> Outcome:
        """Run `operation` and return how it ended, successfully or not.

        What a killed run left is settled first: its lock is freed, an engine that still ends what it had begun is
        waited for, and its unfinished operations are mended. Raises CommandError where another run holds the lock.
        """
        for _ in range(ATTEMPTS):
            with self.ui.progress(f"{operation} of stack {self.stack}") as show:
                outcome = self.engine.run(operation, show if not operation.is_preview else diagnostics_to(show))
            if outcome.interrupted:
                self._await_deletions(outcome)
            if outcome.ok or outcome.interrupted:
                return outcome
            locks = locks_in(outcome.stderr)
            if locks:
                self._settle(locks)
                self.mend()
            elif outcome.record.pending:
                self.mend()
            elif stack_is_missing(outcome.stderr):
                if not operation.runs_program:
                    self.ui.note(f"the stack {self.stack} was never brought up: there is nothing of it")
                    return replace(outcome, code=0)
                self._create()
            else:
                return outcome
        return outcome

    def mend(self, deleting: AbstractSet[str] = frozenset()) -> None:
        """Bring the state in order that an interrupted run left, and say so; `deleting` as for `recover.mend`."""
        from canary.engine.recovery import mend

        mended = mend(self.engine, self.with_cluster, deleting)
        if mended is not None and str(mended):
            self.ui.note(str(mended))

    def _await_deletions(self, outcome: Outcome) -> None:
        """A cancelled run does not wait for what it had begun to delete, but the cluster deletes it."""
        steps = outcome.record.steps.values()
        deleting = frozenset(step.urn for step in steps if step.op == "delete" and step.state == "failed")
        if deleting:
            self.ui.note("waiting for what is being deleted")
            self.mend(deleting)

    def with_cluster(self, ask: Callable[[Cluster], T]) -> T:
        """Return what `ask` finds out from the stack's cluster; raises CommandError where it does not answer."""
        from canary.engine.recovery import LiveCluster
        from kube.client import asking
        from kube.kubeconfig import ClusterUnreachableError

        try:
            return asking(self.settings.cluster, lambda client: ask(LiveCluster(client)), within=CLUSTER_SECONDS)
        except ClusterUnreachableError as error:
            raise CommandError(str(error), ExitCode.UNREACHABLE) from None

    def require_cluster(self) -> None:
        """Raise CommandError unless the cluster answers; the engine itself says so late, and less clearly."""
        from kube.client import require
        from kube.kubeconfig import ClusterUnreachableError

        try:
            require(self.settings.cluster)
        except ClusterUnreachableError as error:
            raise CommandError(str(error), ExitCode.UNREACHABLE) from None

    def remove_leftovers(self) -> None:
        """Delete what a mesh that is gone has left in the cluster, and say so; raises as `with_cluster` does."""
        from components.istio_leftovers import remove_leftovers
        from kube.kubeconfig import ClusterUnreachableError

        if not self.settings.mesh.install:
            return
        try:
            with self.ui.progress(f"what the mesh of stack {self.stack} left"):
                left = remove_leftovers(self.settings.cluster, self.settings.mesh.namespace)
        except ClusterUnreachableError as error:
            raise CommandError(str(error), ExitCode.UNREACHABLE) from None
        if left.removed:
            self.ui.note(
                f"removed {len(left.removed)} objects that Helm and istiod leave behind (Istio's CRDs and keys)"
            )
        if left.in_use:
            self.ui.note(f"Istio's CRDs stay, for objects of others: {', '.join(left.in_use)}")

    def _settle(self, locks: tuple[Lock, ...]) -> None:
        for lock in locks:
            if lock.is_orphan:
                self.ui.note(f"an interrupted run still ends what it had begun (process {lock.pid}): waiting for it")
                wait_for_end(lock.pid, ORPHAN_SECONDS)
            if not lock.is_here:
                raise locked(self.stack, lock)
            if lock.is_dead and lock.free():
                self.ui.note(f"freed the lock of a run that was killed ({lock})")
            elif not lock.is_dead:
                raise locked(self.stack, lock)

    def _create(self) -> None:
        made = self.engine.create_stack()
        if made.returncode == 0:
            self.ui.note(f"the stack {self.stack} is new: made it in the backend")
        elif "already exists" not in made.stderr:
            details = tuple(made.stderr.splitlines())
            raise CommandError(f"the stack {self.stack} cannot be made", ExitCode.FAILED, details=details)


def open_session(ui: Ui, stack: str | None) -> Session:
    """Return the session for `stack`; raises CommandError with every problem of its settings."""
    from stacks.settings.loading import load_stack
    from stacks.settings.problems import SettingsError

    project = find_project()
    name = choose_stack(project, stack, lambda: selected_stack(project))
    try:
        loaded = load_stack(project.stack_file(name))
    except SettingsError as error:
        raise CommandError(str(error), ExitCode.CONFIG) from None
    return Session(ui, project, name, loaded)


def selected_stack(project: Project) -> str | None:
    """Return the stack that `pulumi stack select` chose for the project, if any."""
    import subprocess

    try:
        toolchain = find_toolchain(project)
    except CommandError:
        return None
    command = [str(toolchain.pulumi), "stack", "--show-name", "--non-interactive"]
    asked = subprocess.run(
        command,
        cwd=project.root,
        env=toolchain.env,
        input="",
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() or None if asked.returncode == 0 else None


def apply(session: Session, operation: Operation, preview: Operation, yes: bool) -> bool:
    """Run `operation`; without `yes` a person at the terminal sees its preview first, and is asked.

    Returns False where the person said no. Raises CommandError where nobody can be asked, and where the run fails.
    """
    if not yes:
        if not session.ui.can_ask:
            raise CommandError(
                f"canary {operation} asks before it changes anything, and there is nobody to ask",
                ExitCode.CONFIG,
                fix=f"run it at a terminal, or add --yes: canary {operation} --stack {session.stack} --yes",
            )
        planned = report_of(session, preview)
        if not planned.record.changed:
            return True
        if not session.ui.confirm(f"{operation} stack {session.stack}?"):
            return False
    report_of(session, operation)
    return True


def report_of(session: Session, operation: Operation) -> Outcome:
    """Run `operation`, print what it changed or would change, and return it; raises CommandError where it fails."""
    from canary import report

    outcome = session.run(operation)
    if not outcome.ok:
        raise failed(session, outcome)
    document = report.as_json(outcome, session.stack)
    session.ui.result(document, lambda console: report.show(console, outcome, session.stack))
    return outcome


def failed(session: Session, outcome: Outcome) -> CommandError:
    """Return why a run failed, with what the cluster says of pods that did not become ready."""
    failure = failure_of(outcome, session.stack)
    if failure.code is ExitCode.FAILED:
        from canary.engine.diagnosis import reasons

        failure.details = (*failure.details, *reasons(session.settings, outcome, failure.details))
    return failure


def diagnostics_to(show: Callable[[ResourceStep | Diagnostic], None]) -> Callable[[ResourceStep | Diagnostic], None]:
    """A preview does nothing to show on the way, but may have something to say."""
    from canary.engine.events import Diagnostic

    def only_diagnostics(entry: ResourceStep | Diagnostic) -> None:
        if isinstance(entry, Diagnostic):
            show(entry)

    return only_diagnostics
