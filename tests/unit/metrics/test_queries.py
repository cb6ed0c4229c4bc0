"""Every query on recorded series, evaluated by Prometheus' promtool, for both sources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import re2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metrics import queries
from metrics.queries import CLUSTER_STATISTICS, Queries, Scope, Source
from tests.unit.metrics.promtool import Recorded, Result, check_queries, evaluate
from tests.unit.metrics.recorded import (
    EXACT,
    KINDS,
    SCRAPE_SECONDS,
    STATISTICS,
    Traffic,
    record,
    scrapes,
    steady,
    target,
)

WEBSITE = Scope(service="website", namespace="shop")
VARIABLES = Scope(service="$service", namespace="$namespace")
V1, V2 = "version-1", "version-2"

both_sources = pytest.mark.parametrize("source", list(Source))


def by_version(values: Mapping[str, float]) -> Result:
    """The result of a query: values by version."""
    return [({"version": version}, value) for version, value in values.items()]


def ask(source: Source, scope: Scope = WEBSITE, over: str = "1m") -> dict[str, str]:
    """All queries that need no other argument, by name."""
    asked = Queries(source)
    return {
        "requests": asked.requests(scope, over),
        "failures": asked.failures(scope, over),
        "success rate": asked.success_rate(scope, over),
        "share": asked.share(scope, over),
        "median": asked.duration(scope, 0.5, over),
        "retries": asked.retries(scope, over),
        "connection failures": asked.connection_failures(scope, over),
    }


@dataclass(frozen=True, kw_only=True)
class Case:
    """Traffic, and the expected results by query and version; requests and failures are in a scrape interval."""

    traffic: tuple[Traffic, ...]
    requests: Mapping[str, float]
    failures: Mapping[str, float]
    success: Mapping[str, float]
    share: Mapping[str, float]
    more: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def traffic(version: str, kinds: Mapping[str, int], caller: str = "gateway") -> Traffic:
    return Traffic(version=version, kinds=kinds, caller=caller)


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
            traffic(V1, {"answered": 10, "refused": 4, "over the limit": 3, "no healthy pod": 2, "error": 1}),
            traffic(V2, {"answered": 10, "refused": 6, "refused, answered at the second try": 4}),
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


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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


def of_both_sources(expected: Mapping[str, Mapping[str, float]]) -> dict[str, Result]:
    """Queries of both sources with the same results, given by the queries' names."""
    return {ask(source)[name]: by_version(values) for source in Source for name, values in expected.items()}


def per_second(values: Mapping[str, float]) -> dict[str, float]:
    return {version: value / SCRAPE_SECONDS for version, value in values.items()}


# Responses


def test_istios_responses_are_told_apart_by_code_and_flags(tmp_path: Path) -> None:
    kinds = {"answered": 15, "not found": 30, "over the limit": 45, "no healthy pod": 60, "gave up, HTTP/2": 75}
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
    kinds = {"answered": 15, "not found": 30, "over the limit": 45, "no healthy pod": 60, "gave up, HTTP/2": 75}

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


# Counters that begin, end and start again


def envoy_series(statistic: str, values: str, caller: str = "gateway", **labels: str) -> Recorded:
    cluster = "outbound|80|version-2|website.shop.svc.cluster.local"
    return Recorded(f"envoy_cluster_{statistic}", {**target(caller), "cluster_name": cluster, **labels}, values)


def istio_series(code: str, values: str, flags: str = "-", version: str = "website-version-2") -> Recorded:
    labels = {
        **target("gateway"),
        "reporter": "source",
        "destination_service_name": "website",
        "destination_service_namespace": "shop",
        "destination_version": version,
        "response_code": code,
        "response_flags": flags,
    }
    return Recorded("istio_requests_total", labels, values)


@both_sources
def test_the_first_failures_of_a_version_are_seen(source: Source, tmp_path: Path) -> None:
    # 20 answers a scrape, and within the last minute three failures, whose counter did not exist before.
    series = [
        istio_series("200", steady(20)),
        istio_series("500", "_x19 3+0x5"),
        envoy_series("upstream_rq_total", f"1000+20x18 {1000 + 19 * 20 + 3}+20x5"),
        envoy_series("upstream_rq_completed", f"1000+20x18 {1000 + 19 * 20 + 3}+20x5"),
        envoy_series("upstream_rq", "_x19 3+0x5", response_code_class="5xx"),
        scrapes("gateway"),
    ]

    evaluate(series, {Queries(source).failures(WEBSITE, "1m"): by_version({V2: 3 / 60})}, tmp_path)


@both_sources
def test_requests_to_a_new_version_that_has_no_pods_are_seen(source: Source, tmp_path: Path) -> None:
    # All 57 between two scrapes: no counter of the cluster existed before, and none has grown since.
    series = [
        istio_series("503", "_x19 57+0x5", flags="UH", version="unknown"),
        envoy_series("upstream_rq_total", "_x19 0+0x5"),
        envoy_series("upstream_cx_none_healthy", "_x19 57+0x5"),
        envoy_series("upstream_rq_completed", "_x19 57+0x5"),
        envoy_series("upstream_rq", "_x19 57+0x5", response_code_class="5xx"),
        scrapes("gateway"),
    ]
    asked = Queries(source)

    evaluate(
        series,
        {
            asked.requests(WEBSITE, "1m"): by_version({V2: 57 / 60}),
            asked.failures(WEBSITE, "1m"): by_version({V2: 57 / 60}),
            asked.success_rate(WEBSITE, "1m"): by_version({V2: 0}),
            asked.connection_failures(WEBSITE, "1m"): by_version({V2: 57 / 60}),
        },
        tmp_path,
    )


@both_sources
@pytest.mark.parametrize(
    ("why", "up"),
    [
        ("the caller is scraped for the first time", ["_x19 1+0x5"]),
        ("the scrapes before had failed", ["0+0x18 1+0x5"]),
        ("nothing is known of the scrapes", []),
    ],
)
def test_the_history_of_a_caller_that_was_not_scraped_before_is_not_counted(
    source: Source, why: str, up: list[str], tmp_path: Path
) -> None:
    series = [
        istio_series("200", "_x19 5000+15x5"),
        istio_series("500", "_x19 900+0x5"),
        envoy_series("upstream_rq_total", "_x19 5900+15x5"),
        envoy_series("upstream_rq_completed", "_x19 5900+15x5"),
        envoy_series("upstream_rq", "_x19 900+0x5", response_code_class="5xx"),
        *(scrapes("gateway", values) for values in up),
    ]
    asked = Queries(source)

    evaluate(
        series,
        {
            # Two samples, extrapolated by half a scrape.
            asked.requests(WEBSITE, "1m"): by_version({V2: 22.5 / 60}),
            asked.failures(WEBSITE, "1m"): by_version({V2: 0}),
        },
        tmp_path,
    )


@both_sources
def test_a_caller_that_starts_again_counts_from_zero(source: Source, tmp_path: Path) -> None:
    # 15 a scrape; two scrapes ago it had just started again.
    values = "1000+15x17 15+15x6"
    series = [
        istio_series("200", values),
        envoy_series("upstream_rq_total", values),
        envoy_series("upstream_rq_completed", values),
        scrapes("gateway"),
    ]
    asked = Queries(source)

    evaluate(
        series,
        {asked.requests(WEBSITE, "1m"): by_version({V2: 1}), asked.failures(WEBSITE, "1m"): by_version({V2: 0})},
        tmp_path,
    )


# Callers that gave up: what may not be taken for it


@pytest.mark.parametrize(
    ("what", "total", "completed", "active"),
    [
        ("requests in flight become more", "1000+30x24", "1000+20x24", "0+10x24"),
        ("answers that are streamed end", "1000+20x24", "1000+20x24", "500-10x24"),
        ("answers began to be counted when tries had long been", "1000+20x24", "_x17 20+20x7", "3+0x24"),
    ],
)
def test_nobody_gave_up_where_envoy_ended_no_try(
    what: str, total: str, completed: str, active: str, tmp_path: Path
) -> None:
    series = [
        envoy_series("upstream_rq_total", total),
        envoy_series("upstream_rq_completed", completed),
        envoy_series("upstream_rq_active", active),
        *(envoy_series(name, "0+0x24") for name in STATISTICS if name != "upstream_rq_total"),
        scrapes("gateway"),
    ]

    evaluate(series, {Queries(Source.ENVOY).failures(WEBSITE, "1m"): by_version({V2: 0})}, tmp_path)


def test_requests_in_flight_are_not_given_up_while_others_are(tmp_path: Path) -> None:
    # Of 30 tries a scrape 10 are answered, 15 given up, and 5 stay in flight.
    series = [
        envoy_series("upstream_rq_total", steady(30)),
        envoy_series("upstream_rq_completed", steady(10)),
        envoy_series("upstream_rq_tx_reset", steady(15)),
        envoy_series("upstream_rq_active", "0+5x24"),
        scrapes("gateway"),
    ]

    evaluate(series, {Queries(Source.ENVOY).failures(WEBSITE, "1m"): by_version({V2: 1})}, tmp_path)


# Endpoints and weights


@both_sources
def test_endpoints_are_the_most_that_any_caller_has(source: Source, tmp_path: Path) -> None:
    series = [
        envoy_series("membership_healthy", "4+0x24"),
        envoy_series("membership_healthy", "3+0x24", caller="client"),
        envoy_series("outlier_detection_ejections_active", "0+0x24"),
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


# Names


@both_sources
def test_a_variable_of_grafana_gives_the_same_numbers_as_the_name(source: Source, tmp_path: Path) -> None:
    mix = record([traffic(V1, {"answered": 9}), traffic(V2, {"no healthy pod": 1, "gave up, HTTP/2": 5})])
    by_variable = {
        name: query.replace("$service", "website").replace("$namespace", "shop").replace("$__rate_interval", "1m")
        for name, query in ask(source, VARIABLES, "$__rate_interval").items()
    }

    evaluate(
        mix,
        {
            by_variable["requests"]: by_version(per_second({V1: 9, V2: 6})),
            by_variable["share"]: by_version({V1: 0.6, V2: 0.4}),
            by_variable["success rate"]: by_version({V1: 1, V2: 0}),
        },
        tmp_path,
    )


@both_sources
def test_a_variable_may_stand_for_alternatives(source: Source, tmp_path: Path) -> None:
    mix = [
        traffic(V1, {"answered": 15}),
        Traffic(version=V2, kinds={"answered": 30}, service="shop", namespace="website"),
    ]
    query = Queries(source).requests(VARIABLES, "1m")
    either = query.replace("$service", "(website|shop)").replace("$namespace", "(shop|website)")

    evaluate(record(mix, noise=False), {either: by_version({V1: 1, V2: 2})}, tmp_path)


@both_sources
def test_any_name_makes_a_query_that_prometheus_can_parse(source: Source, tmp_path: Path) -> None:
    odd = Scope(service='a"b\\c\n.*(|)[^', namespace="{}+?^")

    check_queries(ask(source, odd).values(), tmp_path)


names = st.text(st.characters(exclude_characters="$|", exclude_categories=["Cs"]), min_size=1, max_size=12)


@given(service=names, namespace=names, other=names)
def test_only_clusters_of_the_service_match(service: str, namespace: str, other: str) -> None:
    pattern = re2.compile(queries._cluster_pattern(Scope(service=service, namespace=namespace)))

    assert pattern.fullmatch(f"outbound|8080|version-1|{service}.{namespace}.svc.cluster.local")
    assert not pattern.fullmatch(f"outbound|8080||{service}.{namespace}.svc.cluster.local")
    assert not pattern.fullmatch(f"inbound|8080|version-1|{service}.{namespace}.svc.cluster.local")
    assert bool(pattern.fullmatch(f"outbound|80|v|{other}.{namespace}.svc.cluster.local")) == (service == other)


def test_the_mesh_is_told_to_keep_every_statistic_that_is_read() -> None:
    kept = re2.compile(CLUSTER_STATISTICS)
    read = {
        name.split("{")[0]
        for source in Source
        for query in texts(source)
        for name in re2.findall(r"envoy_cluster_\w+\{[^}]*\}", query)
    }
    names_of_envoy = {
        "envoy_cluster_upstream_rq": ("upstream_rq_200", "upstream_rq_5xx"),
        "envoy_cluster_upstream_rq_time_bucket": ("upstream_rq_time",),
        "envoy_cluster_retry_upstream_rq_completed": ("retry.upstream_rq_completed",),
        "envoy_cluster_outlier_detection_ejections_active": ("outlier_detection.ejections_active",),
    }

    assert len(read) > 10
    for metric in read:
        for name in names_of_envoy.get(metric, (metric.removeprefix("envoy_cluster_"),)):
            assert kept.fullmatch(name), name
    assert not kept.fullmatch("upstream_cx_total")


def texts(source: Source) -> list[str]:
    asked = Queries(source)
    return [*ask(source).values(), asked.responses(WEBSITE, "1m"), asked.ejections(WEBSITE), asked.pods_ready(WEBSITE)]
