"""Waiting: until an object is ready, and until one that is being deleted is gone."""

from __future__ import annotations

import time
from collections.abc import Callable

from sandbox.provider import checks, objects
from sandbox.provider.api import ApiError, UnreachableError
from sandbox.provider.checks import Object
from sandbox.provider.cluster import Cluster
from sandbox.provider.kinds import kind_of
from sandbox.provider.readiness import READY, Verdict

DEFAULT_SECONDS = 600.0
SHORTER_SECONDS = {
    "v1/PersistentVolume": 300.0,
    "v1/PersistentVolumeClaim": 300.0,
    "v1/ReplicationController": 300.0,
    "v1/ResourceQuota": 300.0,
}
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 1.0
EXPLAIN_EVERY = 5.0
UNREACHABLE_SECONDS = 10.0
# Kinds whose deletion is not waited for either when pulumi.com/skipAwait is set.
_SKIPS_DELETION = frozenset(
    {
        "apps/v1/DaemonSet",
        "apps/v1/Deployment",
        "apps/v1/StatefulSet",
        "batch/v1/Job",
        "v1/Namespace",
        "v1/Pod",
        "v1/ReplicationController",
    }
)


class NotReadyError(Exception):
    """The object exists, and is not ready; ``problems`` say why."""

    def __init__(self, summary: str, problems: tuple[str, ...] = ()) -> None:
        super().__init__("\n".join((summary, *(f"  * {p}" for p in problems))))
        self.summary = summary
        self.problems = problems


def timeout_of(inputs: Object, seconds: float, default: float = DEFAULT_SECONDS) -> float:
    """Return the seconds to wait: the resource option customTimeouts, else the annotation, else ``default``."""
    if seconds:
        return seconds
    try:
        return float(objects.annotation(inputs, objects.TIMEOUT_SECONDS))
    except ValueError:
        return default


def until_ready(cluster: Cluster, urn: str, inputs: Object, live: Object, seconds: float) -> None:
    """Wait until ``live`` is ready. Raises ``NotReadyError`` when it is not in time, cannot become so, or on Cancel."""
    check = checks.check_for(cluster, inputs, live)
    if check is None:
        return
    name = objects.name_of(live)
    limit = timeout_of(inputs, seconds, SHORTER_SECONDS.get(str(kind_of(live)), DEFAULT_SECONDS))
    watch = _Watch(cluster, urn, limit)
    while True:
        verdict = watch.ask(check)
        if verdict is not None and verdict.ready:
            cluster.engine.status(urn, "")
            return
        problems = verdict.problems if verdict else ()
        if verdict is not None and verdict.failed:
            raise NotReadyError(f"'{name}' failed", (*problems, *checks.explain(cluster, live)))
        if cluster.cancelled.is_set():
            raise NotReadyError(f"Resource operation was cancelled for '{name}'", problems)
        if watch.over:
            explained = checks.explain(cluster, live)
            raise NotReadyError(f"'{name}' timed out after {limit:g} s waiting to be Ready", (*problems, *explained))
        watch.report(verdict, lambda: checks.explain(cluster, live))
        watch.pause()


def check_now(cluster: Cluster, inputs: Object, live: Object) -> None:
    """Raise ``NotReadyError`` when ``live`` is not ready at this moment."""
    check = checks.check_for(cluster, inputs, live)
    verdict = check() if check else READY
    if not verdict.ready:
        problems = (*verdict.problems, *checks.explain(cluster, live))
        raise NotReadyError(f"Resource '{objects.name_of(live)}' was created but failed to initialize", problems)


def until_gone(cluster: Cluster, urn: str, inputs: Object, live: Object, seconds: float) -> None:
    """Wait until the object is gone, or another one of its name is there. Raises ``NotReadyError``."""
    if objects.is_annotated(inputs, objects.SKIP_AWAIT) and str(kind_of(live)) in _SKIPS_DELETION:
        return
    name, path, uid = objects.name_of(live), cluster.kinds.path(live), objects.dig(live, "metadata", "uid")
    limit = timeout_of(inputs, seconds)
    watch = _Watch(cluster, urn, limit)
    while True:
        try:
            found = cluster.api.get(path)
        except ApiError as error:
            if error.not_found:
                cluster.engine.status(urn, "")
                return
            raise
        if uid and objects.dig(found, "metadata", "uid") != uid:
            return
        finalizers = ", ".join(objects.dig(found, "metadata", "finalizers") or [])
        problems = (f"finalizers might be preventing deletion ({finalizers})",) if finalizers else ()
        if cluster.cancelled.is_set():
            raise NotReadyError(f"Resource operation was cancelled for '{name}'", problems)
        if watch.over:
            raise NotReadyError(
                f"'{objects.name_of(live)}' timed out after {limit:g} s waiting to be deleted", problems
            )
        cluster.engine.status(urn, f"Waiting for deletion{f' ({finalizers})' if finalizers else ''}")
        watch.pause()


class _Watch:
    """The clock of one wait: its end, the pauses between looks, and how long the API server may be silent."""

    def __init__(self, cluster: Cluster, urn: str, seconds: float) -> None:
        self._cluster = cluster
        self._urn = urn
        self._end = time.monotonic() + seconds
        self._pause = FIRST_PAUSE
        self._explained = time.monotonic()
        self._reason = ""
        self._silent_since: float | None = None

    @property
    def over(self) -> bool:
        return time.monotonic() >= self._end

    def ask(self, check: Callable[[], Verdict]) -> Verdict | None:
        """Return the verdict; None while the API server does not answer, which is borne for a few seconds."""
        try:
            verdict = check()
        except UnreachableError:
            self._silent_since = self._silent_since or time.monotonic()
            if time.monotonic() - self._silent_since > UNREACHABLE_SECONDS:
                raise
            return None
        self._silent_since = None
        return verdict

    def report(self, verdict: Verdict | None, explain: Callable[[], tuple[str, ...]]) -> None:
        """Tell the engine what is waited for and, looked up every few seconds, what is in the way."""
        if verdict is not None and time.monotonic() - self._explained >= EXPLAIN_EVERY:
            self._reason = next(iter(explain()), "")
            self._explained = time.monotonic()
        status = verdict.status if verdict else "Waiting for the API server"
        self._cluster.engine.status(self._urn, f"{status}: {self._reason}" if self._reason else status)

    def pause(self) -> None:
        """Pause until the next look, at most until the end; Cancel ends it."""
        self._cluster.cancelled.wait(max(0.0, min(self._pause, self._end - time.monotonic())))
        self._pause = min(self._pause * 1.3, LONGEST_PAUSE)
