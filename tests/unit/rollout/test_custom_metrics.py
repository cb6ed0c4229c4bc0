"""Custom metrics from a Prometheus to verdicts: one that is worse is harm, and one without samples is never a pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from metrics.prometheus import Series
from rollout.gate_reader import GateReader, GateReading
from rollout.gates.decide import Answer
from rollout.record import Record
from tests.unit.rollout.gates.test_gate_on_samples import Gateway
from tests.unit.rollout.records import later
from tests.unit.rollout.test_gate_reader import PAST, ZERO, Store, answers, fixed
from traffic.model.rollout_gates import RolloutGates

GATES = RolloutGates.model_validate(
    {
        "promote": "time",
        "latency": {"enabled": False},
        "custom": [{"name": "empty-carts", "failures": "shop_carts_empty_total", "requests": "shop_carts_total"}],
    }
)


@dataclass
class Shop(Store):
    """A Prometheus that scrapes the counters of the versions' own pods, too, unless it does not find them."""

    empty: dict[str, float] = field(default_factory=dict)
    """Share of empty carts by version."""
    is_scraped: bool = True
    carts: dict[tuple[str, str], list[tuple[float, float]]] = field(default_factory=dict)
    counted: dict[tuple[str, str], float] = field(default_factory=dict)

    def second(self, now: int) -> None:
        """The requests of a second: each is a cart."""
        self.gateway.second(now)
        rng = np.random.default_rng([7, now])
        canary = int(rng.binomial(60, self.gateway.weight / 100))
        for version, number in (("version-2", canary), ("version-1", 60 - canary)):
            empty = int(rng.binomial(number, self.empty[version]))
            for name, more in (("shop_carts_total", number), ("shop_carts_empty_total", empty)):
                key = version, name
                self.counted[key] = self.counted.get(key, 0.0) + more
                if now % 15 == 5 and self.is_scraped:
                    self.carts.setdefault(key, []).append((float(now), self.counted[key]))

    def samples(self, query: str, at: float | None = None) -> Sequence[Series]:
        name = query.partition("[")[0]
        if not name.startswith("shop_carts"):
            return super().samples(query, at)
        return [
            Series(
                {"__name__": name, "version": version, "instance": version, "job": "shop", "pod": f"shop-{version}"},
                tuple((ZERO + time, value) for time, value in points if at is None or ZERO + time <= at),
            )
            for (version, of), points in self.carts.items()
            if of == name
        ]


def shop(canary: float, *, is_scraped: bool = True) -> Shop:
    gateway = Gateway(seed=1, per_second=60, stable=0.01, canary=0.01)
    found = Shop(gateway, empty={"version-1": 0.03, "version-2": canary}, is_scraped=is_scraped)
    for second in range(PAST):
        found.second(second)
    return found


def go_on(store: Shop, record: Record, seconds: int, lost_at: int | None = None) -> list[GateReading]:
    """Read each 15 s, until harm or a rise."""
    reader, found = GateReader(), []
    store.gateway.weight = 10
    for second in range(seconds):
        store.is_scraped = store.is_scraped and second != lost_at
        store.second(PAST + second)
        if second % 15 != 14:
            continue
        reading = reader.read(record, later(second + 1), store.client)
        assert reading is not None
        found.append(reading)
        if reading.verdict is not None and reading.verdict.answer in (Answer.HARM, Answer.RISE):
            break
    return found


def reason(readings: Sequence[GateReading]) -> str:
    verdict = readings[-1].verdict
    assert verdict is not None
    return verdict.reason


def test_a_custom_metric_that_is_worse_is_harm_although_no_request_fails() -> None:
    store = shop(canary=0.3)
    readings = go_on(store, fixed(store, GATES), 1200)
    assert answers(readings)[-1] is Answer.HARM
    assert "empty-carts, " in reason(readings)
    assert any("shop_carts_empty_total[" in one for one in readings[-1].asked.queries)


def test_a_custom_metric_that_is_as_good_lets_the_step_rise() -> None:
    store = shop(canary=0.03)
    assert answers(go_on(store, fixed(store, GATES), 1200))[-1] is Answer.RISE


def test_a_custom_metric_without_samples_is_no_data_and_never_a_pass() -> None:
    store = shop(canary=0.03, is_scraped=False)
    readings = go_on(store, fixed(store, GATES), 600)
    found = answers(readings)
    assert Answer.RISE not in found
    assert found[2] is Answer.HOLD, "in the first minute it is awaited"
    assert set(found[4:]) == {Answer.NO_DATA}
    assert reason(readings) == "empty-carts has no requests of canary and stable since the weights have settled"


def test_a_custom_metric_whose_samples_end_is_no_data_after_a_minute() -> None:
    store = shop(canary=0.03)
    record = fixed(store, GATES.model_copy(update={"promote": "hand"}))
    readings = go_on(store, record, 300, lost_at=120)
    assert answers(readings)[-1] is Answer.NO_DATA
    assert reason(readings).startswith("the newest numbers of empty-carts are ")
    assert Answer.NO_DATA not in answers(readings)[2:11], "until a minute after the last one"


def test_failures_are_harm_although_a_custom_metric_has_no_samples() -> None:
    store = shop(canary=0.03, is_scraped=False)
    store.gateway.canary = 0.06
    readings = go_on(store, fixed(store, GATES), 1200)
    assert answers(readings)[-1] is Answer.HARM
    assert "errors, " in reason(readings) or "attempts, " in reason(readings)
