"""Names in queries: escaped, as variables of Grafana, and those of Envoy's statistics."""

from __future__ import annotations

from pathlib import Path

import re2
from hypothesis import given
from hypothesis import strategies as st

from metrics import queries
from metrics.queries import CLUSTER_STATISTICS, Queries, Scope, Source
from tests.unit.metrics.asked import V1, V2, WEBSITE, ask, both_sources, by_version, per_second, traffic
from tests.unit.metrics.promtool import check_queries, evaluate
from tests.unit.metrics.recorded import Traffic, record

VARIABLES = Scope(service="$service", namespace="$namespace")


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
    either = query.replace("$service", "website|shop").replace("$namespace", "shop|website")

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
