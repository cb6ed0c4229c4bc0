"""Blocks from raw samples: what counts, what an Envoy's restart does, and what is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics.prometheus import Series
from metrics.queries import Source
from rollout.gates.blocks import ATTEMPTS, BEGUN, ERRORS, LATENCY, Block, Counts, Stratum
from rollout.gates.counters import Period, Reader, Samples, Subset, observe
from rollout.gates.samples import caller_of
from rollout.gates.warm_up import Span

CANARY, STABLE = Subset("default", True), Subset("default", False)
SUBSETS = {"version-2": CANARY, "version-1": STABLE}
GATEWAY = Stratum("default", "istio-ingress/gateway")
SETTLED = 1000.0

Values = Sequence[float | None]


def series(
    name: str, values: Values, *, first: float = SETTLED - 8, pod: str = "gateway-7d4f9c6b5d-x2x4z", **labels: str
) -> Series:
    """Samples each 15 s, the first one before the weights have settled; None is a scrape without the counter."""
    found = {"__name__": name, "instance": pod, "job": "pods", "namespace": "istio-ingress", "pod": pod, **labels}
    points = ((first + 15 * index, value) for index, value in enumerate(values))
    return Series(found, tuple((time, float(value)) for time, value in points if value is not None))


def envoy(statistic: str, values: Values, version: str = "version-2", **given: Any) -> Series:
    cluster = f"outbound|80|{version}|website.shop.svc.cluster.local"
    return series(f"envoy_cluster_{statistic}", values, cluster_name=cluster, **given)


def istio(values: Values, version: str = "version-2", code: str = "200", flags: str = "-", **given: Any) -> Series:
    given = {
        "reporter": "source",
        "destination_canonical_revision": f"website-{version}",
        "response_code": code,
        "response_flags": flags,
        **given,
    }
    return series("istio_requests_total", values, **given)


def observed(
    counters: Sequence[Series],
    *,
    source: Source = Source.ENVOY,
    periods: Sequence[Period] = (Period(step=0, settled=SETTLED),),
    now: float = SETTLED + 61,
    bound: float | None = None,
    subsets: Mapping[str, Subset] = SUBSETS,
    warming: Sequence[Span] = (),
    **given: Any,
) -> tuple[Block, ...]:
    reader = Reader(service="website", source=source, subsets=subsets, bound=bound)
    samples = Samples(counters=counters, **given)
    return tuple(observe(samples, reader, periods, now=now, warming=warming).blocks)


def summed(found: Sequence[Block], metric: str = ERRORS, stratum: Stratum = GATEWAY) -> Counts:
    together = Counts()
    for block in found:
        together = together.plus(block.metrics.get(metric, {}).get(stratum, Counts()))
    return together


# What counts


def test_the_table_of_counters_that_was_measured_on_envoy() -> None:
    # 400 requests, half to each version, failing half of the time, two retries; the canary also refused connections.
    numbers = {"version-1": (200, 25, 145, 345, 0), "version-2": (200, 68, 260, 230, 230)}
    counters = []
    for version, (completed, failed, retried, total, refused) in numbers.items():
        for statistic, value, labels in (
            ("upstream_rq_completed", completed, {}),
            ("upstream_rq", failed, {"response_code_class": "5xx"}),
            ("upstream_rq", completed - failed, {"response_code_class": "2xx"}),
            ("upstream_rq_retry", retried, {}),
            ("upstream_rq_total", total, {}),
            ("upstream_rq_pending_failure_eject", refused, {}),
        ):
            counters.append(envoy(statistic, [0, 0, value, value, value], version, **labels))
    found = observed(counters)
    assert summed(found) == Counts(n_c=200, n_s=200, f_c=68, f_s=25)
    assert summed(found, ATTEMPTS) == Counts(n_c=460, n_s=345, f_c=328, f_s=170)


def test_requests_to_a_version_without_healthy_pods_fail() -> None:
    found = observed(
        [
            envoy("upstream_rq_completed", [None, None, 57, 57, 57]),
            envoy("upstream_rq", [None, None, 57, 57, 57], response_code_class="5xx"),
            envoy("upstream_cx_none_healthy", [None, None, 57, 57, 57]),
            envoy("upstream_rq_completed", [0, 20, 40, 60, 80], "version-1"),
        ]
    )
    assert summed(found) == Counts(n_c=57, f_c=57, n_s=60)


def test_callers_that_give_up_on_a_canary_that_hangs_are_requests_that_failed() -> None:
    found = observed(
        [
            envoy("upstream_rq_total", [0, 0, 16, 32, 48]),
            envoy("upstream_rq_tx_reset", [0, 0, 10, 28, 48]),
            envoy("upstream_rq_active", [0, 0, 6, 4, 0]),
            envoy("upstream_rq_completed", [0, 40, 80, 120, 160], "version-1"),
        ]
    )
    assert summed(found) == Counts(n_c=48, f_c=48, n_s=120)


def test_requests_that_are_running_have_not_failed() -> None:
    found = observed(
        [envoy("upstream_rq_total", [0, 0, 40, 80, 120]), envoy("upstream_rq_active", [0, 0, 40, 80, 120])]
    )
    assert summed(found) == Counts()


def test_istios_requests_with_what_it_does_not_know() -> None:
    found = observed(
        [
            istio([0, 0, 80, 80, 80]),
            istio([0, 0, 6, 6, 6], code="503"),
            istio([0, 0, 5, 5, 5], code="404"),
            istio([0, 0, 4, 4, 4], code="0", flags="DC"),
            istio([0, 0, 9, 9, 9], code="503", flags="UH"),  # counted by the cluster
            envoy("upstream_cx_none_healthy", [0, 0, 9, 9, 9]),
            envoy("upstream_rq_pending_overflow", [0, 0, 2, 2, 2]),
            envoy("upstream_rq_retry", [0, 0, 10, 10, 10]),
            envoy("upstream_rq_completed", [0, 0, 999, 999, 999]),  # of the other source
            series("istio_requests_total", [0, 0, 77, 77, 77], reporter="destination"),
        ],
        source=Source.ISTIO,
    )
    assert summed(found) == Counts(n_c=80 + 6 + 5 + 4 + 11, f_c=6 + 4 + 11)
    assert summed(found, ATTEMPTS) == Counts(n_c=80 + 6 + 5 + 11 + 10, f_c=6 + 11 + 10)


def test_calls_of_grpc_fail_by_their_own_status_where_istio_counts_it() -> None:
    statuses = {"0": 100.0, "2": 1.0, "4": 2.0, "13": 4.0, "14": 8.0, "15": 16.0, "5": 32.0, "": 64.0}
    found = observed(
        [istio([0, 0, one, one, one], grpc_response_status=status) for status, one in statuses.items()],
        source=Source.ISTIO,
    )
    assert summed(found) == Counts(n_c=227, f_c=31)


@pytest.mark.parametrize("source", list(Source))
def test_slow_requests_are_those_above_the_bound(source: Source) -> None:
    buckets = {"25": 30.0, "50": 45.0, "+Inf": 50.0}
    counters = []
    for le, value in buckets.items():
        values = [0, 0, value, value, value]
        if source is Source.ENVOY:
            counters.append(envoy("upstream_rq_time_bucket", values, le=le))
            counters.append(envoy("upstream_rq_completed", [0, 0, 50, 50, 50]))
        else:
            one = istio(values)
            labels = {**one.labels, "__name__": "istio_request_duration_milliseconds_bucket", "le": le}
            counters += [Series(labels, one.points), Series({**labels, "response_code": "500"}, one.points)]
            counters.append(istio([0, 0, 50, 50, 50]))
    assert summed(observed(counters, source=source, bound=50.0), LATENCY) == Counts(n_c=50, f_c=5)
    assert all(LATENCY not in block.metrics for block in observed(counters, source=source))


def test_a_new_pods_first_minute_is_left_out_of_latency_alone() -> None:
    counters = [
        envoy("upstream_rq_time_bucket", [0, 100, 200, 300, 400], le="50"),
        envoy("upstream_rq_time_bucket", [0, 110, 220, 330, 440], le="+Inf"),
        envoy("upstream_rq_completed", [0, 110, 220, 330, 440]),
    ]
    # The scrapes are at 992, 1007, 1022, 1037 and 1052: a pod that started at 950 is new until 1010.
    found = observed(counters, bound=50.0, warming=[Span(950.0, 1010.0)])
    assert summed(found, ERRORS).n_c == 330
    assert summed(found, LATENCY) == Counts(n_c=220, f_c=20)


def test_a_custom_metric_has_counters_of_its_own() -> None:
    failures = [series("carts_empty", [0, 0, 3, 3, 3], pod="shop", version="version-2")]
    requests = [
        series("carts", [0, 0, 30, 30, 30], pod="shop", version="version-2"),
        series("carts", [0, 50, 90, 120, 150], pod="shop", version="version-1"),
        series("carts", [0, 50, 90, 120, 150], pod="shop", version="version-0"),
    ]
    counters = [envoy("upstream_rq_completed", [0, 40, 80, 120, 160])]
    found = observed(counters, custom={"empty-carts": (failures, requests)})
    assert summed(found, "empty-carts", Stratum("default", "istio-ingress/shop")) == Counts(n_c=30, f_c=3, n_s=100)


def test_rules_with_subsets_of_their_own_are_strata_of_their_own() -> None:
    subsets = {**SUBSETS, "version-2--beta": Subset("beta", True)}
    found = observed(
        [
            envoy("upstream_rq_completed", [0, 0, 40, 40, 40]),
            envoy("upstream_rq_completed", [0, 0, 7, 7, 7], "version-2--beta"),
            envoy("upstream_rq_completed", [0, 0, 99, 99, 99], "version-3"),
        ],
        subsets=subsets,
    )
    assert summed(found).n_c == 40
    assert summed(found, stratum=GATEWAY._replace(rule="beta")).n_c == 7


def test_each_calling_workload_is_a_stratum() -> None:
    found = observed(
        [
            envoy("upstream_rq_completed", [0, 0, 40, 40, 40]),
            envoy("upstream_rq_completed", [0, 0, 30, 30, 30], pod="gateway-7d4f9c6b5d-aaaaa"),
            envoy("upstream_rq_completed", [0, 0, 20, 20, 20], pod="shop-0"),
        ]
    )
    assert summed(found).n_c == 70
    assert summed(found, stratum=GATEWAY._replace(caller="istio-ingress/shop")).n_c == 20


@pytest.mark.parametrize(
    ("labels", "caller"),
    [
        ({"pod": "gateway-7d4f9c6b5d-x2x4z", "namespace": "a"}, "a/gateway"),
        ({"pod": "shop-cart-12"}, "shop-cart"),
        ({"pod": "web-x2x4z"}, "web"),
        ({"pod": "p", "service_istio_io_canonical_name": "shop", "namespace": "a"}, "a/shop"),
        ({"pod": "p", "source_workload": "w", "source_workload_namespace": "b", "namespace": "a"}, "b/w"),
        ({"instance": "10.0.0.1:15020"}, "10.0.0.1:15020"),
    ],
)
def test_the_workload_of_a_caller(labels: dict[str, str], caller: str) -> None:
    assert caller_of(labels) == caller


def test_a_pod_that_two_jobs_scrape_counts_once() -> None:
    one = envoy("upstream_rq_completed", [0, 0, 40, 40, 40])
    assert summed(observed([one, Series({**one.labels, "job": "endpoints"}, one.points)])).n_c == 40


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
