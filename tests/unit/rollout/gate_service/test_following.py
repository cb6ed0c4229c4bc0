"""When a canary of another engine began, and in which times which step stood, by its weights alone."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.gate_service.following import SETTLES, Canary, Seen, follow, look
from rollout.record import seconds_between
from tests.unit.rollout.gate_service.targets import START, at, target, virtual_service

STEPS = (10.0, 50.0, 100.0)
FLAGGER = {"engine": "flagger", "stable": "website-primary", "canary": "website-canary", "by_host": True}


def followed(*seen: Seen) -> Canary | None:
    canary = None
    for one in seen:
        canary = follow(canary, one, STEPS)
    return canary


def saw(seconds: float, weight: float | None, written: float | None = None) -> Seen:
    return Seen(at=at(seconds), weight=weight, written=None if written is None else at(written))


@pytest.mark.parametrize(
    ("weights", "changes", "weight"),
    [
        ({"version-1": 90, "version-2": 10}, {}, 10.0),
        ({"version-1": 100, "version-2": 0}, {}, 0.0),
        ({"version-2": 100}, {}, 100.0),
        ({"version-1": 100}, {}, 0.0),
        ({"version-1": 3, "version-2": 1}, {}, 25.0),
        ({"other": 100}, {}, None),
        ({"version-1": 0, "version-2": 0}, {}, None),
        ({"website-primary": 70, "website-canary": 30}, FLAGGER, 30.0),
        ({"website-primary.shop.svc.cluster.local": 70, "website-canary.shop.svc.cluster.local": 30}, FLAGGER, 30.0),
        ({"website-primary.other": 70, "website-canary.other": 30}, FLAGGER, None),
    ],
)
def test_the_weight_of_the_canary_is_its_percent_of_the_route(
    weights: dict[str, int], changes: dict[str, Any], weight: float | None
) -> None:
    found = look([virtual_service(weights, by_host=bool(changes))], target(**changes), at(1))
    assert found == Seen(at=at(1), weight=weight, written=START)


def test_weights_that_differ_between_two_virtual_services_are_not_known() -> None:
    both = [
        virtual_service({"version-1": 90, "version-2": 10}),
        virtual_service({"version-1": 50, "version-2": 50}, at(5), name="website-mesh"),
    ]
    assert look(both, target(), at(6)) == Seen(at=at(6), weight=None, written=at(5))


def test_without_a_virtual_service_nothing_is_known() -> None:
    assert look([], target(), at(1)) == Seen(at=at(1), weight=None)


def test_a_canary_begins_with_its_first_weight_and_when_that_was_written() -> None:
    canary = followed(saw(0, 0), saw(10, 10, written=9))
    assert canary is not None
    assert (canary.began, canary.step) == (at(9), 0)
    assert seconds_between(at(9), str(canary.settled_at)) == SETTLES


def test_a_service_that_is_new_takes_the_weight_that_stands_from_when_it_was_written() -> None:
    canary = followed(saw(500, 50, written=100))
    assert canary is not None
    assert (canary.began, canary.step) == (at(100), 1)


def test_a_step_ends_when_its_weight_was_seen_last() -> None:
    canary = followed(saw(10, 10, 9), saw(80, 10, 9), saw(90, 50, 85))
    assert canary is not None
    first, second = canary.periods
    assert (first.step, first.until) == (0, at(80))
    assert (second.step, second.until) == (1, None)
    assert seconds_between(at(85), second.settled_at) == SETTLES


def test_a_weight_that_has_not_settled_is_no_time_of_its_step() -> None:
    canary = followed(saw(10, 10, 10), saw(11, 50, 11))
    assert canary is not None
    assert [one.step for one in canary.periods] == [1]


@pytest.mark.parametrize("between", [30, None], ids=["another weight", "no weight"])
def test_what_is_no_step_is_not_judged_and_ends_the_step_before(between: float | None) -> None:
    canary = followed(saw(10, 10, 9), saw(60, 10, 9), saw(61, between, 61))
    assert canary is not None
    assert (canary.step, canary.settled_at) == (None, None)
    assert [one.until for one in canary.periods] == [at(60)]


def test_a_canary_without_weight_is_over_and_the_next_one_begins_anew() -> None:
    assert followed(saw(10, 50, 9), saw(20, 0, 19)) is None
    canary = followed(saw(10, 50, 9), saw(20, 0, 19), saw(30, 10, 29))
    assert canary is not None
    assert (canary.began, len(canary.periods)) == (at(29), 1)


def test_a_cluster_whose_managed_fields_tell_no_time_counts_from_the_look() -> None:
    canary = followed(saw(10, 10))
    assert canary is not None
    assert canary.began == at(10)


@given(
    st.lists(st.tuples(st.integers(1, 30), st.sampled_from([None, 0, 10, 30, 50, 100]), st.integers(0, 5)), max_size=12)
)
def test_times_of_steps_never_overlap_and_never_begin_before_their_weight_was_written(
    looks: list[tuple[int, float | None, int]],
) -> None:
    seconds, canary = 0, None
    for passed, weight, ago in looks:
        seconds += passed
        canary = follow(canary, saw(seconds, weight, max(seconds - min(ago, passed - 1), 0)), STEPS)
        periods = () if canary is None else canary.periods
        for one, other in pairwise(periods):
            assert one.until is not None
            assert one.settled_at < one.until < other.settled_at
        assert all(one.until is not None for one in periods[:-1])
