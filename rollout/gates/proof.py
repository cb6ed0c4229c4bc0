"""Proof: that the canary fails by less than d more often than stable, before its weight rises.

The null is p_c >= p_s + d in every block. Against it stands what earlier blocks made likely; the likelihood ratio to
the nearest point of the null is an e-variable for blocks of any size (Turner and Grünwald, "Safe sequential testing and
effect sizes in stratified count data").
"""

from __future__ import annotations

from math import inf, log

from rollout.gates.blocks import Counts, Strata, Stratum

SHRINKAGE = 20.0
"""Failures by which the canary's rate is drawn to stable's."""

LEAST_RATE = 0.001
"""Rate that is assumed of a stable version that failed less before, or of which nothing is known.

One failure at this rate is what earlier blocks are added to: at a much smaller rate, those of a rollout would never
outweigh so many requests, and nothing would be proved once stable fails.
"""

TINY = 1e-9
"""Smallest probability that is considered."""

_LARGEST = 1 - 1e-6
_STEPS = 100


class Proof:
    """The test of one metric for one `difference`; `log_e` of at least log(1 / beta) is the proof.

    `stable_rate` is stable's failure rate before the rollout. A difference of 1 or more needs no proof: the next weight
    bounds the loss by itself.
    """

    def __init__(self, difference: float, stable_rate: float) -> None:
        self._difference = min(difference, _LARGEST)
        self._prior = 1 / min(max(stable_rate, LEAST_RATE), 1.0)
        self._sums: dict[Stratum, Counts] = {}
        self._all = 0.0
        self.log_e = inf if difference >= 1 else 0.0

    def add(self, strata: Strata, phi: float = 1.0) -> None:
        """Take a block into account; `phi` is the scatter of the blocks before it."""
        used = {stratum: counts for stratum, counts in strata.items() if counts.n_c + counts.n_s > 0}
        if self.log_e < inf:
            self.log_e += sum(self._log_ratio(stratum, counts) for stratum, counts in used.items()) / phi
        for stratum, counts in used.items():
            self._sums[stratum] = self._sums.get(stratum, Counts()).plus(counts)
            self._all += counts.n_c + counts.n_s

    def _rates(self, stratum: Stratum) -> tuple[float, float]:
        """Stable's and the canary's rate that earlier blocks made likely.

        What is added to the counts is divided among the strata by their requests, so that two halves are one whole.
        """
        sums = self._sums.get(stratum, Counts())
        part = (sums.n_c + sums.n_s) / self._all if self._all else 1.0
        if part <= 0:
            part = 1.0
        q_s = min((sums.f_s + part) / (sums.n_s + part * self._prior), 1 - TINY)
        q_c = (sums.f_c + part * SHRINKAGE) / (sums.n_c + part * SHRINKAGE / q_s)
        return q_s, min(q_c, 1 - TINY)

    def _log_ratio(self, stratum: Stratum, counts: Counts) -> float:
        n_c, n_s, f_c, f_s = counts
        q_s, q_c = self._rates(stratum)
        d = self._difference
        if n_c <= 0 or n_s <= 0 or q_c >= q_s + d:
            return 0.0
        x = nearest(n_s, n_c, q_s, q_c, d)
        return (
            f_s * log(q_s / x)
            + (n_s - f_s) * log((1 - q_s) / (1 - x))
            + f_c * log(q_c / (x + d))
            + (n_c - f_c) * log((1 - q_c) / (1 - x - d))
        )


def nearest(n_s: float, n_c: float, q_s: float, q_c: float, d: float) -> float:
    """Return the x that minimises n_s KL(q_s | x) + n_c KL(q_c | x + d): the point of the null next to both rates.

    Newton's method on the slope, which grows with x, with bisection where it leaves the interval.
    """
    low, high = TINY, 1 - d - TINY
    x = min(max(q_s - (q_s + d - q_c) * n_c / (n_c + n_s), low), high)
    for _ in range(_STEPS):
        y = x + d
        slope = n_s * ((1 - q_s) / (1 - x) - q_s / x) + n_c * ((1 - q_c) / (1 - y) - q_c / y)
        if slope < 0:
            low = x
        else:
            high = x
        curve = n_s * ((1 - q_s) / (1 - x) ** 2 + q_s / x**2) + n_c * ((1 - q_c) / (1 - y) ** 2 + q_c / y**2)
        new = x - slope / curve
        if not low < new < high:
            new = (low + high) / 2
        if abs(new - x) <= 1e-15 * x:
            return new
        x = new
    return x
