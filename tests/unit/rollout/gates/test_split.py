"""The split of a step: what is wrong, what is not, and how often a right one is called wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.gates.split import ALPHA, judge, log_e

TEN = {"canary": 10.0, "stable": 90.0}
ALL = {"canary": 100.0, "stable": 0.0}
NONE = {"canary": 0.0, "stable": 100.0}


@pytest.mark.parametrize(
    ("weights", "counts", "wrong"),
    [
        (TEN, (1000, 9000), False),
        (TEN, (1090, 8910), False),  # far enough for statistics, but by less than a point
        (TEN, (100_900, 899_100), False),
        (TEN, (1500, 8500), True),
        (TEN, (0, 300), True),
        (TEN, (0, 20), False),  # too few to tell
        ({"canary": 50.0, "stable": 50.0}, (54_000, 46_000), False),  # within a tenth of the weight
        ({"canary": 50.0, "stable": 50.0}, (56_000, 44_000), True),
        (ALL, (1000, 0), False),
        (ALL, (1000, 1), True),
        (NONE, (0, 1000), False),
        (NONE, (1, 1000), True),
    ],
)
def test_verdicts(weights: dict[str, float], counts: tuple[int, int], wrong: bool) -> None:
    found = judge(weights, {"canary": counts[0], "stable": counts[1]}, 5)
    assert found is not None
    assert found.wrong == wrong


def test_without_requests_there_is_no_split() -> None:
    assert judge(TEN, {"canary": 0, "stable": 0}, 5) is None


def test_the_version_that_is_most_off_is_named() -> None:
    found = judge(TEN, {"canary": 2000, "stable": 8000}, 5)
    assert found is not None
    assert (found.version, found.weight, found.share) == ("canary", 10, 20)


def test_a_version_that_nobody_wants_is_named() -> None:
    found = judge(TEN, {"canary": 100, "stable": 900, "other": 1}, 5)
    assert found is not None
    assert (found.version, found.wrong) == ("other", True)


@settings(deadline=None)
@given(st.integers(1, 200), st.floats(0.01, 0.99))
def test_right_weights_have_an_expected_e_value_of_one(requests: int, weight: float) -> None:
    weights = {"canary": weight, "stable": 1 - weight}
    mean = 0.0
    for canary in range(requests + 1):
        ways = math.lgamma(requests + 1) - math.lgamma(canary + 1) - math.lgamma(requests - canary + 1)
        chance = ways + canary * math.log(weight) + (requests - canary) * math.log(1 - weight)
        mean += math.exp(chance + log_e(weights, {"canary": canary, "stable": requests - canary}))
    assert mean == pytest.approx(1, abs=1e-6)


@settings(deadline=None)
@given(st.integers(0, 5000), st.integers(0, 5000), st.floats(1, 99))
def test_the_order_of_the_versions_changes_nothing(canary: int, stable: int, weight: float) -> None:
    one = judge({"a": weight, "b": 100 - weight}, {"a": canary, "b": stable}, 3)
    other = judge({"b": 100 - weight, "a": weight}, {"b": stable, "a": canary}, 3)
    assert (one is None) == (other is None)
    if one is not None and other is not None:
        assert one.wrong == other.wrong
        assert one.log_e == pytest.approx(other.log_e, abs=1e-6)


@settings(deadline=None)
@given(st.sampled_from([(0.1, 5.0), (0.3, 50.0), (0.5, 50.0)]), st.integers(0, 2**32 - 1))
def test_a_right_split_is_not_called_wrong_at_any_look(cell: tuple[float, float], seed: int) -> None:
    weight, per_second = cell
    rng = np.random.default_rng(seed)
    every = rng.poisson(15 * per_second, 40)
    canary = np.cumsum(rng.binomial(every, weight))
    total = np.cumsum(every)
    parts = {"canary": weight, "stable": 1 - weight}
    highest = max(
        log_e(parts, {"canary": float(c), "stable": float(n - c)}) for c, n in zip(canary, total, strict=True)
    )
    assert highest < math.log(1e6 / ALPHA), "one in 10^9 of such rollouts"


@pytest.mark.parametrize(
    ("weight", "real", "per_second", "minutes"),
    [(0.1, 0.15, 5, 2.8), (0.1, 0.2, 5, 1.0), (0.1, 0.12, 50, 1.8), (0.5, 0.45, 50, 0.8), (0.1, 0.0, 5, 0.8)],
)
def test_a_wrong_split_is_found_in_about_the_minutes_of_the_table(
    weight: float, real: float, per_second: float, minutes: float
) -> None:
    taken = []
    rng = np.random.default_rng(11)
    percent = {"canary": 100 * weight, "stable": 100 - 100 * weight}
    for _ in range(60):
        canary = total = 0
        blocks, is_wrong = 0, False
        while not is_wrong:
            blocks += 1
            requests = int(rng.poisson(15 * per_second))
            total += requests
            canary += int(rng.binomial(requests, real))
            found = judge(percent, {"canary": canary, "stable": total - canary}, 3)
            is_wrong = found is not None and found.wrong
        taken.append(blocks / 4)
    assert sorted(taken)[30] == pytest.approx(minutes, rel=0.4, abs=0.3)
