"""Groups of a stack's services as records and commands take them."""

from __future__ import annotations

from rollout.group_members import GroupMember, PlannedGroup
from stacks.settings.model import Settings


def group_of(settings: Settings, service: str) -> PlannedGroup | None:
    """Return the group of a service of loaded settings; None if it is rolled out alone."""
    name = next((name for name, group in settings.rollout_groups.items() if service in group.services), None)
    return None if name is None else group_named(settings, name)


def group_named(settings: Settings, name: str) -> PlannedGroup | None:
    """Return the group of this name; None if there is none."""
    group = settings.rollout_groups.get(name)
    if group is None:
        return None
    members = tuple(GroupMember(service=one, namespace=settings.services[one].namespace) for one in group.services)
    return PlannedGroup(name=name, members=members)
