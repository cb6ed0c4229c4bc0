"""A runner's turns against an API server in memory: killed at each write, beside others, and without answers."""

from __future__ import annotations

import httpx2
import pytest

from kube.conflicts import ConflictError
from rollout.acting import act
from rollout.barrier import Following
from rollout.record import Record
from rollout.store import RolloutStore
from rollout.verbs import abort, pause, undo
from tests.unit.rollout.rollouts import AT_GATEWAY, IN_MESH, Envoys, Killed, OneRunner, World
from tests.unit.rollout.sample_records import NAMESPACE

EVENTS = ["Pending", "Started", *["StepWritten", "Settled"] * 3, "Completed"]


def begun(**keys: object) -> World:
    """A world in which an `up` has begun the rollout."""
    world = World(**keys)  # type: ignore[arg-type]
    world.begin()
    return world


def abort_by_ann(world: World, reason: str = "it fails") -> Record:
    return act(
        world.client, NAMESPACE, "website", lambda record, now: abort(record, reason, "ann", now), by="ann"
    ).stored.record


def require_a_conflict(runner: OneRunner) -> None:
    for _ in range(10):
        try:
            runner.turn()
        except ConflictError:
            return
    raise AssertionError("nobody was faster")


def require_in_order(world: World) -> None:
    """The routes are those that the record wants, or those before it; the record is never behind them."""
    record = world.record
    allowed = {record.target_weight()}
    if record.step >= 0 and not record.phase.goes_back:
        before = record.plan.steps[record.step - 1].weights if record.step else record.plan.start
        allowed.add(record.target_weight(before))
    elif record.phase.goes_back:
        allowed |= {record.target_weight(step.weights) for step in record.plan.steps}
    assert world.weight() in allowed, (record.phase, record.step, world.weight())


def test_a_rollout_goes_step_by_step_to_its_end() -> None:
    world = begun()
    runner = OneRunner(world)

    record = runner.to_the_end()

    assert (record.phase, world.weight()) == ("Completed", 100)
    assert world.events() == EVENTS
    weights = [dict(one[AT_GATEWAY][1]) for one in runner.envoys.asked]
    assert [len(one["route"]) for one in weights] == [2, 2, 1], "each step is asked for at the Envoys"


TWO_STEPS = [{"weight": 10}, {"weight": 100}]
EVENTS_OF_TWO = ["Pending", "Started", *["StepWritten", "Settled"] * 2, "Completed"]


@pytest.mark.parametrize(("virtual_services", "only", "least"), [(1, "", 18), (2, "virtualservices", 4)])
@pytest.mark.parametrize("served", [False, True], ids=["before the write", "after the write"])
def test_a_runner_that_is_killed_at_any_write_is_continued_by_the_next(
    served: bool, virtual_services: int, only: str, least: int
) -> None:
    at = 0
    while True:
        at += 1
        world = begun(virtual_services=virtual_services, steps=TWO_STEPS)
        world.after_write = lambda world=world: require_in_order(world)  # type: ignore[misc]
        world.kill(at, served=served, only=only)
        try:
            OneRunner(world).to_the_end()
        except Killed:
            record = OneRunner(world, "host/2/b").to_the_end()
            assert (record.phase, world.weight()) == ("Completed", 100), at
            assert [one for one in world.events() if one != "HolderTaken"] == EVENTS_OF_TWO, at
            assert virtual_services == 1 or world.weight(IN_MESH) == 100
            continue
        assert at > least, "the rollout has ended before the kill"
        return


@pytest.mark.parametrize("virtual_services", [1, 2])
@pytest.mark.parametrize("served", [False, True], ids=["before the write", "after the write"])
def test_an_abort_that_is_killed_at_any_write_is_ended_by_the_next_runner(served: bool, virtual_services: int) -> None:
    for at in range(1, 4 if virtual_services == 2 else 3):
        world = begun(virtual_services=virtual_services)
        OneRunner(world).until_step(1)
        world.kill(at, served=served)
        with pytest.raises(Killed):
            abort_by_ann(world)
        decided = world.record.phase == "Aborting"
        record = OneRunner(world, "host/2/b").to_the_end()

        assert record.phase == ("Aborted" if decided else "Completed"), at
        assert world.weight() == (0 if decided else 100), at
        if virtual_services == 2:
            assert world.weight(IN_MESH) == world.weight(AT_GATEWAY)


def test_two_runners_that_both_think_they_hold_the_lease_end_the_rollout_once() -> None:
    world = begun()
    runners = [OneRunner(world), OneRunner(world, "host/2/b")]
    for number in range(200):
        try:
            runners[number // 5 % 2].turn()
        except ConflictError:
            continue
        require_in_order(world)
        if world.record.phase == "Completed" and not world.record.outbox:
            break
    assert world.weight() == 100
    assert [one for one in world.events() if one != "HolderTaken"] == EVENTS


@pytest.mark.parametrize("write", range(1, 4))
def test_a_runner_that_sleeps_at_a_write_while_somebody_aborts_brings_nothing_back(write: int) -> None:
    world = begun()
    runner = OneRunner(world)
    runner.until_step(0)
    writes = [0]

    def aborts() -> None:
        """Somebody aborts just before the write that the runner has in hand."""
        writes[0] += 1
        if writes[0] == write:
            world.before = None
            abort_by_ann(world)
        else:
            world.before = aborts

    world.before = aborts
    require_a_conflict(runner)

    assert (world.record.phase, world.weight()) == ("Aborting", 0)
    assert OneRunner(world, "host/2/b").to_the_end().phase == "Aborted"
    assert world.weight() == 0


def test_a_runner_without_the_lease_moves_nothing_forward() -> None:
    world = begun()
    runner = OneRunner(world)
    runner.holds = False

    for _ in range(5):
        assert not runner.turn().acted

    assert (world.record.phase, world.weight()) == ("Pending", 0)
    assert world.events() == []


def test_a_runner_without_the_lease_ends_an_abort() -> None:
    world = begun()
    OneRunner(world).until_step(1)
    abort_by_ann(world)
    helper = OneRunner(world, "host/2/b")
    helper.holds = False

    for _ in range(4):
        helper.turn()

    assert (world.record.phase, world.weight()) == ("Aborted", 0)


def test_a_lease_that_is_lost_between_the_record_and_the_routes_writes_no_routes() -> None:
    world = begun()
    runner = OneRunner(world)
    runner.until_step(0)
    lost = lambda: setattr(runner, "holds", world.record.step == 0)  # noqa: E731
    world.after_write = lost

    with pytest.raises(ConflictError):
        runner.turn()

    assert (world.record.step, world.weight()) == (1, 10)
    world.after_write = lambda: None
    assert OneRunner(world, "host/2/b").to_the_end().phase == "Completed"


@pytest.mark.parametrize("failure", [500, 503, 409, 429, httpx2.ReadTimeout("late"), httpx2.ConnectError("gone")])
def test_no_good_answer_at_any_request_delays_a_rollout_and_does_no_harm(failure: int | Exception) -> None:
    world = begun()
    world.after_write = lambda: require_in_order(world)
    runner = OneRunner(world)
    failed = 0
    for number in range(400):
        world.failures = [failure] if number % 2 else []
        try:
            for _ in range(number % 7 // 2):
                runner.turn()
                world.failures = [failure] if number % 2 else []
            turn = runner.turn()
        except (httpx2.HTTPError, ConflictError):
            failed += 1
            continue
        if turn.record.phase == "Completed" and not turn.record.outbox:
            break
    assert (world.record.phase, world.weight()) == ("Completed", 100)
    assert failed


def test_a_step_waits_until_every_envoy_follows() -> None:
    world = begun()
    runner = OneRunner(world, envoys=Envoys(Following(False, "1 of the Envoys do not follow")))
    for _ in range(12):
        runner.turn()

    assert (world.record.stage, world.weight()) == ("Settling", 10)
    assert world.record.held is not None
    assert "do not follow" in world.record.held.text

    runner.envoys.following = Following(True)
    assert runner.to_the_end().phase == "Completed"


def test_a_new_version_without_a_ready_pod_is_aborted_within_five_seconds_by_whoever_sees_it() -> None:
    world = begun()
    runner = OneRunner(world)
    runner.until_step(0)
    abandoned = OneRunner(world, "host/2/b")
    abandoned.holds = False
    world.pods("version-2", 0, unready=2)

    abandoned.turn()
    assert world.weight() == 10
    abandoned.clock = 4.0
    abandoned.turn()

    assert (world.record.phase, world.weight()) == ("Aborting", 0)


def test_too_few_pods_hold_the_first_step_and_are_asked_for() -> None:
    world = begun(steps=[{"weight": 100}])
    world.deployment("version-2", 1)
    world.pods("version-2", 1)
    runner = OneRunner(world)
    for _ in range(6):
        runner.turn()

    assert (world.record.phase, world.weight()) == ("Pending", 0)
    assert world.get("deployments", NAMESPACE, "website-version-2")["spec"]["replicas"] == 2
    world.pods("version-2", 2)
    assert runner.to_the_end().phase == "Completed"


def test_deleted_virtual_services_make_the_record_void() -> None:
    world = begun()
    runner = OneRunner(world)
    runner.until_step(0)
    del world.objects["virtualservices", NAMESPACE, AT_GATEWAY]
    world.route_by_up(AT_GATEWAY)

    for _ in range(4):
        runner.turn()

    assert world.record.void_since is not None
    assert world.weight() == 0, "the routes of the new one are left alone"
    assert "RecordVoid" in world.events()


def test_a_hand_edit_pauses_until_a_person_decides() -> None:
    world = begun()
    runner = OneRunner(world)
    runner.until_step(0)

    def edit(item: dict[str, object]) -> None:
        item["spec"]["http"] = world.steps["1"][AT_GATEWAY]  # type: ignore[index]

    world.update("virtualservices", NAMESPACE, AT_GATEWAY, "kubectl-edit", edit)
    for _ in range(5):
        runner.turn()

    assert world.record.paused is not None
    assert world.weight() == 50, "it stays as the person made it"
    assert "Drift" in world.events()
    abort_by_ann(world)
    assert world.weight() == 0


def test_a_pause_keeps_the_weight() -> None:
    world = begun()
    runner = OneRunner(world)
    runner.until_step(0)
    act(world.client, NAMESPACE, "website", lambda record, now: pause(record, "lunch", "ann", now), by="ann")

    for _ in range(5):
        runner.turn()

    assert (world.record.step, world.weight()) == (0, 10)


def test_an_undo_goes_back_once_the_pods_of_the_old_version_are_ready() -> None:
    world = begun()
    runner = OneRunner(world)
    runner.to_the_end()
    world.pods("version-1", 0, unready=2)
    act(world.client, NAMESPACE, "website", lambda record, now: undo(record, "slow", "ann", now), by="ann")
    for _ in range(4):
        runner.turn()
    assert (world.record.phase, world.weight()) == ("Undoing", 100)

    world.pods("version-1", 2)
    assert runner.to_the_end().phase == "Undone"
    assert world.weight() == 0


def test_without_the_right_to_list_pods_nothing_rises_and_an_abort_goes_on() -> None:
    world = begun()
    runner = OneRunner(world)
    runner.until_step(0)
    world.list_errors["endpointslices"] = 403

    for _ in range(4):
        runner.turn()
    assert (world.record.step, world.weight()) == (0, 10)
    assert world.record.held is not None
    assert world.record.held.reason == "NoCapacity"

    abort_by_ann(world)
    assert runner.to_the_end().phase == "Aborted"


def test_the_log_tells_each_decision_with_what_was_done() -> None:
    world = begun()
    OneRunner(world).to_the_end()

    lines = RolloutStore(world.client, NAMESPACE, "website").read_log()

    assert [one["why"] for one in lines if "routes" in one["did"]] == [
        "step 1 of 3: version-2 10 %",
        "step 2 of 3: version-2 50 %",
        "step 3 of 3: version-2 100 %",
    ]
    assert {one["by"] for one in lines} == {"host/1/a"}
    assert all(one["numbers"]["readyTo"] == 2 for one in lines)
