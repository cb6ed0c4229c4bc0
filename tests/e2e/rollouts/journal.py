"""Everything that is written of rollouts while a test runs: records and routes, in the order of the API server.

Both are watched, and put in order by their resourceVersions: these are etcd's revisions, one count for all kinds. So a
journal is complete and exact, where looking now and then would miss what stands for some milliseconds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from lightkube import Client
from lightkube.resources.core_v1 import ConfigMap
from lightkube.resources.discovery_v1 import EndpointSlice

from kube.objects import kind_of
from rollout.capacity import ready_names
from rollout.observed_routes import ISTIO_API
from rollout.record import ANNOTATION, Record
from rollout.routes import owner_of_http
from rollout.store import LABEL, RECORD

Weights = Mapping[str, float]
"""Percent of a service's requests by subset."""


@dataclass(frozen=True, kw_only=True)
class RecordWrite:
    """A record as somebody wrote it; `at` is when this process heard of it, by this machine's clock."""

    revision: int
    at: datetime
    record: Record


@dataclass(frozen=True, kw_only=True)
class RouteWrite:
    """A VirtualService as somebody wrote it: the weights of its last rule, which has no match."""

    revision: int
    at: datetime
    service: str
    weights: Weights
    annotation: str | None
    owner: str | None


@dataclass(frozen=True, kw_only=True)
class PodsWrite:
    """The ready pods of a service, of all its versions, by the names of their Deployments' pods."""

    revision: int
    at: datetime
    service: str
    ready: frozenset[str]

    def of(self, version: str) -> int:
        """Return how many of a version are ready: its Deployment is named `<service>-<version>`."""
        return sum(name.startswith(f"{self.service}-{version}-") for name in self.ready)


Write = RecordWrite | RouteWrite | PodsWrite


@dataclass
class Journal:
    """The writes of all services of a namespace, as far as they are known."""

    _writes: list[Write] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def add(self, write: Write) -> None:
        """Keep one more write, and wake up who waits for it."""
        with self._changed:
            self._writes.append(write)
            self._changed.notify_all()

    def of(self, service: str) -> list[Write]:
        """Return the writes of one service, in the order of the API server."""
        with self._changed:
            return sorted((one for one in self._writes if _service(one) == service), key=lambda one: one.revision)

    def records(self, service: str) -> list[Record]:
        """Return the records of one service, in their order."""
        return [one.record for one in self.of(service) if isinstance(one, RecordWrite)]

    def last(self, service: str) -> Record | None:
        """Return a service's record as it was written last."""
        return next(reversed(self.records(service)), None)

    def wait_for(self, service: str, condition: Callable[[Record], bool], seconds: float) -> Record | None:
        """Wait until the last record of a service is as asked; return it, or None after `seconds`."""

        def met() -> Record | None:
            record = self.last(service)
            return record if record is not None and condition(record) else None

        with self._changed:
            found = self._changed.wait_for(met, seconds)
        return found if isinstance(found, Record) else None


@contextmanager
def journal(connect: Callable[[], Client], namespace: str) -> Iterator[Journal]:
    """Watch records, VirtualServices and EndpointSlices of a namespace while the block runs.

    Fails with what ended a watch before that. `connect` makes a client for each watch: threads that share one get each
    other's answers. They are not closed at the end, since their threads read from them until the process ends: the next
    connection would get the number of the closed socket, and the thread would read from that.
    """
    kept, ended = Journal(), threading.Event()
    problems: list[Exception] = []

    def watch(kind: Any, written: Callable[[Any], Write | None]) -> None:
        try:
            for operation, item in connect().watch(kind, namespace=namespace):
                if ended.is_set():
                    return
                write = None if operation == "DELETED" else written(item)
                if write is not None:
                    kept.add(write)
        except Exception as error:  # noqa: BLE001 - of the connection, or of a record that cannot be read
            if not ended.is_set():
                problems.append(error)

    watched: tuple[tuple[Any, Callable[[Any], Write | None]], ...] = (
        (ConfigMap, _record_write),
        (kind_of(ISTIO_API, "VirtualService"), _route_write),
        (EndpointSlice, _pods_write),
    )
    threads = [threading.Thread(target=watch, args=one, daemon=True) for one in watched]
    for thread in threads:
        thread.start()
    try:
        yield kept
    finally:
        ended.set()
    assert not problems, f"the watch ended: {problems}"


def _record_write(item: Any) -> RecordWrite | None:
    if LABEL not in (item.metadata.labels or {}):
        return None
    record = Record.from_json((item.data or {})[RECORD])
    return RecordWrite(revision=int(item.metadata.resourceVersion), at=datetime.now(UTC), record=record)


def _route_write(item: Any) -> RouteWrite:
    found = item.to_dict()
    metadata = found["metadata"]
    return RouteWrite(
        revision=int(metadata["resourceVersion"]),
        at=datetime.now(UTC),
        service=metadata["name"],
        weights=weights_of_last_rule(found),
        annotation=(metadata.get("annotations") or {}).get(ANNOTATION),
        owner=owner_of_http(found),
    )


def _pods_write(item: Any) -> PodsWrite:
    return PodsWrite(
        revision=int(item.metadata.resourceVersion),
        at=datetime.now(UTC),
        service=item.metadata.labels["kubernetes.io/service-name"],
        ready=ready_names([item]),
    )


def weights_of_last_rule(found: Mapping[str, Any]) -> dict[str, float]:
    """Return the weights by subset, without those of 0; a single destination has no weight and gets everything."""
    http: list[Any] = (found.get("spec") or {}).get("http") or [{}]
    routes = http[-1].get("route") or []
    if len(routes) == 1:
        return {routes[0]["destination"]["subset"]: 100.0}
    return {one["destination"]["subset"]: float(one["weight"]) for one in routes if one.get("weight")}


def _service(write: Write) -> str:
    return write.record.service if isinstance(write, RecordWrite) else write.service
