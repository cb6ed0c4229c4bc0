"""Where a service's rollout is kept: ConfigMaps beside the service, written by compare-and-swap on resourceVersion.

| ConfigMap | content |
|---|---|
| `istio-canary-rollout-<service>` | the record; its phase and the barred versions as text, for an admission policy |
| `istio-canary-rollout-<service>-routes-<hash>` | each step's routes, immutable, there before a record names them |
| `istio-canary-rollout-<service>-log` | the last decisions with their numbers |

The first has the label `istio-canary/rollout: <service>`, the others `istio-canary/rollout-of: <service>`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kube.conflicts import CONFLICT, NOT_FOUND, ConflictError, conflicts
from kube.objects import find
from kube.server_clock import ServerClock
from rollout.record import FIELD_MANAGER, Record, RecordError
from rollout.stored_routes import Routes, StoredRoutesError, changed, decoded, digest_of, encoded

if TYPE_CHECKING:
    from lightkube import Client

__all__ = [
    "LABEL",
    "ConflictError",
    "NameTakenError",
    "RolloutStore",
    "Stored",
    "StoredRoutesError",
    "barred_versions",
    "name_of",
    "routes_name",
]

LABEL = "istio-canary/rollout"
"""Label of the records, whose value is the service."""
PART_LABEL = "istio-canary/rollout-of"
"""Label of the ConfigMaps beside a record: no admission policy must take them for one."""
ROUTES = "-routes-"
"""Between a record's name and the hash of its routes."""
RECORD, PHASE, BARRED, DECISIONS = "record", "phase", "barred", "decisions"
LOG_LENGTH = 200
LOG_BYTES = 900_000
"""Bytes of the log's decisions: a ConfigMap takes 1 MiB."""
LOG_TRIES = 5


class NameTakenError(Exception):
    """A ConfigMap of this name belongs to another service's rollout: `<service>-log` is the name of a service, too."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A record as it is in the cluster.

    `resource_version` is what the next write must find; `server_time` the API server's clock at the answer (RFC 3339).
    """

    record: Record
    resource_version: str
    server_time: str


def name_of(service: str) -> str:
    """Return the name of a service's record, and of its Lease."""
    return f"istio-canary-rollout-{service}"


def routes_name(service: str, routes: Routes) -> str:
    """Return the name of the ConfigMap with these routes: it is that of a record's plan if they are the same."""
    return f"{name_of(service)}{ROUTES}{digest_of(routes)}"


def barred_versions(record: Record) -> tuple[str, ...]:
    """Return the versions that must get no requests, sorted: those with a bar on the template that they have now."""
    current = {release.version: release.hash for release in (record.from_, record.target)}
    return tuple(sorted({bar.version for bar in record.bars if current.get(bar.version, bar.hash) == bar.hash}))


class RolloutStore:
    """The record, the routes and the log of one service's rollout.

    Every method may raise httpx2.HTTPStatusError and httpx2.TransportError, which `kube.client.query` explains.
    """

    def __init__(self, client: Client, namespace: str, service: str) -> None:
        self._client = client
        self._clock = ServerClock.of(client)
        self.namespace = namespace
        self.service = service
        self.name = name_of(service)

    @property
    def server_time(self) -> str:
        """The API server's clock at its last answer, in RFC 3339's form."""
        return self._clock.of_last_answer()

    def read(self) -> Stored | None:
        """Return the record, None if there is none. Raises RecordError if it cannot be read, and NameTakenError."""
        found = self._find(self.name)
        if found is None:
            return None
        if PART_LABEL in _labels(found):
            raise self._taken(self.name, _labels(found)[PART_LABEL])
        return self._stored(found)

    def record_in(self, found: Any) -> Stored:
        """Return the record in a ConfigMap that was just listed. Raises RecordError if it cannot be read."""
        return self._stored(found)

    def create(self, record: Record) -> Stored:
        """Write the first record of the service. Raises ConflictError if there is one."""
        with conflicts(self._what):
            return self._stored(self._create(self.name, LABEL, {"data": _content(record)}))

    def write(self, record: Record, resource_version: str) -> Stored:
        """Write the record over the one with `resource_version`. Raises ConflictError if that is not there any more."""
        body = {"metadata": {"labels": {LABEL: self.service}}, "data": _content(record)}
        with conflicts(self._what, CONFLICT, NOT_FOUND):
            return self._stored(self._patch(self.name, body, resource_version))

    def write_routes(self, routes: Routes) -> str:
        """Store the routes of all steps, and return the ConfigMap's name; the same routes have the same name.

        Raises StoredRoutesError if they are too large for a ConfigMap.
        """
        import httpx2

        name = routes_name(self.service, routes)
        content = encoded(routes, self.service)
        try:
            self._create(name, PART_LABEL, {**content, "immutable": True})
        except httpx2.HTTPStatusError as error:
            if error.response.status_code != CONFLICT:
                raise
            self.read_routes(name)  # which checks the content of the one that exists
        return name

    def read_routes(self, name: str) -> dict[str, Any]:
        """Return the routes in the ConfigMap `name`, by step and VirtualService.

        Raises StoredRoutesError if it does not exist, or has not the content that its name tells.
        """
        found = self._find(name)
        if found is None:
            raise changed(f"{self.namespace}/{name}", "it does not exist")
        return decoded(name, found.data or {}, found.binaryData or {})

    def delete_routes(self, keep: str | None = None) -> None:
        """Delete the stored routes of earlier rollouts: all but those in the ConfigMap `keep`."""
        from lightkube.resources.core_v1 import ConfigMap

        for item in list(self._client.list(ConfigMap, namespace=self.namespace, labels={PART_LABEL: self.service})):
            name = item.metadata.name if item.metadata is not None else None
            if name and name.startswith(f"{self.name}{ROUTES}") and name != keep:
                self._client.delete(ConfigMap, name, namespace=self.namespace)

    def log(self, decision: Mapping[str, Any]) -> None:
        """Add a decision to the log, which keeps the last ones (LOG_LENGTH). Raises ConflictError after LOG_TRIES."""
        for _ in range(LOG_TRIES - 1):
            try:
                return self._log(decision)
            except ConflictError:
                continue
        return self._log(decision)

    def read_log(self) -> list[dict[str, Any]]:
        """Return the last decisions, the oldest first; a line that somebody has damaged is left out."""
        found = self._find_log()
        return [] if found is None else list(_decisions(_lines(found)))

    def _log(self, decision: Mapping[str, Any]) -> None:
        name, line = f"{self.name}-log", json.dumps(decision, separators=(",", ":"))
        found = self._find_log()
        with conflicts(f"the log of {self.service}", CONFLICT, NOT_FOUND):
            if found is None:
                self._create(name, PART_LABEL, {"data": {DECISIONS: line}})
            else:
                text = _last_lines([*_lines(found), line])
                self._patch(name, {"data": {DECISIONS: text}}, found.metadata.resourceVersion)

    def _find_log(self) -> Any:
        name = f"{self.name}-log"
        found = self._find(name)
        if found is not None and LABEL in _labels(found):
            raise self._taken(name, _labels(found)[LABEL])
        return found

    def _stored(self, found: Any) -> Stored:
        text = (found.data or {}).get(RECORD)
        try:
            if text is None:
                raise RecordError("it has no key `record`")
            record = Record.from_json(text)
        except RecordError as error:
            raise RecordError(
                f"{self._what}: {error}\n"
                "    fix:  use the version of canary that wrote it; or, if it is damaged, look at the route "
                "(`canary status`), then delete the ConfigMap: the next `canary up` keeps the weights and begins anew"
            ) from None
        version = str(found.metadata.resourceVersion)
        return Stored(record=record, resource_version=version, server_time=self.server_time)

    @property
    def _what(self) -> str:
        return f"the record of the rollout of {self.service} (ConfigMap {self.namespace}/{self.name})"

    def _taken(self, name: str, other: str) -> NameTakenError:
        return NameTakenError(
            f"the ConfigMap {self.namespace}/{name} belongs to the rollout of the service {other}, so that "
            f"{self.service} can have none\n    fix:  put the two services into different namespaces, or rename one"
        )

    def _find(self, name: str) -> Any:
        from lightkube.resources.core_v1 import ConfigMap

        return find(self._client, ConfigMap, name, self.namespace)

    def _create(self, name: str, label: str, content: Mapping[str, Any]) -> Any:
        from lightkube.resources.core_v1 import ConfigMap

        metadata = {"name": name, "namespace": self.namespace, "labels": {label: self.service}}
        item: Any = ConfigMap.from_dict({"metadata": metadata, **content})
        return self._client.create(item, field_manager=FIELD_MANAGER)

    def _patch(self, name: str, body: Mapping[str, Any], resource_version: str) -> Any:
        """Patch rather than replace: labels and annotations of others stay."""
        from lightkube.resources.core_v1 import ConfigMap
        from lightkube.types import PatchType

        metadata = {**body.get("metadata", {}), "resourceVersion": resource_version}
        return self._client.patch(
            ConfigMap,
            name,
            {**body, "metadata": metadata},
            namespace=self.namespace,
            patch_type=PatchType.MERGE,
            field_manager=FIELD_MANAGER,
        )


def _content(record: Record) -> dict[str, str]:
    return {RECORD: record.to_json(), PHASE: record.phase.value, BARRED: ",".join(barred_versions(record))}


def _labels(found: Any) -> Mapping[str, str]:
    return found.metadata.labels or {}


def _lines(found: Any) -> list[str]:
    return str((found.data or {}).get(DECISIONS, "")).splitlines()


def _decisions(lines: list[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            continue


def _last_lines(lines: list[str]) -> str:
    """The last lines, as many as the log keeps and a ConfigMap takes."""
    kept: list[str] = []
    size = 0
    for line in reversed(lines[-LOG_LENGTH:]):
        size += len(line.encode()) + 1
        if size > LOG_BYTES and kept:
            break
        kept.append(line)
    return "\n".join(reversed(kept))
