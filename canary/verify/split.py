"""Whether a measured split matches a rule's weights: an exact binomial test, no approximation.

Envoy picks a version at random for each request, with the probability of its weight, so the count of a version is
binomially distributed. Its share is judged by the Clopper-Pearson interval, which contains the true share with at least
the stated confidence for any number of requests. The significance is divided equally among all comparisons of one
measurement (Bonferroni), so a measurement in which every split is correct fails with a probability of at most `alpha`.
A version at 0 or 100 percent leaves nothing to chance: a single answer too many or too few fails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ALPHA = 0.001
"""Probability that a measurement fails although every split is correct."""


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
