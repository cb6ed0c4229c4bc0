"""Whether the versions that answered are those that a rule's weights ask for: exact statistics, no approximation.

Each request meets a version independently with the probability of its weight (Envoy draws at random for each), so the
count of a version is binomially distributed. Its share is judged by the Clopper-Pearson interval, which holds the true
share with at least the stated confidence for every number of requests. Over all comparisons of one measurement the
significance is shared out equally (Bonferroni), so that all honest splits together are called wrong with a probability
of at most `alpha`. A version at 0 or at 100 percent leaves nothing to chance: one answer too many or too few is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ALPHA = 0.001
"""Probability that a measurement calls a right split wrong."""


@dataclass(frozen=True)
class VersionShare:
    """One version of one rule. `wanted` is in percent; `low` and `high` bound the true share, from 0 to 1."""

    version: str
    wanted: float
    count: int
    total: int
    low: float
    high: float
    p_value: float
    as_wanted: bool

    @property
    def observed(self) -> float:
        """Percent of the answers that came from this version."""
        return 100 * self.count / self.total if self.total else 0.0


def comparisons(weights: Mapping[str, float]) -> int:
    """Return how many independent things chance decides in one rule: of two versions' counts, one gives the other."""
    shared = sum(1 for weight in weights.values() if 0 < weight < 100)
    return 1 if shared == 2 else shared


def judge(weights: Mapping[str, float], counts: Mapping[str, int], alpha: float) -> tuple[VersionShare, ...]:
    """Return the shares of one rule, those of `weights` first; `alpha` is the significance of each comparison.

    A version that answered without being named in `weights` was wanted at 0 percent.
    """
    total = sum(counts.values())
    versions = [*weights, *(version for version in counts if version not in weights)]
    return tuple(_share(version, weights.get(version, 0), counts.get(version, 0), total, alpha) for version in versions)


def judge_all(
    measured: Sequence[tuple[Mapping[str, float], Mapping[str, int]]], alpha: float = ALPHA
) -> tuple[tuple[VersionShare, ...], ...]:
    """Return the shares of several rules, given as weights and counts, with `alpha` for all of them together."""
    each = alpha / max(1, sum(comparisons(weights) for weights, _ in measured))
    return tuple(judge(weights, counts, each) for weights, counts in measured)


def interval(count: int, total: int, alpha: float) -> tuple[float, float]:
    """Return the Clopper-Pearson interval of a share at confidence 1 - `alpha`; all of [0, 1] without an answer."""
    from scipy.special import betaincinv

    low = float(betaincinv(count, total - count + 1, alpha / 2)) if count > 0 else 0.0
    high = float(betaincinv(count + 1, total - count, 1 - alpha / 2)) if count < total else 1.0
    return low, high


def p_value(count: int, total: int, share: float) -> float:
    """Return the two-sided probability of a count at least as far out: twice the smaller tail.

    This is the test that the Clopper-Pearson interval belongs to: it is below alpha just where `share` lies outside.
    """
    from scipy.special import betainc

    at_least = float(betainc(count, total - count + 1, share)) if count > 0 else 1.0
    at_most = float(betainc(total - count, count + 1, 1 - share)) if count < total else 1.0
    return min(1.0, 2 * min(at_least, at_most))


def _share(version: str, wanted: float, count: int, total: int, alpha: float) -> VersionShare:
    low, high = interval(count, total, alpha)
    if wanted in (0, 100):
        right = count == (total if wanted else 0)
        return VersionShare(version, wanted, count, total, low, high, 1.0 if right else 0.0, right and total > 0)
    probability = p_value(count, total, wanted / 100)
    return VersionShare(version, wanted, count, total, low, high, probability, total > 0 and probability >= alpha)
