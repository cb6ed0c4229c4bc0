"""A command's session on one stack: settings, engine, and runs that recover from an interrupted run first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from canary.command_error import CommandError, cluster_needed
from canary.engine.cluster_source import find_cluster
from canary.engine.driver import Engine, Operation, Outcome
from canary.engine.engine_errors import (
    failure_of,
    is_race_with_a_step,
    known_error,
    locked,
    other_cluster,
    stack_is_missing,
)
from canary.engine.file_backend import repeated_while_written
from canary.engine.kubernetes_provider import provider_line
from canary.engine.locks import Lock, end_session, locks_in, locks_of, wait_for_end
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
"""How long to wait for an engine whose `canary` was killed."""
CLUSTER_SECONDS = 90.0
"""Time limit for a recovery, which may have to wait for a deletion."""
ATTEMPTS = 4
"""One run, and one more after each of: releasing a lock, creating the stack, recovering the state, meeting a step."""


@dataclass
class Session:
    """A command's project, stack and settings. Creating it changes nothing."""

    ui: Ui
    project: Project
    stack: str
    loaded: StackSettings
    during_rollout: frozenset[str] = frozenset()
    """The services whose route this run may change in the middle of a rollout."""

    @property
    def settings(self) -> Settings:
        """The stack's settings."""
        return self.loaded.settings

    @cached_property
    def engine(self) -> Engine:
        """The engine for the stack. First access prints where the state is kept and which provider is used."""
        toolchain = find_toolchain(self.project)
        for note in (*toolchain.notes, provider_line(toolchain.env, pulumi_home(toolchain.env))):
            self.ui.note(note)
        engine = Engine(self.project, self.stack, toolchain, self.ui.note, self.loaded)
        engine.under_lock = self.hand_over_routes
        engine.during_rollout = self.during_rollout
        return engine

    def hand_over_routes(self) -> None:
        """Give the routes of rollouts that have ended back to Pulumi; only while no other run of the stack is going on.

        An `up` that began before the rollout would write its old routes.
        """
        from canary.engine.rollout_routes import hand_over_routes

        hand_over_routes(self.settings, self.during_rollout, self.ui.note)

    def run(self, operation: Operation) -> Outcome:
        """Run `operation` and return its outcome, successful or not.

        After an interrupted run, its lock is released first, an engine that is still finishing is awaited, and its
        unfinished operations are recovered. Raises CommandError if another run holds the lock.
        """
        for _ in range(ATTEMPTS):
            outcome = repeated_while_written(
                lambda: self._run(operation),
                lambda done: "" if done.ok or done.interrupted else done.stderr,
                self.engine.backend_folder,
            )
            if outcome.interrupted:
                self._await_deletions(outcome)
            if operation is Operation.PREVIEW and outcome.ok and outcome.record.is_of_another_cluster:
                raise other_cluster(outcome, self.stack, self.settings)
            if outcome.ok or outcome.interrupted:
                return outcome
            locks = locks_in(outcome.stderr)
            if locks:
                self._resolve(locks)
                self.recover()
            elif outcome.record.pending:
                self.recover()
            elif stack_is_missing(outcome.stderr):
                if not operation.runs_program:
                    self.ui.note(f"stack {self.stack} does not exist in the backend: nothing to do")
                    return replace(outcome, code=0)
                self._create()
            elif is_race_with_a_step(outcome):
                self.ui.note("a rollout has written its routes meanwhile: running once more")
            else:
                return outcome
        return outcome

    def _run(self, operation: Operation) -> Outcome:
        with self.ui.progress(f"{operation} of stack {self.stack}") as show:
            return self.engine.run(operation, show if not operation.is_preview else diagnostics_to(show))

    def recover(self, deleting: AbstractSet[str] = frozenset()) -> None:
        """Recover the state after an interrupted run, and print what was done; `deleting` as for `recovery.recover`."""
        from canary.engine.recovery import recover

        recovered = recover(self.engine, self.with_cluster, self._resolve, deleting)
        if recovered is not None and str(recovered):
            self.ui.note(str(recovered))

    def _await_deletions(self, outcome: Outcome) -> None:
        """Wait for deletions that a cancelled run started: the cluster completes them, but the run does not wait."""
        steps = outcome.record.steps.values()
        deleting = frozenset(step.urn for step in steps if step.op == "delete" and step.state == "failed")
        if deleting:
            self.ui.note("waiting for running deletions to finish")
            self.recover(deleting)

    def with_cluster(self, ask: Callable[[Cluster], T]) -> T:
        """Return what `ask` returns for the stack's cluster; raises CommandError if it does not answer."""
        from canary.engine.recovery import LiveCluster
        from kube.client import query

        if not self.has_cluster:
            raise CommandError(
                f"an interrupted run left operations of {self.settings.cluster.late} unfinished",
                fix=f"run `pulumi refresh --stack {self.stack}`, which asks about each of them",
            )
        with cluster_needed():
            return query(self.settings.cluster, lambda client: ask(LiveCluster(client)), within=CLUSTER_SECONDS)

    @property
    def is_locked(self) -> bool:
        """Whether a run of the stack is going on, or may be: of another backend than a folder, that is not known."""
        folder = self.engine.backend_folder
        return folder is None or bool(locks_of(folder, self.project.name, self.stack))

    @property
    def has_cluster(self) -> bool:
        """Whether there is a cluster: that of a stack that creates it exists only after an `up`."""
        with cluster_needed():
            late = self.settings.cluster.late
            return late is None or late.text() is not None

    def require_cluster(self) -> None:
        """Raise CommandError unless the cluster answers; the engine would report it later and less clearly.

        A cluster that the stack has still to create, or has deleted, is none to ask.
        """
        if not self.has_cluster:
            return
        from kube.client import require

        with cluster_needed():
            require(self.settings.cluster)

    def remove_leftovers(self) -> None:
        """Delete and print what an uninstalled mesh left in the cluster; raises CommandError if it does not answer."""
        from components.istio_leftovers import remove_leftovers

        if not self.settings.mesh.install or self.settings.cluster.is_created:
            return
        with cluster_needed(), self.ui.progress(f"removing what the mesh of stack {self.stack} left behind"):
            left = remove_leftovers(self.settings.cluster, self.settings.mesh.namespace)
        if left.removed:
            self.ui.note(
                f"removed {len(left.removed)} objects that Helm and istiod leave behind (Istio's CRDs and keys)"
            )
        if left.in_use:
            self.ui.note(f"Istio's CRDs are kept, because they are in use: {', '.join(left.in_use)}")

    def _resolve(self, locks: tuple[Lock, ...]) -> None:
        for lock in locks:
            if lock.is_orphan:
                self.ui.note(f"waiting for an interrupted run to finish (process {lock.pid})")
                wait_for_end(lock.pid, ORPHAN_SECONDS)
            if not lock.is_here:
                raise locked(self.stack, lock)
            if lock.is_dead:
                end_session(lock.pid)
            if lock.is_dead and lock.release():
                self.ui.note(f"released the lock of a run that was killed ({lock})")
            elif not lock.is_dead:
                raise locked(self.stack, lock)

    def _create(self) -> None:
        created = self.engine.create_stack()
        if created.returncode == 0:
            self.ui.note(f"created stack {self.stack} in the backend")
        elif "already exists" not in created.stderr:
            details = tuple(created.stderr.splitlines())
            error = CommandError(f"stack {self.stack} cannot be created", ExitCode.FAILED, details=details)
            raise known_error(created.stderr, self.stack) or error


def open_session(ui: Ui, stack: str | None) -> Session:
    """Return the session for `stack`; raises CommandError with all problems of its settings."""
    return Session(ui, *chosen_stack(stack))


def chosen_stack(stack: str | None) -> tuple[Project, str, StackSettings]:
    """Return the project, the chosen stack's name and its settings; raises as `open_session` does."""
    from stacks.settings.loading import load_stack
    from stacks.settings.problems import SettingsError

    project = find_project()
    name = choose_stack(project, stack, lambda: selected_stack(project))
    try:
        loaded = load_stack(project.stack_file(name))
    except SettingsError as error:
        raise CommandError(str(error), ExitCode.CONFIG) from None
    find_cluster(project, name, loaded.settings.cluster)
    return project, name, loaded


def selected_stack(project: Project) -> str | None:
    """Return the stack selected with `pulumi stack select`, or None."""
    try:
        toolchain = find_toolchain(project)
    except CommandError:
        return None
    shown = toolchain.call("stack", "--show-name", cwd=project.root)
    return shown.stdout.strip() or None if shown.returncode == 0 else None


def apply(session: Session, operation: Operation, preview: Operation, yes: bool) -> bool:
    """Run `operation`; without `yes`, show its preview and ask for confirmation first.

    Returns False if the user declined. Raises CommandError if there is no terminal to ask at, and if the run fails.
    """
    if not yes:
        if not session.ui.can_ask:
            raise CommandError(
                f"canary {operation} needs confirmation, but this is not a terminal",
                ExitCode.CONFIG,
                fix=f"run it in a terminal, or add --yes: canary {operation} --stack {session.stack} --yes",
            )
        if operation is Operation.UP and not session.is_locked:
            with cluster_needed():
                session.hand_over_routes()
        planned = report_of(session, preview)
        if not planned.record.changed:
            return True
        if not session.ui.confirm(f"{operation} stack {session.stack}?"):
            return False
    report_of(session, operation)
    return True


def report_of(session: Session, operation: Operation, more: Mapping[str, Any] | None = None) -> Outcome:
    """Run `operation`, print what it changed or would change, and return it; raises CommandError if it fails.

    `more` is added to the document of `--json`.
    """
    from canary import report
    from canary.strategy_notes import strategy_notes

    outcome = session.run(operation)
    if not outcome.ok:
        raise failed(session, outcome)
    document = {**report.as_json(outcome, session.stack), **(more or {})}
    notes = strategy_notes(session.settings, outcome.record.changed, session.stack) if operation.runs_program else ()
    session.ui.result(document, lambda console: report.show(console, outcome, session.stack, notes))
    return outcome


def failed(session: Session, outcome: Outcome) -> CommandError:
    """Return the error for a failed run, with the reasons of pods that did not become ready."""
    failure = failure_of(outcome, session.stack)
    if failure.code is ExitCode.FAILED:
        from canary.engine.diagnosis import reasons

        failure.details = (*failure.details, *reasons(session.settings, outcome, failure.details))
    return failure


def diagnostics_to(show: Callable[[ResourceStep | Diagnostic], None]) -> Callable[[ResourceStep | Diagnostic], None]:
    """Return a callback that shows only diagnostics: the steps of a preview are not shown as progress."""
    from canary.engine.events import Diagnostic

    def only_diagnostics(entry: ResourceStep | Diagnostic) -> None:
        if isinstance(entry, Diagnostic):
            show(entry)

    return only_diagnostics
