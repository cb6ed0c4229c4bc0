"""Split: whether the requests of a step are divided as its weights say, whenever one looks.

A Dirichlet-multinomial against the weights (Turner and Grünwald do the same for one proportion; the prior has its mean
at the weights). What is compared are requests that reached a version's cluster, retries do not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import lgamma, log

ALPHA = 0.001
"""Probability that a rollout with right splits is ever held for a wrong one, over all its steps."""

KAPPA = 100.0
"""Weight of the prior, in requests."""

LEAST_POINTS, LEAST_PART = 0.01, 0.1
"""A share may be off by the larger one of a point and of this part of its weight, however many requests show it."""


@dataclass(frozen=True)
class Split:
    """The split of one rule in one step: `log_e` against the weights, and the share that is most off."""

    log_e: float
    version: str
    weight: float
    share: float
    wrong: bool


def log_e(weights: Mapping[str, float], counts: Mapping[str, float]) -> float:
    """Return the logarithm of the e-value against `weights`, which are parts of 1; those of 0 and 1 say nothing."""
    shared = {version: weight for version, weight in weights.items() if 0 < weight < 1}
    n = sum(counts.get(version, 0.0) for version in shared)
    found = lgamma(KAPPA) - lgamma(n + KAPPA)
    for version, weight in shared.items():
        one = counts.get(version, 0.0)
        found += lgamma(one + KAPPA * weight) - lgamma(KAPPA * weight) - one * log(weight)
    return found if shared else 0.0


def judge(weights: Mapping[str, float], counts: Mapping[str, float], splits: int) -> Split | None:
    """Return what a step's requests say of its weights (percent by version); None without requests.

    `splits` is the number of splits that the whole rollout judges. At 0 or 100 percent one request too many is wrong.
    """
    total = sum(counts.values())
    if total <= 0:
        return None
    parts = {version: weights.get(version, 0.0) / 100 for version in (*weights, *counts)}
    off = {version: abs(counts.get(version, 0.0) / total - part) for version, part in parts.items()}
    stray = [version for version, part in parts.items() if part <= 0 and counts.get(version, 0.0) > 0]
    most = stray[0] if stray else max(off, key=lambda version: off[version] / (parts[version] or 1))
    found = log_e(parts, counts)
    far = any(one > max(LEAST_POINTS, LEAST_PART * parts[version]) for version, one in off.items())
    is_wrong = bool(stray) or (found >= log(splits / ALPHA) and far)
    return Split(found, most, 100 * parts[most], 100 * counts.get(most, 0.0) / total, is_wrong)
