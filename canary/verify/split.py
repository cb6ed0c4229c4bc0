"""Whether a measured split matches a rule's weights: an exact binomial test, no approximation.

Envoy picks a version at random for each request, with the probability of its weight, so the count of a version is
binomially distributed. Its share is judged by the Clopper-Pearson interval, which contains the true share with at least
the stated confidence for any number of requests. The significance is divided equally among all comparisons of one
measurement (Bonferroni), so a measurement in which every split is correct fails with a probability of at most `alpha`.
A version at 0 or 100 percent leaves nothing to chance: a single answer too many or too few fails.

The smaller a share, the more requests it takes. With fewer than `fewest` even a version without any answer would pass,
so a measurement proves nothing; with `enough`, a version with twice its share is found too, nearly always.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ALPHA = 0.001
"""Probability that a measurement fails although every split is correct."""
POWER = 0.99
"""Probability that `enough` requests find a version that gets twice its share."""


@dataclass(frozen=True)
class VersionShare:
    """One version of one rule. `configured` is in percent; `low` and `high` bound the true share, from 0 to 1."""

    version: str
    configured: float
    count: int
    total: int
    low: float
    high: float
    p_value: float
    passes: bool

    @property
    def observed(self) -> float:
        """Percent of the answers that came from this version."""
        return 100 * self.count / self.total if self.total else 0.0


def comparisons(weights: Mapping[str, float]) -> int:
    """Return the number of independent random counts in one rule: of two versions, one count determines the other."""
    shared = sum(1 for weight in weights.values() if 0 < weight < 100)
    return 1 if shared == 2 else shared


def judge(weights: Mapping[str, float], counts: Mapping[str, int], alpha: float) -> tuple[VersionShare, ...]:
    """Return the shares of one rule, those in `weights` first; `alpha` is the significance of each comparison.

    A version that answered but is not in `weights` is configured at 0 percent.
    """
    total = sum(counts.values())
    versions = [*weights, *(version for version in counts if version not in weights)]
    return tuple(_share(version, weights.get(version, 0), counts.get(version, 0), total, alpha) for version in versions)


def judge_all(
    measured: Sequence[tuple[Mapping[str, float], Mapping[str, int]]], alpha: float = ALPHA
) -> tuple[tuple[VersionShare, ...], ...]:
    """Return the shares of several rules, given as weights and counts; `alpha` covers all of them together."""
    each = alpha / max(1, sum(comparisons(weights) for weights, _ in measured))
    return tuple(judge(weights, counts, each) for weights, counts in measured)


def fewest(weights: Mapping[str, float], alpha: float) -> int:
    """Return with how many requests a split fails if a version of it gets none; 0 if nothing is left to chance.

    `alpha` is the significance of each comparison.
    """
    shares = [weight / 100 for weight in weights.values() if 0 < weight < 100]
    # Twice the chance of no answer is the p-value; this is where it falls below alpha.
    return math.floor(math.log(alpha / 2) / math.log1p(-min(shares))) + 1 if shares else 0


def enough(weights: Mapping[str, float], alpha: float) -> int:
    """Return how many requests also find, with a probability of POWER, a version with twice its share."""
    least = fewest(weights, alpha)
    if least == 0:
        return 0
    share = min(weight / 100 for weight in weights.values() if 0 < weight < 100)
    low, high = least - 1, least
    while not _finds_twice(share, high, alpha):
        low, high = high, 2 * high
    while high - low > max(1, high // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if _finds_twice(share, middle, alpha) else (middle, high)
    return high


def _finds_twice(share: float, total: int, alpha: float) -> bool:
    from scipy.special import betainc

    if 2 * share >= 1:
        return True
    low, high = math.floor(share * total), total
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if p_value(middle, total, share) < alpha else (middle, high)
    return bool(betainc(high, total - high + 1, 2 * share) >= POWER)


def interval(count: int, total: int, alpha: float) -> tuple[float, float]:
    """Return the Clopper-Pearson interval of a share at confidence 1 - `alpha`; [0, 1] if nothing answered."""
    from scipy.special import betaincinv

    low = float(betaincinv(count, total - count + 1, alpha / 2)) if count > 0 else 0.0
    high = float(betaincinv(count + 1, total - count, 1 - alpha / 2)) if count < total else 1.0
    return low, high


def p_value(count: int, total: int, share: float) -> float:
    """Return the two-sided p-value of `count` under `share`: twice the smaller tail.

    This is the test behind the Clopper-Pearson interval: it is below alpha exactly where `share` lies outside.
    """
    from scipy.special import betainc

    at_least = float(betainc(count, total - count + 1, share)) if count > 0 else 1.0
    at_most = float(betainc(total - count, count + 1, 1 - share)) if count < total else 1.0
    return min(1.0, 2 * min(at_least, at_most))


def _share(version: str, configured: float, count: int, total: int, alpha: float) -> VersionShare:
    low, high = interval(count, total, alpha)
    if configured in (0, 100):
        exact = count == (total if configured else 0)
        return VersionShare(version, configured, count, total, low, high, 1.0 if exact else 0.0, exact and total > 0)
    probability = p_value(count, total, configured / 100)
    return VersionShare(version, configured, count, total, low, high, probability, total > 0 and probability >= alpha)
