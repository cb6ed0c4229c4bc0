"""Blocks that are drawn at random, as numbers and as blocks, with fixed seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from rollout.gates.blocks import ERRORS, Block, Counts, Strata, Stratum

GATEWAY = Stratum("default", "istio-ingress/gateway")


def counts(
    seed: int, number: int, *, requests: float, share: float, stable: float, canary: float
) -> NDArray[np.float64]:
    """Return rows of blocks: `requests` on average in each, and the failure rates of both versions."""
    rng = np.random.default_rng(seed)
    every = rng.poisson(requests, number)
    n_c = rng.binomial(every, share)
    n_s = every - n_c
    rows = np.stack([n_c, n_s, rng.binomial(n_c, canary), rng.binomial(n_s, stable)], axis=1)
    return rows.astype(np.float64)


def strata(row: Iterable[float], stratum: Stratum = GATEWAY) -> Strata:
    """Return one row as the only stratum of a block."""
    return {stratum: Counts(*map(float, row))}


def blocks(rows: Iterable[Iterable[float]], *, step: int = 0, start: float = 0.0, seconds: float = 15.0) -> list[Block]:
    """Return rows as consecutive blocks with errors alone."""
    return [
        Block(
            start=start + index * seconds,
            end=start + (index + 1) * seconds,
            step=step,
            metrics={ERRORS: strata(row)},
        )
        for index, row in enumerate(rows)
    ]


def halves(found: Strata, callers: Sequence[str] = ("one", "other")) -> Strata:
    """Return the same numbers as of two callers, half each."""
    return {
        Stratum(stratum.rule, caller): Counts(*(value / 2 for value in of_one))
        for stratum, of_one in found.items()
        for caller in callers
    }
