"""What a traffic report shows: lines over time, moments at which weights changed, totals, and what is missing.

A value that Prometheus does not have is None, never zero: gaps stay gaps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from canary.time_options import rfc3339, utc, words

POINTS = 300
"""Points of a line, about as many as a chart can show."""

Line = tuple[float | None, ...]


class Measure(StrEnum):
    """What is drawn over time, for each version. Shares and rates from 0 to 1; durations in milliseconds."""

    WEIGHT = "weight"
    SHARE = "share"
    SUCCESS_RATE = "success rate"
    REQUESTS = "requests a second"
    P50 = "p50"
    P95 = "p95"
    P99 = "p99"


QUANTILES = {Measure.P50: 0.5, Measure.P95: 0.95, Measure.P99: 0.99}


@dataclass(frozen=True)
class Grid:
    """The points in time of all lines: from about `start` to exactly `end`, in seconds since 1970.

    A rate at one point covers the `window` seconds before it.
    """

    start: float
    end: float
    step: float
    window: float

    @property
    def times(self) -> tuple[float, ...]:
        """The points in time, ascending."""
        count = math.floor((self.end - self.start) / self.step + 1e-6)
        return tuple(self.end - (count - index) * self.step for index in range(count + 1))

    def line(self, points: Iterable[tuple[float, float]]) -> Line:
        """Return the values at the points in time; None where there is none, or not a finite one."""
        times = self.times
        values: list[float | None] = [None] * len(times)
        for time, value in points:
            index = round((time - times[0]) / self.step)
            if 0 <= index < len(values) and math.isfinite(value):
                values[index] = value
        return tuple(values)


def grid(start: float, end: float, scrape_interval: float) -> Grid:
    """Return about POINTS points from `start` to `end`, not closer than scrapes; each rate covers two scrapes."""
    from canary.telemetry import shortest_window

    step = math.ceil(max(scrape_interval, (end - start) / POINTS))
    return Grid(start, end, step, max(step, shortest_window(scrape_interval)))


@dataclass(frozen=True)
class Change:
    """A change of weights, first seen at `time`: percent before and after by version, of those that changed."""

    time: float
    before: Mapping[str, float]
    after: Mapping[str, float]

    def __str__(self) -> str:
        return ", ".join(f"{name} {self.before[name]:g} → {after:g} %" for name, after in self.after.items())


@dataclass(frozen=True)
class Total:
    """One version over the whole range. `requests` is Prometheus' estimate from its scrapes."""

    requests: float | None = None
    share: float | None = None
    success_rate: float | None = None
    p95: float | None = None

    @property
    def is_idle(self) -> bool:
        """Whether it is known to have had no requests."""
        return self.requests == 0


@dataclass(frozen=True)
class ServiceTraffic:
    """One service. `versions` are those of the config, then others that had requests; `lines` are by version."""

    name: str
    namespace: str
    versions: tuple[str, ...]
    lines: Mapping[Measure, Mapping[str, Line]]
    totals: Mapping[str, Total]
    problems: tuple[str, ...] = ()
    changes: tuple[Change, ...] = field(default=())

    @property
    def has_data(self) -> bool:
        """Whether Prometheus has counted requests, or has counters that stood still."""
        return any(value is not None for line in self.lines[Measure.REQUESTS].values() for value in line)


@dataclass(frozen=True)
class TrafficReport:
    """The report of a stack, made at `made`; `metrics` names whose metrics were read."""

    stack: str
    grid: Grid
    made: float
    metrics: str
    services: tuple[ServiceTraffic, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """What is missing, and why."""
        return tuple(problem for service in self.services for problem in service.problems)


def changes(times: tuple[float, ...], weights: Mapping[str, Line]) -> tuple[Change, ...]:
    """Return when the weights changed, of lines from 0 to 1.

    A version without a weight has none at that time if another has one; where no weight is known nothing changed.
    """
    found = []
    last: Mapping[str, float] | None = None
    for index, time in enumerate(times):
        if all(line[index] is None for line in weights.values()):
            continue
        now = {version: round(100 * (line[index] or 0.0), 6) for version, line in weights.items()}
        changed = [version for version in now if last is not None and now[version] != last[version]]
        if last is not None and changed:
            found.append(Change(time, {name: last[name] for name in changed}, {name: now[name] for name in changed}))
        last = now
    return tuple(found)


def gaps(grid: Grid, lines: Mapping[str, Line]) -> tuple[tuple[float, float], ...]:
    """Return from when to when no version has a value, where it is longer than one point."""
    found = []
    begin: float | None = None
    times = grid.times
    for index, time in enumerate(times):
        known = any(line[index] is not None for line in lines.values())
        if not known and begin is None:
            begin = time
        if begin is not None and (known or index == len(times) - 1):
            if time - begin > grid.step:
                found.append((begin, time))
            begin = None
    return tuple(found)


def gap_text(gap: tuple[float, float]) -> str:
    """Return a gap as text, such as `2025-06-01 12:00:00 UTC to 2025-06-01 12:30:00 UTC (30 min)`."""
    return f"{utc(gap[0])} to {utc(gap[1])} ({words(gap[1] - gap[0])})"


def as_json(report: TrafficReport, output: str) -> dict[str, Any]:
    """Return the document printed by `--json`: the summary, and where the page is."""
    return {
        "stack": report.stack,
        "from": rfc3339(report.grid.start),
        "to": rfc3339(report.grid.end),
        "made": rfc3339(report.made),
        "step_seconds": report.grid.step,
        "output": output,
        "problems": list(report.problems),
        "services": [
            {
                "name": service.name,
                "namespace": service.namespace,
                "versions": [_total_json(name, service.totals[name]) for name in service.versions],
                "weight_changes": [
                    {"time": rfc3339(change.time), "before_percent": change.before, "after_percent": change.after}
                    for change in service.changes
                ],
                "problems": list(service.problems),
            }
            for service in report.services
        ],
    }


def _total_json(name: str, total: Total) -> dict[str, Any]:
    def percent(rate: float | None) -> float | None:
        return None if rate is None else round(100 * rate, 3)

    return {
        "name": name,
        "requests": None if total.requests is None else round(total.requests),
        "share_percent": percent(total.share),
        "success_percent": percent(total.success_rate),
        "p95_milliseconds": None if total.p95 is None else round(total.p95, 3),
    }
