"""The runner in the cluster: which rollouts it takes, what it leaves alone, and that one does not stop the others."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from kube.conflicts import ConflictError
from rollout.lease import Lease
from rollout.moving import Moving
from rollout.prometheus_readings import at_url
from rollout.record import EventType, OutboxEvent, Record
from rollout.runner import RunEnd
from rollout.store import RolloutStore
from rollout.supervisor import FIRST_REST, Supervisor
from tests.unit.rollout.rollouts import SERVICE, World
from tests.unit.rollout.sample_records import NAMESPACE

HOLDER = "runner/1/a"
AT = "2026-01-05T10:00:00+00:00"
EVENT = OutboxEvent(id="website-1/1", type=EventType.PENDING, at=AT, text="is there")


class Moves:
    """Takes the place of `runner.run`: notes who is moved, and does what a test says."""

    def __init__(self, act: Callable[..., RunEnd] | None = None) -> None:
        self.moved: list[str] = []
        self.keys: list[dict[str, Any]] = []
        self._act = act

    def __call__(self, access: object, namespace: str, service: str, holder: str, **keys: Any) -> RunEnd:
        self.moved.append(f"{namespace}/{service}")
        self.keys.append(keys)
        assert self._act is not None
        return self._act()


class Many:
    """A supervisor of an API server in memory, whose clock a test moves."""

    def __init__(self, world: World, *, moves: Moves | None = None, namespaces: tuple[str, ...] = (NAMESPACE,)) -> None:
        self.world = world
        self.moves = moves or Moves(lambda: RunEnd(record=world.record, why="held"))
        self.now = 0.0
        self.said: list[str] = []
        access: Any = object()
        self.supervisor = Supervisor(
            world.connect(),
            namespaces,
            HOLDER,
            Moving(access, HOLDER, at_url(None, "there is none"), move=self.moves),
            say=lambda subject, text: self.said.append(text),
            clock=lambda: self.now,
        )

    def turn(self) -> None:
        """One reading, after which all runs have ended."""
        self.supervisor.turn()
        self.supervisor._join(10)


def change(world: World, **keys: Any) -> Record:
    """Write the record with other keys."""
    store = RolloutStore(world.client, NAMESPACE, SERVICE)
    stored = store.read()
    assert stored is not None
    record = stored.record.model_copy(update={"generation": stored.record.generation + 1, **keys})
    return store.write(record, stored.resource_version).record


@pytest.fixture
def world() -> World:
    found = World(autoStart=True, keepPrevious="1h")
    found.begin()
    change(found, outbox=())
    return found


def test_a_rollout_is_moved_with_the_lease_and_the_numbers_of_prometheus(world: World) -> None:
    many = Many(world)
    many.turn()

    assert many.moves.moved == [f"{NAMESPACE}/{SERVICE}"]
    assert world.get("leases", NAMESPACE, f"istio-canary-rollout-{SERVICE}")["spec"]["holderIdentity"] == "runner/1/a"
    keys = many.moves.keys[0]
    assert not keys["once"]
    assert {"stop", "on_look", "limits", "gates"} <= keys.keys()
    assert many.said == ["website-1: it starts by itself"]


def test_a_rollout_that_another_holder_moves_is_left_alone_until_they_are_gone(world: World) -> None:
    other = Lease(world.connect(), NAMESPACE, SERVICE, "laptop/1/b")
    many = Many(world)
    RolloutStore(other._client, NAMESPACE, SERVICE).read()  # whose answer tells the time
    assert other.acquire()
    many.turn()
    assert not many.moves.moved

    other.release()
    many.turn()
    assert many.moves.moved == [f"{NAMESPACE}/{SERVICE}"]


def test_a_record_that_cannot_be_read_does_not_stop_the_others(world: World, caplog: pytest.LogCaptureFixture) -> None:
    labels = {"istio-canary/rollout": "api"}
    metadata = {"name": "istio-canary-rollout-api", "namespace": NAMESPACE, "labels": labels}
    bad = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    world.apply("configmaps", {**bad, "data": {"record": "{"}}, "somebody")
    many = Many(world)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            many.turn()

    assert f"{NAMESPACE}/{SERVICE}" in many.moves.moved
    told = [one for one in caplog.messages if one.startswith(f"{NAMESPACE}/api: the record of the rollout of api")]
    assert len(told) == 1, "it is said once, not at each reading"


def test_a_namespace_that_may_not_be_read_does_not_stop_the_others(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    served = world._serve

    def refuses(request: Any) -> Any:
        if "/namespaces/closed/" in request.url.path:
            world.failures.append(403)
        return served(request)

    world._serve = refuses  # type: ignore[method-assign]
    many = Many(world, namespaces=("closed", NAMESPACE))
    with caplog.at_level(logging.WARNING):
        assert many.supervisor.turn()
    many.supervisor._join(10)

    assert many.moves.moved == [f"{NAMESPACE}/{SERVICE}"]
    assert any(one.startswith("closed: its records cannot be read") for one in caplog.messages)
    only = Many(world, namespaces=("closed",))
    assert not only.supervisor.turn(), "a runner that reads nothing is not alive"


def test_a_run_that_fails_is_tried_again_later_and_later_and_at_once_when_its_record_has_changed(world: World) -> None:
    def fails() -> RunEnd:
        raise ConflictError("somebody is faster")

    many = Many(world, moves=Moves(fails))
    tries = []
    for _ in range(40):
        many.turn()
        tries.append(len(many.moves.moved))
        many.now += 1.0
    assert 3 <= tries[-1] <= 6, "after 2, 4, 8 and 16 seconds"
    assert tries[int(FIRST_REST) - 1] == 1
    assert "the run has failed: ConflictError: somebody is faster" in many.said

    many.turn()
    before = len(many.moves.moved)
    change(world)
    many.turn()
    assert len(many.moves.moved) == before + 1


def test_the_events_of_a_rollout_that_a_person_has_to_start_are_sent_without_starting_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, sent = World(), []
    world.begin()
    change(world, outbox=(EVENT,))
    monkeypatch.setattr("rollout.runner.send_events", lambda *place: sent.append(place[1:3]))
    many = Many(world)
    many.turn()

    assert sent == [(NAMESPACE, SERVICE)]
    assert not many.moves.moved
    assert not many.said


def test_one_look_moves_each_rollout_once_and_counts_those_that_fail(world: World) -> None:
    many = Many(world)
    assert many.supervisor.once() == 0
    assert [keys["once"] for keys in many.moves.keys] == [True]

    def fails() -> RunEnd:
        raise ConflictError("somebody is faster")

    assert Many(world, moves=Moves(fails)).supervisor.once() == 1


def test_the_end_stops_all_runs_and_waits_for_them(world: World) -> None:
    ended: list[bool] = []

    def until_stopped() -> RunEnd:
        assert many.moves.keys[-1]["stop"].wait(10)
        ended.append(True)
        return RunEnd(record=world.record, why="stopped")

    many = Many(world, moves=Moves(until_stopped))
    many.supervisor.run(lambda succeeded: many.supervisor.stop())

    assert ended == [True]
    assert not many.supervisor.running
