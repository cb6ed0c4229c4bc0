"""The five questions about a step, in their order, after every block: data, split, harm, suspicion, proof.

Neither harm nor proof is "hold": never a pass, and never a failure. Everything here depends on the plan, the blocks and
the times that are handed in, so that a replay of a report comes to the same verdicts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import exp, log

from rollout.gates import split
from rollout.gates.blocks import (
    BEGUN,
    CLIENT_ERRORS,
    ERRORS,
    LATENCY,
    LIMIT,
    UNROUTED,
    Block,
    Counts,
    Coverage,
    Observation,
    total,
)
from rollout.gates.evidence import Evidence, MetricEvidence, log_average
from rollout.gates.plan import SUSPICION, GatePlan
from rollout.gates.split import Split

CANARY, STABLE = "canary", "stable"

OLD = 2
"""Scrape intervals after which the newest numbers are too old, so that a store that is down holds within two."""

OLD_OWN = 4
"""Scrape intervals after which the newest samples of a custom metric are too old: its program is scraped on its own."""

LEAST_OLD = 5.0
"""Seconds that numbers may be old, and clocks may differ, however often there are new ones: reading takes time, too."""

SEEN = 0.9
"""Part of a step's scrape intervals that must have numbers for its time to run."""


AWAITED = 60.0
"""Seconds of a step for which the numbers of a custom metric are awaited: they are scraped, too, and may be rare."""


class Answer(StrEnum):
    """What to do, by the first question that decides."""

    NO_DATA = "NoData"
    """Hold: nothing is known."""
    SPLIT_WRONG = "SplitWrong"
    """Hold: the weights are not what the requests do, nothing is concluded from this step."""
    HARM = "Harm"
    """Go back."""
    SUSPECT = "Suspect"
    """Hold: the canary may be worse."""
    HOLD = "Hold"
    """Hold: the time of the step is not over, or the next weight is not proved."""
    RISE = "Rise"
    """The next step, or the end."""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """When a step is judged: its number, and when its weights settled and what time it is, in seconds since 1970."""

    step: int
    settled: float
    now: float


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """An answer with its reason in words, and all numbers that led to it.

    `log_e` is the logarithm of M. `observed_seconds` is the time of the step that counts for its `for`, and
    `has_blocks` says whether there have been numbers of it. `calm` is the answer if the evidence of harm said nothing,
    for a group, whose evidence is that of all its services; None if there is no such answer. `certain` harm needs no
    evidence.
    """

    answer: Answer
    reason: str
    log_e: float
    observed_seconds: float
    metrics: tuple[MetricEvidence, ...] = ()
    splits: Mapping[str, Split] | None = None
    has_blocks: bool = False
    calm: tuple[Answer, str] | None = None
    certain: bool = False


NO_COUNTS = Counts()


@dataclass(frozen=True)
class Own:
    """What is known of a custom metric in a step: the end of the newest block with samples of it, and its numbers."""

    newest: float = 0.0
    counts: Counts = NO_COUNTS

    def plus(self, end: float, counts: Counts) -> Own:
        """Return it with one more block."""
        return Own(max(self.newest, end), self.counts.plus(counts))


class Gate:
    """The gate of one rollout. It keeps what it has computed, and gives the same verdicts without."""

    def __init__(self, plan: GatePlan) -> None:
        self.plan = plan
        self.evidence = Evidence(plan)
        self._blocks: tuple[Block, ...] = ()
        self._requests: defaultdict[int, dict[str, tuple[float, float]]] = defaultdict(dict)
        """Requests of canary and stable, by step and rule."""
        self._own: dict[tuple[int, str], Own] = {}
        """What is known of custom metrics, by step and name."""
        self._unrouted: Counter[str] = Counter()
        """Requests that no version got, by caller."""

    def judge(self, observation: Observation, moment: Moment) -> Verdict:
        """Return the verdict on a step at a moment."""
        self._take(observation.blocks)
        metrics = self.evidence.of_metrics(moment.step)
        log_e = log_average(metrics)
        coverage = observation.coverage.get(moment.step, Coverage())
        observed = _observed_seconds(self.plan, coverage, moment)
        splits = self._splits(moment.step)
        missing, calm = self._missing(coverage, moment), None
        if self._unrouted:
            answer, reason = Answer.HARM, _lost_words(self._unrouted)
        elif missing:
            answer, reason = Answer.NO_DATA, missing
        else:
            calm = self._without_own(moment) or _risen(self.plan, moment, metrics, observed)
            answer, reason = _harmful(self.plan, splits, metrics, log_e) or calm
        return Verdict(
            answer=answer,
            reason=reason,
            log_e=log_e,
            observed_seconds=observed,
            metrics=metrics,
            splits=splits,
            has_blocks=moment.step in self._requests,
            calm=calm,
            certain=bool(self._unrouted),
        )

    def _take(self, blocks: Sequence[Block]) -> None:
        """Add the new blocks; all of them again if earlier ones have changed, or if a split turned out wrong, or right.

        What counts is whether a split is wrong at the end of its step, or now.
        """
        known = len(self._blocks)
        if tuple(blocks[:known]) != self._blocks:
            self._requests.clear()
            self._own.clear()
            self._unrouted.clear()
            known = 0
            self.evidence = Evidence(self.plan)
        new, self._blocks = blocks[known:], tuple(blocks)
        for block in new:
            self._count(block)
        wrong = {step for step in self._requests if any(one.wrong for one in self._splits(step).values())}
        if wrong != self.evidence.without:
            self.evidence, new = Evidence(self.plan, wrong), blocks
        for block in new:
            self.evidence.add(block)

    def _count(self, block: Block) -> None:
        """Count what reached the versions' clusters in a step: requests that began in it, where that is known."""
        rules = self._requests[block.step]
        for stratum, counts in block.metrics.get(BEGUN, block.metrics.get(ERRORS, {})).items():
            n_c, n_s = rules.get(stratum.rule, (0.0, 0.0))
            rules[stratum.rule] = (n_c + counts.n_c, n_s + counts.n_s)
        if not self.plan.unrouted_before:
            for stratum, counts in block.metrics.get(UNROUTED, {}).items():
                self._unrouted[stratum.caller] += round(counts.n_c)
        for name in self.plan.own_metrics:
            if block.metrics.get(name):  # without samples there are no strata
                before = self._own.get((block.step, name), Own())
                self._own[block.step, name] = before.plus(block.end, total(block.metrics[name].values()))

    def _without_own(self, moment: Moment) -> tuple[Answer, str] | None:
        """The custom metric that has no numbers, which is never a pass; None if all have, or none is asked for."""
        if not 0 <= moment.step < len(self.plan.steps):
            return None
        weight = self.plan.steps[moment.step].weight
        # Where requests are rare a block ends long before now, and its metrics are no older than the others.
        end = next((block.end for block in reversed(self._blocks) if block.step == moment.step), moment.now)
        for name in self.plan.own_metrics:
            known = self._own.get((moment.step, name), Own())
            versions = ((CANARY, known.counts.n_c, weight), (STABLE, known.counts.n_s, 100 - weight))
            lacks = [version for version, requests, part in versions if part > 0 and requests <= 0]
            newest = max(known.newest, moment.settled)
            if lacks:
                text = f"{name} has no requests of {' and '.join(lacks)} since the weights have settled"
                return (Answer.NO_DATA if moment.now - moment.settled >= AWAITED else Answer.HOLD), text
            if end - newest > max(AWAITED, OLD_OWN * self.plan.block_seconds):
                return Answer.NO_DATA, f"the newest numbers of {name} are {moment.now - newest:.0f} s old"
        return None

    def _splits(self, step: int) -> dict[str, Split]:
        """The split of each rule in a step; where users keep their version it is reported, and never wrong."""
        plan = self.plan
        if not 0 <= step < len(plan.steps):
            return {}
        weights = plan.steps[step].weights
        number = sum(len(one.weights) for one in plan.steps)
        found = {}
        for rule, (n_c, n_s) in self._requests.get(step, {}).items():
            if rule not in weights:
                continue
            percent = {CANARY: weights[rule], STABLE: 100 - weights[rule]}
            one = split.judge(percent, {CANARY: n_c, STABLE: n_s}, number)
            if one is not None:
                found[rule] = replace(one, wrong=False) if rule in plan.unjudged else one
        return found

    def _missing(self, coverage: Coverage, moment: Moment) -> str:
        """Why there are no numbers of the step to judge; empty if there are."""
        newest, seconds = coverage.newest, self.plan.block_seconds
        if newest is None:
            return coverage.missing or "there are no numbers since the weights have settled"
        if newest - moment.now > max(seconds, LEAST_OLD):
            return f"the clocks of the numbers and of the API server differ by {newest - moment.now:.0f} s"
        if moment.now - newest > max(OLD * seconds, LEAST_OLD):
            why = f": {coverage.missing}" if coverage.missing else ""
            return f"the newest numbers are {moment.now - newest:.0f} s old{why}"
        rules = self._requests.get(moment.step)
        if rules is None:
            return f"there were {coverage.pending:.0f} requests since the weights have settled, too few to compare"
        weight = self.plan.steps[moment.step].weight
        n_c, n_s = (sum(one) for one in zip(*rules.values(), strict=True)) if rules else (0.0, 0.0)
        for version, requests, part in ((CANARY, n_c, weight), (STABLE, n_s, 100 - weight)):
            if part > 0 and requests <= 0:
                return f"{version} had no requests since the weights have settled"
        return ""


def decide(plan: GatePlan, observation: Observation, moment: Moment) -> Verdict:
    """Return the verdict on a step at a moment, from the blocks alone."""
    return Gate(plan).judge(observation, moment)


def _observed_seconds(plan: GatePlan, coverage: Coverage, moment: Moment) -> float:
    """The time of the step that counts: all of it, or only what was seen where that is too little."""
    elapsed = max(moment.now - moment.settled, 0.0)
    if coverage.expected and coverage.seen >= SEEN * coverage.expected:
        return elapsed
    return min(coverage.seen * plan.block_seconds, elapsed)


def _harmful(
    plan: GatePlan, splits: Mapping[str, Split], metrics: Sequence[MetricEvidence], log_e: float
) -> tuple[Answer, str] | None:
    """Whether the split is wrong, or the canary worse; None if neither is known."""
    for rule, one in splits.items():
        if one.wrong:
            text = f"{one.version} has {one.share:.1f} % of the requests of {rule} instead of {one.weight:g} %"
            return Answer.SPLIT_WRONG, text
    evidence = f"e = {e_words(log_e)} of {1 / plan.alpha:.0f}"
    if log_e >= log(1 / plan.alpha):
        return Answer.HARM, f"the canary is worse ({evidence}): {worst_words(metrics)}"
    if log_e >= log(SUSPICION):
        return Answer.SUSPECT, f"the canary may be worse ({evidence}): {worst_words(metrics)}"
    return None


def _risen(plan: GatePlan, moment: Moment, metrics: Sequence[MetricEvidence], observed: float) -> tuple[Answer, str]:
    """Whether the weight may rise."""
    hold = plan.steps[moment.step].hold_seconds
    if observed < hold:
        return Answer.HOLD, f"{observed:.0f} of {hold:.0f} s have numbers"
    if plan.promote == "hand":
        return Answer.HOLD, "a person promotes each step"
    if plan.promote == "time":
        return Answer.RISE, "nothing speaks against it"
    unproved = _unproved(plan, metrics)
    return (Answer.HOLD, unproved) if unproved else (Answer.RISE, "nothing speaks against it, and it is proved")


def _unproved(plan: GatePlan, metrics: Sequence[MetricEvidence]) -> str:
    """What is not proved for the next weight; empty if all is."""
    for one in metrics:
        if one.difference is None or one.proof_log_e is None or one.proof_log_e >= log(1 / plan.beta):
            continue
        return (
            f"it is not proved yet that {one.name} of the canary are at most {100 * one.difference:.2g} points above "
            f"stable's (e = {e_words(one.proof_log_e)} of {1 / plan.beta:.0f})"
        )
    return ""


def worst_words(metrics: Sequence[MetricEvidence]) -> str:
    """The metric that says most, in words."""
    one = max(metrics, key=lambda metric: log(metric.share) + metric.log_e)
    n_c, n_s, f_c, f_s = one.counts
    if one.name == LIMIT:
        return f"{f_c:.0f} of {n_c:.0f} requests failed, which is above the limit"
    what = {LATENCY: "were slow", CLIENT_ERRORS: "were answered 4xx"}.get(one.name, "failed")
    return f"{one.name}, {f_c:.0f} of {n_c:.0f} {what}, of stable {f_s:.0f} of {n_s:.0f}"


def _lost_words(lost: Mapping[str, int]) -> str:
    """Requests that no version got, by their callers."""
    callers = ", ".join(f"{number} of {caller}" for caller, number in sorted(lost.items()))
    return f"requests found no cluster (NC), so that no version got them: {callers}"


def e_words(log_e: float) -> str:
    """An e-value in words; far beyond what matters it has no digits."""
    return f"{exp(log_e):.3g}" if log_e < 13 else "over 400000"
