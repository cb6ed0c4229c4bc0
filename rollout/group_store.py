"""Where a group's record is kept: a ConfigMap beside its first service, written by compare-and-swap.

`istio-canary-rollout-group-<name>`, with the label `istio-canary/rollout-group: <name>`. It has none of the labels of a
service's record: an admission policy takes those for the records of services.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kube.conflicts import CONFLICT, NOT_FOUND, conflicts
from kube.objects import find
from kube.server_clock import ServerClock
from rollout.group_members import GroupMember, PlannedGroup
from rollout.group_record import GroupRecord, RolledMember
from rollout.record import FIELD_MANAGER, Record, RecordError
from rollout.store import LABEL, PHASE, RECORD, RolloutStore, name_of

if TYPE_CHECKING:
    from lightkube import Client

GROUP_LABEL = "istio-canary/rollout-group"


@dataclass(frozen=True, kw_only=True)
class StoredGroup:
    """A group's record as it is in the cluster; `resource_version` is what the next write must find."""

    group: GroupRecord
    resource_version: str
    server_time: str


def lease_of(group: str) -> str:
    """Return what names the Lease of a group, in place of a service: that of a service has its own name."""
    return f"group-{group}"


def group_name(group: str) -> str:
    """Return the name of a group's record, and of its Lease."""
    return name_of(lease_of(group))


class GroupStore:
    """The record of one group. Every method may raise httpx2's errors, which `kube.client.query` explains."""

    def __init__(self, client: Client, namespace: str, group: str) -> None:
        self._client = client
        self._clock = ServerClock.of(client)
        self.namespace = namespace
        self.group = group
        self.name = group_name(group)

    def read(self) -> StoredGroup | None:
        """Return the record, None if there is none. Raises RecordError if it cannot be read."""
        from lightkube.resources.core_v1 import ConfigMap

        found = find(self._client, ConfigMap, self.name, self.namespace)
        return None if found is None else self.record_in(found)

    def create(self, group: GroupRecord) -> StoredGroup:
        """Write the first record of the group. Raises ConflictError if there is one."""
        from lightkube.resources.core_v1 import ConfigMap

        metadata = {"name": self.name, "namespace": self.namespace, "labels": {GROUP_LABEL: self.group}}
        item: Any = ConfigMap.from_dict({"metadata": metadata, "data": _content(group)})
        with conflicts(self._what):
            return self.record_in(self._client.create(item, field_manager=FIELD_MANAGER))

    def write(self, group: GroupRecord, resource_version: str) -> StoredGroup:
        """Write the record over the one with `resource_version`. Raises ConflictError if that is not there any more."""
        from lightkube.resources.core_v1 import ConfigMap
        from lightkube.types import PatchType

        body = {
            "metadata": {"labels": {GROUP_LABEL: self.group}, "resourceVersion": resource_version},
            "data": _content(group),
        }
        with conflicts(self._what, CONFLICT, NOT_FOUND):
            found = self._client.patch(
                ConfigMap,
                self.name,
                body,
                namespace=self.namespace,
                patch_type=PatchType.MERGE,
                field_manager=FIELD_MANAGER,
            )
            return self.record_in(found)

    def record_in(self, found: Any) -> StoredGroup:
        """Return the record in a ConfigMap that was read. Raises RecordError if it is none of a group."""
        labels = found.metadata.labels or {}
        text = (found.data or {}).get(RECORD)
        if LABEL in labels:
            raise RecordError(
                f"{self._what} belongs to the rollout of the service {labels[LABEL]}\n"
                "    fix:  rename the group (istio-canary:rolloutGroups), and run `canary up`"
            )
        if text is None:
            raise RecordError(f"{self._what}: it has no key `record`")
        try:
            group = GroupRecord.from_json(text)
        except RecordError as error:
            raise RecordError(
                f"{self._what}: {error}\n"
                "    fix:  use the version of canary that wrote it; or, if it is damaged, delete the ConfigMap: "
                "`canary rollout start` of the group goes on from where its services are"
            ) from None
        version = str(found.metadata.resourceVersion)
        return StoredGroup(group=group, resource_version=version, server_time=self._clock.of_last_answer())

    @property
    def _what(self) -> str:
        return f"the record of the group {self.group} (ConfigMap {self.namespace}/{self.name})"


def records_of(client: Client, members: Iterable[GroupMember | RolledMember]) -> dict[str, Record]:
    """Return the records of members by service; those that have none are left out. Raises what `RolloutStore` does."""
    found: dict[str, Record] = {}
    for member in members:
        stored = RolloutStore(client, member.namespace, member.service).read()
        if stored is not None:
            found[member.service] = stored.record
    return found


def planned_group(group: GroupRecord) -> PlannedGroup:
    """Return the group of a group's record, as its services' records name it."""
    members = tuple(GroupMember(service=one.service, namespace=one.namespace) for one in group.members)
    return PlannedGroup(name=group.name, members=members)


def group_in(client: Client, namespace: str, name: str) -> PlannedGroup | None:
    """Return the group of this name that a service's record in the namespace names; None if none does.

    For commands without a stack's file.
    """
    from lightkube.resources.core_v1 import ConfigMap

    for item in list(client.list(ConfigMap, namespace=namespace, labels={LABEL: None})):
        try:
            record = Record.from_json((item.data or {}).get(RECORD, ""))
        except RecordError:
            continue
        if record.plan.group is not None and record.plan.group.name == name:
            return record.plan.group
    return None


def _content(group: GroupRecord) -> dict[str, str]:
    return {RECORD: group.to_json(), PHASE: group.phase.value}
