"""Why pods do not become ready, in their own words: statuses, warning events, and a crashed container's last output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sandbox.provider import objects
from sandbox.provider.api import ApiError, UnreachableError
from sandbox.provider.cluster import Cluster
from sandbox.provider.readiness import condition, holds

LOG_LINES = 10
MOST_PODS = 3
# What the kubelet answers in the place of a log that is gone already.
_NO_LOG = "unable to retrieve container logs"
_STARTING = ("ContainerCreating", "PodInitializing")


def title(pod: Mapping[str, Any]) -> str:
    """Return the pod's name as messages show it: without the namespace when that is "default"."""
    namespace = objects.namespace_of(pod)
    return objects.name_of(pod) if namespace in ("", "default") else objects.qualified_name(pod)


def reasons(pod: Mapping[str, Any]) -> list[str]:
    """Return what the pod's own status says is wrong."""
    if holds(pod, "Ready") or objects.text_at(pod, "status", "phase") == "Succeeded":
        return []
    found = []
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False" and scheduled.get("message"):
        found.append(f"[{scheduled.get('reason', 'Unschedulable')}] {scheduled['message']}")
    for status in _statuses(pod):
        found += _container_reasons(status)
    if not found and objects.text_at(pod, "status", "reason"):
        found.append(f"[{pod['status']['reason']}] {objects.text_at(pod, 'status', 'message')}")
    ready = condition(pod, "Ready")
    if not found and ready.get("message"):
        found.append(str(ready["message"]))
    if not found and not objects.dig(pod, "status", "conditions"):
        found.append("not scheduled yet")
    return [f"[Pod {title(pod)}]: {text}" for text in found]


def _statuses(pod: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _container_reasons(status: Mapping[str, Any]) -> list[str]:
    if status.get("ready"):
        return []
    found = []
    name = status.get("name")
    waiting = objects.dig(status, "state", "waiting") or {}
    if waiting.get("reason") and waiting["reason"] not in _STARTING:
        found.append(f"container {name!r}: [{waiting['reason']}] {waiting.get('message', '')}".strip())
    for ended in (objects.dig(status, "state", "terminated"), objects.dig(status, "lastState", "terminated")):
        if ended and ended.get("reason") != "Completed":
            text = f"container {name!r} ended with exit code {ended.get('exitCode')} ({ended.get('reason')})"
            message = str(ended.get("message") or "").strip()
            found.append(f"{text}: {message}" if message else text)
            break
    return found


def crashed_containers(pod: Mapping[str, Any]) -> list[str]:
    """Return the containers that started and ended badly, and left no termination message."""
    found = []
    for status in _statuses(pod):
        ended = objects.dig(status, "state", "terminated") or objects.dig(status, "lastState", "terminated") or {}
        if ended.get("exitCode") and not ended.get("message"):
            found.append(str(status.get("name")))
    return found


def explain(cluster: Cluster, pods: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the reasons of a few pods that are not ready, with their warning events and crash output."""
    found: list[str] = []
    bad = [pod for pod in pods if not holds(pod, "Ready") and objects.text_at(pod, "status", "phase") != "Succeeded"]
    for pod in bad[:MOST_PODS]:
        found += reasons(pod)
        found += [f"[Pod {title(pod)}]: {text}" for text in (*warnings(cluster, pod), *_crash_output(cluster, pod))]
    if len(bad) > MOST_PODS:
        found.append(f"and {len(bad) - MOST_PODS} more Pods that are not ready")
    return list(dict.fromkeys(found))


def warnings(cluster: Cluster, obj: Mapping[str, Any]) -> list[str]:
    """Return the newest warning event of each reason about ``obj``: a failing probe, a volume that does not mount."""
    namespace = objects.namespace_of(obj) or "default"
    selector = f"involvedObject.uid={objects.dig(obj, 'metadata', 'uid')},type=Warning"
    try:
        events = cluster.api.get(f"/api/v1/namespaces/{namespace}/events", fieldSelector=selector).get("items") or []
    except (ApiError, UnreachableError):
        return []
    newest: dict[str, str] = {}
    for event in sorted(events, key=lambda e: str(e.get("lastTimestamp") or e.get("eventTime") or "")):
        newest[str(event.get("reason"))] = str(event.get("message") or "").strip()
    return [f"[{reason}] {message}" for reason, message in newest.items()]


def _crash_output(cluster: Cluster, pod: Mapping[str, Any]) -> list[str]:
    found = []
    path = f"/api/v1/namespaces/{objects.namespace_of(pod)}/pods/{objects.name_of(pod)}/log"
    for container in crashed_containers(pod):
        for previous in ("true", "false"):
            try:
                log = cluster.api.text(path, container=container, previous=previous, tailLines=str(LOG_LINES)).strip()
            except (ApiError, UnreachableError):
                continue
            if log and not log.startswith(_NO_LOG):
                found.append(f"last output of container {container!r}:\n{log}")
                break
    return found
