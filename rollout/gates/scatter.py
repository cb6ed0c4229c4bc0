"""Scatter: by how much failures vary more than chance alone would make them, since they come in bursts.

Every log likelihood ratio, of harm and of proof, is divided by it. It is at least 1, which keeps the tests valid where
requests fail independently (Jensen's inequality).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log

from rollout.gates.blocks import Strata, Stratum

SCALES = (1, 2, 4, 8)
"""Blocks that are taken together: a burst may be longer than one."""

SMALL = 1.25
"""A scatter up to this counts as none."""

REPORTED = 1.5
"""From this scatter on a report speaks of it."""

PRIOR = 5.0
"""Added to both squares and expectation, so that few failures say little."""

SHORTEST_HISTORY = 1800.0
"""Seconds of stable's counters without which the scatter of its past is unknown."""


def _geometric(first: float, last: float, number: int) -> list[float]:
    step = (log(last) - log(first)) / (number - 1)
    return [exp(log(first) + step * index) for index in range(number)]


RATIOS = (*_geometric(0.25, 1.0, 6), *_geometric(1.25, 24.0, 14))
"""Constant ratios of failure rates that the canary's failures are fitted with."""

_LOGS = tuple(map(log, RATIOS))
_NUMBER = len(RATIOS)


def phi_of_history(blocks: Sequence[Sequence[tuple[float, float]]], seconds: float) -> float | None:
    """Return the scatter of stable's past, None if it is too short to know.

    `blocks` has requests and failures of each caller, in the same order in each block; `seconds` is their length.
    """
    if seconds < SHORTEST_HISTORY or not blocks:
        return None
    callers = range(max(map(len, blocks)))
    rates = []
    for caller in callers:
        n = sum(block[caller][0] for block in blocks if caller < len(block))
        f = sum(block[caller][1] for block in blocks if caller < len(block))
        rates.append(f / n if n else 0.0)
    pairs = [
        (sum(f for _, f in block), sum(n * rate for (n, _), rate in zip(block, rates, strict=False)))
        for block in blocks
    ]
    found = 1.0
    for scale in SCALES:
        groups = [pairs[at : at + scale] for at in range(0, len(pairs) - len(pairs) % scale, scale)]
        squares = sum((sum(f for f, _ in group) - sum(e for _, e in group)) ** 2 for group in groups)
        expected = sum(e for group in groups for _, e in group)
        found = max(found, (squares + PRIOR) / (expected + PRIOR))
    return found


class Scatter:
    """The scatter of one metric in this rollout, from the blocks that were added so far.

    `phi` is the larger one of the history's and of that of the canary's failures around their best-fitting constant
    ratio.
    """

    def __init__(self, history: float | None = None) -> None:
        self._history = history if history is not None and history > SMALL else 1.0
        self.phi = self._history
        self._blocks = 0
        self._fit = [0.0] * _NUMBER
        self._sums: dict[Stratum, tuple[float, float, list[float]]] = {}
        self._closed: list[dict[Stratum, tuple[float, float, list[float]]]] = [{} for _ in SCALES]
        self._squares = [[0.0] * _NUMBER for _ in SCALES]
        self._expected = [[0.0] * _NUMBER for _ in SCALES]

    def add(self, strata: Strata) -> None:
        """Take one block into account; `phi` is for the blocks after it."""
        self._blocks += 1
        for stratum, (n_c, n_s, f_c, f_s) in strata.items():
            failures = f_c + f_s
            if failures <= 0:
                continue
            s = n_c / (n_c + n_s)
            odds = [1 + s * (ratio - 1) for ratio in RATIOS]
            self._fit = [
                fit + f_c * log_ratio - failures * log(one)
                for fit, log_ratio, one in zip(self._fit, _LOGS, odds, strict=True)
            ]
            share = failures * s
            canary, both, expected = self._sums.get(stratum, (0.0, 0.0, [0.0] * _NUMBER))
            grown = [e + share * ratio / one for e, ratio, one in zip(expected, RATIOS, odds, strict=True)]
            self._sums[stratum] = (canary + f_c, both + failures, grown)
        for index, scale in enumerate(SCALES):
            if self._blocks % scale == 0:
                self._close(index)
        best = max(range(_NUMBER), key=self._fit.__getitem__)
        seen = max(
            (squares[best] + PRIOR) / (expected[best] + PRIOR)
            for squares, expected in zip(self._squares, self._expected, strict=True)
        )
        self.phi = max(1.0, seen if seen > SMALL else 1.0, self._history)

    def _close(self, index: int) -> None:
        """End a group of blocks: its failures against what the ratios expect."""
        closed = self._closed[index]
        changed = [(now, closed.get(stratum)) for stratum, now in self._sums.items() if closed.get(stratum) is not now]
        if not changed:
            return
        off = [0.0] * _NUMBER
        squares, expected = self._squares[index], self._expected[index]
        for (canary, both, sums), before in changed:
            first_canary, first_both, first_sums = before if before is not None else (0.0, 0.0, [0.0] * _NUMBER)
            failures = both - first_both
            for at in range(_NUMBER):
                e = sums[at] - first_sums[at]
                off[at] += canary - first_canary - e
                variance = e * (1 - e / failures)
                if variance > 0:
                    expected[at] += variance
        for at in range(_NUMBER):
            squares[at] += off[at] * off[at]
        self._closed[index] = dict(self._sums)
