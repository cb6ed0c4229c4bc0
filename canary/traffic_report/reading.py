"""Reads the data of a traffic report from Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from canary.telemetry import finite
from canary.time_options import words
from canary.traffic_report.data import (
    QUANTILES,
    Grid,
    Line,
    Measure,
    ServiceTraffic,
    Total,
    TrafficReport,
    changes,
    gap_text,
    gaps,
)
from metrics.durations import promql_duration
from metrics.prometheus import PrometheusError
from metrics.queries import Scope

if TYPE_CHECKING:
    from metrics.prometheus import Prometheus, Sample, Series
    from metrics.queries import Queries
    from stacks.settings.model import ServiceSettings, Settings

FAILURES = 3
"""After this many queries in a row without an answer, Prometheus is taken to be down."""
SHOWN_GAPS = 3
OVER_TIME, WHOLE_RANGE = "over time", "over the whole range"
TOTALS = {
    "requests": Measure.REQUESTS,
    "share": Measure.SHARE,
    "success_rate": Measure.SUCCESS_RATE,
    "p95": Measure.P95,
}
"""The measure behind each field of Total."""
T = TypeVar("T")


def read_report(
    prometheus: Prometheus, queries: Queries, settings: Settings, stack: str, grid: Grid, made: float
) -> TrafficReport:
    """Return the report of all services of the stack.

    Raises PrometheusError if Prometheus does not answer the first query, or several in a row; another query that fails
    leaves a gap, with the reason in the report.
    """
    asking = _Asking(prometheus)
    services = tuple(
        _Service(name, service, asking, queries, grid).read() for name, service in settings.services.items()
    )
    return TrafficReport(stack, grid, made, str(queries.source), services)


class _Asking:
    """Asks Prometheus, and decides when it is down."""

    def __init__(self, prometheus: Prometheus) -> None:
        self._prometheus = prometheus
        self._failures = FAILURES - 1  # the first query may not fail

    def range(self, query: str, grid: Grid) -> tuple[Series, ...]:
        """Return the series on the grid; raises PrometheusError, or _NoAnswerError while Prometheus may be up."""
        return self._ask(lambda: self._prometheus.range(query, grid.times[0], grid.end, grid.step))

    def instant(self, query: str, at: float) -> tuple[Sample, ...]:
        """Return the samples at a moment; raises as `range` does."""
        return self._ask(lambda: self._prometheus.instant(query, at))

    def _ask(self, ask: Callable[[], T]) -> T:
        try:
            answer = ask()
        except PrometheusError as error:
            self._failures += 1
            if self._failures >= FAILURES:
                raise
            raise _NoAnswerError(error.reason) from error
        self._failures = 0
        return answer


class _NoAnswerError(Exception):
    """One query failed; its reason."""


class _Service:
    """Reads one service."""

    def __init__(self, name: str, service: ServiceSettings, asking: _Asking, queries: Queries, grid: Grid) -> None:
        self._name = name
        self._service = service
        self._asking = asking
        self._queries = queries
        self._grid = grid
        self._scope = Scope(service=name, namespace=service.namespace)
        self._problems: list[str] = []
        self._unanswered: set[tuple[str, Measure]] = set()

    def read(self) -> ServiceTraffic:
        """Return the service's traffic, with what is missing."""
        lines = {measure: self._lines(measure) for measure in Measure}
        totals = self._totals()
        others = sorted(
            version
            for version in lines[Measure.REQUESTS].keys() | totals.keys()
            if version not in self._service.versions and _had_requests(version, lines, totals)
        )
        versions = (*self._service.versions, *others)
        self._find_missing(versions, lines, totals)
        return ServiceTraffic(
            self._name,
            self._service.namespace,
            versions,
            lines,
            {version: totals.get(version, Total()) for version in versions},
            tuple(self._problems),
            changes(self._grid.times, lines[Measure.WEIGHT]),
        )

    def _lines(self, measure: Measure) -> Mapping[str, Line]:
        query = _query(self._queries, measure, self._scope, promql_duration(self._grid.window))
        try:
            series = self._asking.range(query, self._grid)
        except _NoAnswerError as error:
            self._note_unanswered(OVER_TIME, measure, error)
            return {}
        return {each.labels["version"]: self._grid.line(each.points) for each in series}

    def _totals(self) -> Mapping[str, Total]:
        seconds = self._grid.end - self._grid.start
        found: dict[str, dict[str, float | None]] = {}
        for key, measure in TOTALS.items():
            query = _query(self._queries, measure, self._scope, promql_duration(seconds))
            try:
                samples = self._asking.instant(query, self._grid.end)
            except _NoAnswerError as error:
                self._note_unanswered(WHOLE_RANGE, measure, error)
                continue
            for sample in samples:
                value = finite(sample.value)
                is_rate = measure is Measure.REQUESTS
                found.setdefault(sample.labels["version"], {})[key] = (
                    value * seconds if is_rate and value is not None else value
                )
        return {version: Total(**values) for version, values in found.items()}

    def _note_unanswered(self, span: str, measure: Measure, error: _NoAnswerError) -> None:
        self._unanswered.add((span, measure))
        self._problems.append(f"{self._name}: no {measure} {span}, because the query failed: {error}")

    def _find_missing(
        self, versions: Sequence[str], lines: Mapping[Measure, Mapping[str, Line]], totals: Mapping[str, Total]
    ) -> None:
        """Note what Prometheus did answer, but without data."""
        requests = lines[Measure.REQUESTS]
        known = [version for version in versions if not _is_empty(requests.get(version, ()))]
        if (OVER_TIME, Measure.REQUESTS) not in self._unanswered:
            unknown = [f" {version}" for version in versions if version not in known] if known else [""]
            self._problems += [f"{self._name}{each}: Prometheus has no requests to it in the range" for each in unknown]
            self._problems += _gap_texts(self._name, self._grid, requests) if known else []
        for version in known:
            answered = (
                measure
                for measure in _absent(totals.get(version, Total()))
                if (WHOLE_RANGE, measure) not in self._unanswered
            )
            if names := " and no ".join(answered):
                self._problems.append(f"{self._name} {version}: Prometheus has no {names} of it {WHOLE_RANGE}")
        has_weights = not all(_is_empty(line) for line in lines[Measure.WEIGHT].values())
        if not has_weights and (OVER_TIME, Measure.WEIGHT) not in self._unanswered:
            self._problems.append(
                f"{self._name}: Prometheus has no weights (istio_canary:weight) in the range, so they and their "
                "changes are not shown; fix: `canary up` writes the rules of the stack's own Prometheus; into one that "
                "exists, load them as docs/telemetry.md describes"
            )


def _query(queries: Queries, measure: Measure, scope: Scope, over: str) -> str:
    match measure:
        case Measure.WEIGHT:
            return queries.weight(scope)
        case Measure.SHARE:
            return queries.share(scope, over)
        case Measure.SUCCESS_RATE:
            return queries.success_rate(scope, over)
        case Measure.REQUESTS:
            return queries.requests(scope, over)
        case _:
            return queries.duration(scope, QUANTILES[measure], over)


def _had_requests(version: str, lines: Mapping[Measure, Mapping[str, Line]], totals: Mapping[str, Total]) -> bool:
    line = lines[Measure.REQUESTS].get(version, ())
    return bool(any(line) or (version in totals and totals[version].requests))


def _absent(total: Total) -> list[Measure]:
    """The measures that the total of a version with data should have, but has not."""
    if total.is_idle:
        return []
    return [measure for key, measure in TOTALS.items() if getattr(total, key) is None]


def _gap_texts(name: str, grid: Grid, requests: Mapping[str, Line]) -> list[str]:
    found = gaps(grid, requests)
    texts = [f"{name}: no data from {gap_text(gap)}" for gap in found[:SHOWN_GAPS]]
    if len(found) > SHOWN_GAPS:
        rest = sum(end - begin for begin, end in found[SHOWN_GAPS:])
        texts.append(f"{name}: no data in {len(found) - SHOWN_GAPS} more gaps, together {words(rest)}")
    return texts


def _is_empty(line: Line) -> bool:
    return all(value is None for value in line)
