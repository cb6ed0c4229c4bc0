"""The corpus in one stack, as the end-to-end test deploys it, shows the same changes as each change alone."""

from __future__ import annotations

from tests.changed_stacks import name_of, services_of
from tests.changes import Change, changes
from tests.unit.canary.test_diff_changes import diff_of
from traffic.diff import Part

SENT = [change for change in changes() if not change.not_sent]


def _outside(change: Change) -> int:
    """The groups of requests from outside, apart from those that no service gets: other services share the port."""
    diff = diff_of(change.before, change.after)
    own = [group for group in diff.traffic.groups if group.service is not None]
    return sum(group.witness.request.caller is None for group in own)


def test_all_changes_in_one_stack_show_what_each_shows_alone() -> None:
    sides = ({"services": services_of(SENT, side)} for side in ("before", "after"))
    both = [{**side, "mesh": {"gateway": {"ports": [80, 9191]}}} for side in sides]
    together = diff_of(*both)
    assert together.problems == ()
    shown = [group for group in together.traffic.groups if group.witness.request.caller is None]
    for change in SENT:
        names = {name_of(change, service) for side in (change.before, change.after) for service in side["services"]}
        found = [group for group in shown if group.service in names]
        assert len(found) == _outside(change), change.name
    assert sum(group.change.part is not Part.DESTINATION for group in shown) >= 10


def test_most_changes_can_be_sent() -> None:
    assert len([change for change in SENT if change.requests]) >= 30
