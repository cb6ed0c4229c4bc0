"""The record of a group: services whose rollouts go forward together, by one verdict, and back together.

It decides, and the records of the members follow: the group's step is written before any member goes to it, and its
abort before any member goes back. Like a member's record it is written by compare-and-swap, and never by this module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from rollout.decision import phase_text
from rollout.group_members import GroupMember, PlannedGroup
from rollout.planned import PlannedStep
from rollout.record import LONGEST_HISTORY, NOT_STARTED, EventType, KeptRecord, Phase, Record, Stage
from traffic.fields import Model


class RolledMember(Model):
    """A member of the group, and the id of its rollout: one that begins anew is none of this group's any more."""

    service: str
    namespace: str
    rollout: str


class GroupCause(Model):
    """The event of a member for which a group goes back."""

    type: EventType
    text: str
    data: dict[str, Any] = Field(default_factory=dict)


class GroupEnded(Model):
    """How a group goes back, or went: `member` is the service for which it does, None if a person asked for it."""

    kind: Literal["aborted", "undone"]
    reason: str
    by: str
    at: str
    member: str | None = None
    cause: GroupCause | None = None


class GroupEntry(Model):
    """One change of the group's record, for people."""

    generation: int
    at: str
    by: str
    type: EventType
    step: int
    text: str


class GroupRecord(KeptRecord):
    """The state of a group.

    `members` are in the order in which they go forward: a callee first. `step` is the last one that was decided on; one
    after the last step is the end. `generation` counts every write.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    name: str
    namespace: str
    id: str
    generation: Annotated[int, Field(ge=0)] = 1
    members: Annotated[tuple[RolledMember, ...], Field(min_length=1)]
    steps: Annotated[int, Field(ge=1)]
    phase: Phase = Phase.PENDING
    step: int = NOT_STARTED
    created_at: str
    ended_at: str | None = None
    holder: str | None = None
    ended: GroupEnded | None = None
    history: tuple[GroupEntry, ...] = ()

    @property
    def services(self) -> tuple[str, ...]:
        """The services of the members, a callee first."""
        return tuple(member.service for member in self.members)


def next_group(group: GroupRecord, kind: EventType, text: str, by: str, at: str, **changes: Any) -> GroupRecord:
    """Return the record after one more write, which its history tells."""
    changed = group.model_copy(update=changes)
    generation = group.generation + 1
    entry = GroupEntry(generation=generation, at=at, by=by, type=kind, step=changed.step, text=text)
    history = (*changed.history, entry)[-LONGEST_HISTORY:]
    return changed.model_copy(update={"generation": generation, "history": history})


def settled_step(record: Record) -> int:
    """Return the last step whose weights stand at every Envoy; one after the last step once it is completed."""
    if record.phase in (Phase.COMPLETED, Phase.CLOSED):
        return len(record.plan.steps)
    if record.step == NOT_STARTED:
        return NOT_STARTED
    return record.step if record.stage is Stage.OBSERVING else record.step - 1


def planned_of(records: Mapping[str, Record]) -> PlannedGroup:
    """Return the group that the records of its services name; that of the newest one if they differ."""
    named = [record for record in records.values() if record.plan.group is not None]
    newest = max(named, key=lambda record: record.created_at)
    assert newest.plan.group is not None
    return newest.plan.group


def different_steps(records: Sequence[Record]) -> str:
    """Return in words why these rollouts cannot go step by step together; empty if they can."""
    first = records[0]
    for other in records[1:]:
        if _steps(first.plan.steps) != _steps(other.plan.steps):
            return (
                f"{first.service} has the steps {_words(first.plan.steps)}, "
                f"and {other.service} {_words(other.plan.steps)}"
            )
    return ""


def at_text(record: Record) -> str:
    """Return where a member is, for the words of a group: `articles: step 2 of 5`."""
    return f"{record.service}: {phase_text(record)}"


def _steps(steps: Sequence[PlannedStep]) -> list[tuple[float, float, bool]]:
    return [(step.weight, step.hold_seconds, step.approve) for step in steps]


def _words(steps: Sequence[PlannedStep]) -> str:
    return ", ".join(
        f"{step.weight:g} %" + (f" for {step.hold_seconds:g} s" if step.hold_seconds else "") for step in steps
    )


__all__ = [
    "GroupCause",
    "GroupEnded",
    "GroupEntry",
    "GroupMember",
    "GroupRecord",
    "PlannedGroup",
    "RolledMember",
    "at_text",
    "different_steps",
    "next_group",
    "planned_of",
    "settled_step",
]
