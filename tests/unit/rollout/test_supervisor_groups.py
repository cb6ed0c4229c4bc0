"""Groups of services in the runner of the cluster: whole runs against an API server in memory, the Envoys follow."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from kube import kubeconfig
from kube.conflicts import ConflictError
from rollout.acting import act
from rollout.barrier import Barrier, Following
from rollout.found import Group
from rollout.group_record import GroupRecord
from rollout.group_runner import GroupEnd
from rollout.group_store import group_name
from rollout.pace import ONCE
from rollout.record import EventType, Phase
from rollout.supervisor import FIRST_REST
from rollout.verbs import pause
from tests.unit.rollout.group_world import NAMESPACE, GroupWorld, OneGroupRunner
from tests.unit.rollout.many_groups import ALONE, HOLDER, Many, change, damage, rolled_alone, started, taken
from tests.unit.rollout.rollouts import Killed
from tests.unit.rollout.sample_groups import GROUP, SHOP

CHECKOUT = Group(NAMESPACE, GROUP)
HELD = [{"weight": 10, "for": "1h"}, {"weight": 100}]


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> Callable[[GroupWorld], GroupWorld]:
    """Makes a world the only cluster that there is."""

    def of(world: GroupWorld) -> GroupWorld:
        monkeypatch.setattr(kubeconfig, "choose", lambda access: SimpleNamespace(user=None))
        monkeypatch.setattr(kubeconfig, "client", lambda config: world.connect())
        monkeypatch.setattr(Barrier, "wait", lambda *given: Following(True))
        return world

    return of


Connected = Callable[[GroupWorld], GroupWorld]


def test_a_group_goes_on_after_its_runner_was_killed(connected: Connected) -> None:
    world = connected(started(GroupWorld()))
    taken(world)
    world.kill_at, world.served = 9, True
    with pytest.raises(Killed):
        OneGroupRunner(world, "laptop/1/b").to_the_end()
    world.kill_at = None
    killed = list(world.written)
    many = Many(world)
    many.turn()
    assert many.moved == [], "its holder may live"

    many.now += 16
    many.turn()
    assert many.moved == [GROUP]
    assert many.said == [f"{NAMESPACE}/group {GROUP}: {GROUP}-1: it goes on"]
    assert world.group.phase is Phase.COMPLETED
    assert set(world.phases.values()) == {"Completed"}
    assert len(killed) < len(world.written)
    assert list(dict.fromkeys(world.written)) == [(one, weight) for weight in (10.0, 100.0) for one in SHOP]
    assert set(many.seen) == {str(CHECKOUT)}


def test_a_group_that_nobody_has_started_is_left_alone(connected: Connected) -> None:
    world = connected(GroupWorld())
    world.up()
    many = Many(world)
    many.turn()

    assert many.moved == many.said == []
    assert ("configmaps", NAMESPACE, group_name(GROUP)) not in world.objects
    assert ("leases", NAMESPACE, group_name(GROUP)) not in world.objects


def test_a_group_whose_services_start_by_themselves_is_begun_once_all_are_there(connected: Connected) -> None:
    world = connected(GroupWorld(autoStart=True))
    world.up(*SHOP[:2])
    many = Many(world)
    many.turn()
    assert many.moved == []

    world.up(SHOP[2])
    many.turn()
    assert many.moved == [GROUP]
    assert many.said == [f"{NAMESPACE}/group {GROUP}: {GROUP}: it starts by itself"]
    assert (world.group.services, world.group.phase) == (SHOP, Phase.COMPLETED)
    assert world.group.history[0].by == HOLDER


def test_the_record_of_a_group_that_cannot_be_read_stops_no_other(
    connected: Connected, caplog: pytest.LogCaptureFixture
) -> None:
    world = connected(started(GroupWorld()))
    damage(world, "broken")
    many = Many(world)
    with caplog.at_level(logging.WARNING):
        many.turn()
        many.turn()

    assert world.group.phase is Phase.COMPLETED
    told = [one for one in caplog.messages if one.startswith(f"{NAMESPACE}/group broken: the record of the group")]
    assert len(told) == 1, "it is said once, not at each reading"


def test_a_group_whose_own_record_cannot_be_read_is_not_begun_anew_and_other_rollouts_go_on(
    connected: Connected,
) -> None:
    world = connected(GroupWorld((*SHOP, ALONE), autoStart=True))
    world.up(*SHOP)
    rolled_alone(world)
    damage(world, GROUP)
    many = Many(world)
    many.turn()

    assert many.moved == [ALONE]
    assert many.said == [f"{NAMESPACE}/{ALONE}: {ALONE}-1: it starts by itself"]
    assert world.record(ALONE).phase is Phase.COMPLETED
    assert {world.record(one).phase for one in SHOP} == {Phase.PENDING}


def test_a_group_and_a_service_that_goes_alone_are_moved_side_by_side(connected: Connected) -> None:
    world = connected(GroupWorld((*SHOP, ALONE), autoStart=True))
    world.up(*SHOP)
    rolled_alone(world)
    many = Many(world)
    many.turn()

    assert sorted(many.moved) == sorted([GROUP, ALONE])
    assert set(world.phases.values()) == {"Completed"}
    of_group = [one for one in world.written if one[0] in SHOP]
    assert of_group == [(one, weight) for weight in (10.0, 100.0) for one in SHOP]


def test_one_look_moves_a_group_as_far_as_it_may_go_now(connected: Connected) -> None:
    world = connected(started(GroupWorld(steps=HELD)))
    many = Many(world)

    assert many.supervisor.once() == 0
    assert many.moved == [GROUP]
    assert [world.weight(one) for one in SHOP] == [10, 10, 10]
    assert world.group.holder == ONCE

    generation = world.group.generation
    assert Many(world, holder="runner/2/b").supervisor.once() == 0
    assert world.group.generation == generation, "jobs that follow each other tell nothing of each other"
    told = {entry.type for one in SHOP for entry in world.record(one).history}
    assert not {EventType.HOLDER_TAKEN, EventType.HOLDER_LOST} & told
    lease = world.get("leases", NAMESPACE, group_name(GROUP))
    assert not lease["spec"].get("holderIdentity"), "the next one need not wait"


def test_one_look_takes_the_lease_of_a_holder_that_was_killed(connected: Connected) -> None:
    world = connected(started(GroupWorld(steps=HELD)))
    taken(world, seconds=1)

    assert Many(world).supervisor.once() == 0
    assert [world.weight(one) for one in SHOP] == [10, 10, 10], "it has waited until the Lease had run out"


def test_one_look_counts_what_could_not_be_moved(connected: Connected) -> None:
    world = connected(started(GroupWorld()))
    metadata = {"name": "istio-canary-rollout-articles", "namespace": NAMESPACE}
    bad = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"record": "{"}}
    world.apply("configmaps", bad, "somebody", force=True)
    many = Many(world)

    assert many.supervisor.once() == 2, "the record of the service, and the run of its group"
    assert any("the run has failed: RecordError: the record of the rollout of articles" in one for one in many.said)


def test_a_group_that_another_holder_moves_is_left_alone_until_they_are_gone(connected: Connected) -> None:
    world = connected(started(GroupWorld()))
    lease = taken(world)
    many = Many(world)
    many.turn()
    assert many.moved == []

    lease.release()
    many.turn()
    assert many.moved == [GROUP]


def test_a_group_that_goes_back_is_helped_without_the_lease(connected: Connected) -> None:
    world = connected(started(GroupWorld(steps=HELD)))
    OneGroupRunner(world).until_step(0)
    taken(world)
    world.written.clear()
    world.abort()
    aborting = OneGroupRunner(world)
    while world.record("frontend").phase is not Phase.ABORTING:
        aborting.turn()
    many = Many(world)
    many.turn()

    assert many.moved == [GROUP], "its services are not run beside it"
    assert world.group.phase is Phase.ABORTED
    assert list(dict.fromkeys(world.written)) == [(one, 0.0) for one in reversed(SHOP)]
    assert many.said == [f"{NAMESPACE}/group {GROUP}: {GROUP}-1: it goes back"]


def test_a_run_of_a_group_that_fails_is_tried_later_and_later_and_its_lease_is_free(connected: Connected) -> None:
    def fails(*given: Any, **keys: Any) -> GroupEnd:
        raise ConflictError("somebody is faster")

    world = connected(started(GroupWorld()))
    many = Many(world, move_group=fails)
    tries = []
    for _ in range(40):
        many.turn()
        tries.append(len(many.moved))
        many.now += 1.0
    assert 3 <= tries[-1] <= 6, "after 2, 4, 8 and 16 seconds"
    assert tries[int(FIRST_REST) - 1] == 1
    assert f"{NAMESPACE}/group {GROUP}: the run has failed: ConflictError: somebody is faster" in many.said
    many.now += 100
    many.turn()
    many.supervisor._tell_ends()
    assert not world.get("leases", NAMESPACE, group_name(GROUP))["spec"].get("holderIdentity")

    before = len(many.moved)
    act(world.client, NAMESPACE, "frontend", lambda record, now: pause(record, "lunch", "ann", now), by="ann")
    many.turn()
    assert len(many.moved) == before + 1, "somebody has written the record of a service"


def test_a_run_of_a_group_that_changed_nothing_is_followed_by_a_rest(connected: Connected) -> None:
    world = connected(started(GroupWorld()))
    records = {one: world.record(one) for one in SHOP}
    many = Many(world, move_group=lambda *given, **keys: GroupEnd(group=world.group, records=records, why="lost"))
    for _ in range(31):
        many.turn()
        many.now += 1.0

    assert len(many.moved) == 4, "after 2, 4 and 8 seconds"


def test_a_group_with_services_in_namespaces_of_others_is_left_alone_and_that_is_said_once(
    connected: Connected,
) -> None:
    world = connected(started(GroupWorld()))
    name = group_name(GROUP)
    text = world.get("configmaps", NAMESPACE, name)["data"]["record"]
    other = GroupRecord.from_json(text)
    members = (*other.members[:2], other.members[2].model_copy(update={"namespace": "elsewhere"}))
    moved = other.model_copy(update={"members": members}).to_json()
    world.update("configmaps", NAMESPACE, name, "somebody", lambda item: item["data"].update(record=moved))
    many = Many(world)
    many.turn()
    many.turn()

    assert many.moved == []
    assert many.said == [f"{NAMESPACE}/group {GROUP}: it is left alone: this runner does not move elsewhere/frontend"]


def test_the_end_stops_the_run_of_a_group_which_says_so(connected: Connected) -> None:
    world = connected(started(GroupWorld(steps=HELD)))
    many = Many(world)

    def stop(*given: Any) -> None:
        if all(world.record(one).stage == "Observing" for one in SHOP):
            many.moving.stop.set()

    many.moving._on_group_look = lambda name: stop
    many.supervisor.run()

    assert not many.supervisor.running
    assert [world.weight(one) for one in SHOP] == [10, 10, 10]
    for one in SHOP:
        assert EventType.HOLDER_LOST in {entry.type for entry in world.record(one).history}
    assert not world.get("leases", NAMESPACE, group_name(GROUP))["spec"].get("holderIdentity")


def test_the_events_of_services_whose_group_another_holder_moves_are_left_to_them(
    connected: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = connected(started(GroupWorld()))
    assert world.record("articles").outbox, "the `up` has not sent them"
    sent: list[str] = []
    monkeypatch.setattr("rollout.runner.send_events", lambda *place: sent.append(place[2]))
    lease = taken(world)
    many = Many(world)
    many.turn()
    assert sent == []

    lease.release()
    del world.objects["configmaps", NAMESPACE, group_name(GROUP)]
    many.turn()
    assert sorted(sent) == sorted(SHOP)


LONG_OVER: dict[str, Any] = {"phase": Phase.COMPLETED, "ended_at": "2020-01-01T00:00:00+00:00", "outbox": ()}


def test_a_service_that_has_ended_keeps_its_way_back_while_another_holder_moves_its_group(connected: Connected) -> None:
    world = connected(started(GroupWorld()))
    for one in SHOP:
        change(world, one, outbox=())
    change(world, SHOP[0], **LONG_OVER)
    taken(world)
    many = Many(world)
    many.turn()

    assert many.moved == []
    assert world.record(SHOP[0]).phase is Phase.COMPLETED


def test_a_service_of_a_group_that_takes_no_part_is_moved_by_itself(connected: Connected) -> None:
    world = connected(GroupWorld())
    world.up()
    change(world, SHOP[0], **LONG_OVER)
    for one in SHOP[1:]:
        change(world, one, outbox=())
    assert world.start().services == SHOP[1:]
    taken(world)
    many = Many(world)
    many.turn()

    assert many.moved == [SHOP[0]]
    assert world.record(SHOP[0]).phase is Phase.CLOSED


def test_the_way_back_of_a_completed_group_is_given_up_with_that_of_its_services(connected: Connected) -> None:
    world = connected(started(GroupWorld(keepPrevious="1s")))
    many = Many(world)
    many.turn()
    assert world.group.phase.value == "Completed"
    world.now = world.now.replace(minute=1)
    for _ in range(4):
        many.now += FIRST_REST
        many.turn()

    assert set(world.phases.values()) == {"Closed"}
    assert world.group.phase.value == "Closed"
    many.moved.clear()
    many.now += 100
    many.turn()
    assert many.moved == []
