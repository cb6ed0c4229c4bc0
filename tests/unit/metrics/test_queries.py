"""Every query on recorded series, evaluated by Prometheus' promtool, for both sources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from metrics import queries
from metrics.queries import Queries, Source
from tests.unit.metrics.asked import (
    V1,
    V2,
    WEBSITE,
    ask,
    both_sources,
    by_version,
    of_both_sources,
    per_second,
    traffic,
)
from tests.unit.metrics.promtool import Recorded, evaluate
from tests.unit.metrics.recorded import (
    EXACT,
    KINDS,
    Traffic,
    envoy_series,
    istio_series,
    record,
    steady,
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """Traffic, and the expected results by query and version; requests and failures are in a scrape interval."""

    traffic: tuple[Traffic, ...]
    requests: Mapping[str, float]
    failures: Mapping[str, float]
    success: Mapping[str, float]
    share: Mapping[str, float]
    more: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


CASES = {
    "equal versions": Case(
        traffic=(traffic(V1, {"answered": 95, "error": 5}), traffic(V2, {"answered": 95, "error": 5})),
        requests={V1: 100, V2: 100},
        failures={V1: 5, V2: 5},
        success={V1: 0.95, V2: 0.95},
        share={V1: 0.5, V2: 0.5},
        more={"median": {V1: 5, V2: 5}},
    ),
    "only successes, so that there is no series of failures": Case(
        traffic=(traffic(V1, {"answered": 90}), traffic(V2, {"answered": 8, "not found": 2})),
        requests={V1: 90, V2: 10},
        failures={V1: 0, V2: 0},
        success={V1: 1, V2: 1},
        share={V1: 0.9, V2: 0.1},
        more={"retries": {V1: 0, V2: 0}, "connection failures": {V1: 0, V2: 0}},
    ),
    "only failures": Case(
        traffic=(traffic(V1, {"error": 30}),),
        requests={V1: 30},
        failures={V1: 30},
        success={V1: 0},
        share={V1: 1},
    ),
    "a version without healthy pods": Case(
        traffic=(traffic(V1, {"answered": 90}), traffic(V2, {"no healthy pod": 10})),
        requests={V1: 90, V2: 10},
        failures={V1: 0, V2: 10},
        success={V1: 1, V2: 0},
        share={V1: 0.9, V2: 0.1},
        more={"connection failures": {V1: 0, V2: 10}, "median": {V1: 5}},
    ),
    "callers that give up on a version that hangs": Case(
        traffic=(
            traffic(V1, {"answered": 80, "gave up, HTTP/1.1": 1}),
            traffic(V2, {"gave up, HTTP/1.1": 5, "gave up, HTTP/2": 6, "gave up while connecting": 8}),
        ),
        requests={V1: 81, V2: 19},
        failures={V1: 1, V2: 19},
        success={V1: 80 / 81, V2: 0},
        share={V1: 0.81, V2: 0.19},
        more={"connection failures": {V1: 0, V2: 0}},
    ),
    "two callers, one of which calls only one version": Case(
        traffic=(
            traffic(V1, {"answered": 60, "error": 10}),
            traffic(V1, {"answered": 20}, caller="client"),
            traffic(V2, {"answered": 5, "no healthy pod": 5}),
        ),
        requests={V1: 90, V2: 10},
        failures={V1: 10, V2: 5},
        success={V1: 80 / 90, V2: 0.5},
        share={V1: 0.9, V2: 0.1},
    ),
    "a version of which nothing is known": Case(
        traffic=(traffic(V1, {"answered": 50}),),
        requests={V1: 50},
        failures={V1: 0},
        success={V1: 1},
        share={V1: 1},
        more={"median": {V1: 5}, "retries": {V1: 0}, "connection failures": {V1: 0}},
    ),
    "no requests any more": Case(
        traffic=(traffic(V1, {"answered": 0, "error": 0}), traffic(V2, {"answered": 0})),
        requests={V1: 0, V2: 0},
        failures={V1: 0, V2: 0},
        success={},
        share={},
        more={"median": {}, "retries": {V1: 0, V2: 0}, "connection failures": {V1: 0, V2: 0}},
    ),
    "one version without requests": Case(
        traffic=(traffic(V1, {"answered": 40}), traffic(V2, {"answered": 0})),
        requests={V1: 40, V2: 0},
        failures={V1: 0, V2: 0},
        success={V1: 1},
        share={V1: 1, V2: 0},
    ),
    "nothing is known of the service": Case(
        traffic=(), requests={}, failures={}, success={}, share={}, more={"median": {}, "retries": {}}
    ),
    "retries hide failures from callers": Case(
        traffic=(
            traffic(V1, {"answered": 50}),
            traffic(
                V2,
                {
                    "error, answered at the second try": 10,
                    "refused, answered at the second try": 10,
                    "reset by the pod, answered at the third try": 10,
                    "try timed out, answered at the second": 10,
                    "answered": 10,
                },
            ),
        ),
        requests={V1: 50, V2: 50},
        failures={V1: 0, V2: 0},
        success={V1: 1, V2: 1},
        share={V1: 0.5, V2: 0.5},
        more={"retries": {V1: 0, V2: 50}, "connection failures": {V1: 0, V2: 0}},
    ),
    "requests that reach no pod": Case(
        traffic=(
            traffic(
                V1,
                {
                    "answered": 10,
                    "refused": 4,
                    "over the limit, HTTP/1.1": 1,
                    "over the limit, HTTP/2": 2,
                    "no healthy pod": 2,
                    "error": 1,
                },
            ),
            traffic(
                V2,
                {
                    "answered": 5,
                    "refused": 6,
                    "refused, answered at the second try": 4,
                    "error, answered at the second try": 5,
                },
            ),
        ),
        requests={V1: 20, V2: 20},
        failures={V1: 10, V2: 6},
        success={V1: 0.5, V2: 0.7},
        share={V1: 0.5, V2: 0.5},
        more={"connection failures": {V1: 9, V2: 6}},
    ),
    "timeouts and resets are answers of Envoy": Case(
        traffic=(
            traffic(V1, {"timeout, HTTP/1.1": 5, "timeout, HTTP/2": 5, "timeout while connecting": 5, "answered": 5}),
            traffic(V2, {"reset by the pod": 5, "answered": 15}),
        ),
        requests={V1: 20, V2: 20},
        failures={V1: 15, V2: 5},
        success={V1: 0.25, V2: 0.75},
        share={V1: 0.5, V2: 0.5},
    ),
    "a broken HTTP/2 connection fails its requests once": Case(
        traffic=(traffic(V1, {"answered": 15, "sent, then the HTTP/2 connection broke": 5}),),
        requests={V1: 20},
        failures={V1: 5},
        success={V1: 0.75},
        share={V1: 1},
    ),
    "callers that cut an answer short have not given up": Case(
        traffic=(traffic(V1, {"answered": 15, "answered, then cut by the caller": 5}),),
        requests={V1: 20},
        failures={V1: 0},
        success={V1: 1},
        share={V1: 1},
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_versions_numbers_are_what_their_callers_saw_by_both_sources(case: Case, tmp_path: Path) -> None:
    expected = {
        "requests": per_second(case.requests),
        "failures": per_second(case.failures),
        "success rate": case.success,
        "share": case.share,
        **{name: values if name == "median" else per_second(values) for name, values in case.more.items()},
    }

    evaluate(record(case.traffic), of_both_sources(expected), tmp_path)


def test_the_numbers_of_a_local_domain_other_than_cluster_local_are_found(tmp_path: Path) -> None:
    elsewhere = Traffic(version=V1, kinds={"answered": 6, "no healthy pod": 9}, domain="example.org")

    evaluate(record([elsewhere]), of_both_sources({"requests": {V1: 1}, "failures": {V1: 0.6}}), tmp_path)


mixes = st.fixed_dictionaries(
    {},
    optional={
        (version, caller): st.dictionaries(st.sampled_from(EXACT), st.integers(0, 40), min_size=1)
        for version in (V1, V2)
        for caller in ("gateway", "client")
    },
)


@settings(
    max_examples=5,
    deadline=None,
    phases=[Phase.generate],  # each example is a run of promtool, and shrinking takes hundreds
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(mix=mixes)
def test_both_sources_count_any_mix_of_requests_alike(
    mix: dict[tuple[str, str], dict[str, int]], tmp_path: Path
) -> None:
    requests: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    for (version, _), kinds in mix.items():
        for kind, count in kinds.items():
            requests[version] += count
            failures[version] += count * KINDS[kind].failed
    versions = sorted({version for version, _ in mix})
    total = sum(requests.values())
    expected = {
        "requests": per_second({version: requests[version] for version in versions}),
        "failures": per_second({version: failures[version] for version in versions}),
        "success rate": {v: 1 - failures[v] / requests[v] for v in versions if requests[v]},
        "share": {version: requests[version] / total for version in versions} if total else {},
    }

    series = record(traffic(version, kinds, caller) for (version, caller), kinds in mix.items())
    evaluate(series, of_both_sources(expected), tmp_path)


def test_where_envoys_statistics_are_not_kept_istios_counters_tell_of_what_was_sent_to_a_pod(tmp_path: Path) -> None:
    answered = traffic(V1, {"answered": 15}).of_istio()
    refused = traffic(V2, {"answered": 15, "refused": 30, "no healthy pod": 45}).of_istio()

    expected = {
        "requests": {V1: 1, V2: 3},
        "failures": {V1: 0, V2: 2},
        "connection failures": {V1: 0, V2: 2},
        "retries": {},
    }
    evaluate(
        [*answered, *refused],
        {ask(Source.ISTIO)[name]: by_version(values) for name, values in expected.items()},
        tmp_path,
    )


def test_a_retried_request_that_found_no_healthy_pod_in_the_end_is_counted_once(tmp_path: Path) -> None:
    # Istio knows the pod of the first try.
    series = [
        istio_series("503", steady(15), flags="URX,UH"),
        envoy_series("upstream_cx_none_healthy", steady(15)),
        envoy_series("upstream_rq_retry", steady(15)),
    ]

    evaluate(series, {ask(Source.ISTIO)["requests"]: by_version({V2: 1})}, tmp_path)


# Responses


def test_istios_responses_are_told_apart_by_code_and_flags(tmp_path: Path) -> None:
    kinds = {"answered": 15, "not found": 30, "over the limit, HTTP/2": 45, "no healthy pod": 60, "gave up, HTTP/2": 75}
    expected = {("200", "-"): 1, ("404", "-"): 2, ("503", "UO"): 3, ("503", "UH"): 4, ("0", "DC"): 5}

    evaluate(
        record([traffic(V1, kinds)]),
        {
            Queries(Source.ISTIO).responses(WEBSITE, "1m"): [
                ({"version": V1, "response_code": code, "response_flags": flags}, value)
                for (code, flags), value in expected.items()
            ]
        },
        tmp_path,
    )


def test_envoys_responses_are_told_apart_by_code(tmp_path: Path) -> None:
    kinds = {"answered": 15, "not found": 30, "over the limit, HTTP/2": 45, "no healthy pod": 60, "gave up, HTTP/2": 75}

    evaluate(
        record([traffic(V1, kinds)]),
        {
            Queries(Source.ENVOY).responses(WEBSITE, "1m"): [
                ({"version": V1, "response_code": "200"}, 1),
                ({"version": V1, "response_code": "404"}, 2),
                ({"version": V1, "response_code": "503"}, 7),
                ({"version": V1, "response_code": "0", "response_flags": "DC"}, 5),
            ]
        },
        tmp_path,
    )


@both_sources
def test_the_responses_add_up_to_the_requests(source: Source, tmp_path: Path) -> None:
    mix = [
        traffic(V1, dict.fromkeys(EXACT, 5)),
        traffic(V2, {"no healthy pod": 3}),
        traffic(V1, {"error": 2}, "client"),
    ]
    asked = Queries(source)
    responses = f"sum by (version) ({asked.responses(WEBSITE, '1m')})"

    evaluate(record(mix), {responses: by_version(per_second({V1: 5 * len(EXACT) + 2, V2: 3}))}, tmp_path)


# Durations


@both_sources
@pytest.mark.parametrize(("quantile", "milliseconds"), [(0.5, 10), (0.95, 23.5), (0.99, 24.7)])
def test_a_quantile_of_the_durations_is_in_milliseconds(
    source: Source, quantile: float, milliseconds: float, tmp_path: Path
) -> None:
    # Half of the requests took at most 10 ms, all of them at most 25 ms.
    series = [
        Recorded(recorded.name, recorded.labels, steady(50 if recorded.labels.get("le") == "10" else 100))
        for recorded in record([traffic(V1, {"answered": 100})], noise=False)
        if "le" in recorded.labels
    ]

    evaluate(series, {Queries(source).duration(WEBSITE, quantile, "1m"): by_version({V1: milliseconds})}, tmp_path)


# Endpoints and weights


@both_sources
def test_endpoints_are_the_most_that_any_caller_has(source: Source, tmp_path: Path) -> None:
    series = [
        envoy_series("membership_healthy", "4+0x24"),
        envoy_series("membership_healthy", "3+0x24", caller="client"),
        envoy_series("outlier_detection_ejections_active", "1+0x24"),
        envoy_series("outlier_detection_ejections_active", "1+0x24", caller="client"),
    ]
    asked = Queries(source)

    evaluate(
        series,
        {asked.pods_ready(WEBSITE): by_version({V2: 4}), asked.ejections(WEBSITE): by_version({V2: 1})},
        tmp_path,
    )


def weight_series(version: str, values: str, service: str = "website") -> Recorded:
    labels = {"service": service, "namespace": "shop", "version": version}
    return Recorded("istio_canary:weight", labels, values)


def test_the_weights_and_when_they_changed_are_those_of_the_recorded_series(tmp_path: Path) -> None:
    series = [
        weight_series(V1, "0.9+0x18 0.5+0x5"),
        weight_series(V2, "0.1+0x18 0.5+0x5"),
        weight_series("version-3", "0+0x24"),
        weight_series(V1, "0.2+0x18 0.3+0x5", service="other"),
    ]

    evaluate(
        series,
        {
            Queries(Source.ISTIO).weight(WEBSITE): by_version({V1: 0.5, V2: 0.5, "version-3": 0}),
            queries.weight_changes(WEBSITE, "1m"): by_version({V1: 1, V2: 1}),
        },
        tmp_path,
    )
