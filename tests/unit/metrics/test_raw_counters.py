"""The raw samples that gates read: of the service's versions alone, and of all counters that their numbers need."""

from __future__ import annotations

from pathlib import Path

from metrics.queries import Source
from metrics.raw_samples import raw_counters, raw_scrapes, raw_unrouted
from tests.unit.metrics.asked import V1, V2, WEBSITE, both_sources, traffic
from tests.unit.metrics.promtool import Recorded, evaluate
from tests.unit.metrics.recorded import EXACT, STATISTICS, record, steady, target

MIX = [traffic(V1, dict.fromkeys(EXACT, 5)), traffic(V2, {"answered": 3}, caller="shop")]


@both_sources
def test_only_the_counters_of_the_services_versions_are_read(source: Source, tmp_path: Path) -> None:
    wanted = [one for one in record(MIX, noise=False) if one.name.startswith("envoy_")]
    if source is Source.ISTIO:
        unknown = ("upstream_rq_retry", "upstream_cx_none_healthy", "upstream_rq_pending_overflow")
        names = [f"envoy_cluster_{name}" for name in (*unknown, "upstream_rq_active_overflow", "upstream_rq_active")]
        wanted = [one for one in wanted if one.name in names]
        wanted += [
            one
            for one in record(MIX, noise=False)
            if one.name.startswith("istio_") and one.labels["destination_canonical_revision"] != "latest"
            and one.labels["response_flags"] != "UH"
        ]  # fmt: skip
    else:
        assert {one.name.removeprefix("envoy_cluster_") for one in wanted} >= set(STATISTICS)
        # Which answers were a retry's does not matter.
        wanted = [one for one in wanted if "retry_upstream_rq_completed" not in one.name]
    parts = [f"count(last_over_time({query}))" for query in raw_counters(source, WEBSITE, "1m")]
    whole = " + ".join(parts)

    evaluate(record(MIX), {whole: [({}, len(wanted))]}, tmp_path)


def test_scrapes_of_the_callers_alone_are_read(tmp_path: Path) -> None:
    up, uptime = raw_scrapes(["gateway:15020", "shop:15020"], "1m")
    assert uptime == r'envoy_server_uptime{instance=~"gateway:15020|shop:15020"}[1m]'
    evaluate(record(MIX), {f"count(last_over_time({up}))": [({}, 2)]}, tmp_path)


def test_an_instance_is_no_regular_expression() -> None:
    up, _ = raw_scrapes(["10.0.0.1:15020"], "1m")
    assert up == r'up{instance=~"10\\.0\\.0\\.1:15020"}[1m]'


def test_requests_without_a_cluster_are_those_of_the_callers_listeners(tmp_path: Path) -> None:
    listeners = {"outbound_0.0.0.0_80": 3, "outbound_0.0.0.0_8080": 5, "inbound_0.0.0.0_8080": 7}
    series = [
        Recorded("envoy_http_no_cluster", {**target(caller), "http_conn_manager_prefix": name}, steady(count))
        for caller in ("gateway", "elsewhere")
        for name, count in listeners.items()
    ]
    query = raw_unrouted(["gateway:15020"], "1m")
    evaluate(series, {f"count(last_over_time({query}))": [({}, 2)]}, tmp_path)
