"""Whole rollouts: good versions are not aborted, bad ones are, in the minutes that were measured for the design.

The quick cells run always; all cells, with 500 runs each, with ISTIO_CANARY_LONG=1.
"""

from __future__ import annotations

import os
from statistics import median

import numpy as np
import pytest

from rollout.gates.decide import Answer
from rollout.gates.scatter import phi_of_history
from tests.unit.rollout.gates.simulated import bursts, run

LONG = os.environ.get("ISTIO_CANARY_LONG") == "1"
RUNS = 500 if LONG else 40
long_only = pytest.mark.skipif(not LONG, reason="ISTIO_CANARY_LONG=1 runs all cells")


def cell(*values: float, quick: bool = False) -> object:
    name = "-".join(f"{value:g}" for value in values[:2])
    return pytest.param(*values, id=name, marks=() if quick else long_only)


NULL = [
    cell(0.001, 5, 47),
    cell(0.001, 50, 100),
    cell(0.001, 500, 100, quick=True),
    cell(0.005, 5, 66),
    cell(0.005, 50, 100, quick=True),
    cell(0.005, 500, 100),
    cell(0.01, 5, 93),
    cell(0.01, 50, 100),
    cell(0.01, 500, 100),
    cell(0.05, 5, 100, quick=True),
    cell(0.05, 50, 100),
    cell(0.05, 500, 100),
]
"""Failure rate, requests a second, and percent that were promoted within two hours; the rest was held."""

FIVEFOLD = [
    cell(0.001, 50, 6.8, quick=True),
    cell(0.001, 500, 1.0, quick=True),
    cell(0.005, 5, 14),
    cell(0.005, 50, 1.8, quick=True),
    cell(0.005, 500, 0.5, quick=True),
    cell(0.01, 5, 7, quick=True),
    cell(0.01, 50, 1.0, quick=True),
    cell(0.01, 500, 0.5),
    cell(0.05, 5, 1.8, quick=True),
    cell(0.05, 50, 0.5),
    cell(0.05, 500, 0.5),
]
"""Failure rate, requests a second, and the median of the minutes to the abort."""


@pytest.mark.parametrize(("rate", "per_second", "promoted"), NULL)
def test_equal_versions_are_not_aborted(rate: float, per_second: float, promoted: float) -> None:
    ends = [run(seed, per_second, rate, rate) for seed in range(RUNS)]

    # 0.5 % is stated, which 500 runs exceed with 5 (of 2.5) in one of a hundred such tests.
    assert sum(one.end is Answer.HARM for one in ends) <= (6 if LONG else 1)
    share = 100 * sum(one.end is Answer.RISE for one in ends) / RUNS
    assert share == pytest.approx(promoted, abs=10 if LONG else 20)
    if promoted == 100:
        assert share >= 97


@pytest.mark.parametrize(("rate", "per_second", "minutes"), FIVEFOLD)
def test_a_fivefold_error_rate_is_aborted_in_time(rate: float, per_second: float, minutes: float) -> None:
    ends = [run(seed, per_second, rate, 5 * rate) for seed in range(RUNS)]

    assert all(one.end is Answer.HARM for one in ends)
    assert median(one.minutes for one in ends) == pytest.approx(minutes, rel=0.35, abs=0.3)


@long_only
def test_at_five_requests_a_second_a_fivefold_error_rate_of_a_tenth_percent_is_mostly_found() -> None:
    ends = [run(seed, 5, 0.001, 0.005) for seed in range(RUNS)]
    assert sum(one.end is Answer.HARM for one in ends) >= 0.8 * RUNS
    assert not any(one.end is Answer.RISE for one in ends)


def outage(start: float, seconds: float, during: float, usual: float) -> tuple[object, float]:
    return (lambda time: during if start <= time < start + seconds else usual), usual


@pytest.mark.parametrize(("seconds", "during"), [(60.0, 0.2), (300.0, 0.05)], ids=["a minute", "five minutes"])
def test_an_outage_of_both_versions_aborts_nothing(seconds: float, during: float) -> None:
    rate, usual = outage(900.0, seconds, during, 0.001)
    ends = [run(seed, 50, rate, rate, usual) for seed in range(RUNS // 2)]  # type: ignore[arg-type]
    assert sum(one.end is Answer.HARM for one in ends) <= (3 if LONG else 0)


@pytest.mark.parametrize(("after", "minutes"), [(900.0, 2.5), (1500.0, 2.0)])
def test_a_fault_that_begins_late_is_found_as_fast(after: float, minutes: float) -> None:
    ends = [run(seed, 50, 0.005, lambda time: 0.025 if time >= after else 0.005) for seed in range(RUNS // 2)]
    assert all(one.end is Answer.HARM for one in ends)
    taken = [one.minutes - after / 60 for one in ends]
    assert sum(one < 0 for one in taken) <= (3 if LONG else 0)
    assert median(taken) == pytest.approx(minutes, rel=0.4, abs=0.3)


@pytest.mark.parametrize("length", [15.0, 60.0])
def test_bursts_of_single_pods_abort_nothing_where_stable_had_them_before(length: float) -> None:
    aborted = 0
    runs = 100 if LONG else 15
    for seed in range(runs):
        before, stable, canary = (bursts(seed * 3 + part, 0.005, 0.1, length) for part in range(3))
        rng = np.random.default_rng(seed)
        past = [[(750.0, float(rng.binomial(750, before(15.0 * block))))] for block in range(6 * 240)]
        rate = sum(f for ((_, f),) in past) / (750 * len(past))
        phi = phi_of_history(past, 6 * 3600.0)
        assert phi is not None
        assert phi > 1.25
        aborted += run(seed, 50, stable, canary, rate, phi).end is Answer.HARM
    assert aborted <= 0.04 * runs


def test_a_canary_that_is_worse_by_less_than_the_tolerance_is_not_aborted() -> None:
    # 0.08 points more than stable's 0.5 %, tolerated are 0.25: significant at this traffic, and no harm.
    ends = [run(seed, 2000, 0.005, 0.0058) for seed in range(6)]
    assert {one.end for one in ends} == {Answer.RISE}
