"""An absolute limit as a test: that the canary fails more often than a fixed rate, whatever stable does.

It is all there is where no stable runs beside. The null: in every block the canary's requests fail with at most the
limit. Alternatives, starts, cap and scatter are as in harm.
"""

from __future__ import annotations

from math import log

from rollout.gates.blocks import Strata, total
from rollout.gates.mixture import RATIOS, MixtureTest
from rollout.gates.scatter import PRIOR, SCALES, SMALL

LEAST, MOST = 1e-6, 0.999
"""Rates that are considered."""


class Limit(MixtureTest[tuple[float, float]]):
    """The test of one metric against the rate `limit`, a part of 1. `since` has the difference to it."""

    _scatter: _OwnScatter

    def __init__(self, limit: float, *, share: float, alpha: float = 0.01, history: float | None = None) -> None:
        super().__init__(share * alpha)
        self._limit = min(max(limit, LEAST), MOST)
        rates = [min(self._limit * ratio, (1 + self._limit) / 2) for ratio in RATIOS]
        self._failed = [log(rate / self._limit) for rate in rates]
        self._succeeded = [log((1 - rate) / (1 - self._limit)) for rate in rates]
        self._scatter = _OwnScatter(history)
        self._n = self._f = 0.0

    def add(self, at: float, strata: Strata) -> None:
        """Take a block into account that begins at `at`; without any request of the canary it changes nothing."""
        counts = total(strata.values())
        n, f = counts.n_c, counts.f_c
        if n <= 0:
            return
        found = [f * one + (n - f) * other for one, other in zip(self._failed, self._succeeded, strict=True)]
        self._follow(at, (self._n, self._f), found)
        self._n, self._f = self._n + n, self._f + f
        self._scatter.add(n, f)

    def _difference(self, before: tuple[float, float]) -> float:
        """The canary's failure rate since then, minus the limit."""
        n, f = before
        return (self._f - f) / (self._n - n) - self._limit


class _OwnScatter:
    """The scatter of the canary's failures around its own mean rate, from the blocks that were added so far."""

    def __init__(self, history: float | None) -> None:
        self._history = history if history is not None and history > SMALL else 1.0
        self.phi = self._history
        self._blocks = 0
        self._n = self._f = 0.0
        self._open = [(0.0, 0.0) for _ in SCALES]
        self._moments = [(0.0, 0.0, 0.0, 0.0) for _ in SCALES]
        """Sums of f f, n f, n n and n over groups of blocks."""

    def add(self, n: float, f: float) -> None:
        self._blocks += 1
        self._n, self._f = self._n + n, self._f + f
        p, seen = self._f / self._n, 1.0
        for index, scale in enumerate(SCALES):
            group_n, group_f = self._open[index][0] + n, self._open[index][1] + f
            if self._blocks % scale == 0:
                ff, nf, nn, all_n = self._moments[index]
                self._moments[index] = (
                    ff + group_f**2, nf + group_n * group_f, nn + group_n**2, all_n + group_n
                )  # fmt: skip
                group_n = group_f = 0.0
            self._open[index] = (group_n, group_f)
            ff, nf, nn, all_n = self._moments[index]
            seen = max(seen, (ff - 2 * p * nf + p * p * nn + PRIOR) / (p * all_n + PRIOR))
        self.phi = max(self._history, seen if seen > SMALL else 1.0)
