"""Weights as proportions: percentages of up to four decimals, and the whole weights that Istio takes.

Istio reads weights relative to their sum (VirtualService: HTTPRouteDestination.weight), so 995 and 5 are 99.5 % and
0.5 %. A stack's file has percentages, or whole numbers that sum to a greater power of ten.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import TypeVar

T = TypeVar("T")

DECIMALS = 4
SMALLEST = 10**-DECIMALS
SUMS = (100, 1_000, 10_000, 100_000, 1_000_000)
"""Sums of weights that are percentages of at most four decimals; those from 1000 on are of whole numbers alone."""
LARGEST = SUMS[-1]


def exactly(value: float) -> Fraction:
    """Return a number as it was written: 0.1 is a tenth, which no float is."""
    return Fraction(str(value))


def total_of(weights: Mapping[T, float]) -> float:
    """Return the sum of the weights without the noise of floats; a whole number as int."""
    return _plain(sum(map(exactly, weights.values()), Fraction()))


def are_complete(weights: Mapping[T, float]) -> bool:
    """Return whether they are percentages that sum to 100, or whole numbers that sum to a greater one of SUMS."""
    total = total_of(weights)
    return total == SUMS[0] or (total in SUMS and all(exactly(weight).denominator == 1 for weight in weights.values()))


def percentages(weights: Mapping[T, float]) -> dict[T, float]:
    """Return the same proportion as percentages of at most four decimals that sum to exactly 100; whole ones as int.

    A weight above 0 stays above 0. All are 0 if no weight is above 0.
    """
    if sum(weights.values()) == SUMS[0] and all(type(weight) is int for weight in weights.values()):
        return dict(weights)
    given = {key: exactly(weight) for key, weight in weights.items() if weight > 0}
    total = sum(given.values(), Fraction())
    if not total:
        return dict.fromkeys(weights, 0)
    wanted = {key: weight / total * LARGEST for key, weight in given.items()}
    parts = {key: max(int(share), 1) for key, share in wanted.items()}
    rest = LARGEST - sum(parts.values())
    if rest < 0:  # the least of many were rounded up
        parts[max(parts, key=lambda key: parts[key])] += rest
    for key in sorted(wanted, key=lambda key: int(wanted[key]) - wanted[key])[: max(rest, 0)]:
        parts[key] += 1
    return {key: _plain(Fraction(parts.get(key, 0), LARGEST // SUMS[0])) for key in weights}


def whole_weights(percent: Mapping[T, float]) -> dict[T, int]:
    """Return percentages as whole weights, multiplied by the smallest power of ten: 99.5 and 0.5 become 995 and 5."""
    exact = {key: exactly(weight) for key, weight in percent.items()}
    scale = next(
        (10**power for power in range(DECIMALS) if all((one * 10**power).denominator == 1 for one in exact.values())),
        10**DECIMALS,
    )
    return {key: round(one * scale) for key, one in exact.items()}


def number_words(value: float) -> str:
    """Return a number without an exponent or needless zeros, rounded to six decimals: `0.5`, `90`, `0.0001`."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def percent_words(percent: float) -> str:
    """Return a percentage in words: `99.5 %`."""
    return f"{number_words(percent)} %"


def _plain(value: Fraction) -> float:
    return value.numerator if value.denominator == 1 else float(value)
