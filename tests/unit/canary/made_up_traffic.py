"""Made-up traffic: queries that can be read, a Prometheus that answers from tables, and a whole report."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from canary.traffic_report.data import Grid, Line, Measure, ServiceTraffic, Total, TrafficReport, changes, grid
from metrics.prometheus import Prometheus, PrometheusError, Sample, Series
from metrics.queries import Queries, Scope, Source
from stacks.settings.loading import load
from stacks.settings.model import Settings

NOW = 1_750_000_000.0
PROMETHEUS_IS_DOWN = PrometheusError("http://prometheus:9090", "connection refused", "check that its pod is running")
T = TypeVar("T")
Answers = Mapping[str, Mapping[str, T] | PrometheusError]
Points = Sequence[tuple[float, float]]


def settings_of(*versions: str, route: list[Any] | None = None, **more: Any) -> Settings:
    """Settings with the service shop in the namespace web."""
    service = {
        "namespace": "web",
        "hosts": ["*"],
        "versions": {version: {"image": "shop:1", "port": 8080} for version in versions},
        "route": route or [{"to": {version: 0 if index else 100 for index, version in enumerate(versions)}}],
    }
    return load({"services": {"shop": service}, **more})


class ReadableQueries(Queries):
    """Queries as words: `share shop.web 31s`."""

    def requests(self, scope: Scope, over: str) -> str:
        return f"requests {scope.service}.{scope.namespace} {over}"

    def success_rate(self, scope: Scope, over: str) -> str:
        return f"success_rate {scope.service}.{scope.namespace} {over}"

    def share(self, scope: Scope, over: str) -> str:
        return f"share {scope.service}.{scope.namespace} {over}"

    def duration(self, scope: Scope, quantile: float, over: str) -> str:
        return f"p{100 * quantile:.0f} {scope.service}.{scope.namespace} {over}"

    def weight(self, scope: Scope) -> str:
        return f"weight {scope.service}.{scope.namespace}"


QUERIES = ReadableQueries(Source.ISTIO)


class AnsweringPrometheus(Prometheus):
    """Answers a query by its first word: a value or points for each version, or an error. `asked` has all queries."""

    def __init__(self, now: Answers[float] | None = None, over_time: Answers[Points] | None = None) -> None:
        self.now: Answers[float] = now or {}
        self.over_time: Answers[Points] = over_time or {}
        self.asked: list[str] = []
        self.is_closed = False

    def instant(self, query: str, at: float | None = None) -> tuple[Sample, ...]:
        answer = self._look_up(self.now, query)
        return tuple(
            Sample({"version": version}, NOW if at is None else at, value) for version, value in answer.items()
        )

    def range(self, query: str, start: float, end: float, step: float) -> tuple[Series, ...]:
        answer = self._look_up(self.over_time, query)
        return tuple(Series({"version": version}, tuple(points)) for version, points in answer.items())

    def close(self) -> None:
        self.is_closed = True

    def __enter__(self) -> AnsweringPrometheus:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _look_up(self, answers: Answers[T], query: str) -> Mapping[str, T]:
        self.asked.append(query)
        answer = answers.get(query.split()[0], {})
        if isinstance(answer, PrometheusError):
            raise answer
        return answer


def made_up_report(names: Sequence[str] = ("website",)) -> TrafficReport:
    """An hour in which version-2 gets more requests step by step, with failures and with a gap."""
    points = grid(NOW - 3600, NOW, 15.0)
    return TrafficReport("dev", points, NOW + 5, "istio", tuple(_Rollout(name, points).traffic() for name in names))


class _Rollout:
    def __init__(self, name: str, points: Grid) -> None:
        self._name, self._times = name, points.times
        self._random = random.Random(name)  # noqa: S311 - the same at each run
        count = len(self._times)
        self._weights = [(0.0, 0.1, 0.3, 0.5, 1.0)[min(4, 5 * index // count)] for index in range(count)]
        self._shares = [
            weight if weight == 1 else max(0.0, weight + self._random.gauss(0.02, 0.008)) for weight in self._weights
        ]
        self._rates = [180 + 40 * math.sin(index / 33) + self._random.gauss(0, 4) for index in range(count)]

    def traffic(self) -> ServiceTraffic:
        one, two, weights, shares, rates = "version-1", "version-2", self._weights, self._shares, self._rates
        lines: dict[Measure, dict[str, Line]] = {
            Measure.WEIGHT: {one: tuple(1 - weight for weight in weights), two: tuple(weights)},
            Measure.SHARE: {one: self._line(lambda at: 1 - shares[at]), two: self._line(lambda at: shares[at])},
            Measure.REQUESTS: {
                one: self._line(lambda at: rates[at] * (1 - shares[at])),
                two: self._line(lambda at: rates[at] * shares[at]),
            },
            Measure.SUCCESS_RATE: {one: self._around(0.9995, 0.0004, one), two: self._around(0.995, 0.003, two)},
            Measure.P50: {one: self._around(12, 0.6, one), two: self._around(9, 0.6, two)},
            Measure.P95: {one: self._around(45, 3, one), two: self._around(38, 3, two)},
            Measure.P99: {one: self._around(110, 7, one), two: self._around(160, 12, two)},
        }
        return ServiceTraffic(
            self._name,
            f"{self._name}-ns",
            (one, two),
            lines,
            {one: Total(432_180, 0.622, 0.99951, 44.8), two: Total(262_610, 0.378, 0.99483, 39.2)},
            (f"{self._name}: no data from 2025-06-15 14:31:45 UTC to 2025-06-15 14:34:45 UTC (3 min)",),
            changes(self._times, lines[Measure.WEIGHT]),
        )

    def _around(self, middle: float, deviation: float, version: str) -> Line:
        """Values of a version around `middle`, while it has a weight; a rate is at most 1."""
        most = 1.0 if middle < 1 else math.inf

        def value(at: int) -> float | None:
            weight = self._weights[at] if version == "version-2" else 1 - self._weights[at]
            return min(most, self._random.gauss(middle, deviation)) if weight else None

        return self._line(value)

    def _line(self, value: Callable[[int], float | None]) -> Line:
        """A line with a gap, and with a single point in it."""
        return tuple(None if 100 < index < 113 and index != 106 else value(index) for index in range(len(self._times)))
