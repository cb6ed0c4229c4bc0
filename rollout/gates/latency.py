"""Latency: the bucket's bound that tells slow requests from others, and its share.

No means and no quantiles: a request is slower than a bound, which histograms know exactly, or it is not. Then harm and
proof are those of failures.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

TAIL = 0.05
"""Share of stable's requests that should be slower than the bound."""

LEAST_TAIL = 0.003
"""With a smaller share there are too few slow requests to compare."""


def choose_bound(buckets: Mapping[float, float], tail: float = TAIL) -> tuple[float, float] | None:
    """Return the bound whose share of slower requests is nearest to `tail`, and that share.

    `buckets` are stable's requests of the last hours up to each bound, as a histogram of Prometheus has them, with the
    bound +Inf for all. None if there is no such request, or no bound has at least 0.3 % above it.
    """
    requests = buckets.get(inf, 0.0)
    if requests <= 0:
        return None
    shares = [(bound, 1 - upto / requests) for bound, upto in sorted(buckets.items()) if bound < inf]
    known = [(bound, share) for bound, share in shares if share >= LEAST_TAIL]
    return min(known, key=lambda one: abs(one[1] - tail)) if known else None
