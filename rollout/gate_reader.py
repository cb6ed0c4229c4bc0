"""Judges a running rollout by its gates, block by block: from the record and the samples of Prometheus to verdicts.

One reader for each run: it keeps what it has computed. Without that, after a kill or on another machine, the same
blocks are read again from the samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from metrics.prometheus import PrometheusError
from rollout.decision import GatesFixed
from rollout.gate_history import gates_fixed, read_past
from rollout.gate_samples import CLOCK, Asked, NotComparableError, is_over, observed, seconds_of
from rollout.gates.blocks import CLIENT_ERRORS, Coverage, Observation
from rollout.gates.counters import Period
from rollout.gates.decide import Gate, Moment, Verdict
from rollout.gates.plan import GatePlan
from rollout.gates.replay import Decisions
from rollout.record import Record, StepPeriod
from rollout.warm_ups import spans

if TYPE_CHECKING:
    from metrics.prometheus import Prometheus

ReadGates = Callable[[Record, str], "GateReading | None"]
"""What the gates say now, from the record and the API server's time; None for a record without gates."""

BOUNDS_EVERY, BOUNDS_BY_BLOCK = 30.0, 0.1
"""Seconds after which bounds are computed again, at least, and for each block: it takes half a second for 1,000."""


@dataclass(frozen=True, kw_only=True)
class GateReading:
    """What was read for one look at a record: `key` says which step of which rollout it is about.

    Either `fixed`, for a record without a plan of its gates, or a `verdict`; `text` says why neither is there.
    `decisions` are those so far, and `bounds` says for metrics that are proved how much worse the new version may be.
    """

    key: tuple[str, int, str | None]
    fixed: GatesFixed | None = None
    verdict: Verdict | None = None
    text: str = ""
    asked: Asked = field(default_factory=Asked)
    decisions: Decisions | None = None
    bounds: Mapping[str, float] = field(default_factory=dict)


def key_of(record: Record) -> tuple[str, int, str | None]:
    """Return what a reading is about: a verdict on another step, or on an earlier time of it, says nothing."""
    return record.id, record.step, record.settled_at


class GateReader:
    """The gates of one rollout, from reading to reading; another rollout begins anew."""

    def __init__(self) -> None:
        self._known: tuple[str, GatePlan, _Judge] | None = None

    def read(self, record: Record, now: str, prometheus: Prometheus) -> GateReading | None:
        """Return what the gates say at the API server's time `now`; None if the record has none, or nothing to judge.

        A Prometheus that does not answer is no data, not an error.
        """
        gates = record.strategy.gates
        if gates is None or record.phase.goes_back or not record.phase.active:
            return None
        try:
            if record.plan.gates is None:
                past = read_past(record, gates, prometheus, seconds_of(now))
                return GateReading(key=key_of(record), fixed=gates_fixed(record, gates, past))
            if record.settled_at is None:
                return None
            return self._judge(record, record.plan.gates).judged(record, record.settled_at, now, prometheus)
        except (PrometheusError, NotComparableError) as error:
            return GateReading(key=key_of(record), text=str(error))

    def _judge(self, record: Record, plan: GatePlan) -> _Judge:
        if self._known is None or self._known[:2] != (record.id, plan):
            self._known = (record.id, plan, _Judge(plan))
        return self._known[2]


class _Judge:
    """What is known of one rollout: its blocks, the evidence of its gate, and its decisions."""

    def __init__(self, plan: GatePlan) -> None:
        self._plan = plan
        self._gate = Gate(plan)
        self._observation = Observation()
        self._decisions = Decisions(plan=plan)
        self._asked = Asked()
        self._bounds: dict[str, float] = {}
        self._bounded_at = 0.0
        self._over = 0
        """How many of the record's periods are over, and known."""

    def judged(self, record: Record, settled_at: str, now: str, prometheus: Prometheus) -> GateReading:
        """Read what is new, and judge the step of the record."""
        at = seconds_of(now)
        moment = Moment(step=record.step, settled=seconds_of(settled_at), now=at)
        try:
            self._observe(record, at, prometheus)
        except PrometheusError as error:
            self._lack(record.step, str(error))
        verdict = self._gate.judge(self._observation, moment)
        self._decisions = kept(self._decisions, self._observation, moment, verdict)
        blocks = len(self._observation.blocks)
        if blocks and at - self._bounded_at >= max(BOUNDS_EVERY, BOUNDS_BY_BLOCK * blocks):
            self._bounded_at = at
            proved = [one.name for one in verdict.metrics if one.difference is not None]
            self._bounds = {name: self._gate.evidence.bound(name) for name in proved}
        return GateReading(
            key=key_of(record), verdict=verdict, asked=self._asked, decisions=self._decisions, bounds=self._bounds
        )

    def _observe(self, record: Record, at: float, prometheus: Prometheus) -> None:
        every, gates = self._plan.block_seconds, record.strategy.gates
        periods = [_period(one) for one in record.periods[self._over :]]
        parts = observed(
            prometheus,
            record,
            periods,
            now=at,
            block_seconds=every,
            bound=self._plan.latency_bound,
            client_errors=self._plan.has(CLIENT_ERRORS),
            custom=gates.custom if gates else (),
            warming=spans(record),
            earlier=self._observation,
        )
        for self._observation, self._asked in parts:  # what was read before one fails is kept
            pass
        self._over += sum(is_over(one, at, every) for one in periods)

    def _lack(self, step: int, why: str) -> None:
        """There is no answer: what is known grows older."""
        known = self._observation.coverage.get(step, Coverage())
        coverage = {**self._observation.coverage, step: replace(known, missing=why)}
        self._observation = replace(self._observation, coverage=coverage)


def kept(decisions: Decisions, observation: Observation, moment: Moment, verdict: Verdict) -> Decisions:
    """Return the decisions with one more; of a row of the same answers the first and the last one are kept."""
    seen = decisions.seen
    row = [one for one in seen[-2:] if one.answer is verdict.answer and one.moment.step == moment.step]
    if len(row) == 2:
        decisions = replace(decisions, seen=seen[:-1])
    return decisions.and_then(observation, moment, verdict)


def _period(one: StepPeriod) -> Period:
    """A time of the record, without its first and last moment: clocks may differ by so much."""
    until = None if one.until is None else max(seconds_of(one.until) - CLOCK, seconds_of(one.settled_at) + CLOCK)
    return Period(step=one.step, settled=seconds_of(one.settled_at) + CLOCK, until=until)
