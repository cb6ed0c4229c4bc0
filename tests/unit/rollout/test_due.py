"""What a rollout, or that of a group, needs a runner for, and what is left alone."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.due import GroupDue, group_to_do, to_do
from rollout.group_members import GroupMember, PlannedGroup
from rollout.group_record import GroupRecord
from rollout.record import Phase, Record
from tests.unit.rollout.records import aborting, observing
from tests.unit.rollout.rollouts import SERVICE, World
from tests.unit.rollout.sample_groups import SHOP, group_of, in_group, members_of
from tests.unit.rollout.sample_records import NAMESPACE

AT = "2026-01-05T10:00:00+00:00"
STARTED: dict[str, Any] = {"started_at": AT}
PROGRESSING = {**STARTED, "phase": Phase.PROGRESSING}
ENDED = {**STARTED, "ended_at": AT}


@pytest.mark.parametrize(
    ("auto", "keys", "now", "moves"),
    [
        (True, {}, AT, True),
        (False, {}, AT, False),
        (False, PROGRESSING, AT, True),
        (False, {**PROGRESSING, "void_since": AT}, AT, False),
        (False, {**STARTED, "phase": Phase.ABORTING}, AT, True),
        (True, {**ENDED, "phase": Phase.ABORTED}, AT, False),
        (True, {**ENDED, "phase": Phase.ABORTED}, "2026-01-05T11:00:00+00:00", True),
        (True, {**ENDED, "phase": Phase.ABORTED, "handed_back_at": AT}, "2026-01-05T11:00:00+00:00", False),
        (False, {**ENDED, "phase": Phase.COMPLETED}, "2026-01-05T10:59:59+00:00", False),
        (False, {**ENDED, "phase": Phase.COMPLETED}, "2026-01-05T11:00:00+00:00", True),
        (False, {**ENDED, "closed_at": AT, "phase": Phase.CLOSED}, "2026-01-05T11:00:00+00:00", True),
    ],
    ids=[
        "it starts by itself",
        "a person has to start it",
        "it is under way",
        "it is void",
        "it goes back",
        "an aborted one stays so",
        "its routes are to be handed back",
        "they are handed back",
        "the way back is kept",
        "the way back is to be closed",
        "it is closed, and has the routes",
    ],
)
def test_a_rollout_is_moved_if_it_starts_by_itself_or_is_under_way(
    auto: bool, keys: dict[str, Any], now: str, moves: bool
) -> None:
    world = World(autoStart=auto, keepPrevious="1h")
    record = world.begin().model_copy(update=keys)
    assert (to_do(record, now) is not None) is moves


def test_a_member_of_a_group_is_moved_by_its_group_alone_but_for_the_way_back() -> None:
    record = World(autoStart=True).begin()
    group = PlannedGroup(name="checkout", members=(GroupMember(service=SERVICE, namespace=NAMESPACE),))
    member = record.model_copy(update={"plan": record.plan.model_copy(update={"group": group})})

    assert to_do(record, AT) is not None
    assert to_do(member, AT) is None
    assert to_do(member.model_copy(update=PROGRESSING), AT) is None
    assert to_do(member.model_copy(update={**STARTED, "phase": Phase.ABORTING}), AT) is not None


def test_an_aborted_rollout_whose_hooks_nobody_has_asked_is_moved_until_they_are() -> None:
    world = World(hooks=[{"at": "afterAbort", "url": "https://hooks.example.com"}])
    record = world.begin().model_copy(update={**ENDED, "phase": Phase.ABORTED})

    assert to_do(record, AT) == "hooks are to be asked"
    assert to_do(record.model_copy(update={"hooks_done": ("afterAbort",)}), AT) is None


def test_a_service_of_a_group_is_left_to_its_group_but_for_a_way_back_that_has_begun() -> None:
    assert to_do(in_group(observing(0)), AT) is None
    assert to_do(in_group(aborting()), AT) == "it goes back"


GOES_ON = GroupDue("it goes on")
GOES_BACK = GroupDue("it goes back", back=True)
BY_ITSELF = GroupDue("it starts by itself", begins=True)


def members(*, auto: bool = False, begins_with: tuple[str, ...] = (), **keys: Any) -> list[Record]:
    """The records of the three services, that nobody has started."""
    found = []
    for one in members_of(auto_start=auto):
        plan = one.plan.model_copy(update={"begins_with": begins_with})
        found.append(one.model_copy(update={"plan": plan, **keys}))
    return found


def due(group: GroupRecord | None, records: list[Record]) -> GroupDue | None:
    return group_to_do(group, {one.service: one for one in records})


@pytest.mark.parametrize(
    ("group", "member", "expected"),
    [
        (Phase.PENDING, Phase.PENDING, GOES_ON),
        (Phase.PROGRESSING, Phase.PROGRESSING, GOES_ON),
        (Phase.PROGRESSING, Phase.ABORTING, GOES_ON),
        (Phase.ABORTING, Phase.PROGRESSING, GOES_BACK),
        (Phase.UNDOING, Phase.COMPLETED, GOES_BACK),
        (Phase.COMPLETED, Phase.COMPLETED, None),
        (Phase.COMPLETED, Phase.UNDOING, GOES_BACK),
        (Phase.COMPLETED, Phase.CLOSED, GroupDue("the way back is given up")),
        (Phase.CLOSED, Phase.CLOSED, None),
        (Phase.ABORTED, Phase.ABORTED, None),
        (Phase.UNDONE, Phase.UNDONE, None),
    ],
)
def test_a_group_that_somebody_has_started_is_moved_until_its_end(
    group: Phase, member: Phase, expected: GroupDue | None
) -> None:
    records = members()
    begun = group_of(records).model_copy(update={"phase": group})

    assert due(begun, [one.model_copy(update={"phase": member}) for one in records]) == expected


def test_a_group_that_nobody_has_started_is_left_alone_unless_all_its_services_start_by_themselves() -> None:
    assert due(None, members()) is None
    assert due(None, members(auto=True)) == BY_ITSELF
    assert due(None, [*members(auto=True)[:2], members()[2]]) is None


def test_a_group_starts_by_itself_once_all_services_are_there_that_the_up_begins() -> None:
    records = members(auto=True, begins_with=SHOP[:2])

    assert due(None, records[:1]) is None
    assert due(None, records[:2]) == BY_ITSELF
    assert due(None, members(auto=True)[:2]) is None, "nothing is known of the third one"


def test_after_the_end_of_a_group_the_next_rollouts_of_its_services_begin_as_the_first_ones() -> None:
    ended = group_of(members()).model_copy(update={"phase": Phase.CLOSED})
    again = [one.model_copy(update={"id": f"{one.service}-2"}) for one in members(auto=True)]

    assert due(ended, again) == BY_ITSELF
    assert due(ended, [one.model_copy(update={"id": f"{one.service}-2"}) for one in members()]) is None
    assert due(ended.model_copy(update={"phase": Phase.COMPLETED}), again) == GroupDue("the way back is given up")


def test_a_group_of_which_one_service_was_taken_back_waits_for_a_person() -> None:
    records = members(auto=True, begins_with=SHOP[1:])
    taken_back = records[0].model_copy(update={"phase": Phase.ABORTED})

    assert due(None, records[1:]) == BY_ITSELF
    assert due(None, [taken_back, *records[1:]]) is None


def test_a_group_whose_record_is_gone_goes_on_if_its_services_were_started() -> None:
    records = members()
    started = records[0].model_copy(update=PROGRESSING)
    found = due(None, [started, *records[1:]])

    assert found is not None
    assert found.begins
    assert due(None, [started.model_copy(update={"void_since": AT}), *records[1:]]) is None


def test_services_that_are_rolled_out_alone_are_no_group() -> None:
    alone = World(autoStart=True).begin()
    assert due(None, [alone]) is None
