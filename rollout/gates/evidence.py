"""What the blocks of a rollout say so far, metric by metric; it grows with each block and never looks back."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import exp, inf, log

from rollout.gates.blocks import ERRORS, LIMIT, Block, Counts, Strata, total
from rollout.gates.harm import Harm
from rollout.gates.limit import Limit
from rollout.gates.mixture import Since
from rollout.gates.plan import GateMetric, GatePlan
from rollout.gates.proof import Proof
from rollout.gates.scatter import REPORTED

PREPARED = 20
"""Blocks that the next step's proof catches up with at each decision, so that no decision waits for all of them."""


@dataclass(frozen=True, kw_only=True)
class MetricEvidence:
    """What one metric says: `log_e` of harm as it counts, `counts` of all blocks, `since` when it is worse.

    `tolerated` says that errors are more frequent, but by less than the tolerance, so that they count as none.
    `difference` is what the proof must exclude and `proof_log_e` how far it is; both None where nothing is proved.
    """

    name: str
    share: float
    log_e: float
    phi: float
    counts: Counts
    since: Since | None = None
    tolerated: bool = False
    difference: float | None = None
    proof_log_e: float | None = None

    @property
    def in_bursts(self) -> bool:
        """Whether failures come in bursts so much that everything takes noticeably longer, which reports say."""
        return self.phi > REPORTED


class _Metric:
    """The evidence of one metric, and the blocks with the scatter that was known before each."""

    def __init__(self, metric: GateMetric, plan: GatePlan) -> None:
        self.metric = metric
        self.harm = Harm(share=metric.share, alpha=plan.alpha, tolerated=metric.tolerated, history=metric.phi_history)
        self.counts = Counts()
        self._blocks: list[Strata] = []
        self._phis = array("d")
        self._proofs: dict[float, tuple[Proof, int]] = {}
        """By difference, the proof and how many blocks it has."""

    def add(self, at: float, strata: Strata) -> None:
        self._blocks.append(strata)
        self._phis.append(self.harm.phi)
        self.harm.add(at, strata)
        self.counts = self.counts.plus(total(strata.values()))

    def proof(self, difference: float) -> float:
        """The logarithm of the e-value against `difference`; all blocks of the rollout count."""
        return self._proved(difference, len(self._blocks)).log_e

    def prepare(self, difference: float) -> None:
        """Take some of the blocks into account that a later step's proof has not seen yet."""
        self._proved(difference, PREPARED)

    def _proved(self, difference: float, most: int) -> Proof:
        """The proof against `difference` with at most so many more blocks."""
        proof, known = self._proofs.get(difference, (None, 0))
        if proof is None:
            proof = Proof(difference, self.metric.stable_rate)
        new = self._blocks[known : known + most]
        for strata, phi in zip(new, self._phis[known : known + most], strict=True):
            proof.add(strata, phi)
        self._proofs[difference] = (proof, known + len(new))
        return proof

    def bound(self, beta: float) -> float:
        """The largest difference that is not excluded with confidence 1 - beta, a part of 1."""
        low, high = 0.0, 1.0
        while high - low > max(1e-6, 0.01 * low):
            middle = (low + high) / 2 if low else high / 4
            proof = Proof(middle, self.metric.stable_rate)
            for strata, phi in zip(self._blocks, self._phis, strict=True):
                proof.add(strata, phi)
            low, high = (low, middle) if proof.log_e >= log(1 / beta) else (middle, high)
        return high


class Evidence:
    """The evidence of a rollout; blocks of the steps in `without` do not count."""

    def __init__(self, plan: GatePlan, without: Collection[int] = ()) -> None:
        self.plan = plan
        self.without = frozenset(without)
        self._metrics = {metric.name: _Metric(metric, plan) for metric in plan.metrics}
        self._limit = (
            Limit(plan.limit, share=plan.limit_share, alpha=plan.alpha, history=_history_of_errors(plan))
            if plan.limit is not None and plan.limit_share > 0
            else None
        )
        self._limit_counts = Counts()

    def add(self, block: Block) -> None:
        """Take a block into account. Whoever calls it does so in the order of time."""
        if block.step in self.without:
            return
        for name, strata in block.metrics.items():
            if name in self._metrics:
                self._metrics[name].add(block.start, strata)
        errors = block.metrics.get(ERRORS)
        if self._limit is not None and errors is not None:
            self._limit.add(block.start, errors)
            self._limit_counts = self._limit_counts.plus(total(errors.values()))

    def of_metrics(self, step: int) -> tuple[MetricEvidence, ...]:
        """Return what each metric says in a step."""
        found = [self._of(one, step) for one in self._metrics.values()]
        if self._limit is not None:
            found.append(
                MetricEvidence(
                    name=LIMIT,
                    share=self.plan.limit_share,
                    log_e=self._limit.log_e,
                    phi=self._limit.phi,
                    counts=self._limit_counts,
                    since=self._limit.since() if self._limit.log_e > 0 else None,
                )
            )
        return tuple(found)

    def bound(self, name: str) -> float:
        """Return by how much more often the canary may fail at most, with the confidence of the plan; for reports."""
        return self._metrics[name].bound(self.plan.beta)

    def _of(self, one: _Metric, step: int) -> MetricEvidence:
        log_e = one.harm.log_e
        since = one.harm.since() if log_e > 0 else None  # it looks at every start, and only harm needs it
        tolerated = since is not None and since.difference < one.metric.least
        difference, later = (self.plan.difference(one.metric, at) for at in (step, step + 1))
        if later is not None:
            one.prepare(later)
        return MetricEvidence(
            name=one.metric.name,
            share=one.metric.share,
            log_e=0.0 if tolerated else log_e,
            phi=one.harm.phi,
            counts=one.counts,
            since=since,
            tolerated=tolerated,
            difference=difference,
            proof_log_e=None if difference is None else one.proof(difference),
        )


def log_average(metrics: Sequence[MetricEvidence]) -> float:
    """Return the logarithm of M: the e-values of all metrics, weighted with their shares of alpha."""
    parts = [log(one.share) + one.log_e for one in metrics]
    largest = max(parts, default=-inf)
    if largest in (-inf, inf):
        return largest
    return largest + log(sum(exp(one - largest) for one in parts))


def _history_of_errors(plan: GatePlan) -> float | None:
    return next((metric.phi_history for metric in plan.metrics if metric.name == ERRORS), None)
