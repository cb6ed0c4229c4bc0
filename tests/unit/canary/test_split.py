"""The statistics of `canary verify`: properties that hold for every count, and the error rates that follow."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canary.verify.split import ALPHA, POWER, comparisons, enough, fewest, interval, judge, judge_all, p_value

settings.register_profile("no deadline", deadline=None)  # the first call imports scipy
settings.load_profile("no deadline")

totals = st.integers(min_value=1, max_value=5000)
shares = st.integers(min_value=1, max_value=99)


@st.composite
def counted(draw: st.DrawFn) -> tuple[int, int]:
    total = draw(totals)
    return draw(st.integers(min_value=0, max_value=total)), total


def binomial(count: int, total: int, share: float) -> float:
    ways = math.lgamma(total + 1) - math.lgamma(count + 1) - math.lgamma(total - count + 1)
    return math.exp(ways + count * math.log(share) + (total - count) * math.log1p(-share))


@given(counted(), st.sampled_from([0.05, 0.001, 1e-5]))
def test_the_interval_holds_the_observed_share(counts: tuple[int, int], alpha: float) -> None:
    count, total = counts
    low, high = interval(count, total, alpha)
    assert 0 <= low <= count / total <= high <= 1, "the observed share is the best estimate: it must lie inside"


@given(counted(), shares, st.sampled_from([0.05, 0.001]))
def test_a_share_is_rejected_exactly_where_it_lies_outside_the_interval(
    counts: tuple[int, int], share: int, alpha: float
) -> None:
    count, total = counts
    low, high = interval(count, total, alpha)
    configured = share / 100
    if min(abs(configured - low), abs(configured - high)) > 1e-9:
        rejected = p_value(count, total, configured) < alpha
        assert rejected == (not low <= configured <= high), "the printed interval and the verdict must agree"


@settings(max_examples=50)
@given(st.integers(min_value=1, max_value=400), shares)
def test_a_correct_share_is_rejected_with_at_most_the_stated_probability(total: int, share: int) -> None:
    chance = share / 100
    rejected = sum(binomial(n, total, chance) for n in range(total + 1) if p_value(n, total, chance) < 0.05)
    assert rejected <= 0.05 + 1e-9, "the test is exact for every number of requests"


@given(counted(), shares)
def test_two_versions_get_the_same_verdict(counts: tuple[int, int], share: int) -> None:
    count, total = counts
    weights = {"version-1": share, "version-2": 100 - share}
    one, two = judge(weights, {"version-1": count, "version-2": total - count}, ALPHA)
    assert math.isclose(one.p_value, two.p_value, rel_tol=1e-6, abs_tol=1e-12), "each count determines the other"


@pytest.mark.parametrize(
    ("weights", "counts", "passes"),
    [
        ({"a": 100}, {"a": 100}, True),
        ({"a": 100}, {"a": 99, "b": 1}, False),
        ({"a": 100, "b": 0}, {"a": 100}, True),
        ({"a": 90, "b": 10}, {"a": 1800, "b": 200}, True),
        ({"a": 90, "b": 10}, {"a": 1600, "b": 400}, False),
        ({"a": 90, "b": 10}, {"a": 1799, "b": 200, "c": 1}, False),
        ({"a": 50, "b": 50}, {"a": 2000}, False),
        ({"a": 60, "b": 30, "c": 10}, {"a": 1200, "b": 600, "c": 200}, True),
        ({"a": 60, "b": 30, "c": 10}, {"a": 1200, "b": 500, "c": 300}, False),
        ({"a": 100}, {}, False),
    ],
)
def test_verdicts(weights: Mapping[str, int], counts: Mapping[str, int], passes: bool) -> None:
    assert all(share.passes for share in judge(weights, counts, ALPHA)) == passes, f"{counts} for {weights}"


def test_a_version_that_is_not_configured_fails_and_is_named() -> None:
    found = judge({"a": 100}, {"a": 99, "stranger": 1}, ALPHA)
    assert [(share.version, share.configured, share.passes) for share in found] == [
        ("a", 100, False),
        ("stranger", 0, False),
    ], "an answer from another version fails, however rare"


@pytest.mark.parametrize(
    ("weights", "number"), [({"a": 100}, 0), ({"a": 90, "b": 10}, 1), ({"a": 80, "b": 10, "c": 10}, 3)]
)
def test_what_counts_as_a_comparison(weights: Mapping[str, int], number: int) -> None:
    assert comparisons(weights) == number, "two versions are one comparison, a single version is none"


def test_more_rules_make_each_comparison_stricter() -> None:
    rule = ({"a": 90, "b": 10}, {"a": 1745, "b": 255})
    alone = judge_all([rule])[0][0]
    among = judge_all([rule] * 20)[0][0]
    assert among.high - among.low > alone.high - alone.low, "the significance is divided among all comparisons"


def test_correct_splits_rarely_fail_and_wrong_ones_do() -> None:
    rng = random.Random(20)  # noqa: S311 - a fixed seed: the same draw every time
    weights = {"version-1": 90, "version-2": 10}

    def measured(share: int) -> bool:
        count = sum(rng.random() < share / 100 for _ in range(2000))
        shares = judge_all([(weights, {"version-1": count, "version-2": 2000 - count})])[0]
        return all(entry.passes for entry in shares)

    assert sum(not measured(90) for _ in range(300)) <= 3, "0.3 false alarms are expected of 300"
    assert not any(measured(80) for _ in range(50)), "80/20 for 90/10 is far outside at 2,000 requests"
    assert not any(measured(85) for _ in range(50)), "85/15 is found as well"


SMALL = st.sampled_from([50, 10, 1, 0.5, 0.1, 0.02, 0.0001])


@given(SMALL, st.sampled_from([0.05, 0.001, 1e-5]))
def test_from_the_fewest_requests_on_a_version_without_any_answer_fails(share: float, alpha: float) -> None:
    needed = fewest({"a": 100 - share, "b": share}, alpha)
    assert p_value(0, needed, share / 100) < alpha
    assert p_value(0, needed - 1, share / 100) >= alpha, "with one fewer it would pass"


@given(SMALL.filter(lambda share: share < 50), st.sampled_from([0.05, 0.001]))
def test_enough_requests_find_a_version_with_twice_its_share(share: float, alpha: float) -> None:
    weights = {"a": 100 - share, "b": share}
    total = enough(weights, alpha)
    assert total >= fewest(weights, alpha)
    low, high = round(share / 100 * total), total
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if p_value(middle, total, share / 100) < alpha else (middle, high)
    betainc = pytest.importorskip("scipy.special").betainc
    assert betainc(high, total - high + 1, 2 * share / 100) >= POWER, f"{high} of {total} is found too rarely"


@pytest.mark.parametrize("weights", [{"a": 100}, {"a": 100, "b": 0}, {"status 404": 100}])
def test_a_split_without_chance_needs_no_number(weights: Mapping[str, float]) -> None:
    assert fewest(weights, ALPHA) == enough(weights, ALPHA) == 0


def test_the_smallest_of_several_shares_decides() -> None:
    assert fewest({"a": 99.4, "b": 0.5, "c": 0.1}, ALPHA) == fewest({"a": 99.9, "c": 0.1}, ALPHA)


def test_the_interval_is_the_one_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    for count, total in ((0, 100), (1, 100), (193, 2000), (100, 100)):
        known = stats.binomtest(count, total).proportion_ci(confidence_level=0.999, method="exact")
        assert interval(count, total, 0.001) == pytest.approx((known.low, known.high)), "Clopper-Pearson"
