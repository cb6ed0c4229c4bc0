"""A group's runner against an API server in memory: order, one end for all, kills at every write."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rollout.acting import act
from rollout.decision import RefusedError
from rollout.group_acting import LeftGroupError, each_member, take_back
from rollout.group_runner import NoGroupError
from rollout.record import Phase
from rollout.verbs import abort, pause, resume, retry
from tests.unit.rollout.group_world import NAMESPACE, PLANNED, STEPS, GroupWorld, OneGroupRunner
from tests.unit.rollout.rollouts import Killed
from tests.unit.rollout.sample_groups import SHOP

HELD = [{"weight": 10, "for": "1h"}, {"weight": 100}]


def begun(**strategy: object) -> GroupWorld:
    """A world whose group is started."""
    world = GroupWorld(**strategy)  # type: ignore[arg-type]
    world.up()
    world.start()
    return world


def test_services_go_forward_a_callee_first_step_by_step() -> None:
    world = begun()

    group = OneGroupRunner(world).to_the_end()

    assert group.phase is Phase.COMPLETED
    assert world.written == [(one, weight) for weight in (10.0, 100.0) for one in SHOP]
    assert set(world.phases.values()) == {"Completed"}


def test_services_go_back_a_caller_first() -> None:
    world = begun(steps=HELD)
    runner = OneGroupRunner(world)
    runner.until_step(0)
    world.written.clear()

    world.abort("errors in the shop")
    group = runner.to_the_end()

    assert group.phase is Phase.ABORTED
    assert world.written == [(one, 0.0) for one in reversed(SHOP)]
    assert world.record("articles").ended.reason == "with the group checkout: errors in the shop"  # type: ignore[union-attr]


def test_whoever_has_no_lease_brings_a_group_back() -> None:
    world = begun(steps=HELD)
    OneGroupRunner(world).until_step(0)
    world.abort()
    helper = OneGroupRunner(world, "ann")
    helper.holds = False

    assert helper.to_the_end().phase is Phase.ABORTED
    assert [world.weight(one) for one in SHOP] == [0, 0, 0]


def test_whoever_has_no_lease_moves_no_group_forward() -> None:
    world = begun()
    runner = OneGroupRunner(world)
    runner.holds = False
    for _ in range(20):
        runner.turn()

    assert world.written == []


def test_the_way_back_of_a_service_that_has_ended_is_kept_until_all_have_ended() -> None:
    world = begun(keepPrevious="1s")
    runner = OneGroupRunner(world)
    for _ in range(60):
        world.now += timedelta(seconds=2)
        runner.turn()
        if world.group.phase is Phase.PROGRESSING:
            assert "Closed" not in world.phases.values()

    assert set(world.phases.values()) == {"Closed"}
    assert world.group.phase is Phase.CLOSED


@pytest.mark.parametrize("service", SHOP)
def test_one_service_without_ready_pods_takes_all_of_them_back(service: str) -> None:
    world = begun(steps=HELD)
    runner = OneGroupRunner(world)
    runner.until_step(0)
    world.written.clear()
    world.ready(service, "version-1")
    runner.turn()
    for member in runner.runner._members.values():
        member._collector._pods._none_since = -10.0  # it has been so for a while

    group = runner.to_the_end()

    assert group.phase is Phase.ABORTED
    assert group.ended is not None
    assert group.ended.member == service
    assert world.written == [(one, 0.0) for one in reversed(SHOP)]
    events = [entry.type.value for entry in world.record(service).history]
    assert "NoCapacity" in events


def test_a_service_that_cannot_be_written_takes_all_others_back() -> None:
    world = begun(steps=HELD)
    world.refuses = {"web-api"}
    runner = OneGroupRunner(world)
    for _ in range(60):
        try:
            turn = runner.turn()
        except Exception:  # noqa: BLE001 - what the loop survives
            world.now += timedelta(seconds=1)
            continue
        if turn.group.phase is Phase.ABORTING and world.phases["articles"] == "Aborted":
            break

    assert "cannot be written" in str(world.group.ended)
    assert [world.weight(one) for one in SHOP] == [0, 0, 0]
    world.refuses.clear()
    assert runner.to_the_end().phase is Phase.ABORTED


def test_a_callee_does_not_wait_for_ever_for_a_caller_that_cannot_go_back() -> None:
    world = begun(steps=HELD)
    runner = OneGroupRunner(world)
    runner.until_step(0)
    world.refuses = {"frontend"}
    world.abort()
    for _ in range(30):
        world.now += timedelta(seconds=1)
        try:
            runner.turn()
        except Exception:  # noqa: BLE001, S112 - what the loop survives
            continue

    assert [world.weight(one) for one in SHOP] == [0, 0, 10]
    assert world.group.phase is Phase.ABORTING


def test_somebody_who_aborts_a_service_alone_aborts_the_group() -> None:
    world = begun(steps=HELD)
    runner = OneGroupRunner(world)
    runner.until_step(0)
    act(world.client, NAMESPACE, "articles", lambda record, now: abort(record, "it fails", "bob", now), by="bob")

    group = runner.to_the_end()

    assert group.ended is not None
    assert (group.phase, group.ended.member, group.ended.reason) == (Phase.ABORTED, "articles", "it fails")
    assert set(world.phases.values()) == {"Aborted"}


def test_a_pause_of_one_service_holds_all_of_them() -> None:
    world = begun()
    runner = OneGroupRunner(world)
    act(world.client, NAMESPACE, "frontend", lambda record, now: pause(record, "lunch", "ann", now), by="ann")
    for _ in range(20):
        runner.turn()

    assert world.written == []
    act(world.client, NAMESPACE, "frontend", lambda record, now: resume(record, "ann", now), by="ann")
    assert runner.to_the_end().phase is Phase.COMPLETED


def test_a_step_that_has_begun_is_finished_though_somebody_pauses() -> None:
    world = begun(steps=HELD)
    runner = OneGroupRunner(world)
    while not world.written:
        runner.turn()
    act(world.client, NAMESPACE, "frontend", lambda record, now: pause(record, "lunch", "ann", now), by="ann")
    runner.until_step(0)

    assert [world.weight(one) for one in SHOP] == [10, 10, 10]


@pytest.mark.parametrize("first", [1, 4])
def test_a_runner_that_is_killed_at_any_write_is_followed_by_one_that_ends_it(first: int) -> None:
    for at in range(first, 120, 7):
        world = begun()
        world.kill_at, world.served = at, at % 2 == 0
        try:
            OneGroupRunner(world).to_the_end()
        except Killed:
            world.kill_at = None
        else:
            assert at > 20, "there are more writes than that"
            return
        group = OneGroupRunner(world, "host/2/b").to_the_end()

        assert group.phase is Phase.COMPLETED
        order = [weight for _, weight in world.written]
        assert order == sorted(order), f"killed at {at}: {world.written}"
    raise AssertionError("the rollout has more writes than were tried")


@pytest.mark.parametrize("served", [False, True])
def test_an_abort_that_is_killed_at_any_write_is_ended_by_the_next_holder(served: bool) -> None:
    for at in range(1, 60):
        world = begun(steps=HELD)
        OneGroupRunner(world).until_step(0)
        world.kill_at, world.served = at, served
        try:
            world.abort()
            helper = OneGroupRunner(world, "ann")
            helper.holds = False
            helper.to_the_end()
        except Killed:
            world.kill_at = None
        else:
            assert at > 6, "there are more writes than that"
            return
        if world.group.phase is Phase.PROGRESSING:
            world.abort()
        group = OneGroupRunner(world, "host/2/b").to_the_end()

        assert group.phase is Phase.ABORTED
        assert set(world.phases.values()) == {"Aborted"}
        assert [world.weight(one) for one in SHOP] == [0, 0, 0]
    raise AssertionError("the abort has more writes than were tried")


def test_an_undo_after_the_end_takes_all_back_a_caller_first() -> None:
    world = begun()
    runner = OneGroupRunner(world)
    runner.to_the_end()
    world.written.clear()

    take_back(world.client, PLANNED, "too slow", "ann", undo=True)
    group = runner.to_the_end()

    assert group.phase is Phase.UNDONE
    assert world.written == [(one, 0.0) for one in reversed(SHOP)]
    assert set(world.phases.values()) == {"Undone"}


def test_after_a_retry_of_all_services_the_group_begins_again() -> None:
    world = begun(steps=HELD)
    OneGroupRunner(world).until_step(0)
    world.abort()
    OneGroupRunner(world).to_the_end()

    assert world.start().phase is Phase.ABORTED
    each_member(world.client, PLANNED, lambda record, now: retry(record, "it was the network", "ann", now), by="ann")
    again = world.start()

    assert (again.id, again.phase) == ("checkout-2", Phase.PENDING)
    OneGroupRunner(world).until_step(0)


def test_a_service_that_was_taken_back_stands_in_the_way_of_the_others() -> None:
    world = begun(steps=HELD)
    OneGroupRunner(world).until_step(0)
    world.abort()
    OneGroupRunner(world).to_the_end()
    act(world.client, NAMESPACE, "articles", lambda record, now: retry(record, "again", "ann", now), by="ann")

    with pytest.raises(RefusedError, match="web-api, frontend of the group checkout were taken back"):
        world.start()
    assert world.start(anyway=True).services == ("articles",)


def test_a_group_that_nobody_has_started_can_be_aborted() -> None:
    world = GroupWorld()
    world.up()

    world.abort()

    assert OneGroupRunner(world).to_the_end().phase is Phase.ABORTED
    assert set(world.phases.values()) == {"Aborted"}


def test_services_with_nothing_to_move_take_no_part() -> None:
    world = GroupWorld()
    world.up("articles", "frontend")

    assert world.start().services == ("articles", "frontend")


def test_a_group_whose_record_was_deleted_goes_on_from_where_its_services_are() -> None:
    world = begun(steps=HELD)
    runner = OneGroupRunner(world)
    runner.until_step(0)
    del world.objects["configmaps", NAMESPACE, "istio-canary-rollout-group-checkout"]

    with pytest.raises(NoGroupError):
        runner.turn()
    again = world.start()

    assert (again.phase, again.step) == (Phase.PROGRESSING, 0)


def test_a_service_whose_record_was_deleted_takes_the_others_back() -> None:
    world = begun(steps=HELD)
    runner = OneGroupRunner(world)
    runner.until_step(0)
    del world.objects["configmaps", NAMESPACE, "istio-canary-rollout-web-api"]
    world.services = ("articles", "frontend")

    assert runner.to_the_end().phase is Phase.ABORTED
    assert set(world.phases.values()) == {"Aborted"}


def test_a_service_that_has_left_the_group_goes_back_alone() -> None:
    world = begun()
    OneGroupRunner(world).to_the_end()
    world.up("articles", target="h3")
    world.start()

    with pytest.raises(LeftGroupError):
        take_back(world.client, PLANNED, "it fails", "ann", member=world.record("frontend"))


def test_every_event_of_a_member_names_the_group() -> None:
    world = begun(steps=STEPS)
    runner = OneGroupRunner(world)
    runner.to_the_end()
    written = [one.record for decision in runner.decisions for _, one in decision.members if one.record is not None]
    seen = [event for record in written for event in record.outbox]

    assert {event.data["group"] for event in seen} == {"checkout"}
