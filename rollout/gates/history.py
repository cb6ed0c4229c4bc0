"""What stable was like before the rollout: its failure rate and scatter, from its blocks of the last hours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rollout.gates.blocks import Block, Counts, total
from rollout.gates.scatter import phi_of_history


@dataclass(frozen=True)
class History:
    """Stable's rate of one metric, a part of 1, from so many requests; `phi` is None if the history is too short."""

    rate: float
    requests: float
    phi: float | None


def history_of(metric: str, blocks: Sequence[Block]) -> History:
    """Return stable's history of a metric. Blocks without the metric are left out."""
    known = [block.metrics[metric] for block in blocks if metric in block.metrics]
    strata = sorted({stratum for one in known for stratum in one})
    pairs = [
        [(counts.n_s, counts.f_s) for counts in (one.get(stratum, Counts()) for stratum in strata)] for one in known
    ]
    both = total(counts for one in known for counts in one.values())
    seconds = sum(block.end - block.start for block in blocks if metric in block.metrics)
    rate = both.f_s / both.n_s if both.n_s else 0.0
    return History(rate=rate, requests=both.n_s, phi=phi_of_history(pairs, seconds) if both.n_s else None)
