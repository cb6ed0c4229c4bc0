"""Weights as proportions: percentages, and the whole weights that Istio takes."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traffic.proportions import are_complete, number_words, percent_words, percentages, total_of, whole_weights

PARTS = st.lists(st.integers(0, 10**6), min_size=1, max_size=5).filter(any)


def named(weights: list[float]) -> dict[int, float]:
    return dict(enumerate(weights))


@pytest.mark.parametrize(
    ("weights", "percent", "whole"),
    [
        ([90, 10], [90, 10], [90, 10]),
        ([99.5, 0.5], [99.5, 0.5], [995, 5]),
        ([995, 5], [99.5, 0.5], [995, 5]),
        ([900, 100], [90, 10], [90, 10]),
        ([90.0, 10.0], [90, 10], [90, 10]),
        ([33.3333, 33.3334, 33.3333], [33.3333, 33.3334, 33.3333], [333333, 333334, 333333]),
        ([99.9999, 0.0001], [99.9999, 0.0001], [999999, 1]),
        ([0.1, 0.2, 99.7], [0.1, 0.2, 99.7], [1, 2, 997]),
        ([100, 0], [100, 0], [100, 0]),
        ([99.75, 0.25], [99.75, 0.25], [9975, 25]),
    ],
)
def test_weights_are_percentages_and_whole_numbers_of_the_smallest_power_of_ten(
    weights: list[float], percent: list[float], whole: list[int]
) -> None:
    assert are_complete(named(weights))
    assert list(percentages(named(weights)).values()) == percent
    assert list(whole_weights(percentages(named(weights))).values()) == whole


@pytest.mark.parametrize("weights", [[1, 1], [99.5, 0], [100.5, 899.5], [0, 0], [10**7], [33.3333] * 3, [999, 2]])
def test_other_sums_are_not_complete(weights: list[float]) -> None:
    assert not are_complete(named(weights))


@given(PARTS)
def test_percentages_sum_to_exactly_100_and_keep_who_gets_requests(parts: list[int]) -> None:
    found = percentages(named(list(map(float, parts))))
    assert sum(Fraction(str(one)) for one in found.values()) == 100
    assert [one > 0 for one in found.values()] == [part > 0 for part in parts], "nobody is left out, nobody is added"


@given(PARTS)
def test_whole_weights_are_read_back_as_the_same_percentages(parts: list[int]) -> None:
    percent = percentages(named(list(map(float, parts))))
    assert percentages(whole_weights(percent)) == percent, "else every run would show a difference to the cluster"


@given(PARTS)
def test_a_percentage_is_the_proportion_to_a_step(parts: list[int]) -> None:
    total = sum(parts)
    for part, percent in zip(parts, percentages(named(list(map(float, parts)))).values(), strict=True):
        assert abs(100 * part / total - percent) <= 0.0001 * len(parts)


def test_weights_that_are_all_0_stay_0() -> None:
    assert percentages({"a": 0, "b": 0}) == {"a": 0, "b": 0}


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.5, "0.5"), (90, "90"), (90.0, "90"), (0.0001, "0.0001"), (100 * 0.07, "7"), (1e-06, "0.000001"), (0, "0")],
)
def test_numbers_in_words_have_no_exponent_and_no_noise(value: float, words: str) -> None:
    assert number_words(value) == words
    assert percent_words(value) == f"{words} %"


def test_a_sum_has_no_noise_of_floats() -> None:
    assert total_of({0: 0.1, 1: 0.2}) == 0.3
    assert type(total_of({0: 99.9, 1: 0.1})) is int
