"""The planner: the tables of requests, what earlier steps show, and the ways out of a plan that cannot decide."""

from __future__ import annotations

import math
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.gates.blocks import ERRORS, LATENCY
from rollout.gates.harm import Harm
from rollout.gates.plan import GateMetric, GatePlan, GateStep, latency_margin, tolerance_of
from rollout.gates.planner import forecast, harm_requests, proof_requests, refusals
from rollout.gates.proof import Proof
from tests.unit.rollout.gates.drawn import counts, strata
from traffic.model.rollout import RolloutDeadline
from traffic.model.rollout_gates import RolloutGates

WEIGHTS = (10.0, 30.0, 50.0, 100.0)


def plan_at(rate: float, weights: tuple[float, ...] = WEIGHTS, hold: float = 600.0, **changes: object) -> GatePlan:
    margin = tolerance_of(rate)
    metric = GateMetric(name=ERRORS, share=0.5, stable_rate=rate, margin=margin, least=margin)
    steps = tuple(
        GateStep(rule="default", weight=weight, weights={"default": weight}, hold_seconds=hold) for weight in weights
    )
    return GatePlan(tolerance=margin, metrics=(metric,), steps=steps).model_copy(update=changes)


@pytest.mark.parametrize(
    ("rate", "ratio", "at_10", "at_50"),
    [
        (0.001, 2, 441_000, 165_000),
        (0.001, 5, 47_000, 18_500),
        (0.001, 10, 14_800, 6_100),
        (0.005, 2, 88_200, 32_900),
        (0.005, 5, 9_400, 3_700),
        (0.01, 2, 44_100, 16_500),
        (0.01, 5, 4_700, 1_900),
        (0.05, 2, 8_800, 3_300),
        (0.05, 5, 940, 370),
    ],
)
def test_the_requests_until_harm_is_found_are_those_of_the_table(
    rate: float, ratio: float, at_10: float, at_50: float
) -> None:
    plan = plan_at(rate)
    for share, expected in ((0.1, at_10), (0.5, at_50)):
        assert harm_requests(plan, plan.metrics[0], share, ratio) == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (0.001, (35_600, 28_600, 68_900)),
        (0.005, (21_100, 19_000, 52_800)),
        (0.01, (10_400, 9_400, 26_300)),
        (0.05, (1_900, 1_800, 5_000)),
    ],
)
def test_the_requests_until_the_proof_are_those_of_the_table(rate: float, expected: tuple[float, ...]) -> None:
    plan = plan_at(rate)
    found = [proof_requests(plan, plan.metrics[0], step) for step in range(3)]
    assert found == pytest.approx(expected, rel=0.02)


def quantile(taken: list[int], part: float = 0.9) -> float:
    return sorted(taken)[round(part * len(taken))] / 4


@pytest.mark.parametrize(("rate", "per_second", "share", "ratio"), [(0.005, 50, 0.1, 5.0), (0.01, 50, 0.5, 2.0)])
def test_the_plan_of_harm_is_about_what_nine_of_ten_runs_take(
    rate: float, per_second: float, share: float, ratio: float
) -> None:
    plan = plan_at(rate)
    planned = harm_requests(plan, plan.metrics[0], share, ratio) / per_second / 60
    taken = []
    for seed in range(80):
        harm, blocks = Harm(), 0
        rows = counts(seed, 400, requests=15 * per_second, share=share, stable=rate, canary=rate * ratio)
        while harm.log_e < math.log(200):
            harm.add(15.0 * blocks, strata(rows[blocks]))
            blocks += 1
        taken.append(blocks)
    assert 0.7 <= quantile(taken) / planned <= 1.4


@pytest.mark.parametrize(("rate", "per_second", "step"), [(0.01, 50, 2), (0.05, 50, 0)])
def test_the_plan_of_the_proof_is_about_what_nine_of_ten_runs_take(rate: float, per_second: float, step: int) -> None:
    plan = plan_at(rate)
    metric, share = plan.metrics[0], plan.steps[step].weight / 100
    planned = proof_requests(plan, metric, step) / per_second / 60
    taken = []
    for seed in range(80):
        proof, blocks = Proof(plan.difference(metric, step) or 0, rate), 0
        rows = counts(seed, 400, requests=15 * per_second, share=share, stable=rate, canary=rate)
        while proof.log_e < math.log(20):
            proof.add(strata(rows[blocks]))
            blocks += 1
        taken.append(blocks)
    assert 0.6 <= quantile(taken) / planned <= 1.5


def test_a_plan_says_what_is_found_within_a_step() -> None:
    first, second, third, last = forecast(plan_at(0.005), 50)
    assert first.found == pytest.approx({2.0: 29, 5.0: 3.1, 10.0: 1.0}, rel=0.05)
    assert (first.smallest, second.smallest, third.smallest) == (5.0, 5.0, 5.0)
    assert first.proof == pytest.approx(7.0, rel=0.02)
    assert (last.proof, last.smallest, last.found[10.0]) == (None, None, inf), "at 100 % there is nothing to compare"
    assert first.minutes == 10
    assert first.deadline == 30


def test_harm_is_never_found_in_less_than_two_blocks() -> None:
    first = forecast(plan_at(0.05), 5000)[0]
    assert first.found[10.0] == 0.5


def test_a_scatter_of_the_past_makes_everything_slower() -> None:
    calm = plan_at(0.005)
    scattered = calm.model_copy(update={"metrics": (calm.metrics[0].model_copy(update={"phi_history": 4.0}),)})
    for one, other in zip(forecast(calm, 50)[:3], forecast(scattered, 50)[:3], strict=True):
        assert other.found[2.0] == pytest.approx(4 * one.found[2.0])
    assert forecast(scattered, 50)[0].proof == pytest.approx(4 * (forecast(calm, 50)[0].proof or 0))


def test_what_earlier_steps_show_counts() -> None:
    plan = plan_at(0.001)
    alone = proof_requests(plan, plan.metrics[0], 2)
    assert proof_requests(plan, plan.metrics[0], 2, [(0.3, 20_000)]) < alone
    assert proof_requests(plan, plan.metrics[0], 2, [(0.3, 1e7)]) == 0
    assert proof_requests(plan, plan.metrics[0], 2, [(0.3, 0.0)]) == pytest.approx(alone)


@settings(deadline=None)
@given(st.floats(0.0001, 0.2), st.floats(0.02, 0.98), st.floats(1.2, 20))
def test_harm_that_is_larger_is_found_earlier(rate: float, share: float, ratio: float) -> None:
    plan = plan_at(rate)
    one, other = (harm_requests(plan, plan.metrics[0], share, value) for value in (ratio, ratio * 1.5))
    assert 0 < other < one


@settings(deadline=None)
@given(st.floats(0.0001, 0.2), st.floats(1, 98))
def test_less_traffic_takes_longer(rate: float, weight: float) -> None:
    plan = plan_at(rate, (weight, 100.0))
    (slow, _), (fast, _) = forecast(plan, 5), forecast(plan, 50)
    assert slow.proof == pytest.approx(10 * (fast.proof or 0), rel=1e-6)
    assert slow.deadline >= 2 * (slow.proof or 0), "auto leaves time for the proof"


def test_without_traffic_nothing_is_ever_known() -> None:
    first = forecast(plan_at(0.005), 0)[0]
    assert (first.proof, first.found[10.0], first.smallest) == (inf, inf, None)
    found = refusals(plan_at(0.005), 0, [1800.0] * 4)
    assert "longer than anybody waits" in found[0].what
    assert found[0].ways_out == ("promote: time, which asks for no harm within `for` and for no proof",)


def test_a_step_that_cannot_decide_before_its_deadline_is_refused_with_the_ways_out() -> None:
    plan = plan_at(0.001)
    found = refusals(plan, 5, [1800.0] * 4)
    assert [one.step for one in found] == [0, 1, 2]
    assert found[0].what == (
        "step 1: at 5 requests/s and 10 %, that 30 % is safe takes about 119 min to prove, and its deadline is 30 min"
    )
    deadline, tolerance, time = found[0].ways_out
    assert deadline == "a deadline of 3h or more, deadline: {step: 3h}"
    assert tolerance == "tolerance: 0.28% or more"
    assert time.startswith("promote: time")


def test_each_way_out_is_enough() -> None:
    plan = plan_at(0.01, (5.0, 60.0, 100.0))
    (one,) = refusals(plan, 20, [1200.0, None, None])
    weight = next(float(way.split()[3]) for way in one.ways_out if way.startswith("a weight"))
    assert 5 < weight < 60
    assert not refusals(plan_at(0.01, (weight, 60.0, 100.0)), 20, [1200.0, None, None])
    tolerance = next(float(way.split()[1].rstrip("%")) for way in one.ways_out if way.startswith("tolerance")) / 100
    wider = plan.model_copy(update={"metrics": (plan.metrics[0].model_copy(update={"margin": tolerance}),)})
    assert not refusals(wider, 20, [1200.0, None, None])
    minutes = next(way.split()[3] for way in one.ways_out if way.startswith("a deadline"))
    assert not refusals(plan, 20, [60 * float(minutes.rstrip("m")), None, None])
    assert not refusals(plan.model_copy(update={"promote": "time"}), 20, [1200.0, None, None])


def test_the_deadline_auto_is_only_bounded_by_that_of_the_rollout() -> None:
    plan = plan_at(0.001)
    assert refusals(plan, 5) == ()
    (one,) = refusals(plan, 5, total=3 * 3600.0)
    assert one.what.startswith("all steps together take about 5.")
    assert not refusals(plan, 5, total=24 * 3600.0)


def test_each_way_out_of_a_rollout_that_takes_too_long_is_enough() -> None:
    plan, total = plan_at(0.001), 4 * 3600.0
    (one,) = refusals(plan, 5, total=total)
    assert one.ways_out[0].endswith("deadline: {total: 7h}")
    assert not refusals(plan, 5, total=7 * 3600.0)
    for way in one.ways_out:
        if way.startswith("a weight"):
            weights = [step.weight for step in plan.steps]
            weights[one.step] = float(way.split()[3])
            assert way.endswith(f"in step {one.step + 1}")
            assert not refusals(plan_at(0.001, tuple(weights)), 5, total=total)
        if way.startswith("tolerance"):
            margin = float(way.split()[1].rstrip("%")) / 100
            wider = plan.model_copy(update={"metrics": (plan.metrics[0].model_copy(update={"margin": margin}),)})
            assert not refusals(wider, 5, total=total)
    assert any(way.startswith("tolerance") for way in one.ways_out)


def test_no_way_out_is_more_than_a_file_may_say() -> None:
    plan = plan_at(0.4).model_copy(update={"tolerance": 0.4})
    for per_second in (1e-7, 1e-4, 1.0):
        for one in refusals(plan, per_second, [600.0] * 4, 86400.0):
            for way in one.ways_out:
                if way.startswith("tolerance"):
                    RolloutGates.model_validate({"tolerance": way.split()[1]})
                if way.startswith("a deadline"):
                    RolloutDeadline.model_validate({"step": way.split()[3]})


def test_latency_must_be_proved_too() -> None:
    plan = plan_at(0.05)
    slow = GateMetric(
        name=LATENCY, share=0.25, tolerated=1.5, stable_rate=0.05, margin=latency_margin(0.05, 1.5), phi_history=8.0
    )
    both = plan.model_copy(update={"metrics": (*plan.metrics, slow)})
    assert (forecast(both, 50)[0].proof or 0) == pytest.approx(8 * (forecast(plan, 50)[0].proof or 0))


def test_a_weight_that_bounds_the_loss_needs_no_proof() -> None:
    plan = plan_at(0.5, (0.1, 0.2, 100.0))
    assert forecast(plan, 50)[0].proof == 0
    assert math.isfinite(forecast(plan, 50)[1].proof or 0)


def test_a_version_that_never_failed_is_planned_with() -> None:
    assert math.isfinite(forecast(plan_at(0.0), 50)[0].proof or 0)
