"""A group to test with: services that go from version-1 to version-2 together, a callee first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rollout.group_members import GroupMember, PlannedGroup
from rollout.group_record import GroupRecord
from rollout.group_verbs import begin_group
from rollout.record import Record
from tests.unit.rollout.records import GATES, START, record_of

GROUP = "checkout"
SHOP = ("articles", "web-api", "frontend")


def members_of(
    services: Sequence[str] = SHOP, steps: Sequence[float] = (10, 100), *, gates: bool = False, **keys: Any
) -> list[Record]:
    """The records of a group's members, which have not started."""
    found = []
    planned = PlannedGroup(
        name=GROUP, members=tuple(GroupMember(service=one, namespace="website-istio-ns") for one in services)
    )
    for service in services:
        record = record_of(steps, **({"gates": GATES} if gates else {}), **keys)
        changes = {
            "service": service,
            "id": f"{service}-1",
            "vs_uids": {},
            "plan": record.plan.model_copy(update={"group": planned}),
        }
        found.append(record.model_copy(update=changes))
    return found


def group_of(records: Sequence[Record]) -> GroupRecord:
    """The group's record at its begin."""
    group = begin_group(None, GROUP, {one.service: one for one in records}, "ann", START).group
    assert group is not None
    return group
