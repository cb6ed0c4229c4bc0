"""Why a pod is not ready: scheduling, image, probe, crash output, events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from kube.missing_sources import fix_of
from kube.pod_secrets import SecretsUnreadableError, masked, secret_texts

if TYPE_CHECKING:
    from lightkube import Client

LOG_LINES = 12
"""Of a container that exited: enough for the usage text that follows a wrong flag."""
MOST_PODS = 3
"""Pods whose reasons are given; further ones are only counted."""
STARTING = ("ContainerCreating", "PodInitializing")


def is_ready(pod: Any) -> bool:
    """Whether a pod is ready."""
    conditions = (pod.status.conditions if pod.status else None) or ()
    return any(entry.type == "Ready" and entry.status == "True" for entry in conditions)


def reasons_of_unready(client: Client, pods: Iterable[Any]) -> Iterator[str]:
    """Yield lines that say which of `pods` are not ready, and why."""
    unready = [pod for pod in pods if not is_ready(pod)]
    for pod in unready[:MOST_PODS]:
        yield f"pod {pod.metadata.name}:"
        yield from (f"  {line}" for line in why_not_ready(client, pod))
    if len(unready) > MOST_PODS:
        yield f"and {len(unready) - MOST_PODS} more pods are not ready"


def why_not_ready(client: Client, pod: Any) -> Iterator[str]:
    """Yield why a pod is not ready, the most specific reason first, without what is in the Secrets that it reads."""
    texts: list[str] = []
    unreadable = ""
    try:
        texts = secret_texts(client, pod)
    except SecretsUnreadableError as error:
        unreadable = str(error)
    fixes: list[str] = []
    for line in _reasons(client, pod, with_log=not unreadable):
        yield masked(line, texts)
        fixes += filter(None, [fix_of(line, pod.metadata.namespace)])
    if unreadable:
        yield f"(its log is not shown: it may have what is in {unreadable}, which may not be read here)"
    yield from dict.fromkeys(f"fix: {fix}" for fix in fixes)


def _reasons(client: Client, pod: Any, with_log: bool) -> Iterator[str]:
    for condition in (pod.status.conditions if pod.status else None) or ():
        if condition.type == "PodScheduled" and condition.status == "False":
            yield f"not scheduled: {condition.message}"
    for status in _containers(pod):
        yield from _of_container(client, pod, status, with_log)
    yield from _events(client, pod)


def _containers(pod: Any) -> list[Any]:
    status = pod.status
    return [*(status.initContainerStatuses or ()), *(status.containerStatuses or ())] if status else []


def _of_container(client: Client, pod: Any, status: Any, with_log: bool) -> Iterator[str]:
    waiting = status.state.waiting if status.state else None
    if waiting is not None and waiting.reason not in STARTING:
        yield f"container {status.name}: {waiting.reason}" + (f": {waiting.message}" if waiting.message else "")
    ended = _ended(status)
    if ended is not None:
        message = f": {ended.message.strip()}" if ended.message else ""
        restarts = f", {status.restartCount} restarts" if status.restartCount else ""
        yield f"container {status.name}: exited with {ended.exitCode} ({ended.reason}{restarts}){message}"
        if with_log:
            yield from (f"  | {line}" for line in _log(client, pod, status))
    elif status.state and status.state.running is not None and not status.ready:
        yield f"container {status.name}: running, but not ready"


def _ended(status: Any) -> Any:
    for state in (status.state, status.lastState):
        if state is not None and state.terminated is not None and state.terminated.exitCode != 0:
            return state.terminated
    return None


def _log(client: Client, pod: Any, status: Any) -> list[str]:
    from lightkube import ApiError

    metadata = pod.metadata
    try:
        return [
            line.rstrip("\n")
            for line in client.log(
                metadata.name,
                namespace=metadata.namespace,
                container=status.name,
                tail_lines=LOG_LINES,
            )
        ]
    except ApiError:
        return []


def _events(client: Client, pod: Any) -> Iterator[str]:
    from lightkube.resources.core_v1 import Event

    fields = {"involvedObject.uid": pod.metadata.uid, "type": "Warning"}
    seen = set()
    events: Iterable[Any] = client.list(Event, namespace=pod.metadata.namespace, fields=fields)
    for event in events:
        if event.reason not in ("BackOff",) and event.message not in seen:
            seen.add(event.message)
            yield f"{event.reason}: {' '.join((event.message or '').split())}"
