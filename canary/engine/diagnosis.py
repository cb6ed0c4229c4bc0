"""Why pods did not become ready: scheduling, image, probe, crash output, events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from canary.engine.recovery import RELEASE, plain

if TYPE_CHECKING:
    from lightkube import Client

    from canary.engine.driver import Outcome
    from canary.engine.events import ResourceStep
    from stacks.settings.model import Settings

SECONDS = 8.0
"""Time limit for all requests to the cluster."""
MOST_PODS = 3
LOG_LINES = 5
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
STARTING = ("ContainerCreating", "PodInitializing")


def reasons(settings: Settings, outcome: Outcome, reported: Iterable[str] = ()) -> tuple[str, ...]:
    """Return why pods of the failed Deployments and releases are not ready, without what is already `reported`."""
    failed = [step for step in outcome.record.steps.values() if step.state == "failed"]
    with_pods = [step for step in failed if step.type in (DEPLOYMENT, RELEASE)]
    if not with_pods:
        return ()
    from kube.client import query
    from kube.kubeconfig import ClusterUnreachableError

    try:
        return tuple(
            new_lines(query(settings.cluster, lambda client: list(_all(client, with_pods)), within=SECONDS), reported)
        )
    except ClusterUnreachableError as error:
        return (f"(the state of the pods could not be read: {error.reason})",)


def _all(client: Client, steps: Iterable[ResourceStep]) -> Iterator[str]:
    from lightkube.resources.core_v1 import Pod

    for step in steps:
        inputs = plain(step.new)
        selector = _selector(step, inputs)
        namespace = (inputs.get("metadata") or inputs).get("namespace") or "default"
        pods: list[Any] = list(client.list(Pod, namespace=namespace, labels=selector))
        unready = [pod for pod in pods if not is_ready(pod)]
        if not pods:
            yield f"{step.kind} {step.name}: no pod was created"
        for pod in unready[:MOST_PODS]:
            yield f"pod {pod.metadata.name}:"
            yield from (f"  {line}" for line in of_pod(client, pod))
        if len(unready) > MOST_PODS:
            yield f"and {len(unready) - MOST_PODS} more pods are not ready"


def new_lines(lines: Iterable[str], reported: Iterable[str]) -> Iterator[str]:
    """Yield the lines that are not `reported` yet, each pod's heading only if one of its lines is yielded."""
    known = _words("\n".join(reported))
    heading = ""
    for line in lines:
        if line.startswith("pod ") and line.endswith(":"):
            heading = line
        elif _words(line.strip(" |")) not in known and _words(line.partition(": ")[2] or line) not in known:
            yield from (heading, line) if heading else (line,)
            heading = ""


def _words(text: str) -> str:
    """A text without quotes, brackets and colons, which the provider and this module use differently."""
    return " ".join(text.translate(str.maketrans("[]'\":", "     ")).split())


def _selector(step: ResourceStep, inputs: Mapping[str, Any]) -> dict[str, Any]:
    if step.type == RELEASE:
        return {"app.kubernetes.io/instance": str(inputs.get("name") or step.name)}
    return dict(((inputs.get("spec") or {}).get("selector") or {}).get("matchLabels") or {})


def is_ready(pod: Any) -> bool:
    """Whether a pod is ready."""
    conditions = (pod.status.conditions if pod.status else None) or ()
    return any(entry.type == "Ready" and entry.status == "True" for entry in conditions)


def of_pod(client: Client, pod: Any) -> Iterator[str]:
    """Yield why a pod is not ready, the most specific reason first."""
    for condition in (pod.status.conditions if pod.status else None) or ():
        if condition.type == "PodScheduled" and condition.status == "False":
            yield f"not scheduled: {condition.message}"
    for status in _containers(pod):
        yield from _of_container(client, pod, status)
    yield from _events(client, pod)


def _containers(pod: Any) -> list[Any]:
    status = pod.status
    return [*(status.initContainerStatuses or ()), *(status.containerStatuses or ())] if status else []


def _of_container(client: Client, pod: Any, status: Any) -> Iterator[str]:
    waiting = status.state.waiting if status.state else None
    if waiting is not None and waiting.reason not in STARTING:
        yield f"container {status.name}: {waiting.reason}" + (f": {waiting.message}" if waiting.message else "")
    ended = _ended(status)
    if ended is not None:
        message = f": {ended.message.strip()}" if ended.message else ""
        restarts = f", {status.restartCount} restarts" if status.restartCount else ""
        yield f"container {status.name}: exited with {ended.exitCode} ({ended.reason}{restarts}){message}"
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
