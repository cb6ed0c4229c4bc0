"""Harm: whether the canary fails more often than stable, over the same seconds, by more than is tolerated.

The null: at each moment the canary fails at most R0 times as often. Given a block's failures, the canary's are binomial
with share s R0 / (1 + s (R0 - 1)), where s is its share of the requests; each alternative has R0 times a ratio instead.
"""

from __future__ import annotations

from math import log

from rollout.gates.blocks import Counts, Strata, merged
from rollout.gates.mixture import ALTERNATIVES, RATIOS, MixtureTest
from rollout.gates.scatter import Scatter

_LOGS = tuple(map(log, RATIOS))


class Harm(MixtureTest[Strata]):
    """The test of one metric. A `log_e` of log(1 / (share * alpha)) would be harm by this metric alone.

    `tolerated` is the ratio R0. `history` is stable's scatter before the rollout. `phi` is that of the next block.
    """

    _scatter: Scatter

    def __init__(
        self, *, share: float = 0.5, alpha: float = 0.01, tolerated: float = 1.0, history: float | None = None
    ) -> None:
        super().__init__(share * alpha)
        self._scatter = Scatter(history)
        self._tolerated = tolerated
        self._alternatives = tuple(tolerated * ratio for ratio in RATIOS)
        self._sums: Strata = {}

    def add(self, at: float, strata: Strata) -> None:
        """Take a block into account that begins at `at`; without any request it changes nothing."""
        used = {stratum: counts for stratum, counts in strata.items() if counts.n_c + counts.n_s > 0}
        if not used:
            return
        found = [0.0] * ALTERNATIVES
        for counts in used.values():
            failures, f_c = counts.f_c + counts.f_s, counts.f_c
            if failures <= 0:
                continue
            s = counts.n_c / (counts.n_c + counts.n_s)
            null = 1 + s * (self._tolerated - 1)
            found = [
                one + f_c * log_ratio - failures * log((1 + s * (ratio - 1)) / null)
                for one, log_ratio, ratio in zip(found, _LOGS, self._alternatives, strict=True)
            ]
        self._follow(at, self._sums, found)
        self._sums = merged(self._sums, used)
        self._scatter.add(used)

    def _difference(self, before: Strata) -> float:
        """The canary's failure rate minus stable's since then (Mantel and Haenszel's risk difference over strata)."""
        above = below = 0.0
        for stratum, now in self._sums.items():
            n_c, n_s, f_c, f_s = (one - other for one, other in zip(now, before.get(stratum, Counts()), strict=True))
            if n_c > 0 and n_s > 0:
                above += (f_c * n_s - f_s * n_c) / (n_c + n_s)
                below += n_c * n_s / (n_c + n_s)
        return above / below if below else 0.0
