"""Whole runs, with their threads, against an API server in memory; the Envoys follow at once."""

from __future__ import annotations

import threading
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest

from kube import kubeconfig
from rollout.acting import act
from rollout.barrier import Barrier, Following
from rollout.decision import Decision, LimitResult
from rollout.lease import Lease
from rollout.limits import LimitReading
from rollout.look import NoRolloutError
from rollout.pace import ONCE
from rollout.record import EventType, Record
from rollout.runner import RunEnd, finish, run, send_events
from rollout.store import RolloutStore
from rollout.verbs import abort, pause
from tests.unit.rollout.rollouts import World
from tests.unit.rollout.sample_records import NAMESPACE

ACCESS: Any = None


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """A rollout that an `up` has begun, in the only cluster that there is."""
    world = World()
    world.begin()
    monkeypatch.setattr(kubeconfig, "choose", lambda access: SimpleNamespace(user=None))
    monkeypatch.setattr(kubeconfig, "client", lambda config: world.connect())
    monkeypatch.setattr("rollout.pace.FIRST_PAUSE", 0.01)
    monkeypatch.setattr(Barrier, "wait", lambda *given: Following(True))
    return world


def run_it(**keys: Any) -> RunEnd:
    return run(ACCESS, NAMESPACE, "website", "host/1/a", **({"timeout": 60.0} | keys))


def abort_by_ann(world: World) -> None:
    act(world.client, NAMESPACE, "website", lambda record, now: abort(record, "bad", "ann", now), by="ann")


def holder(world: World) -> str | None:
    return Lease(world.client, NAMESPACE, "website", "nobody").holder()


def test_a_run_ends_completed_with_its_events_sent_and_the_lease_given_up(world: World) -> None:
    end = run_it()

    assert (end.why, end.record.phase, world.weight()) == ("completed", "Completed", 100)
    assert world.record.outbox == ()
    assert world.events().count("Completed") == 1
    assert "HolderLost" not in world.events(), "the rollout is over"
    assert not holder(world)


def test_a_run_of_a_finished_rollout_ends_as_that_did(world: World) -> None:
    run_it()
    generation = world.record.generation

    assert run_it().why == "completed"
    assert world.record.generation == generation


def test_a_run_that_is_told_to_stop_says_so_and_gives_the_lease_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rollout.runner.HOLDER_SENDS", 20.0)
    stop = threading.Event()

    def at_the_first_step(record: Record, decision: Decision) -> None:
        if record.step == 0:
            stop.set()

    end = run_it(stop=stop, on_look=at_the_first_step)

    assert end.why == "stopped"
    assert "HolderLost" in world.events()
    assert not holder(world)
    assert run_it().why == "completed"


def test_a_run_that_is_paused_is_held_after_its_time(world: World) -> None:
    act(world.client, NAMESPACE, "website", lambda record, now: pause(record, "lunch", "ann", now), by="ann")

    assert run_it(timeout=0.2).why == "held"
    assert run_it(until_paused=True).why == "held"
    assert run_it(once=True).why == "held"
    assert world.weight() == 0


def begin_slowly(world: World) -> None:
    """Begin anew, with a first step that is kept for an hour."""
    del world.objects["configmaps", NAMESPACE, "istio-canary-rollout-website"]
    slow = World(steps=[{"weight": 10, "for": "1h"}, {"weight": 100}])
    world.schedule, world.steps = slow.schedule, slow.steps
    world.begin()


def test_jobs_that_take_one_look_each_tell_nothing_of_each_other(world: World) -> None:
    begin_slowly(world)
    for _ in range(3):
        run_it(once=True)
    told = {entry.type for entry in world.record.history}
    assert EventType.STARTED in told
    assert not {EventType.HOLDER_LOST, EventType.HOLDER_TAKEN} & told
    assert world.record.holder == ONCE


def test_jobs_that_take_one_look_each_await_the_numbers_of_a_limit(world: World) -> None:
    """Each has a process of its own, which has asked nobody before."""
    limited = World(steps=[{"weight": 10, "for": "4s"}, {"weight": 100}], limits={"errors": "2%"})
    del world.objects["configmaps", NAMESPACE, "istio-canary-rollout-website"]
    world.schedule, world.steps = limited.schedule, limited.steps
    world.begin()

    def numbers(record: Record, now: str) -> LimitReading:
        return LimitReading(result=LimitResult(), text="none of 100 failed", observed_seconds=5.0)

    ends = [run_it(once=True, limits=numbers).why for _ in range(2)]
    assert ends[-1] == "completed"


def test_a_run_with_once_does_what_is_due_and_no_more(world: World) -> None:
    begin_slowly(world)

    end = run_it(once=True)

    assert (end.why, end.record.step, world.weight()) == ("held", 0, 10)


def test_a_job_that_takes_one_look_takes_the_lease_of_one_that_was_killed(world: World) -> None:
    begin_slowly(world)
    killed = Lease(world.connect(), NAMESPACE, "website", "host/0/killed", seconds=1)
    RolloutStore(killed._client, NAMESPACE, "website").read()  # whose answer tells the time
    assert killed.acquire()

    run_it(once=True)

    assert world.record.step == 0, "it has waited until the Lease had run out"
    assert not holder(world)


def test_a_job_that_takes_one_look_leaves_a_rollout_to_a_holder_that_lives(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_slowly(world)
    other = Lease(world.connect(), NAMESPACE, "website", "host/0/lives")
    RolloutStore(other._client, NAMESPACE, "website").read()
    assert other.acquire()
    acquire, tries = Lease.acquire, []

    def seen(self: Lease) -> bool:
        tries.append(self)
        world.now += timedelta(seconds=1)
        RolloutStore(other._client, NAMESPACE, "website").read()
        assert other.renew()
        return acquire(self)

    monkeypatch.setattr(Lease, "acquire", seen)
    end = run_it(once=True)

    assert (end.why, world.record.step) == ("held", -1)
    assert len(tries) < 10, "it need not wait until the Lease would have run out"


def test_a_run_ends_aborted_when_somebody_aborts(world: World) -> None:
    def at_the_second_step(record: Record, decision: Decision) -> None:
        if record.step == 1 and record.phase == "Progressing":
            abort_by_ann(world)

    end = run_it(on_look=at_the_second_step)

    assert (end.why, world.record.phase, world.weight()) == ("aborted", "Aborted", 0)
    assert world.events().count("Aborted") == 1


def test_a_run_survives_failures_of_the_api_server(world: World) -> None:
    failing = iter([503, httpx2.ConnectError("gone"), 500, httpx2.ReadTimeout("late")] * 3)

    def fail(record: Record, decision: Decision) -> None:
        failure: Any = next(failing, None)
        world.failures = [] if failure is None else [failure]

    assert run_it(on_look=fail).why == "completed"
    assert world.weight() == 100


def test_a_run_without_a_rollout_says_so(world: World) -> None:
    del world.objects["configmaps", NAMESPACE, "istio-canary-rollout-website"]
    with pytest.raises(NoRolloutError):
        run_it()


def test_an_abort_is_finished_without_the_lease_of_a_holder_that_sleeps(world: World) -> None:
    Lease(world.client, NAMESPACE, "website", "host/9/asleep").acquire()
    abort_by_ann(world)

    end = finish(ACCESS, NAMESPACE, "website", "ann")

    assert (end.why, world.record.phase, world.weight()) == ("aborted", "Aborted", 0)
    assert world.record.outbox == (), "the holder has not sent the events"
    assert holder(world) == "host/9/asleep"


def test_an_abort_that_is_finished_is_in_the_log(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rollout.runner.BESIDE_SECONDS", 20.0)
    abort_by_ann(world)

    finish(ACCESS, NAMESPACE, "website", "ann")

    lines = RolloutStore(world.client, NAMESPACE, "website").read_log()
    assert [line["phase"] for line in lines] == ["Aborted"]


def test_a_run_whose_lease_was_taken_is_lost(world: World) -> None:
    def steal(record: Record, decision: Decision) -> None:
        def take(item: Any) -> None:
            item["spec"]["holderIdentity"] = "host/2/thief"

        world.update("leases", NAMESPACE, "istio-canary-rollout-website", "thief", take)

    act(world.client, NAMESPACE, "website", lambda record, now: pause(record, "lunch", "ann", now), by="ann")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rollout.lease_keeper.RENEW_SECONDS", 0.05)
        end = run_it(on_look=steal)

    assert end.why == "lost"
    assert holder(world) == "host/2/thief"


def test_events_of_an_up_are_sent_without_the_lease(world: World) -> None:
    Lease(world.client, NAMESPACE, "website", "host/9/asleep").acquire()

    assert send_events(ACCESS, NAMESPACE, "website", "up", seconds=20) == 0

    assert world.events() == ["Pending"]
    assert holder(world) == "host/9/asleep"
