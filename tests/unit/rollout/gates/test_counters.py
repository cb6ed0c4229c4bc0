"""Blocks from raw samples: what an Envoy's restart does, and what is left out."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics.prometheus import Series
from metrics.queries import Source
from rollout.gates.blocks import BEGUN, ERRORS, Counts
from rollout.gates.counters import Period, Samples, observe
from rollout.gates.fields import Reader
from tests.unit.rollout.gates.sampled import GATEWAY, SETTLED, SUBSETS, Values, envoy, observed, series, summed

# Counters that begin again


def up(values: Values, **given: Any) -> Series:
    return series("up", values, **given)


def uptime(values: Values, **given: Any) -> Series:
    return series("envoy_server_uptime", values, **given)


def test_a_restarted_envoy_has_lost_what_it_did_not_tell_for_both_versions() -> None:
    counters = [
        envoy("upstream_rq_completed", [500, 530, 50, 80, 110]),
        envoy("upstream_rq_completed", [10, 20, 30, 40, 50], "version-1"),  # more than before, in spite of the restart
    ]
    found = observed(counters, uptimes=[uptime([900, 915, 9, 24, 39])])
    assert summed(found) == Counts(n_c=50 + 30 + 30, n_s=30 + 10 + 10)


def test_without_uptimes_an_interval_in_which_only_some_counters_fell_is_left_out() -> None:
    counters = [
        envoy("upstream_rq_completed", [500, 530, 50, 80, 110]),
        envoy("upstream_rq_completed", [10, 20, 30, 40, 50], "version-1"),
    ]
    assert summed(observed(counters)) == Counts(n_c=60, n_s=20)


def test_without_uptimes_all_counters_that_fell_have_begun_again() -> None:
    counters = [
        envoy("upstream_rq_completed", [500, 530, 50, 80, 110]),
        envoy("upstream_rq_completed", [900, 950, 40, 50, 60], "version-1"),
        envoy("upstream_rq", [0, 0, 2, 2, 2], response_code_class="5xx"),
    ]
    assert summed(observed(counters)) == Counts(n_c=110, n_s=60, f_c=2)


def test_one_counter_that_fell_in_an_envoy_that_runs_has_begun_again_alone() -> None:
    counters = [
        envoy("upstream_rq_completed", [500, 530, 5, 35, 65]),
        envoy("upstream_rq_completed", [900, 950, 1000, 1050, 1100], "version-1"),
    ]
    found = observed(counters, uptimes=[uptime([900, 915, 930, 945, 960])])
    assert summed(found) == Counts(n_c=65, n_s=150)


def test_a_counter_that_appears_has_begun() -> None:
    counters = [
        envoy("upstream_rq_completed", [100, 140, 180, 220, 260]),
        envoy("upstream_rq", [None, None, 3, 3, 4], response_code_class="5xx"),
    ]
    assert summed(observed(counters)).f_c == 4


def test_a_counter_that_appears_late_after_a_restart_has_begun_at_nothing() -> None:
    counters = [
        envoy("upstream_rq_completed", [500, 530, 50, 80, 110]),
        envoy("upstream_rq", [4, 4, None, 5, 9], response_code_class="5xx"),
    ]
    assert summed(observed(counters, uptimes=[uptime([900, 915, 9, 24, 39])])).f_c == 9


def test_a_counter_that_one_scrape_missed_has_not_begun() -> None:
    counters = [
        envoy("upstream_rq_completed", [100, 140, 180, 220, 260]),
        envoy("upstream_rq", [5000, 5001, None, 5002, 5002], response_code_class="5xx"),
    ]
    assert summed(observed(counters)).f_c == 1


@pytest.mark.parametrize(
    ("uptimes", "counted"),
    [
        ([None, None, 12, 27, 42], 40 + 40 + 40),  # it started at 1010, in the step
        ([None, None, 60, 75, 90], 40 + 40),  # it started before the weights settled
        ([], 40 + 40),
    ],
)
def test_a_new_envoys_first_value_counts_if_it_started_in_the_step(uptimes: Values, counted: float) -> None:
    counters = [envoy("upstream_rq_completed", [None, None, 40, 80, 120], pod="new")]
    found = observed(counters, uptimes=[uptime(uptimes, pod="new")])
    assert summed(found, stratum=GATEWAY._replace(caller="istio-ingress/new")).n_c == counted


def test_an_envoy_that_was_scraped_without_any_counter_begins_at_nothing() -> None:
    counters = [envoy("upstream_rq_completed", [None, None, 40, 80, 120])]
    assert summed(observed(counters, scrapes=[up([1, 1, 1, 1, 1])])).n_c == 120
    assert summed(observed(counters, scrapes=[up([0, 0, 1, 1, 1])])).n_c == 80


def test_an_envoy_that_goes_changes_nothing_else() -> None:
    counters = [
        envoy("upstream_rq_completed", [0, 40, 80, 120, 160]),
        envoy("upstream_rq_completed", [0, 40, 80, None, None], pod="gateway-7d4f9c6b5d-aaaaa"),
    ]
    assert summed(observed(counters)).n_c == 120 + 40


# Blocks


def test_a_block_is_a_scrape_interval_and_longer_with_few_requests() -> None:
    busy = observed([envoy("upstream_rq_completed", [0, 40, 80, 120, 160])])
    assert [(block.start, block.end) for block in busy] == [(1015, 1030), (1030, 1045), (1045, 1060)]
    idle = observed([envoy("upstream_rq_completed", [0, 10, 20, 35, 55])])
    assert [(block.start, block.end, block.cells) for block in idle] == [(1015, 1060, 3)]


def test_requests_that_do_not_make_a_block_are_told() -> None:
    reader = Reader(service="website", source=Source.ENVOY, subsets=SUBSETS)
    samples = Samples(counters=[envoy("upstream_rq_completed", [0, 1, 3, 6, 12])])
    found = observe(samples, reader, [Period(step=0, settled=SETTLED)], now=SETTLED + 61)
    assert found.blocks == ()
    assert found.coverage[0].pending == 11
    ended = observe(samples, reader, [Period(step=0, settled=SETTLED, until=SETTLED + 60)], now=SETTLED + 61)
    assert [block.cells for block in ended.blocks] == [3], "a step that is over has no more"


def test_an_interval_that_is_not_over_makes_no_block_yet() -> None:
    counters = [envoy("upstream_rq_completed", [0, 40, 80, 120, 160])]
    assert len(observed(counters, now=SETTLED + 60.5)) == 2
    assert len(observed(counters, now=SETTLED + 61)) == 3


def test_blocks_that_straddle_a_change_of_weights_are_left_out() -> None:
    # Scrapes at 992, 1007, … 1112; the next step is written at 1050, and has settled at 1060.
    counters = [envoy("upstream_rq_completed", [40 * number for number in range(9)])]
    periods = [Period(step=0, settled=SETTLED, until=1050.0), Period(step=1, settled=1060.0)]
    found = observed(counters, periods=periods, now=1200.0)
    assert {step: summed([block for block in found if block.step == step]).n_c for step in (0, 1)} == {0: 80, 1: 120}


def test_a_scrape_that_is_missing_makes_a_block_longer() -> None:
    whole = observed([envoy("upstream_rq_completed", [0, 40, 80, 120, 160])])
    hole = observed([envoy("upstream_rq_completed", [0, 40, None, 120, 160])])
    assert summed(hole) == summed(whole)
    assert len(hole) == len(whole) - 1


def coverage(values: Values, now: float = 1000.0 + 20 * 15) -> tuple[int, int, float | None]:
    reader = Reader(service="website", source=Source.ENVOY, subsets=SUBSETS)
    samples = Samples(counters=[envoy("upstream_rq_completed", values)])
    found = observe(samples, reader, [Period(step=0, settled=SETTLED)], now=now).coverage[0]
    return found.seen, found.expected, found.newest


def test_how_much_of_a_step_was_seen() -> None:
    every = [40.0 * number for number in range(21)]
    assert coverage(every) == (18, 18, 1292)
    assert coverage([None if number == 9 else value for number, value in enumerate(every)]) == (18, 18, 1292)
    outage = [None if 5 <= number < 11 else value for number, value in enumerate(every)]
    assert coverage(outage) == (11, 18, 1292), "six scrapes are lost"
    assert coverage(every[:11]) == (8, 18, 1142)
    assert coverage([], now=1010.0) == (0, 0, None)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 90), st.integers(0, 90), st.integers(0, 90)), min_size=2, max_size=12),
    st.floats(0, 14.9),
)
def test_no_request_is_counted_twice_or_lost(grown: list[tuple[int, int, int]], phase: float) -> None:
    counters, total, expected = [], [100.0, 200.0, 5.0], Counts()
    values: list[list[float]] = [[value] for value in total]
    for number, (canary, stable, failed) in enumerate(grown):
        failed = min(failed, canary)
        for one, more in zip(values, (canary, stable, failed), strict=True):
            one.append(one[-1] + more)
        if number:  # the first one straddles the settling
            expected = expected.plus(Counts(n_c=canary, n_s=stable, f_c=failed))
    first = SETTLED - 15 + phase
    counters = [
        envoy("upstream_rq_completed", values[0], first=first),
        envoy("upstream_rq_completed", values[1], "version-1", first=first),
        envoy("upstream_rq", values[2], first=first, response_code_class="5xx"),
    ]
    end = SETTLED + 15 * len(grown)
    found = observed(counters, periods=[Period(step=0, settled=SETTLED, until=end)], now=inf)
    assert summed(found) == expected
    assert all(sum(c.requests for c in block.metrics[ERRORS].values()) >= 30 for block in found[:-1])


def test_a_stream_that_began_before_the_weights_stood_is_no_request_of_the_split_when_it_ends() -> None:
    found = observed(
        [
            envoy("upstream_rq_active", [2, 2, 2, 1, 0], "version-1"),  # two streams, which end one after the other
            envoy("upstream_rq_completed", [0, 0, 0, 1, 2], "version-1"),
            envoy("upstream_rq_completed", [0, 40, 80, 120, 160]),
        ]
    )
    assert summed(found, BEGUN) == Counts(n_c=120)
    assert summed(found) == Counts(n_c=120, n_s=2), "they are answers all the same"


def test_a_request_that_runs_is_one_of_the_split_when_it_begins() -> None:
    found = observed(
        [
            envoy("upstream_rq_total", [0, 40, 80, 120, 160]),
            envoy("upstream_rq_active", [0, 40, 80, 120, 160]),
            envoy("upstream_rq_completed", [0, 40, 80, 120, 160], "version-1"),
        ]
    )
    assert summed(found, BEGUN) == Counts(n_c=120, n_s=120)
    assert summed(found) == Counts(n_s=120)
