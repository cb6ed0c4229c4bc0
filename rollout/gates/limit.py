"""An absolute limit as a test: that the canary fails more often than a fixed rate, whatever stable does.

It is all there is where no stable runs beside. The null: in every block the canary's requests fail with at most the
limit. The alternatives, starts, cap and scatter are those of harm.
"""

from __future__ import annotations

from math import log

from rollout.gates.blocks import Counts, Strata, Stratum
from rollout.gates.harm import RATIOS, Mixture

MOST = 0.999
"""Highest rate of an alternative."""


class Limit:
    """The test of one metric against the rate `limit`, a part of 1 below 1."""

    def __init__(self, limit: float, *, share: float, alpha: float = 0.01, history: float | None = None) -> None:
        self._limit = min(max(limit, 1e-6), MOST)
        self._rates = tuple(max(min(self._limit * ratio, MOST), self._limit) for ratio in RATIOS)
        self._mixture = Mixture(share * alpha)
        self._phi = max(history or 1.0, 1.0)
        self._sums = Counts()
        self._starts: list[Counts] = []
