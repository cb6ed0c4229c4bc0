"""Harm: the formulas, the laws that make looking after every block safe, and what they find."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.gates.blocks import Counts, Stratum
from rollout.gates.harm import Harm
from rollout.gates.mixture import RATIOS, START_SECONDS, Mixture, start_weight
from tests.unit.rollout.gates import reference
from tests.unit.rollout.gates.drawn import GATEWAY, counts, halves, strata

rows = st.tuples(st.integers(1, 400), st.integers(1, 400)).flatmap(
    lambda n: st.tuples(st.just(n[0]), st.just(n[1]), st.integers(0, n[0]), st.integers(0, n[1]))
)
several = st.lists(rows, min_size=1, max_size=12)
few = settings(max_examples=40, deadline=None)


def harm_of(found: Iterable[Iterable[float]]) -> Harm:
    harm = Harm()
    for index, row in enumerate(found):
        harm.add(15.0 * index, strata(row))
    return harm


@pytest.mark.parametrize(
    ("share", "stable", "canary", "tolerated", "history"),
    [
        (0.1, 0.005, 0.005, 1.0, 1.0),
        (0.5, 0.001, 0.005, 1.0, 1.0),
        (0.3, 0.05, 0.06, 1.0, 2.5),
        (0.1, 0.05, 0.15, 1.5, 1.2),
        (0.95, 0.2, 0.1, 1.5, 1.0),
    ],
)
def test_the_e_value_is_that_of_the_formulas(
    share: float, stable: float, canary: float, tolerated: float, history: float
) -> None:
    found = counts(3, 120, requests=750, share=share, stable=stable, canary=canary)
    found[50, 2] += found[50, 0] // 5  # a burst, so that there is scatter
    expected, phis = reference.harm(found, tolerated=tolerated, history=history)
    harm = Harm(share=0.5, alpha=0.01, tolerated=tolerated, history=history)
    for index, row in enumerate(found):
        assert harm.phi == pytest.approx(phis[index], abs=1e-9)
        harm.add(15.0 * index, strata(row))
        assert harm.log_e == pytest.approx(expected[index], abs=1e-9)


def test_the_weights_of_the_starts_sum_to_one() -> None:
    assert [start_weight(j) for j in range(3000)] == [reference.weight_of_start(j) for j in range(3000)]
    assert sum(start_weight(j) for j in range(1 + 64 + 128 + 256)) == pytest.approx(0.5 + 0.25 + 0.125 + 0.0625)


@settings(deadline=None)
@given(
    st.integers(0, 40),
    st.floats(0.01, 0.99),
    st.floats(1.0, 3.0),
    st.floats(0.0, 1.0),
    st.sampled_from([1.0, 1.7, 9.0]),
)
def test_one_block_never_says_more_than_chance_under_the_null(
    failures: int, s: float, tolerated: float, part: float, phi: float
) -> None:
    # The canary fails `part` of what is tolerated, at most; all e-values of a block have an expectation of at most 1.
    ratio = tolerated * part
    theta = s * ratio / (1 - s + s * ratio)
    null = 1 + s * (tolerated - 1)
    for rho in RATIOS:
        mean = 0.0
        for f_c in range(failures + 1):
            log_ratio = f_c * math.log(rho) - failures * math.log((1 + s * (tolerated * rho - 1)) / null)
            chance = math.comb(failures, f_c) * theta**f_c * (1 - theta) ** (failures - f_c)
            mean += chance * math.exp(min(log_ratio / phi, 3.0))
        assert mean <= 1 + 1e-9


@few
@given(several)
def test_a_block_of_one_version_alone_says_nothing(found: list[tuple[int, int, int, int]]) -> None:
    for only in ((1, 0, 1, 0), (0, 1, 0, 1)):
        harm = harm_of([tuple(x * y for x, y in zip(row, only, strict=True)) for row in found])
        assert harm.log_e == pytest.approx(0.0, abs=1e-12)


@few
@given(several, st.integers(0, 11))
def test_an_empty_block_changes_nothing(found: list[tuple[int, int, int, int]], at: int) -> None:
    harm = Harm()
    for index, row in enumerate(found):
        if index == at:
            harm.add(15.0 * index, {GATEWAY: Counts()})
            harm.add(15.0 * index, {})
        harm.add(15.0 * index, strata(row))
    assert harm.log_e == harm_of(found).log_e


@few
@given(several)
def test_two_callers_with_half_of_the_requests_each_say_what_one_says(found: list[tuple[int, int, int, int]]) -> None:
    harm = Harm()
    for index, row in enumerate(found):
        harm.add(15.0 * index, halves(strata(row)))
    whole = harm_of(found)
    assert harm.log_e == pytest.approx(whole.log_e, abs=1e-9)
    assert harm.phi == pytest.approx(whole.phi, abs=1e-9)
    one, other = harm.since(), whole.since()
    assert one is not None
    assert other is not None
    assert (one.at, one.difference) == pytest.approx((other.at, other.difference))


def test_callers_with_different_failure_rates_are_not_pooled() -> None:
    # One caller fails often and calls only the canary's half; pooled, the canary would look ten times as bad.
    harm, pooled = Harm(), Harm()
    for index in range(40):
        often = Counts(n_c=900, n_s=100, f_c=90, f_s=10)
        seldom = Counts(n_c=100, n_s=900, f_c=1, f_s=9)
        harm.add(15.0 * index, {Stratum("default", "a"): often, Stratum("default", "b"): seldom})
        pooled.add(15.0 * index, {GATEWAY: often.plus(seldom)})
    assert harm.log_e < math.log(20)
    assert pooled.log_e > math.log(200)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("ratio", [2.0, 5.0, 10.0])
def test_the_grid_says_what_the_closed_form_says_within_a_factor_of_three(share: float, ratio: float) -> None:
    # One failure a block, all at one time: a single start, with half of the weight, and nothing is capped.
    theta = share * ratio / (1 - share + share * ratio)
    grid = Harm()
    compared = 0
    for number in range(1, 400):
        f_c = round(number * theta) - round((number - 1) * theta)
        grid.add(0.0, {GATEWAY: Counts(n_c=1000 * share, n_s=1000 * (1 - share), f_c=f_c, f_s=1 - f_c)})
        exact = reference.closed_form(round(number * theta), number, share, 4 * share, 4 * (1 - share))
        if 1 < exact < 12:
            compared += 1
            assert exact - 1.3 < grid.log_e < exact + 0.8
    assert compared > 5


def test_the_closed_form_is_the_mixture_over_the_canarys_part_of_failures() -> None:
    integrate = pytest.importorskip("scipy.integrate")
    a, b, share, canary, failures = 1.2, 2.8, 0.3, 9, 15

    def density(theta: float) -> float:
        return float(theta ** (a - 1) * (1 - theta) ** (b - 1))

    def likelihood(theta: float) -> float:
        return (theta / share) ** canary * ((1 - theta) / (1 - share)) ** (failures - canary)

    above, _ = integrate.quad(lambda theta: density(theta) * likelihood(theta), share, 1)
    below, _ = integrate.quad(density, share, 1)
    expected = math.log(above / below)
    assert reference.closed_form(canary, failures, share, a, b) == pytest.approx(expected, abs=1e-6)


def test_one_block_never_aborts_alone() -> None:
    harm = Harm()
    harm.add(0.0, {GATEWAY: Counts(n_c=10_000, n_s=10_000, f_c=10_000)})
    assert harm.log_e < math.log(200)
    harm.add(15.0, {GATEWAY: Counts(n_c=10_000, n_s=10_000, f_c=10_000)})
    assert harm.log_e >= math.log(200)


def test_a_late_fault_is_found_as_if_it_had_begun_with_the_rollout() -> None:
    good = counts(8, 100, requests=750, share=0.5, stable=0.005, canary=0.005)
    bad = counts(9, 40, requests=750, share=0.5, stable=0.005, canary=0.05)
    harm = Harm()
    found = None
    for index, row in enumerate([*good, *bad]):
        harm.add(15.0 * index, strata(row))
        if found is None and harm.log_e >= math.log(200):
            found = index
    assert found is not None
    assert 100 <= found <= 105
    since = harm.since()
    assert since is not None
    assert abs(since.at - 1500.0) <= START_SECONDS, "it says since when"
    assert since.difference == pytest.approx(0.045, abs=0.01)


def test_starts_are_a_minute_apart_whatever_the_length_of_a_block() -> None:
    for seconds, expected in ((5.0, [0, 60, 120]), (15.0, [0, 60, 120]), (25.0, [0, 75, 150]), (90.0, [0, 90, 180])):
        mixture = Mixture(0.005)
        index = 0
        while len(mixture.starts) < 3:
            mixture.begins(index * seconds)
            index += 1
        assert mixture.starts == expected


@few
@given(several, st.floats(0.1, 20))
def test_more_scatter_never_says_more(found: list[tuple[int, int, int, int]], history: float) -> None:
    # With phi >= 1 no likelihood ratio grows away from 1; the largest one of all starts cannot grow either.
    calm, scattered = harm_of(found), Harm(history=history)
    for index, row in enumerate(found):
        scattered.add(15.0 * index, strata(row))
    assert scattered.phi >= calm.phi - 1e-12
    assert scattered.phi >= 1
