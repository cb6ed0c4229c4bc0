"""`canary rollout report --html` of a group: one page with the group's history and what is known of each service."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from canary.rollout.group_showing import not_started
from canary.rollout.group_words import group_headline
from canary.rollout.report import RolloutReport, framed, html_table, sections, short_holder, title_of
from canary.rollout.words import clock

if TYPE_CHECKING:
    from canary.rollout.group_place import GroupPlace
    from rollout.group_record import GroupRecord


def group_page(found: GroupPlace, group: GroupRecord | None, reports: Sequence[RolloutReport]) -> str:
    """Return the page: HTML without scripts, which loads nothing; `reports` are in the group's order."""
    services = ", ".join(one.seen.record.service for one in reports)
    about = (
        f"Services {services}, a callee first; namespace {found.group.namespace}"
        + (f", stack {found.place.stack}" if found.place.stack else "")
        + f"; as of {clock(reports[0].seen.now)}"
    )
    head = not_started(found) if group is None else group_headline(group)
    parts = [
        f"<p>{escape(head)}</p>",
        *([] if group is None else [f"<h2>History of the group</h2>\n{_history(group)}"]),
    ]
    for one in reports:
        title = f"{one.seen.record.service}: {title_of(one.seen.record)}"
        parts.append(f"<h2>{escape(title)}</h2>\n{sections(one.place, one, 'h3')}")
    return framed(f"Group {found.name if group is None else group.id}: {services}", about, "\n".join(parts))


def _history(group: GroupRecord) -> str:
    rows = ((clock(one.at), short_holder(one.by), one.type.value, one.text) for one in group.history)
    return html_table(("time", "by", "event", "why"), rows)
