"""Seeded streams of counters that all judges of canaries read: what one scrape interval counted, at a step's weight.

The numbers of an interval depend on the weight alone, not on who judges: two judges at one step see the same ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import erfc, log, sqrt
from typing import Any, NamedTuple

import numpy as np

SCRAPE = 15.0
"""Seconds between two scrapes."""

WEIGHTS = (10.0, 30.0, 50.0)
"""Percent of the canary by step; then it is promoted."""

HOLD, DEADLINE = 600.0, 7200.0
"""Seconds that a step is kept at least, and after which a rollout that has not ended is held."""

TYPICAL, SIGMA = 20.0, 0.6
"""Durations are log-normal: the median in milliseconds, and the standard deviation of the logarithm."""

SLOW, TOO_SLOW = 50.0, 500.0
"""Bounds of Istio's histogram in milliseconds: about 5 % are above the first one; the second one is Flagger's limit."""


class Seen(NamedTuple):
    """What one scrape interval counted: requests, failures and slow requests of canary and stable.

    `too_slow` are the canary's requests above TOO_SLOW, None if nothing is known of them.
    """

    start: float
    end: float
    step: int
    n_c: float
    n_s: float
    f_c: float
    f_s: float
    slow_c: float = 0.0
    slow_s: float = 0.0
    too_slow: float | None = 0.0


@dataclass(frozen=True, kw_only=True)
class Event:
    """A time in which the requests or the failures of both versions are other ones than usual.

    `failing` is the failure rate meanwhile, `times` multiplies the usual one, `traffic` the requests.
    """

    start: float
    end: float
    failing: float | None = None
    times: float = 1.0
    traffic: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Case:
    """A canary: stable's failure rate, requests a second, how many times as often it fails, and as long it takes."""

    name: str
    rate: float
    per_second: float
    times: float = 1.0
    slower: float = 1.0
    event: Event | None = None

    @property
    def good(self) -> bool:
        """Whether the canary is as good as stable, so that each abort is a wrong one."""
        return self.times == 1.0 and self.slower == 1.0


class Stream:
    """All numbers of one rollout of a case, drawn from a seed; `weights` are the canary's percent by step."""

    def __init__(self, case: Case, seed: int, weights: Sequence[float] = WEIGHTS, *, seconds: float = DEADLINE) -> None:
        rng = np.random.default_rng(seed)
        times = np.arange(0.0, seconds, SCRAPE)
        stable, canary, traffic = _rates(case, times)
        requests = rng.poisson(case.per_second * SCRAPE * traffic)[:, None]
        shape = (len(times), len(weights))
        n_c = rng.binomial(requests, np.array(weights) / 100, shape)
        n_s = requests - n_c
        slow_c, slow_s = (rng.binomial(n, above(SLOW, by)) for n, by in ((n_c, case.slower), (n_s, 1.0)))
        too_slow = rng.binomial(slow_c, above(TOO_SLOW, case.slower) / above(SLOW, case.slower))
        failed = (rng.binomial(n_c, canary[:, None]), rng.binomial(n_s, stable[:, None]))
        self._numbers: Any = np.stack([n_c, n_s, *failed, slow_c, slow_s, too_slow], axis=2).astype(float)
        self._caused: Any = n_c * (canary - stable)[:, None]

    def __len__(self) -> int:
        return len(self._numbers)

    def at(self, number: int, step: int) -> Seen:
        """Return what the interval `number` counts at the weight of a step."""
        start = number * SCRAPE
        return Seen(start, start + SCRAPE, step, *self._numbers[number, step].tolist())

    def caused(self, number: int, step: int) -> float:
        """Return how many requests fail in an interval that would not have failed with the stable version."""
        return float(self._caused[number, step])


def above(bound: float, slower: float = 1.0) -> float:
    """Return which part of the requests takes longer than `bound` milliseconds."""
    return erfc(log(bound / (TYPICAL * slower)) / SIGMA / sqrt(2)) / 2


def grid(rates: Sequence[float], per_second: Sequence[float], times: Sequence[float]) -> list[Case]:
    """Return the canaries with each failure rate, traffic and ratio of failures."""
    return [
        Case(name="identical" if ratio == 1 else f"x{ratio:g}", rate=rate, per_second=number, times=ratio)
        for rate in rates
        for number in per_second
        for ratio in times
    ]


def _rates(case: Case, times: Any) -> tuple[Any, Any, Any]:
    """Failure rates of stable and canary, and the part of the usual requests, by the times of the intervals."""
    stable, traffic = np.full(len(times), case.rate), np.ones(len(times))
    event = case.event
    if event is not None:
        during = (times >= event.start) & (times < event.end)
        stable[during] = case.rate * event.times if event.failing is None else event.failing
        traffic[during] = event.traffic
    return stable, np.minimum(stable * case.times, 1.0), traffic
