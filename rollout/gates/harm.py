"""Harm: whether the canary fails more often than stable, over the same seconds, by more than is tolerated.

The null: at each moment the canary fails at most R0 times as often. Given a block's failures, the canary's are binomial
with share s R0 / (1 + s (R0 - 1)), s its share of the requests. Each of 16 alternatives has a likelihood ratio against
it, from each of many starts, so that a fault that begins late is found, too; their mixture is the e-process.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, floor, inf, log, log2

from rollout.gates.blocks import Counts, Strata, Stratum
from rollout.gates.scatter import Scatter

ALTERNATIVES = 16
RATIOS = tuple(exp(log(1.5) + (log(16) - log(1.5)) * index / (ALTERNATIVES - 1)) for index in range(ALTERNATIVES))
"""Ratios of failure rates that are looked for, as multiples of the tolerated one."""

CAP = 0.6
"""Most that one block may say, as a part of log(1 / alpha): at least two must agree."""

START_SECONDS = 60.0
"""How often a new start begins."""

FIRST_GROUP = 64
"""Starts in the first group of those after the first one; each group has twice as many."""

_LOGS = tuple(map(log, RATIOS))
_ROUNDING = 1e-3  # of timestamps, which Prometheus has in milliseconds


def start_weight(number: int) -> float:
    """Return the weight of a start; all of them, 0, 1, 2 …, sum to 1."""
    if number == 0:
        return 0.5
    group = floor(log2((number - 1) / FIRST_GROUP + 1))
    return float(2.0 ** -(group + 2) / (FIRST_GROUP * 2**group))


def log_sum(first: float, second: float) -> float:
    """Return log(exp(first) + exp(second))."""
    larger, smaller = (first, second) if first >= second else (second, first)
    return larger if smaller == -inf else larger + log(1 + exp(smaller - larger))


def log_mean(values: list[float], number: int) -> float:
    """Return log(sum(exp(values)) / number)."""
    largest = max(values)
    return largest + log(sum(exp(value - largest) for value in values) / number)


@dataclass(frozen=True)
class Since:
    """What the strongest start says: since when the canary is worse, and by how much of its requests."""

    at: float
    difference: float


@dataclass(frozen=True)
class _Start:
    at: float
    log_ratios: tuple[float, ...]
    sums: dict[Stratum, Counts]


class Harm:
    """The test of one metric. `log_e` of at least log(1 / (share * alpha)) would be harm by this metric alone.

    `tolerated` is the ratio R0. `history` is stable's scatter before the rollout. `scatter.phi` is for the next block.
    """

    def __init__(
        self, *, share: float = 0.5, alpha: float = 0.01, tolerated: float = 1.0, history: float | None = None
    ) -> None:
        self.scatter = Scatter(history)
        self._cap = CAP * log(1 / (share * alpha))
        self._tolerated = tolerated
        self._alternatives = tuple(tolerated * ratio for ratio in RATIOS)
        self._log_ratios = [0.0] * ALTERNATIVES
        self._before_starts = [-inf] * ALTERNATIVES
        """By alternative, log(sum of w_j exp(-L_g(start j)))."""
        self._rest = 1.0
        self._starts: list[_Start] = []
        self._sums: dict[Stratum, Counts] = {}

    def add(self, at: float, strata: Strata) -> None:
        """Take a block into account that begins at `at`; without any request it changes nothing."""
        used = {stratum: counts for stratum, counts in strata.items() if counts.n_c + counts.n_s > 0}
        if not used:
            return
        if not self._starts or at - self._starts[-1].at >= START_SECONDS - _ROUNDING:
            self._begin(at)
        found = [0.0] * ALTERNATIVES
        for stratum, counts in used.items():
            self._sums[stratum] = self._sums.get(stratum, Counts()).plus(counts)
            failures = counts.f_c + counts.f_s
            if failures <= 0:
                continue
            s = counts.n_c / (counts.n_c + counts.n_s)
            null, f_c = 1 + s * (self._tolerated - 1), counts.f_c
            found = [
                one + f_c * log_ratio - failures * log((1 + s * (ratio - 1)) / null)
                for one, log_ratio, ratio in zip(found, _LOGS, self._alternatives, strict=True)
            ]
        phi, cap = self.scatter.phi, self._cap
        self._log_ratios = [
            before + min(one / phi, cap) for before, one in zip(self._log_ratios, found, strict=True)
        ]
        self.scatter.add(used)

    def _begin(self, at: float) -> None:
        weight = start_weight(len(self._starts))
        self._starts.append(_Start(at, tuple(self._log_ratios), dict(self._sums)))
        self._rest -= weight
        self._before_starts = [
            log_sum(before, log(weight) - one)
            for before, one in zip(self._before_starts, self._log_ratios, strict=True)
        ]

    @property
    def log_e(self) -> float:
        """Return the logarithm of the e-value now: starts to come count as 1."""
        if not self._starts:
            return 0.0
        found = [one + before for one, before in zip(self._log_ratios, self._before_starts, strict=True)]
        return log_sum(log_mean(found, ALTERNATIVES), log(self._rest) if self._rest > 0 else -inf)

    def since(self) -> Since | None:
        """Return what the strongest start says; None before the first block."""
        best, strength = None, -inf
        for number, start in enumerate(self._starts):
            grown = [now - before for now, before in zip(self._log_ratios, start.log_ratios, strict=True)]
            found = log(start_weight(number)) + log_mean(grown, ALTERNATIVES)
            if found > strength:
                best, strength = start, found
        return None if best is None else Since(best.at, self._difference(best.sums))

    def _difference(self, before: dict[Stratum, Counts]) -> float:
        """The canary's failure rate minus stable's since then, each stratum weighted by what it can tell.

        (Mantel and Haenszel's risk difference.)
        """
        above = below = 0.0
        for stratum, now in self._sums.items():
            n_c, n_s, f_c, f_s = (one - other for one, other in zip(now, before.get(stratum, Counts()), strict=True))
            if n_c > 0 and n_s > 0:
                above += (f_c * n_s - f_s * n_c) / (n_c + n_s)
                below += n_c * n_s / (n_c + n_s)
        return above / below if below else 0.0
