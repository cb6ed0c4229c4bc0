"""A group in words, and as the documents of `--json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from canary.exit_codes import ExitCode
from canary.rollout.documents import document
from canary.rollout.words import headline
from rollout.record import Phase

if TYPE_CHECKING:
    from canary.rollout.group_place import GroupPlace
    from rollout.group_record import GroupRecord
    from rollout.record import Record


def group_headline(group: GroupRecord) -> str:
    """Return where a group is: `checkout-3: articles, web-api, frontend, step 2 of 3`."""
    reason = ""
    if group.ended is not None:
        reason = f": {group.ended.member}: {group.ended.reason}" if group.ended.member else f": {group.ended.reason}"
    text = {
        Phase.PENDING: "before its first step",
        Phase.PROGRESSING: f"step {min(group.step + 1, group.steps)} of {group.steps}",
        Phase.COMPLETED: "completed",
        Phase.CLOSED: "completed and closed",
        Phase.ABORTING: f"going back{reason}",
        Phase.ABORTED: f"aborted{reason}",
        Phase.UNDOING: f"going back{reason}",
        Phase.UNDONE: f"undone{reason}",
    }[group.phase]
    return f"{group.id}: {', '.join(group.services)}: {text}"


def group_code(group: GroupRecord) -> ExitCode:
    """Return the exit code of a group that has ended, or has not."""
    if group.phase in (Phase.COMPLETED, Phase.CLOSED):
        return ExitCode.OK
    return ExitCode.ABORTED if group.phase.goes_back else ExitCode.HELD


def group_document(
    found: GroupPlace, group: GroupRecord | None, records: Mapping[str, Record], said: str = ""
) -> dict[str, Any]:
    """Return the document of a verb on a group; `group` is None before anybody has started it."""
    return {
        "stack": found.place.stack,
        "group": found.name,
        "id": None if group is None else group.id,
        "phase": None if group is None else group.phase.value,
        "step": 0 if group is None else min(group.step + 1, group.steps),
        "steps": None if group is None else group.steps,
        "ended": None if group is None or group.ended is None else group.ended.model_dump(mode="json", by_alias=True),
        "services": [document(found.of(name), record) for name, record in in_order(found, records).items()],
        "said": said,
    }


def in_order(found: GroupPlace, records: Mapping[str, Record]) -> dict[str, Record]:
    """Return the records in the group's order, a callee first."""
    return {one.service: records[one.service] for one in found.group.members if one.service in records}


def member_lines(found: GroupPlace, records: Mapping[str, Record]) -> list[str]:
    """Return a line for each service of a group."""
    return [f"  {headline(record)}" for record in in_order(found, records).values()]
