"""Keeping a Lease: got, renewed, lost, and through failures of the API server."""

from __future__ import annotations

from typing import Any

from rollout.lease import Lease
from rollout.lease_keeper import LeaseKeeper
from tests.unit.rollout.rollouts import World
from tests.unit.rollout.sample_records import NAMESPACE


class Clock:
    """Seconds that only a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def keeper(world: World, holder: str, clock: Clock, changed: list[bool] | None = None) -> LeaseKeeper:
    lease = Lease(world.client, NAMESPACE, "website", holder, clock=clock)
    return LeaseKeeper(lease, holder, lambda: changed.append(True) if changed is not None else None)


def test_the_first_one_gets_the_lease_and_the_second_waits_until_it_has_run_out() -> None:
    world, clock, changed = World(), Clock(), list[bool]()
    first, second = keeper(world, "a", clock), keeper(world, "b", clock, changed)
    first.turn()
    second.turn()
    assert (first.held, second.held, changed) == (True, False, [])

    clock.now = 16.0
    second.turn()

    assert (first.held, second.held, changed) == (False, True, [True])
    assert not second.lost


def test_a_holder_that_slept_while_another_took_the_lease_has_lost_it() -> None:
    world, clock = World(), Clock()
    first, second = keeper(world, "a", clock), keeper(world, "b", clock)
    first.turn()
    second.turn()
    clock.now = 16.0
    second.turn()

    first.turn()

    assert first.lost
    assert not first.held


def test_a_holder_survives_an_api_server_that_does_not_answer_for_minutes() -> None:
    world, clock = World(), Clock()
    one = keeper(world, "a", clock)
    one.turn()
    for second in range(10, 200, 10):
        clock.now = float(second)
        world.failures = [503, 503]
        one.turn()
    assert not one.held
    assert not one.lost

    world.failures = []
    one.turn()
    assert one.held


def test_a_stopped_keeper_gives_the_lease_up() -> None:
    world, clock = World(), Clock()
    one, next_one = keeper(world, "a", clock), keeper(world, "b", clock)
    one.turn()
    one.stop()
    next_one.turn()
    assert next_one.held


def test_a_race_for_the_lease_is_won_by_one() -> None:
    world, clock = World(), Clock()
    one, other = keeper(world, "a", clock), keeper(world, "b", clock)
    world.before = other.turn
    one.turn()
    assert (one.held, other.held) == (False, True)
    assert not one.lost, "it never had it"


def test_a_renewal_that_somebody_disturbs_is_not_a_lost_lease() -> None:
    world, clock = World(), Clock()
    one = keeper(world, "a", clock)
    one.turn()

    def label(item: Any) -> None:
        item["metadata"]["labels"]["n"] = str(world.writes)

    def disturb() -> None:
        world.update("leases", NAMESPACE, "istio-canary-rollout-website", "kubectl-label", label)
        world.before = disturb

    world.before = disturb
    one.turn()

    assert one.held
    assert not one.lost
