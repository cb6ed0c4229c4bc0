"""The pods of a rollout's two versions: how many are ready, for how long none is, and why they are not.

A ready pod is an endpoint of the service that its EndpointSlices call ready: that is what Envoys send requests to.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kube.endpoints import OF_SERVICE, is_ready
from kube.pods import reasons_of_unready
from rollout.decision import PodStart
from rollout.record import Record
from traffic.model import version_label

if TYPE_CHECKING:
    from lightkube import Client

LONGEST_REASONS = 600
"""Characters of the pods' reasons: they are kept in the record."""

REASONS_SECONDS = 5.0
"""How long the reasons count: they take several requests for each pod."""


RESTARTS_EVERY = 5.0
"""Seconds after which pods are listed anyhow: a container that starts at once again is ready all the time."""


PodKey = tuple[str, str | None]
"""Name and uid of an endpoint's pod: one that is made anew may have the same name."""


@dataclass(frozen=True, kw_only=True)
class PodsSeen:
    """For the fields of `Facts` with these names, and `pods_text`: why pods of `to` are not ready, empty if all are.

    `started` are the ready pods of both versions, and since when they are.
    """

    ready_to: int
    ready_from: int
    to_unready_seconds: float
    pods_text: str
    started: tuple[PodStart, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _ReadyPod:
    """A ready pod with its label `version`; `restarts` tells a container that is new from one that was not ready."""

    name: str
    label: str
    ready_at: str | None
    restarts: int

    def since_before(self, before: _ReadyPod | None) -> _ReadyPod:
        """Return the pod, ready since it was first seen: one that was not ready for a while is not new."""
        is_same = before is not None and before.restarts == self.restarts and before.ready_at is not None
        return replace(self, ready_at=before.ready_at) if before is not None and is_same else self


class PodsLook:
    """Looks at the pods of one service's rollout, again and again.

    `clock` returns seconds that only grow. For how long no pod of `to` has been ready is counted from the first look
    that saw none; one that failed says nothing, so that the time begins anew.
    """

    def __init__(
        self, client: Client, namespace: str, service: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._service = service
        self._clock = clock
        self._none_since: float | None = None
        self._known: dict[PodKey, _ReadyPod] = {}
        self._ready_before: frozenset[PodKey] = frozenset()
        self._listed_at: float | None = None
        self._reasons: tuple[float, str] | None = None

    def look(self, record: Record, needed: int = 1) -> PodsSeen:
        """Return what is seen now. Reasons are looked for while fewer pods of `to` than `needed` are ready."""
        since, self._none_since = self._none_since, None
        ready = self._ready()
        now = self._clock()
        labels = [version_label(self._service, one.version) for one in (record.target, record.from_)]
        to, before = (sum(one.label == label for one in ready) for label in labels)
        if to == 0:
            self._none_since = now if since is None else since
        return PodsSeen(
            ready_to=to,
            ready_from=before,
            to_unready_seconds=0.0 if self._none_since is None else now - self._none_since,
            pods_text=self._text(labels[0], now) if to < max(needed, 1) else "",
            started=tuple(
                PodStart(version=version, pod=one.name, ready_at=one.ready_at)
                for label, version in zip(labels, (record.target.version, record.from_.version), strict=True)
                for one in ready
                if one.label == label and one.ready_at is not None
            ),
        )

    def _ready(self) -> list[_ReadyPod]:
        """The ready pods. They are listed, which takes longer than all else, for new ones, and every few seconds.

        A pod that is deleted is no ready endpoint any more; one whose container is restarted is mostly none a while.
        """
        endpoints = ready_endpoints(_slices(self._client, self._namespace, self._service))
        is_late = self._listed_at is None or self._clock() - self._listed_at >= RESTARTS_EVERY
        if is_late or not endpoints <= self._ready_before or not endpoints <= self._known.keys():
            self._listed_at = self._clock()
            found = {pod.name: pod for pod in _ready_pods(_pods(self._client, self._namespace, self._service))}
            before = {one: pod for one, pod in self._known.items() if one[0] in found}
            now = {one: found[one[0]].since_before(before.get(one)) for one in endpoints if one[0] in found}
            self._known = {**before, **now}
        self._ready_before = endpoints
        return [self._known[one] for one in endpoints if one in self._known]

    def _text(self, label: str, now: float) -> str:
        if self._reasons is None or now - self._reasons[0] >= REASONS_SECONDS:
            self._reasons = (now, why_unready(self._client, self._namespace, self._service, label))
        return self._reasons[1]


def ready_pods(client: Client, namespace: str, service: str) -> dict[str, frozenset[str]]:
    """Return the names of the ready pods of a service by their label `version`."""
    labels = _labels(_pods(client, namespace, service))
    found: dict[str, set[str]] = {}
    for name in ready_names(_slices(client, namespace, service)):
        if name in labels:
            found.setdefault(labels[name], set()).add(name)
    return {label: frozenset(names) for label, names in found.items()}


def ready_endpoints(slices: Iterable[Any]) -> frozenset[PodKey]:
    """Return the pods that are ready endpoints; one with two addresses is in two slices."""
    return frozenset(
        (endpoint.targetRef.name, endpoint.targetRef.uid)
        for one in slices
        for endpoint in one.endpoints or ()
        if endpoint.targetRef is not None and endpoint.targetRef.kind == "Pod" and is_ready(endpoint)
    )


def ready_names(slices: Iterable[Any]) -> frozenset[str]:
    """Return the names of the pods that are ready endpoints."""
    return frozenset(name for name, _ in ready_endpoints(slices))


def _slices(client: Client, namespace: str, service: str) -> list[Any]:
    from lightkube.resources.discovery_v1 import EndpointSlice

    return list(client.list(EndpointSlice, namespace=namespace, labels={OF_SERVICE: service}))


def _pods(client: Client, namespace: str, service: str) -> list[Any]:
    from lightkube.resources.core_v1 import Pod

    return list(client.list(Pod, namespace=namespace, labels={"app": service}))


def _labels(pods: Iterable[Any]) -> dict[str, str]:
    """The label `version` of pods by name, without those that end."""
    kept = [pod for pod in pods if pod.metadata.deletionTimestamp is None]
    return {pod.metadata.name: (pod.metadata.labels or {}).get("version", "") for pod in kept}


def _ready_pods(pods: Iterable[Any]) -> Iterator[_ReadyPod]:
    """Pods that do not end, each with when it became ready, or its newest container started if that was later.

    See Kubernetes: PodCondition, ContainerStateRunning.
    """
    for pod in pods:
        if pod.metadata.deletionTimestamp is not None:
            continue
        status = pod.status
        ready = next((one for one in (status and status.conditions) or () if one.type == "Ready"), None)
        containers = (status and status.containerStatuses) or ()
        at = ready.lastTransitionTime if ready is not None and ready.status == "True" else None
        began = [one.state.running.startedAt for one in containers if one.state and one.state.running]
        at = None if at is None else max([at, *filter(None, began)])
        yield _ReadyPod(
            name=pod.metadata.name,
            label=(pod.metadata.labels or {}).get("version", ""),
            ready_at=None if at is None else at.isoformat(),
            restarts=sum(one.restartCount or 0 for one in containers),
        )


def why_unready(client: Client, namespace: str, service: str, label: str) -> str:
    """Return why pods with this label `version` are not ready, or are not there, in one line."""
    import httpx2

    lines: list[str] = []
    try:
        lines.extend(_reasons(client, namespace, service, label))
    except httpx2.HTTPStatusError as error:
        lines.append(f"reasons cannot be read: HTTP {error.response.status_code}")
    text = "; ".join(" ".join(line.split()) for line in lines)
    return text if len(text) <= LONGEST_REASONS else f"{text[: LONGEST_REASONS - 1]}…"


def _reasons(client: Client, namespace: str, service: str, label: str) -> Iterator[str]:
    from lightkube.resources.core_v1 import Pod

    pods: list[Any] = list(client.list(Pod, namespace=namespace, labels={"app": service, "version": label}))
    deployments = deployments_of(client, namespace, service, label)
    if not deployments:
        yield f"there is no Deployment of {label}"
    for deployment in deployments:
        yield from why_not_created(deployment)
    yield from reasons_of_unready(client, [pod for pod in pods if pod.metadata.deletionTimestamp is None])


def why_not_created(deployment: Any) -> Iterator[str]:
    """Yield why a Deployment has fewer pods than it wants, such as a quota (Kubernetes: DeploymentCondition)."""
    if deployment.spec.replicas == 0:
        yield f"Deployment {deployment.metadata.name}: 0 replicas"
    for condition in (deployment.status.conditions if deployment.status else None) or ():
        if condition.type == "ReplicaFailure" and condition.status == "True":
            yield f"Deployment {deployment.metadata.name}: {condition.message or condition.reason}"


def deployments_of(client: Client, namespace: str, service: str, label: str) -> list[Any]:
    """Return the Deployments whose pods have the labels `app: <service>` and `version: <label>`."""
    from lightkube.resources.apps_v1 import Deployment

    found: list[Any] = list(client.list(Deployment, namespace=namespace))
    return [one for one in found if {"app": service, "version": label}.items() <= _pod_labels(one).items()]


def _pod_labels(deployment: Any) -> Mapping[str, str]:
    metadata = deployment.spec.template.metadata
    return (metadata.labels if metadata else None) or {}
