"""Blocks from the counters of the callers' Envoys: what each metric grew by in each scrape interval of a step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import floor, inf

from metrics.prometheus import Series
from rollout.gates.blocks import (
    ATTEMPTS,
    BEGUN,
    CLIENT_ERRORS,
    ERRORS,
    LATENCY,
    UNROUTED,
    Block,
    Counts,
    Coverage,
    Observation,
    Strata,
    Stratum,
    compact,
    merged,
)
from rollout.gates.fields import ACTIVE, NO_SUBSET, Key, Reader, Subset, numbers
from rollout.gates.samples import Increment, increments
from rollout.gates.warm_up import Span

LEAST_REQUESTS = 30
"""With fewer requests of the service a block is longer than one scrape interval."""

LATE = 1.0
"""Seconds after the end of a scrape interval until its samples are in the store."""

LONG = 2.5
"""Scrape intervals between two scrapes after which what lies between them counts as not seen."""


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
    if reader.client_errors:
        found[CLIENT_ERRORS] = {}
    unrouted = by_subset.pop(NO_SUBSET, {}).get(UNROUTED, 0.0)
    if unrouted:
        found[UNROUTED] = {Stratum("", increment.caller): Counts(n_c=unrouted, f_c=unrouted)}
    for subset, values in by_subset.items():
        stratum = Stratum(subset.rule, increment.caller)
        for metric, (n, f) in numbers(values, reader.source).items():
            if metric in found:
                counts = _of(subset, n, f)
                found[metric][stratum] = found[metric].get(stratum, Counts()).plus(counts)
    return found


def _of(subset: Subset, n: float, f: float) -> Counts:
    f = min(max(f, 0.0), n)
    return Counts(n_c=n, f_c=f) if subset.canary else Counts(n_s=n, f_s=f)


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
            if requests >= LEAST_REQUESTS or UNROUTED in metrics:
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
