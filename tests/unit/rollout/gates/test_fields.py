"""What counts: the requests and failures of each metric, from the samples of Envoy and of Istio."""

from __future__ import annotations

import pytest

from metrics.prometheus import Series
from metrics.queries import Source
from rollout.gates.blocks import ATTEMPTS, CLIENT_ERRORS, ERRORS, LATENCY, UNROUTED, Counts, Stratum
from rollout.gates.fields import Subset
from rollout.gates.samples import caller_of
from rollout.gates.warm_up import Span
from tests.unit.rollout.gates.sampled import GATEWAY, SUBSETS, envoy, istio, observed, series, summed


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


def test_calls_of_grpc_fail_by_their_own_status_where_envoy_counts_it() -> None:
    statuses = {"0": 100.0, "2": 1.0, "4": 2.0, "13": 4.0, "14": 8.0, "15": 16.0, "5": 32.0}
    answers = [*(envoy(f"grpc_{status}", [0, 0, one, one, one]) for status, one in statuses.items())]
    found = observed([*answers, envoy("upstream_rq_completed", [0, 0, 163, 163, 163])])
    assert summed(found) == Counts(n_c=163, f_c=31)


def test_an_answer_of_envoys_own_to_a_call_is_one_failure() -> None:
    found = observed(
        [
            envoy("grpc_14", [0, 0, 40, 40, 40]),
            envoy("upstream_rq", [0, 0, 40, 40, 40], response_code_class="5xx"),
            envoy("upstream_rq_completed", [0, 0, 60, 60, 60]),
        ]
    )
    assert summed(found) == Counts(n_c=60, f_c=40)


@pytest.mark.parametrize("source", list(Source))
def test_answers_4xx_are_a_metric_of_their_own_if_they_are_asked_for(source: Source) -> None:
    of_envoy = [
        envoy("upstream_rq", [0, 0, 7, 7, 7], response_code_class="4xx"),
        envoy("upstream_rq", [0, 0, 7, 7, 7], response_code="404"),
        envoy("upstream_rq", [0, 0, 3, 3, 3], response_code_class="5xx"),
        envoy("upstream_rq_completed", [0, 0, 50, 50, 50]),
    ]
    of_istio = [istio([0, 0, 40, 40, 40]), istio([0, 0, 7, 7, 7], code="404"), istio([0, 0, 3, 3, 3], code="503")]
    counters = of_envoy if source is Source.ENVOY else of_istio
    assert summed(observed(counters, source=source, client_errors=True), CLIENT_ERRORS) == Counts(n_c=50, f_c=7)
    assert summed(observed(counters, source=source)) == Counts(n_c=50, f_c=3)
    assert all(CLIENT_ERRORS not in block.metrics for block in observed(counters, source=source))


@pytest.mark.parametrize("source", list(Source))
def test_requests_without_a_cluster_make_a_block_at_once(source: Source) -> None:
    known = envoy("upstream_rq_completed", [5, 5, 5, 5, 5]) if source is Source.ENVOY else istio([5, 5, 5, 5, 5])
    lost = [
        series("envoy_http_no_cluster", [4, 4, 6, 6, 6], http_conn_manager_prefix="outbound_0.0.0.0_80"),
        series("envoy_http_no_cluster", [0, 0, 1, 1, 1], http_conn_manager_prefix="outbound_0.0.0.0_8080"),
    ]
    (block,) = observed([known, *lost], source=source)
    assert block.metrics[UNROUTED] == {Stratum("", GATEWAY.caller): Counts(n_c=3, f_c=3)}
    assert observed([known], source=source) == ()
