"""What a rollout's gates compare with, from the past of the version that it comes from; fixed when it starts.

Six hours, or as much as there is, and not more than a store of many short scrapes can be asked for at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from metrics.durations import promql_duration
from metrics.queries import Queries, Source
from rollout.decision import GatesFixed
from rollout.gate_samples import Asked, counters_of, observed, scope_of
from rollout.gates.blocks import ERRORS, UNROUTED, Block, Observation, total
from rollout.gates.counters import Period
from rollout.gates.history import History, history_of
from rollout.gates.latency import choose_bound
from rollout.gates.plan import KNOWN, GatePlan, gate_plan, gate_steps
from rollout.gates.planner import forecast
from rollout.record import Record
from rollout.verbs import SHORTEST_STEP_DEADLINE
from traffic.fields import seconds
from traffic.model.rollout_gates import RolloutGates, percent

if TYPE_CHECKING:
    from metrics.prometheus import Prometheus

LONGEST = 6 * 3600.0
MOST_SCRAPES = 2400
"""Scrapes of each Envoy that are read at most: 40 minutes of one each second, 6 hours of one each 15 s."""
HOUR = 3600.0


@dataclass(frozen=True, kw_only=True)
class Past:
    """The past of the version that a rollout comes from: by metric, and its requests a second in the last hour.

    `bound` is that of slow requests, in milliseconds, None if there is none; `unrouted` are requests of the callers
    that found no cluster, of whichever service. `counts_unrouted` is False where the callers do not count them.
    """

    seconds: float
    per_second: float = 0.0
    bound: float | None = None
    unrouted: float = 0.0
    counts_unrouted: bool = True
    histories: Mapping[str, History] = field(default_factory=dict)


def read_past(record: Record, gates: RolloutGates, prometheus: Prometheus, now: float) -> Past:
    """Return the past until `now`, in seconds since 1970; raises PrometheusError, and NotComparableError."""
    every = counters_of(record).scrape_seconds
    long = min(LONGEST, MOST_SCRAPES * every)
    bound = _bound(record, gates, prometheus, long) if gates.latency.enabled else None
    period = Period(step=0, settled=now - long, until=now)
    found, asked = Observation(), Asked()
    for found, asked in observed(  # noqa: B007 - the last ones know all
        prometheus,
        record,
        (period,),
        now=now,
        block_seconds=every,
        bound=bound,
        client_errors=gates.client_errors.enabled,
        custom=gates.custom,
    ):
        pass
    blocks = tuple(block for block in found.blocks if block.metrics)
    names = (*KNOWN, *(metric.name for metric in gates.custom))
    histories = {name: history_of(name, blocks) for name in names}
    return Past(
        seconds=sum(block.end - block.start for block in blocks),
        per_second=_per_second(blocks, now),
        bound=bound,
        unrouted=sum(total(block.metrics.get(UNROUTED, {}).values()).n_c for block in blocks),
        counts_unrouted=asked.counts_unrouted,
        histories={name: history for name, history in histories.items() if history.requests},
    )


def gates_fixed(record: Record, gates: RolloutGates, past: Past) -> GatesFixed:
    """Return what a rollout that starts now compares with, and the automatic deadlines of its steps."""
    plan = gate_plan_of(record, gates, past)
    return GatesFixed(
        plan=plan, deadline_seconds=deadlines(record, plan, past.per_second), text=_text(record, plan, past)
    )


def gate_plan_of(record: Record, gates: RolloutGates, past: Past) -> GatePlan:
    """Return the plan of the gates with this past."""
    return gate_plan(
        gates,
        gate_steps(record.plan, record.target.version),
        past.histories,
        latency_bound=past.bound,
        block_seconds=counters_of(record).scrape_seconds,
        unrouted_before=past.unrouted > 0,
    )


def deadlines(record: Record, plan: GatePlan, per_second: float) -> tuple[float, ...]:
    """Return the automatic deadline of each step in seconds; where a proof would take for ever, that of the rollout."""
    total = seconds(record.strategy.deadline.total)
    found = (step.deadline * 60 for step in forecast(plan, per_second))
    return tuple(min(max(one, SHORTEST_STEP_DEADLINE), total) for one in found)


def _bound(record: Record, gates: RolloutGates, prometheus: Prometheus, long: float) -> float | None:
    """The bound that tells slow requests of the old version from others."""
    queries = Queries(Source(counters_of(record).source))
    found = prometheus.instant(queries.durations(scope_of(record), promql_duration(long)))
    buckets = {
        float(sample.labels.get("le", "nan").replace("+Inf", "inf")): sample.value
        for sample in found
        if sample.labels.get("version") == record.from_.version and 0 <= sample.value < inf
    }
    chosen = choose_bound(buckets, percent(gates.latency.tail))
    return None if chosen is None else chosen[0]


def _per_second(blocks: Sequence[Block], now: float) -> float:
    """All requests to both versions in the last hour, or in what is known of it."""
    late = [block for block in blocks if block.end > now - HOUR]
    long = sum(block.end - block.start for block in late)
    requests = sum(counts.requests for block in late for counts in block.metrics.get(ERRORS, {}).values())
    return requests / long if long else 0.0


def _text(record: Record, plan: GatePlan, past: Past) -> str:
    """What is fixed, in words."""
    errors = past.histories.get(ERRORS)
    tolerance = f"tolerance {100 * plan.tolerance:.3g} points"
    if past.unrouted:
        unrouted = f"{past.unrouted:.0f} requests of its callers found no cluster (NC)"
        tolerance = f"{tolerance}; {unrouted}, so that these are not judged"
    if not past.counts_unrouted:
        tolerance = f"{tolerance}; its callers do not count requests that find no cluster (NC): these are not judged"
    if errors is None:
        return f"nothing is known of {record.from_.version} before the rollout; {tolerance}"
    known = f"{100 * errors.rate:.3g} % of {errors.requests:.0f} requests to {record.from_.version} failed before"
    slow = f"; slow is above {plan.latency_bound:g} ms" if plan.latency_bound is not None else ""
    scatter = "" if errors.phi is not None else "; too short a past to know whether failures come in bursts"
    return f"{known}; {tolerance}{slow}{scatter}"
