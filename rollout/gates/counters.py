"""Blocks from the counters of the callers' Envoys, with what each metric takes for a request and for a failure.

errors: requests are answers to callers, Envoy's own too, and requests whose caller gave up; 5xx and given up ones are
failures. attempts: repeated tries are requests and failures as well, so that retries hide nothing. latency: requests
slower than a bound. begun: requests by when they began, which the split is judged by. The formulas of
`metrics.queries` say which counters these are.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import floor, inf

from metrics import queries
from metrics.prometheus import Series
from metrics.queries import Source
from rollout.gates.blocks import (
    ATTEMPTS,
    BEGUN,
    ERRORS,
    LATENCY,
    Block,
    Counts,
    Coverage,
    Observation,
    Strata,
    Stratum,
    compact,
    merged,
)
from rollout.gates.samples import Increment, increments
from rollout.gates.warm_up import Span

LEAST_REQUESTS = 30
"""With fewer requests of the service a block is longer than one scrape interval."""

LATE = 1.0
"""Seconds after the end of a scrape interval until its samples are in the store."""

LONG = 2.5
"""Scrape intervals between two scrapes after which what lies between them counts as not seen."""

ACTIVE = "active"
"""The only field that is no counter: requests that are running."""

_FIELDS: dict[str, tuple[str, ...]] = {
    queries.COMPLETED: ("completed",),
    queries.RETRIED: ("retried",),
    queries.ACTIVE: (ACTIVE,),
    queries.CONNECTED: ("tries",),
    queries.CANCELLED: ("tries", "ended"),
    queries.REFUSED: ("tries",),
    queries.NO_HEALTHY_POD: ("tries", "unsent"),
    queries.RESET: ("ended",),
    queries.CLOSED: ("ended",),
    **dict.fromkeys(queries.LIMITS, ("tries", "unsent")),
}
"""What Envoy's statistics of a cluster count for."""


@dataclass(frozen=True)
class Subset:
    """Whose requests a subset gets: the key of the rule, and whether it is the canary's."""

    rule: str
    canary: bool


Key = tuple[Subset, str]
"""What a counter counts for: the subset, and the name of a field."""


@dataclass(frozen=True, kw_only=True)
class Period:
    """The time of one step in which its weights stood: since every Envoy has them, until the next ones were written.

    In seconds since 1970; `until` is None while the step lasts.
    """

    step: int
    settled: float
    until: float | None = None


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Raw samples, from before the first period on.

    `custom` has the series of failures and of requests of each custom metric, with the label `version`. `missing` says
    why there are none.
    """

    counters: Sequence[Series] = ()
    scrapes: Sequence[Series] = ()
    uptimes: Sequence[Series] = ()
    custom: Mapping[str, tuple[Sequence[Series], Sequence[Series]]] = field(default_factory=dict)
    missing: str = ""


FAILED_CALLS = frozenset({"2", "4", "13", "14", "15"})
"""Statuses of gRPC that are failures: UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE and DATA_LOSS (gRPC: "Status
Codes"). Others answer what the caller asked for, as 4xx does."""


@dataclass(frozen=True, kw_only=True)
class Reader:
    """What the counters mean. `bound` is that of slow requests in milliseconds, None without latency."""

    service: str
    source: Source
    subsets: Mapping[str, Subset]
    bound: float | None = None

    def fields(self, labels: Mapping[str, str]) -> tuple[tuple[Subset, str], ...]:
        """Return what a series of Envoy or Istio counts for."""
        name = labels.get("__name__", "")
        if name.startswith(queries.ENVOY):
            subset = self._of_cluster(labels.get("cluster_name", ""))
            names = self._of_statistic(name.removeprefix(queries.ENVOY), labels)
        else:
            subset = self._of_revision(labels)
            names = self._of_istio(name, labels) if self.source is Source.ISTIO else ()
        return () if subset is None else tuple((subset, one) for one in names)

    def _of_cluster(self, cluster: str) -> Subset | None:
        parts = cluster.split("|")
        if len(parts) != 4 or parts[0] != "outbound":
            return None
        return self.subsets.get(parts[2] or parts[3].partition(".")[0])  # a version may be a Service of its own

    def _of_revision(self, labels: Mapping[str, str]) -> Subset | None:
        revision = labels.get(queries.REVISION, "")
        return self.subsets.get(revision) or self.subsets.get(revision.removeprefix(f"{self.service}-"))

    def _of_statistic(self, statistic: str, labels: Mapping[str, str]) -> tuple[str, ...]:
        if self.source is Source.ISTIO:
            names = _FIELDS.get(statistic, ())
            return tuple(name for name in names if name in ("retried", "unsent", ACTIVE))
        if statistic == queries.BY_CODE:
            return ("failed",) if labels.get("response_code_class") == "5xx" else ()
        if statistic == queries.TIME:
            return self._timed(labels)
        return _FIELDS.get(statistic, ())

    def _of_istio(self, name: str, labels: Mapping[str, str]) -> tuple[str, ...]:
        code, flags = labels.get("response_code", ""), labels.get("response_flags", "")
        if labels.get("reporter") != "source" or "UH" in flags.split(","):
            return ()
        if name == queries.ISTIO_TIME:
            return () if _is_failure(code) or _is_failed_call(labels) else self._timed(labels)
        if name != queries.ISTIO_REQUESTS:
            return ()
        if code == "0":
            return ("gave up",)
        return ("completed", "failed") if _is_failure(code) or _is_failed_call(labels) else ("completed",)

    def _timed(self, labels: Mapping[str, str]) -> tuple[str, ...]:
        if self.bound is None:
            return ()
        upto = float(labels.get("le", "nan").replace("+Inf", "inf"))
        return ("timed",) if upto == inf else ("fast",) if upto == self.bound else ()


def observe(
    samples: Samples,
    reader: Reader,
    periods: Sequence[Period],
    *,
    now: float,
    block_seconds: float = 15.0,
    warming: Iterable[Span] = (),
    earlier: Observation | None = None,
) -> Observation:
    """Return the blocks of all periods, and how much of each was seen, at the time `now` in seconds since 1970.

    Blocks that straddle a change of weights are left out. `warming` are times in which pods are new: they are
    left out of latency. `earlier` is what was observed before: its blocks are kept, periods that are over need not be
    given again, and samples only from `read_since` on.
    """
    known, left_out = earlier or Observation(), tuple(warming)
    gauges = frozenset((subset, ACTIVE) for subset in reader.subsets.values())
    grown = increments(samples.counters, reader.fields, gauges=gauges, scrapes=samples.scrapes, uptimes=samples.uptimes)
    parts = [(one, _found(one, reader, any(span.overlaps(one.start, one.end) for span in left_out))) for one in grown]
    custom = [one for name in samples.custom for one in _custom(name, samples, reader)]
    blocks = list(known.blocks)
    coverage = dict(known.coverage)
    for period in periods:
        cells = _Cells(period, block_seconds, now, known)
        for increment, found in parts:
            cells.add(increment, found, scraped=True)
        for increment, found in custom:
            cells.add(increment, found, scraped=False)
        of_period, pending = cells.blocks()
        blocks += of_period
        coverage[period.step] = cells.coverage(pending, samples.missing)
    return Observation(blocks=tuple(sorted(blocks, key=lambda block: block.start)), coverage=coverage)


def read_since(earlier: Observation, period: Period, block_seconds: float = 15.0) -> float:
    """Return from which time on samples are needed to go on with `earlier`, in seconds since 1970."""
    return _known_until(earlier, period) - LONG * block_seconds


def _known_until(earlier: Observation, period: Period) -> float:
    """Until when the blocks of a period are known."""
    return max((block.end for block in earlier.blocks if block.step == period.step), default=period.settled)


def _is_failure(code: str) -> bool:
    return code == "0" or re.fullmatch("5[0-9][0-9]", code) is not None


def _is_failed_call(labels: Mapping[str, str]) -> bool:
    """Whether a call of gRPC failed for a reason of the server's, which HTTP's status 200 hides."""
    return labels.get("grpc_response_status", "") in FAILED_CALLS


Found = Mapping[str, Strata]
"""Strata by metric."""


def _found(increment: Increment[Key], reader: Reader, warming: bool) -> Found:
    """The numbers of each metric in one increment of one Envoy."""
    by_subset: dict[Subset, dict[str, float]] = defaultdict(dict)
    for (subset, name), value in increment.by_key.items():
        by_subset[subset][name] = value
    found: dict[str, dict[Stratum, Counts]] = {BEGUN: {}, ERRORS: {}, ATTEMPTS: {}}
    if reader.bound is not None and not warming:
        found[LATENCY] = {}
    for subset, values in by_subset.items():
        stratum = Stratum(subset.rule, increment.caller)
        for metric, (n, f) in _numbers(values, reader.source).items():
            if metric in found:
                counts = _of(subset, n, f)
                found[metric][stratum] = found[metric].get(stratum, Counts()).plus(counts)
    return found


def _of(subset: Subset, n: float, f: float) -> Counts:
    f = min(max(f, 0.0), n)
    return Counts(n_c=n, f_c=f) if subset.canary else Counts(n_s=n, f_s=f)


def _numbers(values: Mapping[str, float], source: Source) -> dict[str, tuple[float, float]]:
    """Requests and failures of each metric, of one version."""

    def of(name: str) -> float:
        return values.get(name, 0.0)

    completed, failed = of("completed"), of("failed")
    if source is Source.ISTIO:  # it does not know the version of requests for which no pod was chosen
        completed, failed, gave_up = completed + of("unsent"), failed + of("unsent"), of("gave up")
    else:
        unknown = of("tries") - completed - of("retried") - of(ACTIVE)
        gave_up = max(min(unknown, of("ended")), 0.0)
    return {
        BEGUN: (max(completed + gave_up + of(ACTIVE), 0.0), 0.0),
        ERRORS: (completed + gave_up, failed + gave_up),
        ATTEMPTS: (completed + of("retried"), failed + of("retried")),
        LATENCY: (of("timed"), of("timed") - of("fast")),
    }


def _custom(name: str, samples: Samples, reader: Reader) -> list[tuple[Increment[Key], Found]]:
    """The numbers of a custom metric, whose counters may be of any program."""
    failures, requests = samples.custom[name]
    series = [
        *(Series({**one.labels, "__field__": "failed"}, one.points) for one in failures),
        *(Series({**one.labels, "__field__": "requests"}, one.points) for one in requests),
    ]

    def fields(labels: Mapping[str, str]) -> tuple[tuple[Subset, str], ...]:
        subset = reader.subsets.get(labels.get("version", ""))
        return () if subset is None else ((subset, labels["__field__"]),)

    found: list[tuple[Increment[Key], Found]] = []
    for increment in increments(series, fields, gauges=frozenset(), scrapes=samples.scrapes):
        strata: dict[Stratum, Counts] = {}
        for subset in {one for one, _ in increment.by_key}:
            n, f = (increment.by_key.get((subset, part), 0.0) for part in ("requests", "failed"))
            stratum = Stratum(subset.rule, increment.caller)
            strata[stratum] = strata.get(stratum, Counts()).plus(_of(subset, n, f))
        found.append((increment, {name: strata}))
    return found


class _Cells:
    """The scrape intervals of one period: what grew by the end of each, and which of them were seen."""

    def __init__(self, period: Period, seconds: float, now: float, earlier: Observation) -> None:
        self._period, self._seconds, self._now = period, seconds, now
        self._cells: dict[int, dict[str, Strata]] = {}
        before = earlier.coverage.get(period.step, Coverage())
        self._seen = list(before.spans)
        self._newest = before.newest
        self._newest_before = before.newest
        self._first_cell = round((_known_until(earlier, period) - period.settled) / seconds)

    def add(self, increment: Increment[Key], found: Found, *, scraped: bool) -> None:
        """Take an increment into account if the weights of the period stood all the time."""
        period = self._period
        inside = period.until is None or increment.end <= period.until
        if scraped and inside and increment.end >= period.settled:
            self._newest = max(self._newest or increment.end, increment.end)
        if increment.start < period.settled or not inside:
            return
        if increment.first and self._newest_before is not None and increment.start < self._newest_before:
            return  # it was scraped before, and what it counted then is known
        number = floor((increment.end - period.settled) / self._seconds)
        if number >= self._first_cell:
            cell = self._cells.setdefault(number, {})
            for metric, strata in found.items():
                cell[metric] = merged(cell.get(metric, {}), strata)
        if scraped and increment.end - increment.start <= LONG * self._seconds:
            self._seen.append((increment.start, increment.end))

    def blocks(self) -> tuple[list[Block], float]:
        """Blocks of complete intervals, and how many requests do not make one yet."""
        period, found = self._period, []
        waiting: list[int] = []
        metrics: dict[str, Strata] = {}
        requests = 0.0
        ended = self._now - LATE if period.until is None else inf
        for number in sorted(self._cells):
            if period.settled + (number + 1) * self._seconds > ended:
                break
            waiting.append(number)
            for metric, strata in self._cells[number].items():
                metrics[metric] = merged(metrics.get(metric, {}), strata)
            requests += sum(counts.requests for counts in self._cells[number].get(ERRORS, {}).values())
            if requests >= LEAST_REQUESTS:
                found.append(self._block(waiting, metrics))
                waiting, metrics, requests = [], {}, 0.0
        if requests and period.until is not None:
            found.append(self._block(waiting, metrics))
            requests = 0.0
        return found, requests

    def _block(self, numbers: Sequence[int], metrics: Mapping[str, Strata]) -> Block:
        settled = self._period.settled
        return Block(
            start=settled + numbers[0] * self._seconds,
            end=settled + (numbers[-1] + 1) * self._seconds,
            step=self._period.step,
            metrics=compact(metrics),
            cells=len(numbers),
        )

    def coverage(self, pending: float, missing: str) -> Coverage:
        """How many intervals were seen: those in whose middle the time was between two scrapes of some Envoy.

        Without the first one, in which counters only have their base, and the one that is still running.
        """
        end = self._now if self._period.until is None else self._period.until
        expected = max(floor((end - self._period.settled) / self._seconds - 1.5), 0)
        middles = (self._period.settled + (number + 1.5) * self._seconds for number in range(expected))
        spans = _united(self._seen)
        seen = sum(any(start < middle <= stop for start, stop in spans) for middle in middles)
        return Coverage(
            seen=seen, expected=expected, newest=self._newest, pending=pending, missing=missing, spans=tuple(spans)
        )


def _united(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Times that overlap or touch, as one."""
    found: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found
