"""Absolute limits as a test: never wrong more often than stated, and quick where much fails."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.gates.blocks import Counts
from rollout.gates.limit import Limit
from tests.unit.rollout.gates.drawn import GATEWAY, halves, strata

ABORT = math.log(1 / 0.005)


def limit(value: float = 0.02, history: float | None = None) -> Limit:
    return Limit(value, share=0.5, alpha=0.01, history=history)


@settings(deadline=None)
@given(st.integers(1, 60), st.floats(0.001, 0.9), st.floats(0, 1))
def test_one_block_never_says_more_than_chance_up_to_the_limit(n: int, value: float, part: float) -> None:
    rate = value * part
    mean = 0.0
    for f in range(n + 1):
        one = limit(value)
        one.add(0.0, {GATEWAY: Counts(n_c=n, f_c=f)})
        mean += math.comb(n, f) * rate**f * (1 - rate) ** (n - f) * math.exp(one.log_e)
    assert mean <= 1 + 1e-9


def test_a_canary_at_the_limit_is_not_aborted_and_one_at_twice_the_limit_is() -> None:
    rng = np.random.default_rng(7)
    kept, broken = limit(), limit()
    for block in range(400):
        kept.add(15.0 * block, {GATEWAY: Counts(n_c=750, f_c=float(rng.binomial(750, 0.02)))})
        assert kept.log_e < ABORT
    for block in range(40):
        broken.add(15.0 * block, {GATEWAY: Counts(n_c=750, f_c=float(rng.binomial(750, 0.04)))})
    assert broken.log_e > ABORT
    since = broken.since()
    assert since is not None
    assert since.difference == pytest.approx(0.02, abs=0.005), "above the limit"


def test_a_canary_that_fails_altogether_is_found_in_two_blocks() -> None:
    one = limit()
    one.add(0.0, strata((100, 0, 100, 0)))
    assert one.log_e < ABORT
    one.add(15.0, strata((100, 0, 100, 0)))
    assert one.log_e > ABORT


def test_stable_does_not_matter() -> None:
    alone, beside = limit(), limit()
    for block in range(20):
        alone.add(15.0 * block, strata((100, 0, 3, 0)))
        beside.add(15.0 * block, strata((100, 900, 3, 800)))
    assert alone.log_e == beside.log_e


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 300), st.floats(0, 1)), min_size=1, max_size=12))
def test_two_callers_with_half_of_the_requests_each_say_what_one_says(found: list[tuple[int, float]]) -> None:
    whole, parts = limit(), limit()
    for block, (n, rate) in enumerate(found):
        row = strata((n, 0, round(n * rate), 0))
        whole.add(15.0 * block, row)
        parts.add(15.0 * block, halves(row))
        parts.add(15.0 * block, {})
    assert parts.log_e == pytest.approx(whole.log_e, abs=1e-9)
    assert parts.phi == pytest.approx(whole.phi, abs=1e-9)


def test_bursts_say_less_than_steady_failures() -> None:
    steady, bursts = limit(), limit()
    for block in range(64):
        steady.add(15.0 * block, strata((750, 0, 22, 0)))
        bursts.add(15.0 * block, strata((750, 0, 22 * 16 if block % 16 == 8 else 0, 0)))
    assert bursts.phi > 10 > steady.phi
    assert bursts.log_e < ABORT < steady.log_e


def test_a_scatter_of_the_past_counts() -> None:
    assert limit(history=4.0).phi == 4.0
    assert limit(history=1.2).phi == 1.0


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_the_ends_are_rates_too(value: float) -> None:
    one = limit(value)
    for block in range(3):
        one.add(15.0 * block, strata((100, 0, 100, 0)))
    assert (one.log_e > ABORT) == (value == 0.0)
    assert limit(value).since() is None
