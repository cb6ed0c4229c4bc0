"""Proof: the formulas, its validity at every point of the null, and what proves nothing."""

from __future__ import annotations

import math
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.gates.blocks import Counts
from rollout.gates.harm import Harm
from rollout.gates.proof import Proof, nearest
from tests.unit.rollout.gates import reference
from tests.unit.rollout.gates.drawn import GATEWAY, counts, halves, strata

PROVED = math.log(20)


@pytest.mark.parametrize(
    ("difference", "rate", "share", "canary"),
    [(0.002, 0.001, 0.5, 0.001), (0.0083, 0.005, 0.1, 0.007), (0.05, 0.05, 0.3, 0.05), (0.3, 0.2, 0.5, 0.4)],
)
def test_the_e_value_is_that_of_the_formulas(difference: float, rate: float, share: float, canary: float) -> None:
    found = counts(5, 120, requests=400, share=share, stable=rate, canary=canary)
    found[60, 2] += found[60, 0] // 10
    expected = reference.proof(found, difference, rate)
    proof, harm = Proof(difference, rate), Harm()
    for index, row in enumerate(found):
        proof.add(strata(row), harm.phi)
        harm.add(15.0 * index, strata(row))
        assert proof.log_e == pytest.approx(expected[index], abs=1e-9)


rates = st.floats(0.001, 0.6)


@settings(deadline=None)
@given(rates, rates, st.floats(0.001, 0.5), st.integers(1, 30), st.integers(1, 30), st.data())
def test_a_block_never_proves_more_than_chance_where_the_canary_is_worse_by_the_difference(
    q_s: float, q_c: float, difference: float, n_s: int, n_c: int, data: st.DataObject
) -> None:
    if q_c >= q_s + difference:
        return
    p_s = data.draw(st.floats(0, 1 - difference))
    p_c = data.draw(st.floats(p_s + difference, 1))
    x = nearest(n_s, n_c, q_s, q_c, difference)
    y = x + difference
    # Both arms are independent sums, so the expectation is a product.
    stable = (p_s * q_s / x + (1 - p_s) * (1 - q_s) / (1 - x)) ** n_s
    canary = (p_c * q_c / y + (1 - p_c) * (1 - q_c) / (1 - y)) ** n_c
    assert stable * canary <= 1 + 1e-6


@settings(deadline=None)
@given(rates, rates, st.floats(0.001, 0.5), st.floats(1, 1e6), st.floats(1, 1e6))
def test_the_nearest_point_of_the_null_is_nearer_than_its_neighbours(
    q_s: float, q_c: float, difference: float, n_s: float, n_c: float
) -> None:
    if q_c >= q_s + difference or q_s >= 1 - difference:
        return

    def distance(x: float) -> float:
        def divergence(p: float, r: float) -> float:
            return p * math.log(p / r) + (1 - p) * math.log((1 - p) / (1 - r))

        return n_s * divergence(q_s, x) + n_c * divergence(q_c, x + difference)

    x = nearest(n_s, n_c, q_s, q_c, difference)
    slack = 1e-12 * (n_s + n_c)
    for off in (0.999, 1.001):
        if 0 < x * off < 1 - difference:
            assert distance(x) <= distance(x * off) + slack


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 0.9), st.floats(0.005, 0.1))
def test_two_callers_with_half_of_the_requests_each_prove_what_one_proves(
    seed: int, share: float, difference: float
) -> None:
    found = counts(seed, 30, requests=300, share=share, stable=0.02, canary=0.02)
    whole, split = Proof(difference, 0.02), Proof(difference, 0.02)
    for row in found:
        whole.add(strata(row))
        split.add(halves(strata(row)))
    assert split.log_e == pytest.approx(whole.log_e, abs=1e-8)


@pytest.mark.parametrize("empty", [{}, {GATEWAY: Counts()}])
def test_an_empty_block_changes_nothing(empty: dict[object, Counts]) -> None:
    found = counts(2, 20, requests=300, share=0.5, stable=0.02, canary=0.02)
    one, other = Proof(0.05, 0.02), Proof(0.05, 0.02)
    for row in found:
        one.add(strata(row))
        other.add(strata(row))
        other.add(empty)  # type: ignore[arg-type]
    assert one.log_e == other.log_e


@pytest.mark.parametrize("only", [(1, 0, 1, 0), (0, 1, 0, 1)])
def test_one_version_alone_proves_nothing(only: tuple[int, ...]) -> None:
    proof = Proof(0.01, 0.005)
    for row in counts(1, 20, requests=700, share=0.5, stable=0.005, canary=0.005):
        proof.add(strata(row * np.array(only)))
    assert proof.log_e == 0


def test_a_weight_that_bounds_the_loss_needs_no_proof() -> None:
    assert Proof(1.0, 0.05).log_e == inf
    assert Proof(2.5, 0.05).log_e == inf


@pytest.mark.parametrize(("stable_rate", "failures"), [(0.0, 0.0), (1.0, 1.0), (0.0, 1.0), (0.5, 1.0)])
def test_rates_of_none_and_of_all_requests_are_numbers_too(stable_rate: float, failures: float) -> None:
    proof = Proof(0.01, stable_rate)
    for _ in range(10):
        proof.add({GATEWAY: Counts(n_c=50, n_s=50, f_c=50 * failures, f_s=50 * failures)})
    assert math.isfinite(proof.log_e)


def test_a_caller_that_comes_later_is_judged_by_itself() -> None:
    proof = Proof(0.02, 0.005)
    for number in range(200):
        proof.add(strata((375, 375, 2, 2)))
        if number > 100:
            proof.add(strata((37, 37, 4, 4), GATEWAY._replace(caller="late")))
    assert proof.log_e > PROVED, "its rate of 11 % is its own, of both versions"


@pytest.mark.parametrize(
    ("rate", "difference", "requests", "share", "minutes"),
    [(0.001, 0.001, 750, 0.5, 7.5), (0.005, 0.0025, 750, 0.5, 5.8), (0.01, 0.005, 750, 0.5, 3.2)],
)
def test_equal_versions_are_proved_in_about_the_minutes_of_the_table(
    rate: float, difference: float, requests: float, share: float, minutes: float
) -> None:
    taken = []
    for seed in range(40):
        proof = Proof(difference, rate)
        number = 0
        for row in counts(seed, 400, requests=requests, share=share, stable=rate, canary=rate):
            number += 1
            proof.add(strata(row))
            if proof.log_e >= PROVED:
                break
        taken.append(number / 4)
    assert sorted(taken)[20] == pytest.approx(minutes, rel=0.35)


@pytest.mark.parametrize("before", [0.0, 1e-6, 1e-4])
def test_a_service_that_fails_more_often_than_before_is_proved_nevertheless(before: float) -> None:
    def minutes(stable_rate: float) -> float:
        taken = []
        for seed in range(15):
            proof, number = Proof(0.0025, stable_rate), 0
            for row in counts(seed, 400, requests=750, share=0.5, stable=0.005, canary=0.005):
                number += 1
                proof.add(strata(row))
                if proof.log_e >= PROVED:
                    break
            taken.append(number / 4)
        return sorted(taken)[7]

    assert minutes(before) <= 2 * minutes(0.005)


@pytest.mark.parametrize("stable_rate", [0.0, 1e-6])
def test_a_canary_that_is_worse_by_the_difference_is_rarely_promoted_where_nothing_failed_before(
    stable_rate: float,
) -> None:
    promoted = 0
    for seed in range(100):
        proof = Proof(0.003, stable_rate)
        for row in counts(seed, 80, requests=750, share=0.3, stable=0.0002, canary=0.0032):
            proof.add(strata(row))
            if proof.log_e >= PROVED:
                promoted += 1
                break
    assert promoted <= 11, "5 % at most, and 11 of 100 in one of a hundred such tests"


def test_a_canary_that_is_worse_by_the_difference_is_rarely_promoted() -> None:
    promoted = 0
    for seed in range(150):
        proof = Proof(0.01, 0.01)
        for row in counts(seed, 80, requests=750, share=0.5, stable=0.01, canary=0.02):
            proof.add(strata(row))
            if proof.log_e >= PROVED:
                promoted += 1
                break
    assert promoted <= 15, "5 % at most, which is 7.5 of 150"
