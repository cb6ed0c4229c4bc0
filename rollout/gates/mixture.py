"""The mixture of likelihood ratios over alternatives and starts that harm and absolute limits are tested by.

From each start, a time once a minute, each alternative's likelihood ratio is a martingale under the null; so is their
weighted mean. Sums over starts are kept as they grow, so that a block costs the same after a day as at the start.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, floor, inf, log, log2
from typing import Generic, Protocol, TypeVar

ALTERNATIVES = 16
RATIOS = tuple(exp(log(1.5) + (log(16) - log(1.5)) * index / (ALTERNATIVES - 1)) for index in range(ALTERNATIVES))
"""Ratios of failure rates that are looked for, as multiples of the tolerated one."""

CAP = 0.6
"""Most that one block may say, as a part of log(1 / alpha): at least two must agree."""

START_SECONDS = 60.0
"""How often a new start begins."""

FIRST_GROUP = 64
"""Starts in the first group of those after the first one; each group has twice as many."""

_ROUNDING = 1e-3  # of timestamps, which Prometheus has in milliseconds


def start_weight(number: int) -> float:
    """Return the weight of a start; all of them, 0, 1, 2 …, sum to 1."""
    if number == 0:
        return 0.5
    group = floor(log2((number - 1) / FIRST_GROUP + 1))
    return float(2.0 ** -(group + 2) / (FIRST_GROUP * 2**group))


def log_sum(first: float, second: float) -> float:
    """Return log(exp(first) + exp(second))."""
    larger, smaller = (first, second) if first >= second else (second, first)
    return larger if smaller == -inf else larger + log(1 + exp(smaller - larger))


def log_mean(values: Sequence[float]) -> float:
    """Return the logarithm of the mean of exp(values)."""
    largest = max(values)
    return largest + log(sum(exp(value - largest) for value in values) / len(values))


class Mixture:
    """The e-process of one metric at significance `alpha`; `starts` are the times from which it was followed."""

    def __init__(self, alpha: float) -> None:
        self.starts: list[float] = []
        self._cap = CAP * log(1 / alpha)
        self._grown = [0.0] * ALTERNATIVES
        self._before: list[array[float]] = []
        """By start, what each alternative's log likelihood ratio was."""
        self._inverse = [-inf] * ALTERNATIVES
        """By alternative, log(sum over starts of weight / likelihood ratio at the start)."""
        self._rest = 1.0

    def begins(self, at: float) -> bool:
        """Begin a start at the time `at`, if one is due. To be asked before each block."""
        if self.starts and at - self.starts[-1] < START_SECONDS - _ROUNDING:
            return False
        weight = start_weight(len(self.starts))
        self.starts.append(at)
        self._before.append(array("d", self._grown))
        self._rest -= weight
        self._inverse = [
            log_sum(one, log(weight) - grown) for one, grown in zip(self._inverse, self._grown, strict=True)
        ]
        return True

    def add(self, log_ratios: Sequence[float], phi: float) -> None:
        """Take a block's log likelihood ratios into account, divided by the scatter `phi`, and capped."""
        cap = self._cap
        self._grown = [grown + min(one / phi, cap) for grown, one in zip(self._grown, log_ratios, strict=True)]

    @property
    def log_e(self) -> float:
        """Return the logarithm of the e-value now: starts to come count as 1."""
        if not self.starts:
            return 0.0
        found = [grown + inverse for grown, inverse in zip(self._grown, self._inverse, strict=True)]
        return log_sum(log_mean(found), log(self._rest) if self._rest > 0 else -inf)

    def strongest(self) -> int | None:
        """Return the number of the start that says most; None before the first block."""
        strengths = [
            log(start_weight(number)) + log_mean([now - one for now, one in zip(self._grown, before, strict=True)])
            for number, before in enumerate(self._before)
        ]
        return max(range(len(strengths)), key=strengths.__getitem__) if strengths else None


@dataclass(frozen=True)
class Since:
    """What the strongest start says: since when the canary is worse, and by what part of its requests."""

    at: float
    difference: float


class _Scattered(Protocol):
    phi: float


Sums = TypeVar("Sums")
"""What a test has counted in its blocks so far; never changed once it is made."""


class MixtureTest(ABC, Generic[Sums]):
    """A test by a mixture over the scatter of the blocks before; it keeps the sums at each start."""

    _scatter: _Scattered

    def __init__(self, alpha: float) -> None:
        self._mixture = Mixture(alpha)
        self._before: list[Sums] = []

    @property
    def phi(self) -> float:
        """Return the scatter of the blocks so far, at least 1."""
        return self._scatter.phi

    @property
    def log_e(self) -> float:
        """Return the logarithm of the e-value."""
        return self._mixture.log_e

    def since(self) -> Since | None:
        """Return what the strongest start says; None before the first block."""
        number = self._mixture.strongest()
        return None if number is None else Since(self._mixture.starts[number], self._difference(self._before[number]))

    def _follow(self, at: float, before: Sums, log_ratios: Sequence[float]) -> None:
        """Take a block into account that begins at `at`, after blocks with these sums."""
        if self._mixture.begins(at):
            self._before.append(before)
        self._mixture.add(log_ratios, self.phi)

    @abstractmethod
    def _difference(self, before: Sums) -> float:
        """By what part of its requests the canary is worse in the blocks after those of `before`."""
