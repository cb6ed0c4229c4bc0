"""What a runner of many rollouts finds in its namespaces: the records of services and of groups, one bad one beside
the others.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from kube.server_clock import ServerClock
from rollout.group_record import GroupRecord
from rollout.group_store import GROUP_LABEL, GroupStore, StoredGroup, group_name
from rollout.group_verbs import RUNNING
from rollout.record import Record, RecordError
from rollout.store import LABEL, RolloutStore, Stored, name_of

if TYPE_CHECKING:
    from lightkube import Client

logger = logging.getLogger(__name__)


class Service(NamedTuple):
    """A service by its namespace and name."""

    namespace: str
    name: str

    @property
    def kind(self) -> str:
        """What it is, in a document."""
        return "service"

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Group:
    """A group by the namespace of its record and its name, which a service may have, too."""

    namespace: str
    name: str

    @property
    def kind(self) -> str:
        """What it is, in a document."""
        return "group"

    def __str__(self) -> str:
        return f"{self.namespace}/group {self.name}"


@dataclass(frozen=True, kw_only=True)
class FoundGroup:
    """A group: its record, None if it has none, and the records of its services, by service.

    `services` are all that it may be about: the members of its record, and those that a service's record names.
    """

    name: Group
    group: GroupRecord | None
    records: Mapping[str, Record]
    services: frozenset[Service]

    @property
    def mark(self) -> object:
        """What changes with every write of one of its records."""
        return group_mark(self.group, self.records)

    def moved(self, *, begins: bool) -> frozenset[Service]:
        """Return the services that a run of the group moves; if it `begins`, those whose rollouts are to be moved."""
        rollouts = set() if self.group is None else {one.rollout for one in self.group.members}
        return frozenset(
            Service(one.namespace, one.service)
            for one in self.records.values()
            if (one.phase in RUNNING if begins else one.id in rollouts)
        )


@dataclass
class Found:
    """What one reading has found: the records, and what could not be read, in words by namespace, service or group."""

    records: dict[Service, Stored] = field(default_factory=dict)
    stored_groups: dict[Group, StoredGroup] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)

    def groups(self) -> Iterator[FoundGroup]:
        """Yield the groups that have a record, or that records of services name; without those that cannot be read."""
        services: dict[Group, set[Service]] = {}
        records: dict[Group, dict[str, Record]] = {name: {} for name in self.stored_groups}
        for service, stored in self.records.items():
            planned = stored.record.plan.group
            if planned is not None:
                name = Group(planned.namespace, planned.name)
                services.setdefault(name, set()).update(Service(one.namespace, one.service) for one in planned.members)
                records.setdefault(name, {})[service.name] = stored.record
        for name, of_group in records.items():
            group = self.stored_groups[name].group if name in self.stored_groups else None
            members = () if group is None else tuple(Service(one.namespace, one.service) for one in group.members)
            of_group |= {one.name: self.records[one].record for one in members if one in self.records}
            known = frozenset({*services.get(name, ()), *members})
            if not self.broken.keys() & {str(name), name.namespace, *(one.namespace for one in known)}:
                yield FoundGroup(name=name, group=group, records=of_group, services=known)


def group_mark(group: GroupRecord | None, records: Mapping[str, Record]) -> object:
    """Return what changes with every write of a group's record, or of that of a member."""
    members = records if group is None else {one: records[one] for one in group.services if one in records}
    own = 0 if group is None else group.generation
    return own, frozenset((service, one.generation) for service, one in members.items())


class RecordsReader:
    """Reads the records of `namespaces`, again and again; what has not changed is not parsed again.

    It says once what cannot be read, and once when it can be again.
    """

    def __init__(self, client: Client, namespaces: Sequence[str]) -> None:
        self._client = client
        self._namespaces = namespaces
        self._server = ServerClock.of(client)
        self._last = Found()

    def read(self) -> Found:
        """Return what is there now. Raises only what is none of the API server's answers."""
        found = Found()
        for namespace in self._namespaces:
            try:
                self._read_groups(namespace, found)
                self._read_services(namespace, found)
            except Exception as error:
                if not is_no_answer(error):
                    raise
                found.broken[namespace] = f"its records cannot be read: {one_line(error)}"
        self._tell_broken(found)
        self._last = found
        return found

    def _read_services(self, namespace: str, found: Found) -> None:
        for name, item in self._listed(namespace, LABEL):
            if item.metadata.name != name_of(name):
                continue
            service = Service(namespace, name)
            try:
                known = self._last.records.get(service)
                if known is not None and known.resource_version == str(item.metadata.resourceVersion):
                    found.records[service] = replace(known, server_time=self._server.of_last_answer())
                else:
                    found.records[service] = RolloutStore(self._client, *service).record_in(item)
            except RecordError as error:
                found.broken[str(service)] = one_line(error)

    def _read_groups(self, namespace: str, found: Found) -> None:
        for name, item in self._listed(namespace, GROUP_LABEL):
            if item.metadata.name != group_name(name):
                continue
            group = Group(namespace, name)
            try:
                known = self._last.stored_groups.get(group)
                if known is None or known.resource_version != str(item.metadata.resourceVersion):
                    known = GroupStore(self._client, namespace, name).record_in(item)
                found.stored_groups[group] = known
            except RecordError as error:
                found.broken[str(group)] = one_line(error)

    def _listed(self, namespace: str, label: str) -> Iterator[tuple[str, Any]]:
        """What a label names, and the ConfigMap that has it."""
        from lightkube.resources.core_v1 import ConfigMap

        labels: dict[str, Any] = {label: None}
        for item in self._client.list(ConfigMap, namespace=namespace, labels=labels):
            if item.metadata is not None:
                yield (item.metadata.labels or {}).get(label, ""), item

    def _tell_broken(self, found: Found) -> None:
        for where, text in found.broken.items():
            if self._last.broken.get(where) != text:
                logger.warning("%s: %s", where, text)
        for where in self._last.broken.keys() - found.broken.keys():
            logger.info("%s: can be read again", where)


def is_no_answer(error: Exception) -> bool:
    """Whether the API server did not answer, or refused: the next reading may be better."""
    import httpx2

    from kube.server_clock import ServerTimeUnknownError

    return isinstance(error, (httpx2.HTTPError, OSError, TimeoutError, ServerTimeUnknownError))


def one_line(error: Exception) -> str:
    """Return what an error says, in one line, without httpx's link to an explanation."""
    from kube.client import MORE_INFORMATION

    return " ".join(str(error).partition(MORE_INFORMATION)[0].split())
