"""Blocks: what the versions' counters grew by between two scrapes, as plain numbers, and what can be said of a step.

A block is one scrape interval, longer where the service has few requests. Its numbers are kept by stratum, one for
each rule and calling workload, and never pooled over them: callers differ in their failures.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

ERRORS, ATTEMPTS, LATENCY, CLIENT_ERRORS = "errors", "attempts", "latency", "clientErrors"
"""The metrics that Envoy knows by itself; custom ones have names of their own."""

LIMIT = "limit"
"""Name of the evidence against the absolute limit of errors."""

BEGUN = "begun"
"""Requests that began in a block, for the split: one that began before its weights stood may end at any time later."""

UNROUTED = "unrouted"
"""Requests that no version got, since their route leads to a cluster that the caller's Envoy does not have."""


class Stratum(NamedTuple):
    """Requests of one rule, by its key, from one calling workload."""

    rule: str
    caller: str


class Counts(NamedTuple):
    """Numbers of one metric in one block and stratum: requests and failures of canary and stable."""

    n_c: float = 0.0
    n_s: float = 0.0
    f_c: float = 0.0
    f_s: float = 0.0

    def plus(self, other: Counts) -> Counts:
        """Return both together."""
        return Counts(self.n_c + other.n_c, self.n_s + other.n_s, self.f_c + other.f_c, self.f_s + other.f_s)

    @property
    def requests(self) -> float:
        """Requests of both versions."""
        return self.n_c + self.n_s


Strata = Mapping[Stratum, Counts]
"""Numbers of one metric in one block."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """One block of one step; `start` and `end` are seconds since 1970 by the samples' own timestamps.

    `metrics` has the strata by metric. One that is missing was left out of the block, as latency is while new pods warm
    up. `cells` is the number of scrape intervals with numbers in it.
    """

    start: float
    end: float
    step: int
    metrics: Mapping[str, Strata]
    cells: int = 1


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How much of a step was seen: scrape intervals with numbers, of all since the weights settled.

    `newest` is the time of the newest scrape in the step, None without one. `pending` are requests that do not make a
    block yet. `missing` says why there are no numbers. `spans` are the times between two scrapes of some Envoy.
    """

    seen: int = 0
    expected: int = 0
    newest: float | None = None
    pending: float = 0.0
    missing: str = ""
    spans: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Observation:
    """All blocks of a rollout in their order, and by step how much of it was seen."""

    blocks: Sequence[Block] = ()
    coverage: Mapping[int, Coverage] = field(default_factory=dict)


def total(strata: Iterable[Counts]) -> Counts:
    """Return the sum over strata."""
    found = Counts()
    for one in strata:
        found = found.plus(one)
    return found


def merged(first: Strata, second: Strata) -> dict[Stratum, Counts]:
    """Return the numbers of two blocks together, by stratum."""
    together = dict(first)
    for stratum, counts in second.items():
        together[stratum] = together.get(stratum, Counts()).plus(counts)
    return together


def compact(metrics: Mapping[str, Strata]) -> dict[str, Strata]:
    """Return the same numbers in about half of the memory: those that several metrics count are one object.

    A rollout keeps thousands of blocks.
    """
    known_numbers: dict[float, float] = {}
    known_counts: dict[Counts, Counts] = {}
    found: dict[str, Strata] = {}
    for metric, strata in metrics.items():
        one: dict[Stratum, Counts] = {}
        for stratum, counts in strata.items():
            if counts not in known_counts:
                known_counts[counts] = Counts(*(known_numbers.setdefault(number, number) for number in counts))
            one[_same(stratum)] = known_counts[counts]
        found[metric] = next((other for other in found.values() if other == one), one)
    return found


@lru_cache(maxsize=1024)
def _same(stratum: Stratum) -> Stratum:
    """The first one that was equal."""
    return stratum
