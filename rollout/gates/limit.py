"""An absolute limit as a test: that the canary fails more often than a fixed rate, whatever stable does.

It is all there is where no stable runs beside. The null: in every block the canary's requests fail with at most the
limit. Alternatives, starts, cap and scatter are as in harm.
"""

from __future__ import annotations

from math import log

from rollout.gates.blocks import Strata, total
from rollout.gates.harm import Since
from rollout.gates.mixture import RATIOS, Mixture
from rollout.gates.scatter import PRIOR, SCALES, SMALL

LEAST, MOST = 1e-6, 0.999
"""Rates that are considered."""


class Limit:
    """The test of one metric against the rate `limit`, a part of 1."""

    def __init__(self, limit: float, *, share: float, alpha: float = 0.01, history: float | None = None) -> None:
        self._limit = min(max(limit, LEAST), MOST)
        rates = [min(self._limit * ratio, (1 + self._limit) / 2) for ratio in RATIOS]
        self._failed = [log(rate / self._limit) for rate in rates]
        self._succeeded = [log((1 - rate) / (1 - self._limit)) for rate in rates]
        self._mixture = Mixture(share * alpha)
        self._scatter = _OwnScatter(history)
        self._n = self._f = 0.0
        self._before: list[tuple[float, float]] = []

    @property
    def phi(self) -> float:
        """Return the scatter of the blocks so far, at least 1."""
        return self._scatter.phi

    @property
    def log_e(self) -> float:
        """Return the logarithm of the e-value."""
        return self._mixture.log_e

    def add(self, at: float, strata: Strata) -> None:
        """Take a block into account that begins at `at`; without any request of the canary it changes nothing."""
        counts = total(strata.values())
        n, f = counts.n_c, counts.f_c
        if n <= 0:
            return
        if self._mixture.begins(at):
            self._before.append((self._n, self._f))
        self._n, self._f = self._n + n, self._f + f
        found = [f * one + (n - f) * other for one, other in zip(self._failed, self._succeeded, strict=True)]
        self._mixture.add(found, self._scatter.phi)
        self._scatter.add(n, f)

    def since(self) -> Since | None:
        """Return what the strongest start says, as a difference to the limit; None before the first block."""
        number = self._mixture.strongest()
        if number is None:
            return None
        n, f = self._before[number]
        return Since(self._mixture.starts[number], (self._f - f) / (self._n - n) - self._limit)


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
