"""From raw samples to verdicts: a gateway of two Envoys with lost scrapes, a restart, and changes of weights."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from metrics.prometheus import Series
from metrics.queries import Source
from rollout.gates.blocks import ERRORS, Observation
from rollout.gates.counters import Period, Samples, observe, read_since
from rollout.gates.decide import Answer, Gate, Moment, Verdict, decide
from rollout.gates.fields import Reader, Subset
from rollout.gates.plan import GatePlan
from tests.unit.rollout.gates.simulated import plan_of

READER = Reader(
    service="website",
    source=Source.ENVOY,
    subsets={"version-1": Subset("default", False), "version-2": Subset("default", True)},
)
SETTLING = 4.0
"""Seconds from the write of a step until every Envoy follows."""


@dataclass
class Gateway:
    """Two Envoys, each scraped every 15 s: what they have counted, and the samples that the store has."""

    seed: int
    per_second: float
    stable: float
    canary: float
    lost: float = 0.0
    restart_at: float | None = None
    weight: float = 0.0
    samples: defaultdict[tuple[int, str, str], list[tuple[float, float]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.counted: defaultdict[tuple[int, str, str], float] = defaultdict(float)
        self.started = [-10_000.0, -10_000.0]

    def second(self, now: int) -> None:
        """Requests of a second, then the scrapes that are due."""
        if now == self.restart_at:
            self.started[0] = float(now)
            for key in [key for key in self.counted if key[0] == 0]:
                del self.counted[key]
        for envoy in (0, 1):
            requests = int(self.rng.poisson(self.per_second / 2))
            canary = int(self.rng.binomial(requests, self.weight / 100))
            for version, n, rate in (
                ("version-2", canary, self.canary),
                ("version-1", requests - canary, self.stable),
            ):
                if n:
                    self.counted[envoy, version, "upstream_rq_completed"] += n
                failed = int(self.rng.binomial(n, rate))
                if failed:
                    self.counted[envoy, version, "upstream_rq"] += failed
            if now % 15 == 3 + 6 * envoy and self.rng.random() >= self.lost:
                for key, value in self.counted.items():
                    if key[0] == envoy:
                        self.samples[key].append((float(now), value))
                self.samples[envoy, "", "uptime"].append((float(now), now - self.started[envoy]))

    def read(self) -> Samples:
        counters, uptimes = [], []
        for (envoy, version, statistic), points in self.samples.items():
            labels = {"instance": f"gateway-{envoy}", "job": "pods", "pod": f"gateway-{envoy}"}
            if statistic == "uptime":
                uptimes.append(Series({**labels, "__name__": "envoy_server_uptime"}, tuple(points)))
                continue
            cluster = f"outbound|80|{version}|website.shop.svc.cluster.local"
            labels |= {"__name__": f"envoy_cluster_{statistic}", "cluster_name": cluster}
            if statistic == "upstream_rq":
                labels["response_code_class"] = "5xx"
            counters.append(Series(labels, tuple(points)))
        return Samples(counters=counters, uptimes=uptimes)


def roll_out(gateway: Gateway, plan: GatePlan, seconds: int) -> list[tuple[Samples, Sequence[Period], Moment, Verdict]]:
    """Judge every 15 s, and rise when the verdict says so, until harm, the end of the steps, or `seconds`."""
    gate = Gate(plan)
    seen: list[tuple[Samples, Sequence[Period], Moment, Verdict]] = []
    periods = [Period(step=0, settled=100.0 + SETTLING)]
    for now in range(seconds):
        if now == 100:
            gateway.weight = plan.steps[0].weight
        gateway.second(now)
        if now < 150 or now % 15:
            continue
        samples, moment = gateway.read(), Moment(step=periods[-1].step, settled=periods[-1].settled, now=float(now))
        verdict = gate.judge(observe(samples, READER, periods, now=moment.now), moment)
        seen.append((samples, tuple(periods), moment, verdict))
        if verdict.answer is Answer.HARM:
            break
        if verdict.answer is Answer.RISE:
            last = periods[-1]
            if last.step == len(plan.steps) - 2:
                break
            periods[-1] = Period(step=last.step, settled=last.settled, until=float(now))
            periods.append(Period(step=last.step + 1, settled=now + SETTLING))
            gateway.weight = plan.steps[last.step + 1].weight
    return seen


def plan(rate: float) -> GatePlan:
    found = plan_of(rate)
    steps = tuple(step.model_copy(update={"hold_seconds": 120.0}) for step in found.steps)
    return found.model_copy(update={"steps": steps})


@pytest.mark.parametrize(("lost", "restart_at"), [(0.0, None), (0.05, 400)], ids=["all scrapes", "lost, restarted"])
def test_a_good_version_rises_through_all_steps(lost: float, restart_at: float | None) -> None:
    gateway = Gateway(seed=3, per_second=400, stable=0.01, canary=0.01, lost=lost, restart_at=restart_at)
    seen = roll_out(gateway, plan(0.01), 2400)
    assert seen[-1][3].answer is Answer.RISE
    assert {moment.step for _, _, moment, _ in seen} == {0, 1, 2}
    assert {verdict.answer for *_, verdict in seen} <= {Answer.NO_DATA, Answer.HOLD, Answer.RISE}
    held = [moment for _, _, moment, verdict in seen if verdict.answer is Answer.NO_DATA]
    assert all(moment.now - moment.settled < 60 for moment in held), "only until the first increments of a step"


@pytest.mark.parametrize("lost", [0.0, 0.3])
def test_a_bad_version_is_found_with_lost_scrapes_too(lost: float) -> None:
    gateway = Gateway(seed=4, per_second=100, stable=0.01, canary=0.05, lost=lost, restart_at=120)
    seen = roll_out(gateway, plan(0.01), 1200)
    *_, moment, verdict = seen[-1]
    assert verdict.answer is Answer.HARM
    assert moment.now - moment.settled < 240


def test_a_store_that_is_down_holds_within_two_scrapes() -> None:
    gateway = Gateway(seed=5, per_second=100, stable=0.01, canary=0.01)
    seen = roll_out(gateway, plan(0.01), 300)
    samples, periods, moment, _ = seen[-1]
    newest = max(time for series in samples.counters for time, _ in series.points)
    for late, answer in ((29.0, Answer.RISE), (31.0, Answer.NO_DATA)):
        now = newest + late
        at = Moment(step=moment.step, settled=moment.settled, now=now)
        verdict = decide(plan(0.01), observe(samples, READER, periods, now=now), at)
        assert (verdict.answer is Answer.NO_DATA) == (answer is Answer.NO_DATA)


def test_a_replay_gives_the_same_verdicts_from_all_samples_or_from_those_of_the_time() -> None:
    gateway = Gateway(seed=6, per_second=100, stable=0.01, canary=0.016, lost=0.1, restart_at=300)
    seen = roll_out(gateway, plan(0.01), 1200)
    assert len(seen) > 20
    everything = gateway.read()
    for samples, periods, moment, verdict in seen:
        assert decide(plan(0.01), observe(samples, READER, periods, now=moment.now), moment) == verdict
        later = observe(upto(everything, moment.now), READER, periods, now=moment.now)
        assert decide(plan(0.01), later, moment) == verdict


@pytest.mark.parametrize("seed", [6, 8])
def test_going_on_with_the_newest_samples_gives_the_same_blocks_as_all_samples_at_once(seed: int) -> None:
    gateway = Gateway(seed=seed, per_second=200, stable=0.01, canary=0.011, lost=0.05, restart_at=300)
    seen = roll_out(gateway, plan(0.01), 1200)
    assert len(seen) > 20
    everything = gateway.read()
    going_on = Observation()
    for _, periods, moment, _ in seen:
        # The step before ends with the write that this one's period begins with.
        newest = periods[-2:]
        since = min(read_since(going_on, period) for period in newest)
        part = upto(everything, moment.now, since)
        going_on = observe(part, READER, newest, now=moment.now, earlier=going_on)
        whole = observe(upto(everything, moment.now), READER, periods, now=moment.now)
        assert going_on.blocks == whole.blocks
        assert going_on.coverage == whole.coverage


def upto(samples: Samples, time: float, since: float = 0.0) -> Samples:
    """What the store had at a time."""

    def cut(found: Sequence[Series]) -> list[Series]:
        parts = [Series(one.labels, tuple(point for point in one.points if since <= point[0] <= time)) for one in found]
        return [one for one in parts if one.points]

    return Samples(counters=cut(samples.counters), uptimes=cut(samples.uptimes))


def test_a_restart_counts_no_history() -> None:
    gateway = Gateway(seed=7, per_second=100, stable=0.01, canary=0.01, restart_at=205)
    samples, periods, moment, _ = roll_out(gateway, plan(0.01), 300)[-1]
    found = observe(samples, READER, periods, now=moment.now)
    requests = sum(counts.requests for block in found.blocks for counts in block.metrics[ERRORS].values())
    # Without what was counted around the two writes of weights, and around the restart; before, there were 20,000.
    assert 0.6 * 100 * (moment.now - 104) < requests < 100 * (moment.now - 104)
