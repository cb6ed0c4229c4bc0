"""Pods that are slow at first, on real Envoys: with a warm-up they are no harm, and a version that stays slow is.

The old version's pods are old and warm. Of each version's requests 5 % are slow, which is what latency is compared by.
A new pod is cold: all of its requests are as slow for some seconds from its first one on. The last steps need a second
pod of the new version, which the rollout adds in mid-step, and which is as cold as the first one was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from rollout.gates.plan import SUSPICION
from rollout.record import EventType, Phase, Record, Stage, seconds_between
from tests.e2e.rollouts.checkouts import ABORTED, COMPLETED
from tests.e2e.rollouts.journal import PodsWrite, RecordWrite, Write
from tests.e2e.rollouts.judged import STRATEGY, Judged
from tests.e2e.rollouts.trial import Trial, court_of, side_by_side
from tests.e2e.tools import Project

pytestmark = [pytest.mark.under_load, pytest.mark.long]

STACK, NAMESPACE, PLACE = "warm-up", "proofs-warm-up", "proofs-warm-up-front"
RATE = 60
COLD_SECONDS, WARM_UP_SECONDS = 20, 30
"""A warm-up begins when all Envoys have the weights, or a pod is ready, whose first request may be seconds later."""
SLOW_MS = 200
"""Between two of Envoy's bounds, 100 and 250 ms, and far above what a busy machine adds to a fast answer."""
TAIL = (f"-delay={SLOW_MS}ms", "-slow-percent=5")
STEPS = [{"weight": 50, "for": "5s"}, {"weight": 75, "for": f"{COLD_SECONDS + 5}s"}, {"weight": 100}]
"""The second step is so long that the pod which is added for it would be judged as long as it is cold."""
MOST_COMPARED = 3
"""Times the old version's share of slow requests; with all of a cold pod's it would be more, and without about 1."""

COLD, UNPROTECTED, SLOW = "cold", "unprotected", "slow"


def services() -> list[Judged]:
    """All services, each with its only version."""
    warm_ups = {COLD: WARM_UP_SECONDS, UNPROTECTED: 0, SLOW: WARM_UP_SECONDS}
    return [
        Judged(name=name, seed=seed, always=TAIL, replicas=2, strategy=strategy(warm_up))
        for seed, (name, warm_up) in enumerate(warm_ups.items(), start=1)
    ]


def strategy(warm_up: int) -> dict[str, Any]:
    """Steps and gates; the ratio is above the default, so that few requests prove that both versions are the same."""
    return {"steps": STEPS, "gates": {**STRATEGY["gates"], "latency": {"ratio": 2, "warmup": f"{warm_up}s"}}}


def with_new_pods(one: Judged) -> Judged:
    """The service with a further version of one pod, which is cold or always slow."""
    cold = (f"-cold={COLD_SECONDS}s", f"-cold-delay={SLOW_MS}ms")
    flags = {COLD: cold, UNPROTECTED: cold, SLOW: ("-slow-percent=100",)}
    return one.next("v2", *one.usual("v2"), *flags[one.name], replicas=1)


@dataclass(frozen=True)
class WarmUps:
    """What became of the rollouts, and what was written of the pods and the record of the cold version."""

    tried: dict[str, Trial]
    writes: list[Write]

    @property
    def added(self) -> frozenset[str]:
        """The pods of the cold version that became ready after its first weight stood."""
        (settled, *_) = (
            one.revision
            for one in self.writes
            if isinstance(one, RecordWrite) and one.record.step == 0 and one.record.stage is Stage.OBSERVING
        )
        pods = [one for one in self.writes if isinstance(one, PodsWrite)]
        before = frozenset[str]().union(*(one.ready for one in pods if one.revision < settled))
        after = frozenset[str]().union(*(one.ready for one in pods if one.revision > settled))
        return frozenset(pod for pod in after - before if pod.startswith(f"{COLD}-v2-"))


@pytest.fixture(scope="module")
def warm_ups(mesh: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmUps]:
    """All rollouts, side by side."""
    project = Project.create(tmp_path_factory.mktemp("warm-up"), mesh.cluster)
    with court_of(project, STACK, NAMESPACE, PLACE) as (stack, court):
        first = services()
        stack.up(first)
        stack.up([with_new_pods(one) for one in first])
        trials = [partial(court.trial, one.name, RATE, kind="warm-up") for one in first]
        tried = {one.service: one for one in side_by_side(trials, len(trials))}
        yield WarmUps(tried, court.journal.of(COLD))


def record_of(one: Trial) -> Record:
    assert one.record is not None, one.said
    return one.record


def since_first_weight(one: Trial) -> float:
    """Seconds from when the first weight stood to the decision to go back, by the times in the record."""
    record = record_of(one)
    assert record.ended is not None, one
    return seconds_between(record.periods[0].settled_at, record.ended.at)


def goes_back_by_latency(one: Trial) -> None:
    assert one.code == ABORTED, f"{one}\n{one.said}"
    assert "is worse" in one.reason, one
    assert ": latency, " in one.reason, one
    assert (record_of(one).phase, record_of(one).step) == (Phase.ABORTED, 0), f"it had only the first weight: {one}"
    assert one.metric("errors")["e"] < SUSPICION, one
    print(f"{one.service}: taken back {since_first_weight(one):.1f} s after the first weight stood")


def test_what_is_slow_is_told_from_what_is_fast(warm_ups: WarmUps) -> None:
    """Otherwise none of the other tests is about the requests that it means."""
    for one in warm_ups.tried.values():
        gates = record_of(one).plan.gates
        assert gates is not None, one
        assert gates.latency_bound is not None, f"latency was not compared: {one}"
        assert gates.latency_bound < SLOW_MS, one


def test_a_version_that_is_only_cold_is_promoted(warm_ups: WarmUps) -> None:
    one = warm_ups.tried[COLD]
    assert one.code == COMPLETED, f"{one}\n{one.said}"
    assert EventType.SUSPECT not in one.events, one
    latency, errors = one.metric("latency"), one.metric("errors")
    assert latency["e"] < SUSPICION, one
    assert 0 < latency["new"]["requests"] < errors["new"]["requests"], f"only latency leaves requests out: {one}"
    new, old = (latency[version]["failures"] / latency[version]["requests"] for version in ("new", "old"))
    assert new <= MOST_COMPARED * old, f"requests of cold pods were compared: {one}"


def test_a_cold_pod_that_is_added_in_mid_step_is_noted(warm_ups: WarmUps) -> None:
    record, added = record_of(warm_ups.tried[COLD]), warm_ups.added
    assert added, "the last steps need a second pod"
    texts = [entry.text for entry in record.history if entry.type is EventType.POD_STARTED]
    assert any(f"pod {pod} of v2 is new" in text for pod in added for text in texts), f"{added}: {texts}"


def test_the_same_version_goes_back_without_a_warm_up(warm_ups: WarmUps) -> None:
    one = warm_ups.tried[UNPROTECTED]
    goes_back_by_latency(one)
    assert EventType.POD_STARTED not in one.events, one


def test_a_version_that_stays_slow_goes_back_after_its_warm_up(warm_ups: WarmUps) -> None:
    one = warm_ups.tried[SLOW]
    goes_back_by_latency(one)
    assert since_first_weight(one) >= WARM_UP_SECONDS, one
    slow = one.metric("latency")["new"]
    assert slow["failures"] == slow["requests"] > 0, one
