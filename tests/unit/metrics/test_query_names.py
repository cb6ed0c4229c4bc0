"""Names in queries: escaped, as variables of Grafana, and those of Envoy's statistics."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from metrics import queries
from metrics.queries import Queries, Scope, Source
from metrics.series_names import CLUSTER_STATISTICS, FAILED_CALLS, LISTENER_STATISTICS
from tests.metrics_expressions import filled
from tests.unit.metrics.asked import V1, V2, WEBSITE, ask, both_sources, by_version, per_second, traffic
from tests.unit.metrics.promtool import check_queries, evaluate
from tests.unit.metrics.recorded import Traffic, record

VARIABLES = Scope(service="$service", namespace="$namespace")


@both_sources
def test_a_variable_of_grafana_gives_the_same_numbers_as_the_name(source: Source, tmp_path: Path) -> None:
    mix = record([traffic(V1, {"answered": 9}), traffic(V2, {"no healthy pod": 1, "gave up, HTTP/2": 5})])
    by_variable = {
        name: filled(query, "website", "shop") for name, query in ask(source, VARIABLES, "$__rate_interval").items()
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
    either = query.replace("$service", "website|shop").replace("$namespace", "shop|website")

    evaluate(record(mix, noise=False), {either: by_version({V1: 1, V2: 2})}, tmp_path)


@both_sources
def test_any_name_makes_a_query_that_prometheus_can_parse(source: Source, tmp_path: Path) -> None:
    odd = Scope(service='a"b\\c\n.*(|)[^', namespace="{}+?^")

    check_queries(ask(source, odd).values(), tmp_path)


names = st.text(st.characters(exclude_characters="$|", exclude_categories=["Cs"]), min_size=1, max_size=12)


@given(service=names, namespace=names, other=names)
def test_only_clusters_of_the_service_match(service: str, namespace: str, other: str) -> None:
    pattern = re2.compile(queries.cluster_pattern(Scope(service=service, namespace=namespace)))

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
        **{f"envoy_cluster_grpc_{status}": (f"grpc.{status}",) for status in FAILED_CALLS},
        "envoy_cluster_upstream_rq_time_bucket": ("upstream_rq_time",),
        "envoy_cluster_retry_upstream_rq_completed": ("retry.upstream_rq_completed",),
        "envoy_cluster_outlier_detection_ejections_active": ("outlier_detection.ejections_active",),
    }

    assert len(read) > 10
    for metric in read:
        for name in names_of_envoy.get(metric, (metric.removeprefix("envoy_cluster_"),)):
            assert kept.fullmatch(name), name
    assert not kept.fullmatch("upstream_cx_total")


def test_the_mesh_is_told_to_keep_the_requests_without_a_cluster_of_the_listeners_of_callers() -> None:
    kept = re2.compile(LISTENER_STATISTICS)
    assert kept.fullmatch("http.outbound_0.0.0.0_8080;.no_cluster")
    assert kept.fullmatch("http.outbound_10.1.2.3_443;.no_cluster")
    assert kept.fullmatch("http.outbound_0.0.0.0_8080.no_cluster"), "Istio 1.22"
    assert not kept.fullmatch("http.inbound_0.0.0.0_8080;.no_cluster")
    assert not kept.fullmatch("http.outbound_0.0.0.0_8080;.no_route")


def texts(source: Source) -> list[str]:
    asked = Queries(source)
    return [*ask(source).values(), asked.responses(WEBSITE, "1m"), asked.ejections(WEBSITE), asked.pods_ready(WEBSITE)]


@both_sources
@pytest.mark.parametrize("over", ["1m", "1h30m", "10y", "$__rate_interval"])
def test_what_a_query_costs_does_not_grow_with_the_length_of_its_range(source: Source, over: str) -> None:
    # A subquery has a value for each of its steps, in Prometheus' memory: 10 years of seconds are 300 million.
    for name, query in ask(source, VARIABLES, over).items():
        assert not re.search(r"\[[^]\"]*:[^]\"]*\]", query), name


@pytest.mark.parametrize(("over", "seconds"), [("1m", 60), ("1h30m", 5400), ("10500ms", 10.5), ("1m0s", 60)])
def test_a_range_has_the_same_length_by_its_text_and_by_the_variable_of_grafana(over: str, seconds: float) -> None:
    scope, unit = Scope(service="website", namespace="shop"), "$__rate_interval"
    by_variable = filled(Queries(Source.ENVOY).requests(scope, unit), "website", "shop", over)

    assert f"/ ({1000 * seconds:.0f} / 1000)" in by_variable
    assert by_variable.replace(f"({1000 * seconds:.0f} / 1000)", f"{seconds:.1f}") == Queries(Source.ENVOY).requests(
        scope, over
    )
