"""Absolute limits of a rollout: the share of the new version's requests that fail, by the callers' counters.

A limit needs no old version to compare with, and no statistics: it is broken, kept, or nothing is known. Nothing known
is never kept: no answer of Prometheus, no traffic, old samples and a wrong clock all hold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from metrics.durations import promql_duration
from rollout.decision import LimitResult
from rollout.record import Record, seconds_between
from traffic.model.rollout_limits import RolloutLimits

if TYPE_CHECKING:
    from metrics.prometheus import Prometheus, Sample
    from metrics.queries import Queries, Scope

LONGEST_WINDOW = 300.0
"""Seconds that are looked back at most: failures must not vanish among the requests of a long step."""

MINIMUM_FAILURES = 3
"""One failed request of ten is no rate; so many failures are."""

SCRAPES = 2
"""How many scrape intervals the newest numbers may be old, and the clocks may differ."""

ROUNDING = 1e-9
"""What floats of Prometheus may be off without being above a limit."""


@dataclass(frozen=True, kw_only=True)
class LimitReading:
    """What the limits say, for `Facts.limits`, and the numbers in words, for `status` and the log.

    `observed_seconds` is for the field of that name in `Facts`: while there cannot be numbers of the step yet, it keeps
    a step that would be shorter than that, without a NoData; None afterwards.
    """

    result: LimitResult
    text: str
    observed_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Counted:
    """Requests of the new version and how many of them failed, in the last `seconds`; None if there are no numbers."""

    seconds: float
    requests: float | None
    failures: float | None
    missing: str = ""
    """Why there are no numbers."""


def window_since(settled_at: str, now: str) -> float:
    """Return the seconds of the step that are looked at: since every Envoy has its weights, and not too long ago."""
    return min(max(seconds_between(settled_at, now), 0.0), LONGEST_WINDOW)


def judge(limits: RolloutLimits, version: str, counted: Counted) -> LimitReading:
    """Return what `limits` say of a version's numbers."""
    requests, failures = counted.requests, counted.failures
    if requests is None or failures is None or not math.isfinite(requests + failures) or requests <= 0:
        missing = counted.missing or f"{version} had no requests in the last {counted.seconds:.0f} s"
        return LimitReading(result=LimitResult(no_data=True), text=missing)
    failures = min(max(failures, 0.0), requests)
    percent = 100 * failures / requests
    text = f"{percent:.2f} % of {requests:.0f} requests to {version} failed in the last {counted.seconds:.0f} s"
    limit = limits.error_percent
    if limit is None:
        return LimitReading(result=LimitResult(), text=text)
    is_broken = percent > limit + ROUNDING and round(failures) >= MINIMUM_FAILURES
    text = f"{text}; the limit is {limit:g} %"
    return LimitReading(result=LimitResult(broken=text if is_broken else None), text=text)


def read_limits(
    record: Record, now: str, prometheus: Prometheus, queries: Queries, scrape_seconds: float
) -> LimitReading | None:
    """Return what the limits of the current step say now; None if it has none, or has not settled yet.

    `now` is the time of the API server, `scrape_seconds` the interval at which Prometheus scrapes the proxies. An error
    of Prometheus is no data, too.
    """
    from metrics.queries import Scope

    limits = record.strategy.limits
    if limits is None or limits.error_percent is None or record.settled_at is None or not record.target_weight():
        return None
    version = record.target.version
    scope = Scope(service=record.service, namespace=record.namespace)
    window = window_since(record.settled_at, now)
    shortest = min(SCRAPES * scrape_seconds + 1, LONGEST_WINDOW)  # surely holds two scrapes of each proxy
    if window < shortest:
        text = f"there are numbers {shortest:.0f} s after the weights have changed"
        hold = record.plan.steps[max(record.step, 0)].hold_seconds
        return LimitReading(result=LimitResult(), text=text, observed_seconds=window - max(shortest - hold, 0.0))
    return judge(limits, version, count(prometheus, queries, scope, version, window, now, shortest))


def count(
    prometheus: Prometheus,
    queries: Queries,
    scope: Scope,
    version: str,
    window: float,
    now: str,
    shortest: float,
) -> Counted:
    """Return the requests of a version in the last `window` seconds, by Prometheus, if its numbers are not older than
    `shortest` seconds.
    """
    from metrics.prometheus import PrometheusError

    over = promql_duration(float(math.floor(window)))
    try:
        recent = prometheus.instant(queries.requests(scope, promql_duration(shortest)))
        missing = why_missing(version, recent, now, shortest)
        if missing:
            return Counted(seconds=window, requests=None, failures=None, missing=missing)
        requests = prometheus.instant(queries.requests(scope, over))
        failures = prometheus.instant(queries.failures(scope, over))
    except PrometheusError as error:
        return Counted(seconds=window, requests=None, failures=None, missing=str(error))
    seconds = math.floor(window)
    asked, failed = value_of(requests, version), value_of(failures, version)
    return Counted(
        seconds=seconds,
        requests=None if asked is None else asked * seconds,
        failures=None if failed is None else failed * seconds,
    )


def why_missing(version: str, recent: Sequence[Sample], now: str, shortest: float) -> str:
    """Return why the newest numbers cannot be used, empty if they can: none of the version, or of another time."""
    if value_of(recent, version) is None:
        return f"Prometheus has no numbers of {version} in the last {shortest:.0f} s"
    off = max(abs(sample.time - datetime.fromisoformat(now).timestamp()) for sample in recent)
    if off > shortest:
        return f"the clocks of Prometheus and of the API server differ by {off:.0f} s"
    return ""


def value_of(samples: Sequence[Sample], version: str) -> float | None:
    """Return the value of a version in a query's result; None if it is not there, or not a number."""
    values = [sample.value for sample in samples if sample.labels.get("version") == version]
    return values[0] if len(values) == 1 and math.isfinite(values[0]) else None
