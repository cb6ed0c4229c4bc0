"""Who holds the Lease of a rollout, and when another may take it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from rollout.lease import RENEW_SECONDS, SECONDS, Lease, new_holder
from tests.unit.rollout.api_server import ApiServer

NAMESPACE, NAME = "website-istio-ns", "istio-canary-rollout-website"


class Machines:
    """Machines with one API server, each with a clock of its own that begins at another time."""

    def __init__(self) -> None:
        self.server = ApiServer()
        self.passed = 0.0
        self.wrong: dict[str, float] = {}

    def lease(self, holder: str, **keys: Any) -> Lease:
        begun = self.wrong.setdefault(holder, 1000.0 * len(self.wrong))
        clock: Callable[[], float] = lambda: begun + self.passed  # noqa: E731
        return Lease(self.server.client, NAMESPACE, "website", holder, clock=clock, **keys)

    def wait(self, seconds: float) -> None:
        self.passed += seconds
        self.server.now += timedelta(seconds=seconds)

    @property
    def spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = self.server.get("leases", NAMESPACE, NAME)["spec"]
        return spec


@pytest.fixture
def machines() -> Machines:
    return Machines()


def test_the_first_one_takes_the_lease(machines: Machines) -> None:
    first = machines.lease("first")
    assert first.holder() is None
    assert first.acquire() is True
    assert (first.held, first.holder()) == (True, "first")
    assert machines.spec["leaseDurationSeconds"] == SECONDS == 15
    assert machines.spec["renewTime"].startswith("2026-01-05T10:0")
    assert machines.spec["leaseTransitions"] == 1


def test_the_lease_names_its_service(machines: Machines) -> None:
    machines.lease("first").acquire()
    labels = machines.server.get("leases", NAMESPACE, NAME)["metadata"]["labels"]
    assert labels == {"istio-canary/rollout": "website"}


def test_a_lease_that_is_renewed_is_never_taken(machines: Machines) -> None:
    first, second = machines.lease("first"), machines.lease("second")
    first.acquire()
    for number in range(10):
        assert second.acquire() is False
        assert second.others_live is (number > 0)
        machines.wait(RENEW_SECONDS)
        assert (first.due, first.renew()) == (True, True)
    assert first.holder() == "first"


def test_a_lease_that_stood_still_is_taken_over(machines: Machines) -> None:
    first, second = machines.lease("first"), machines.lease("second")
    first.acquire()
    assert second.acquire() is False
    machines.wait(SECONDS - 0.1)
    assert second.acquire() is False
    machines.wait(0.1)
    assert second.acquire() is True
    assert (second.holder(), machines.spec["leaseTransitions"]) == ("second", 2)


def test_a_lease_is_not_taken_at_first_sight_however_old_it_says_it_is(machines: Machines) -> None:
    """The taker's own clock counts, from when it saw the Lease first: the holder's time may be wrong."""
    machines.lease("first").acquire()
    machines.wait(3600)
    second = machines.lease("second")
    assert second.acquire() is False
    machines.wait(SECONDS)
    assert second.acquire() is True


def test_a_renewal_begins_the_wait_anew(machines: Machines) -> None:
    first, second = machines.lease("first"), machines.lease("second")
    first.acquire()
    second.acquire()
    machines.wait(SECONDS - 1)
    first.renew()
    machines.wait(1)
    assert second.acquire() is False
    machines.wait(SECONDS - 1)
    assert second.acquire() is False
    machines.wait(1)
    assert second.acquire() is True


def test_the_wait_is_what_the_lease_itself_says(machines: Machines) -> None:
    machines.lease("first", seconds=3).acquire()
    second = machines.lease("second")
    second.acquire()
    machines.wait(3)
    assert second.acquire() is True


def test_a_holder_that_slept_does_not_hold_it_and_cannot_renew_what_another_took(machines: Machines) -> None:
    first, second = machines.lease("first"), machines.lease("second")
    first.acquire()
    second.acquire()
    machines.wait(SECONDS)
    assert first.held is False
    second.acquire()
    assert first.renew() is False
    assert first.holder() == "second"


def test_a_holder_that_slept_may_renew_what_nobody_took(machines: Machines) -> None:
    first = machines.lease("first")
    first.acquire()
    machines.wait(SECONDS + 60)
    assert first.renew() is True
    assert first.held is True


def test_of_two_who_take_it_at_the_same_moment_one_gets_it(machines: Machines) -> None:
    machines.lease("gone").acquire()
    second, third = machines.lease("second"), machines.lease("third")
    second.acquire()
    third.acquire()
    machines.wait(SECONDS)
    taken: list[bool] = []
    machines.server.before = lambda: taken.append(third.acquire())
    assert second.acquire() is False
    assert (taken, second.held, second.holder()) == ([True], False, "third")


def test_of_two_who_create_it_at_the_same_moment_one_gets_it(machines: Machines) -> None:
    second, third = machines.lease("second"), machines.lease("third")
    taken: list[bool] = []
    machines.server.before = lambda: taken.append(third.acquire())
    assert second.acquire() is False
    assert (taken, second.holder()) == ([True], "third")


def test_a_released_lease_is_taken_at_once(machines: Machines) -> None:
    first, second = machines.lease("first"), machines.lease("second")
    first.acquire()
    first.release()
    assert (first.held, first.holder()) == (False, None)
    assert second.acquire() is True


def test_releasing_does_not_take_it_from_another(machines: Machines) -> None:
    first, second = machines.lease("first"), machines.lease("second")
    first.acquire()
    second.acquire()
    machines.wait(SECONDS)
    second.acquire()
    first.release()
    assert second.holder() == "second"


def test_releasing_while_another_takes_it_leaves_it_to_the_other(machines: Machines) -> None:
    first, second = machines.lease("first"), machines.lease("second")
    first.acquire()
    second.acquire()
    machines.wait(SECONDS)
    taken: list[bool] = []
    machines.server.before = lambda: taken.append(second.acquire())
    first.release()
    assert taken == [True]
    assert second.holder() == "second"


def test_a_deleted_lease_is_lost_and_can_be_acquired_again(machines: Machines) -> None:
    first = machines.lease("first")
    first.acquire()
    machines.server.objects.clear()
    assert first.renew() is False
    first.release()
    assert first.acquire() is True


def test_acquiring_what_one_holds_renews_it(machines: Machines) -> None:
    first = machines.lease("first")
    first.acquire()
    before = machines.spec["renewTime"]
    machines.wait(RENEW_SECONDS)
    assert first.acquire() is True
    assert machines.spec["renewTime"] > before
    assert machines.spec["leaseTransitions"] == 1


def test_every_process_has_a_name_of_its_own() -> None:
    assert new_holder() != new_holder()
    assert new_holder().count("/") == 2
