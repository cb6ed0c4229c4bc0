"""The raw samples that a rollout's gates are judged by, from Prometheus: which counters, and of which time.

Everything that is asked is in the record: whose counters count, and how often they are collected.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from metrics.durations import promql_duration
from metrics.queries import Scope, Source
from metrics.raw_samples import raw_counters, raw_scrapes, raw_series, raw_unrouted
from rollout.gates.blocks import Observation
from rollout.gates.counters import LATE, LONG, Period, Samples, observe, read_since
from rollout.gates.fields import Reader, Subset
from rollout.gates.warm_up import Span
from rollout.planned import PlannedCounters
from rollout.record import Record
from traffic.model.rollout_gates import CustomMetric

if TYPE_CHECKING:
    from metrics.prometheus import Prometheus, Series

ALL_RULES = "all rules"
"""What numbers are named by where those of the rules cannot be told apart."""

CLOCK = 1.0
"""Seconds that times of the record are off at most: the API server tells them in whole seconds."""

PIECE = 120
"""Scrape intervals that are read at once: hours of samples, after a kill or at a start, need many times as much memory
as the blocks that are made from them."""


class NotComparableError(Exception):
    """The record has nothing to compare: an `up` of an older version wrote it. Says what helps."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What was asked for, to show it: the queries, how many samples they returned, and the time of the newest one.

    `counts_unrouted` is False where callers do not count the requests that find no cluster.
    """

    queries: tuple[str, ...] = ()
    samples: int = 0
    newest: float | None = None
    counts_unrouted: bool = True


def counters_of(record: Record) -> PlannedCounters:
    """Return whose counters are compared; raises NotComparableError."""
    if record.plan.counters is None:
        raise NotComparableError(
            f"the record of {record.id} does not say which counters to compare: run `canary up`, then abort and retry"
        )
    return record.plan.counters


def seconds_of(at: str) -> float:
    """Return a time of the record in seconds since 1970."""
    return datetime.fromisoformat(at).timestamp()


def reader_of(record: Record, bound: float | None = None, *, client_errors: bool = False) -> Reader:
    """Return what the counters of a rollout's two versions mean; raises NotComparableError.

    The counters of a version are those of all rules that lead to it: only where a single one does, they are its own.
    """
    counters = counters_of(record)
    rule = record.plan.rules[0].key if counters.split_judged else ALL_RULES
    subsets = {record.from_.version: Subset(rule, False), record.target.version: Subset(rule, True)}
    return Reader(
        service=record.service,
        source=Source(counters.source),
        subsets=subsets,
        bound=bound,
        client_errors=client_errors,
    )


def scope_of(record: Record) -> Scope:
    """Return the service, as queries name it."""
    hosts = record.plan.counters.hosts if record.plan.counters is not None else ()
    return Scope(service=record.service, namespace=record.namespace, hosts=hosts)


def read_samples(
    prometheus: Prometheus,
    record: Record,
    seconds: float,
    bound: float | None,
    custom: Sequence[CustomMetric] = (),
    at: float | None = None,
) -> tuple[Samples, Asked]:
    """Return the samples of the last `seconds` until `at`, by default now; raises as `observed` does."""
    counters = counters_of(record)
    over, every = promql_duration(float(math.ceil(seconds))), promql_duration(counters.scrape_seconds)
    queries = raw_counters(Source(counters.source), scope_of(record), over, bound)
    if bound is None:
        queries = queries[:-1]  # without durations, which have the most series by far
    found = [series for query in queries for series in prometheus.samples(query, at)]
    scrapes: tuple[Series, ...] = ()
    uptimes: tuple[Series, ...] = ()
    unrouted: Sequence[Series] = ()
    instances = sorted({series.labels.get("instance", "") for series in found} - {""})
    if instances:
        scrapes, uptimes = (prometheus.samples(query, at) for query in raw_scrapes(instances, over))
        queries = (*queries, raw_unrouted(instances, over))
        unrouted = prometheus.samples(queries[-1], at)
        found += unrouted
    own = {}
    for metric in custom:
        pair = [raw_series(query, over, every) for query in (metric.failures, metric.requests)]
        own[metric.name] = (prometheus.samples(pair[0], at), prometheus.samples(pair[1], at))
        queries = (*queries, *pair)
    points = [point for series in found for point in series.points]
    newest = max((time for time, _ in points), default=None)
    asked = Asked(queries=queries, samples=len(points), newest=newest, counts_unrouted=bool(unrouted) or not instances)
    return Samples(counters=found, scrapes=scrapes, uptimes=uptimes, custom=own), asked


def observed(
    prometheus: Prometheus,
    record: Record,
    periods: Sequence[Period],
    *,
    now: float,
    block_seconds: float,
    bound: float | None,
    client_errors: bool = False,
    custom: Sequence[CustomMetric] = (),
    warming: Sequence[Span] = (),
    earlier: Observation | None = None,
) -> Iterator[tuple[Observation, Asked]]:
    """Yield what is observed until `now`, in seconds since 1970, piece by piece, each with all before it.

    The arguments are those of `observe`; without periods nothing is read. Raises PrometheusError, and
    NotComparableError.
    """
    found, reader = earlier or Observation(), reader_of(record, bound, client_errors=client_errors)
    until = -math.inf
    while until < now:
        left = [one for one in periods if not is_over(one, until, block_seconds)]
        if not left:
            return
        since = min(read_since(found, one, block_seconds) for one in left)
        until = min(max(since, until) + PIECE * block_seconds, now)
        at = until if until < now else None
        seconds = until - since + LONG * block_seconds
        samples, asked = read_samples(prometheus, record, seconds, bound, custom, at)
        of_piece = left if at is None else [_until(one, at) for one in left if one.settled < at]
        found = observe(
            samples, reader, of_piece, now=until, block_seconds=block_seconds, warming=warming, earlier=found
        )
        yield found, asked


def is_over(period: Period, at: float, block_seconds: float) -> bool:
    """Return whether all samples of a period were in the store at a time."""
    return period.until is not None and at > period.until + LATE + 2 * block_seconds


def _until(period: Period, at: float) -> Period:
    """The period as it was at an earlier time, when it had perhaps not ended."""
    return replace(period, until=None) if period.until is not None and period.until > at else period
