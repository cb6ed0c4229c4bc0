"""The tests of gates written straight from their formulas, each over whole arrays of blocks: slow, and no code shared.

A block is a row: requests of canary and stable, failures of canary and stable.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Blocks = NDArray[np.float64]

RHO = np.geomspace(1.5, 16, 16)
FIT = np.concatenate([np.geomspace(0.25, 1, 6), np.geomspace(1.25, 24, 14)])


def weight_of_start(j: int) -> float:
    """w_0 = 1/2, then groups m = 0, 1, 2 … of 64 x 2^m starts with 2^-(m+2) together."""
    if j == 0:
        return 0.5
    group, first = 0, 1
    while j >= first + 64 * 2**group:
        first += 64 * 2**group
        group += 1
    return float(2.0 ** -(group + 2) / (64 * 2**group))


def phi(blocks: Blocks, history: float = 1.0) -> float:
    """The scatter that is known after these blocks."""
    n_c, n_s, f_c, f_s = blocks.T
    failures, s = f_c + f_s, n_c / (n_c + n_s)
    fit = [float(np.sum(f_c * np.log(r) - failures * np.log(1 + s * (r - 1)))) for r in FIT]
    best = FIT[int(np.argmax(fit))]
    expected = failures * s * best / (1 + s * (best - 1))
    ratios = []
    for scale in (1, 2, 4, 8):
        groups = [slice(at, at + scale) for at in range(0, len(blocks) - len(blocks) % scale, scale)]
        squares = sum(float((f_c[g] - expected[g]).sum()) ** 2 for g in groups)
        variance = 0.0
        for g in groups:
            all_failures, mean = float(failures[g].sum()), float(expected[g].sum())
            if all_failures > 0:
                variance += mean * (1 - mean / all_failures)
        ratios.append((squares + 5) / (variance + 5))
    seen = max(ratios)
    return max(1.0, seen if seen > 1.25 else 1.0, history if history > 1.25 else 1.0)


def harm(
    blocks: Blocks, *, share: float = 0.5, alpha: float = 0.01, tolerated: float = 1.0, history: float = 1.0
) -> tuple[list[float], list[float]]:
    """log M after each block, with a start before every fourth of them, and the scatter that was known before each."""
    cap = 0.6 * math.log(1 / (share * alpha))
    log_m, phis = [], [phi(blocks[:t], history) for t in range(len(blocks))]
    total = [np.zeros(16)]
    for t, (n_c, n_s, f_c, f_s) in enumerate(blocks):
        s, ratios = n_c / (n_c + n_s), tolerated * RHO
        found = f_c * np.log(RHO) - (f_c + f_s) * np.log((1 + s * (ratios - 1)) / (1 + s * (tolerated - 1)))
        total.append(total[-1] + np.minimum(found / phis[t], cap))
        starts = range(0, t + 1, 4)
        mixture = sum(weight_of_start(j) * np.mean(np.exp(total[-1] - total[at])) for j, at in enumerate(starts))
        log_m.append(math.log(mixture + 1 - sum(weight_of_start(j) for j in range(len(starts)))))
    return log_m, phis


def proof(blocks: Blocks, difference: float, stable_rate: float, k: float = 20.0) -> list[float]:
    """log M of the proof after each block."""
    from scipy.optimize import brentq

    log_m, found = 0.0, []
    for t, (n_c, n_s, f_c, f_s) in enumerate(blocks):
        before_n_c, before_n_s, before_f_c, before_f_s = blocks[:t].sum(axis=0)
        q_s = (before_f_s + 1) / (before_n_s + 1 / stable_rate)
        q_c = (before_f_c + k) / (before_n_c + k / q_s)
        assert q_c < q_s + difference, "the blocks of the tests leave no other case"

        def slope(x: float, n: Any = (n_s, n_c), q: Any = (q_s, q_c)) -> float:
            values = (x, x + difference)
            parts = (m * (p - v) / (v * (1 - v)) for m, p, v in zip(n, q, values, strict=True))
            return -float(sum(parts))

        x = float(brentq(slope, 1e-9, 1 - difference - 1e-9, xtol=1e-300, rtol=1e-15, maxiter=500))
        likelihood = f_s * math.log(q_s / x) + (n_s - f_s) * math.log((1 - q_s) / (1 - x))
        y = x + difference
        likelihood += f_c * math.log(q_c / y) + (n_c - f_c) * math.log((1 - q_c) / (1 - y))
        log_m += likelihood / phi(blocks[:t])
        found.append(log_m)
    return found


def closed_form(canary: float, failures: float, share: float, a: float, b: float) -> float:
    """log M of harm for one constant share: Beta(a, b), cut at the share, mixed over the canary's part of failures."""
    from scipy.special import betainc, betaln

    k, rest = canary, failures - canary
    above = betaln(a + k, b + rest) + math.log(1 - betainc(a + k, b + rest, share))
    below = betaln(a, b) + math.log(1 - betainc(a, b, share))
    return float(above - below - k * math.log(share) - rest * math.log(1 - share))
