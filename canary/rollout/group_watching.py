"""`canary rollout status --watch` of a group: a line for each change of it and of its services, until it has ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from canary.rollout.group_place import GroupPlace
from canary.rollout.group_showing import not_started, read_group, status_document
from canary.rollout.group_words import group_headline
from canary.rollout.reading import RolloutSeen
from canary.rollout.watching import PAUSE, Changes, follow, has_ended, timed_line
from canary.rollout.words import ENDED
from rollout.group_record import GroupRecord

if TYPE_CHECKING:
    from canary.ui import Ui

GroupSeen = tuple[GroupRecord | None, Mapping[str, RolloutSeen]]
"""The group's record, None before anybody has started it, and its services' rollouts."""


@dataclass
class GroupChanges:
    """What is new at each look at a group."""

    found: GroupPlace
    _last: GroupSeen | None = field(default=None, init=False)
    _services: dict[str, Changes] = field(default_factory=dict, init=False)

    def lines(self, group: GroupRecord | None, seen: Mapping[str, RolloutSeen]) -> list[str]:
        """Return a line for each change since the look before, by time; at the first look where all of them are."""
        last, self._last = self._last, (group, seen)
        changed = [
            change
            for name, one in seen.items()
            for change in self._services.setdefault(name, Changes(self.found.of(name))).timed(one)
        ]
        if last is None:
            head = not_started(self.found) if group is None else group_headline(group)
            return [timed_line(at, text) for at, text in ((changed[0][0], head), *changed)]
        found = [*_of_group(last[0], group), *changed]
        return [timed_line(*one) for one in sorted(found, key=lambda one: datetime.fromisoformat(one[0]))]


def watch_group(
    ui: Ui, found: GroupPlace, look: Callable[[GroupPlace], GroupSeen] = read_group, pause: float = PAUSE
) -> None:
    """Print each change of a group and of its services until it has ended; with --json a document on each line.

    Raises CommandError as `watching.watch` does.
    """
    changes = GroupChanges(found)
    follow(
        ui,
        lambda: look(found),
        lambda seen: (changes.lines(*seen), lambda: status_document(found, *seen)),
        lambda seen: group_has_ended(*seen),
        pause,
    )


def group_has_ended(group: GroupRecord | None, seen: Mapping[str, RolloutSeen]) -> bool:
    """Return whether nothing of a group will change any more.

    A group that has ended begins anew with the next rollout of its services, which `up` has written already.
    """
    return (group is None or group.phase in ENDED) and all(map(has_ended, seen.values()))


def _of_group(last: GroupRecord | None, group: GroupRecord | None) -> list[tuple[str, str]]:
    """The entries of the group's history since the look before; all of them if the record was made anew."""
    if group is None:
        return []
    is_new = last is None or group.generation < last.generation
    since = -1 if is_new or last is None else last.generation
    return [
        (one.at, f"{group.id} {one.type.value}: {one.text} ({one.by})")
        for one in group.history
        if one.generation > since
    ]
