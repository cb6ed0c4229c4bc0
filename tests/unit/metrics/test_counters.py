"""Queries on counters that begin, end and start again, and on what may be taken for callers that gave up."""

from __future__ import annotations

from pathlib import Path

import pytest

from metrics.queries import Queries, Source
from tests.unit.metrics.asked import V2, WEBSITE, both_sources, by_version
from tests.unit.metrics.promtool import evaluate
from tests.unit.metrics.recorded import STATISTICS, envoy_series, istio_series, scrapes, steady

# Counters that begin, end and start again


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
        istio_series("503", "_x19 57+0x5", flags="UH", revision="latest"),
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
            # Two scrapes, extrapolated by half of the time between them.
            asked.requests(WEBSITE, "1m"): by_version({V2: 22.5 / 60}),
            asked.failures(WEBSITE, "1m"): by_version({V2: 0}),
        },
        tmp_path,
    )


@both_sources
def test_a_counter_that_began_is_counted_once(source: Source, tmp_path: Path) -> None:
    # Four scrapes ago there was none; rate() alone would add what it makes up before the first of them.
    values = "_x17 20+20x7"
    series = [
        istio_series("200", values),
        envoy_series("upstream_rq_total", values),
        envoy_series("upstream_rq_completed", values),
        scrapes("gateway"),
    ]
    asked = Queries(source)

    evaluate(
        series,
        {asked.requests(WEBSITE, "1m"): by_version({V2: 80 / 60}), asked.failures(WEBSITE, "1m"): by_version({V2: 0})},
        tmp_path,
    )


@both_sources
def test_a_counter_that_ended_has_not_begun(source: Source, tmp_path: Path) -> None:
    # Istio removes counters that it has not used for long: this one was last seen two scrapes ago.
    series = [
        istio_series("200", "5000+15x18 _x6"),
        envoy_series("upstream_rq_total", "5000+15x18 _x6"),
        envoy_series("upstream_rq_completed", "5000+15x18 _x6"),
        scrapes("gateway"),
    ]

    evaluate(series, {f"{Queries(source).requests(WEBSITE, '1m')} > 2": []}, tmp_path)


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


@pytest.mark.parametrize(
    ("what", "total", "completed", "ended_by_envoy", "active", "gave_up"),
    [
        ("some give up, some stay in flight", 30, 10, 15, "0+5x24", 15),
        ("tries time out, and more are in flight", 30, 20, 20, "0+10x24", 0),
        ("all give up, while answers that are streamed end", 20, 0, 20, "500-10x24", 20),
    ],
)
def test_requests_in_flight_are_not_given_up(
    what: str, total: int, completed: int, ended_by_envoy: int, active: str, gave_up: int, tmp_path: Path
) -> None:
    series = [
        envoy_series("upstream_rq_total", steady(total)),
        envoy_series("upstream_rq_completed", steady(completed)),
        envoy_series("upstream_rq_tx_reset", steady(ended_by_envoy)),
        envoy_series("upstream_rq_active", active),
        scrapes("gateway"),
    ]

    evaluate(series, {Queries(Source.ENVOY).failures(WEBSITE, "1m"): by_version({V2: gave_up / 15})}, tmp_path)
