"""Scatter: bursts are told from chance, in the past and in the rollout."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.gates.history import history_of
from rollout.gates.scatter import SHORTEST_HISTORY, Scatter, phi_of_history
from tests.unit.rollout.gates import reference
from tests.unit.rollout.gates.drawn import blocks, counts, halves, strata


def past(seed: int, burst: float) -> list[list[tuple[float, float]]]:
    """Six hours of a stable version at 50 rps; every 100th block has a burst."""
    rng = np.random.default_rng(seed)
    rates = np.full(1440, 0.005)
    rates[::100] = burst
    return [[(750.0, float(rng.binomial(750, rate)))] for rate in rates]


def test_a_past_without_bursts_has_no_scatter() -> None:
    found = phi_of_history(past(1, 0.005), 6 * 3600)
    assert found is not None
    assert 1 <= found < 1.25


def test_a_past_with_bursts_has_some() -> None:
    found = phi_of_history(past(1, 0.1), 6 * 3600)
    assert found is not None
    assert found > 5


def test_the_history_is_that_of_the_formula() -> None:
    pairs = past(2, 0.05)[:203]
    n, f = np.array([pair[0] for pair in pairs]).T
    off, expected = f - n * f.sum() / n.sum(), n * f.sum() / n.sum()
    ratios = []
    for scale in (1, 2, 4, 8):
        groups = len(pairs) // scale
        kept = groups * scale
        squares = (off[:kept].reshape(groups, scale).sum(axis=1) ** 2).sum()
        ratios.append((squares + 5) / (expected[:kept].sum() + 5))
    assert phi_of_history(pairs, 203 * 15) == pytest.approx(max(1, *ratios), abs=1e-9)


@pytest.mark.parametrize(("pairs", "seconds"), [(past(1, 0.1)[:100], SHORTEST_HISTORY - 15), ([], 1e6)])
def test_a_short_past_says_nothing(pairs: list[list[tuple[float, float]]], seconds: float) -> None:
    assert phi_of_history(pairs, seconds) is None


def test_callers_with_different_rates_are_no_scatter() -> None:
    rng = np.random.default_rng(3)
    # The caller that fails often calls in every second block only.
    pairs = [
        [(500.0, float(rng.binomial(500, 0.002))), (n, float(rng.binomial(int(n), 0.3)))] for n in [0.0, 300.0] * 200
    ]
    found = phi_of_history(pairs, 400 * 15)
    assert found is not None
    assert found < 1.3


def test_a_history_has_the_rate_of_stable_alone() -> None:
    rows = counts(4, 200, requests=750, share=0.1, stable=0.02, canary=0.5)
    found = history_of("errors", blocks(rows))
    assert found.rate == pytest.approx(0.02, rel=0.1)
    assert found.requests == rows[:, 1].sum()
    assert found.phi is not None
    nothing = history_of("latency", blocks(rows))
    assert (nothing.rate, nothing.requests, nothing.phi) == (0.0, 0.0, None)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.95), st.floats(0.001, 0.2), st.floats(0.001, 0.4))
def test_the_scatter_of_a_rollout_is_that_of_the_formula(seed: int, share: float, p_s: float, p_c: float) -> None:
    rows = counts(seed, 25, requests=400, share=share, stable=p_s, canary=p_c)
    one, two = Scatter(), Scatter()
    for row in rows:
        one.add(strata(row))
        two.add(halves(strata(row)))
    assert one.phi == pytest.approx(reference.phi(rows), abs=1e-9)
    assert two.phi == pytest.approx(one.phi, abs=1e-9)


@settings(deadline=None)
@given(st.floats(0, 30))
def test_a_scatter_up_to_a_quarter_counts_as_none(history: float) -> None:
    assert Scatter(history).phi == (history if history > 1.25 else 1.0)


def test_bursts_of_the_canary_are_seen() -> None:
    rows = counts(5, 120, requests=750, share=0.5, stable=0.005, canary=0.005)
    rows[::30, 2] += 60
    scatter = Scatter()
    for row in rows:
        scatter.add(strata(row))
    assert scatter.phi > 5
