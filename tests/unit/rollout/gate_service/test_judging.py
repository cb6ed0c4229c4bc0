"""The verdicts on a canary that another engine moves: those of the gates, on counters of a simulated gateway."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import pytest

from metrics.prometheus import Prometheus, PrometheusError, Sample, Series
from rollout.background import Background, Done, Job
from rollout.gate_reader import GateReader
from rollout.gate_service.following import Seen
from rollout.gate_service.judging import UNKNOWN_AFTER, GateAnswer, ServiceGate
from rollout.gates.decide import Answer
from tests.unit.rollout.gate_service.targets import START, at, target
from tests.unit.rollout.gates.test_gate_on_samples import Gateway

PAST = 2400
"""Seconds of requests before the canary."""
ZERO = datetime.fromisoformat(START).timestamp() - PAST


class AtOnce(Background):
    """Jobs that are done when they have been started."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(threading.Event(), clock)

    def start(self, name: str, key: Hashable, job: Job) -> None:
        value = job(lambda: True)
        self._done[name] = (key, Done(value, self._clock()))


@dataclass
class Store:
    """A Prometheus that has scraped a gateway; `down` says that it does not answer."""

    gateway: Gateway
    down: bool = False

    def samples(self, query: str, at: float | None = None) -> Sequence[Series]:
        self._answer()
        over = re.search(r"\[([0-9]+)s\]$", query)
        assert over is not None, query
        found = self.gateway.read()
        series = found.uptimes if query.startswith("envoy_server_uptime") else found.counters
        return self._late(series, int(over[1]), at) if "__name__=~" in query or series is found.uptimes else ()

    def instant(self, query: str) -> Sequence[Sample]:
        self._answer()
        return ()

    def _answer(self) -> None:
        if self.down:
            raise PrometheusError("http://prometheus", "connection refused", "start it")

    def _late(self, series: Sequence[Series], over: int, at: float | None) -> Sequence[Series]:
        newest = max((time for one in series for time, _ in one.points), default=0.0)
        until = newest if at is None else at - ZERO
        return [
            Series(
                dict(one.labels),
                tuple((ZERO + time, value) for time, value in one.points if until - over < time <= until),
            )
            for one in series
        ]


class World:
    """A service under load, its gate, and an engine that does what a test says."""

    def __init__(self, canary: float) -> None:
        self.gateway = Gateway(seed=1, per_second=60, stable=0.01, canary=canary)
        for second in range(PAST):
            self.gateway.second(second)
        self.store, self.now = Store(self.gateway), 0
        reader, prometheus = GateReader(), cast(Prometheus, self.store)
        self.gate = ServiceGate(
            target(),
            lambda record, now: reader.read(record, now, prometheus),
            lambda: float(self.now),
            AtOnce,
        )
        self.written = 0
        self.answer = self.gate.answer

    def weigh(self, weight: float) -> None:
        """What the engine does."""
        self.gateway.weight, self.written = weight, self.now

    def run(self, seconds: int, *until: Answer) -> GateAnswer:
        """Some seconds, with a look each, until one of these answers."""
        for _ in range(seconds):
            self.gateway.second(PAST + self.now)
            self.now += 1
            self.answer = self.gate.look(Seen(at=at(self.now), weight=self.gateway.weight, written=at(self.written)))
            if self.answer.answer in until:
                break
        return self.answer


def begun(canary: float = 0.01) -> World:
    world = World(canary)
    world.run(5)
    world.weigh(10)
    return world


def test_without_a_canary_there_is_nothing_to_judge() -> None:
    answer = World(0.01).run(3)
    assert (answer.answer, answer.is_idle, answer.passes, answer.harm) == (Answer.HOLD, True, False, False)


def test_a_good_canary_may_rise_at_each_step_and_not_before_its_time() -> None:
    world = begun()
    for weight in (10, 50):
        world.weigh(weight)
        early = world.run(55)
        assert not early.passes, "the step is kept for 60 s"
        assert world.run(3000, Answer.RISE, Answer.HARM).passes
        assert world.answer.weight == weight
    assert world.answer.metrics["errors"]["requests"]["new"] > 0


def test_a_bad_canary_is_harm_and_never_may_rise() -> None:
    world = begun(canary=0.05)
    answer = world.run(1200, Answer.RISE, Answer.HARM)
    assert (answer.answer, answer.harm, answer.passes) == (Answer.HARM, True, False)
    assert answer.e >= 100


def test_a_prometheus_that_does_not_answer_is_neither_a_pass_nor_harm() -> None:
    world = begun()
    world.store.down = True
    answer = world.run(300, Answer.RISE, Answer.HARM)
    assert (answer.answer, answer.passes, answer.harm) == (Answer.NO_DATA, False, False)
    assert "connection refused" in answer.reason
    world.store.down = False
    assert world.run(3000, Answer.RISE, Answer.HARM).passes, "it goes on where it can be asked again"


def test_a_prometheus_that_fails_in_mid_step_holds_what_was_about_to_rise() -> None:
    world = begun()
    assert world.run(3000, Answer.RISE).passes
    world.store.down = True
    answer = world.run(60, Answer.NO_DATA)
    assert (answer.answer, answer.passes) == (Answer.NO_DATA, False)


@pytest.mark.parametrize("weight", [30.0, None], ids=["no step", "no weight"])
def test_a_weight_that_is_no_step_is_no_data(weight: float | None) -> None:
    world = begun()
    world.run(30)
    answer = world.gate.look(Seen(at=at(40), weight=weight, written=at(39)))
    assert answer.answer is Answer.NO_DATA
    assert "no step" in answer.reason


def test_an_answer_that_nobody_renews_says_nothing() -> None:
    world = begun()
    assert world.run(3000, Answer.RISE).passes
    world.now += int(UNKNOWN_AFTER) + 1
    late = world.gate.answer
    assert (late.answer, late.passes) == (Answer.NO_DATA, False)


def test_the_next_canary_is_judged_by_its_own_requests() -> None:
    world = begun(canary=0.05)
    assert world.run(1200, Answer.HARM).harm
    world.weigh(0)
    assert world.run(30).is_idle
    world.gateway.canary = 0.01
    world.weigh(10)
    answer: Any = world.run(60, Answer.HARM)
    assert not answer.harm
