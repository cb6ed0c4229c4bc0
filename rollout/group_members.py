"""Which services are rolled out together: what a member's record says of its group."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from traffic.fields import Model


class GroupMember(Model):
    """A service of a group."""

    service: str
    namespace: str


class PlannedGroup(Model):
    """The group of a service's rollout; its members are in the order in which they go forward: a callee first.

    The group's own record is in the namespace of the first one.
    """

    name: str
    members: Annotated[tuple[GroupMember, ...], Field(min_length=1)]

    @property
    def namespace(self) -> str:
        return self.members[0].namespace
