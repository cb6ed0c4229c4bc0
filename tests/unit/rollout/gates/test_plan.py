"""The plan of the gates: defaults, what is fixed at the start, and that it can be kept in a record."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.gates.blocks import ATTEMPTS, ERRORS, LATENCY, LIMIT
from rollout.gates.history import History
from rollout.gates.plan import GatePlan, GateStep, gate_plan, gate_steps, shares, tolerance_of
from tests.unit.rollout.sample_records import record, strategy
from traffic.model.rollout_gates import RolloutGates

STEPS = (
    GateStep(rule="default", weight=10, weights={"default": 10.0}, hold_seconds=600),
    GateStep(rule="default", weight=100, weights={"default": 100.0}),
)
HISTORY = History(rate=0.005, requests=1e6, phi=1.1)
SLOW = History(rate=0.06, requests=1e6, phi=2.0)


def planned(histories: dict[str, History] | None = None, bound: float | None = 50.0, **gates: Any) -> GatePlan:
    known = {ERRORS: HISTORY, ATTEMPTS: HISTORY, LATENCY: SLOW} if histories is None else histories
    return gate_plan(RolloutGates.model_validate(gates), STEPS, known, latency_bound=bound)


@pytest.mark.parametrize(("rate", "tolerance"), [(0.0, 0.001), (0.0005, 0.001), (0.005, 0.0025), (0.05, 0.025)])
def test_the_tolerance_auto(rate: float, tolerance: float) -> None:
    assert tolerance_of(rate) == tolerance


def test_the_shares_of_alpha() -> None:
    assert shares((ERRORS, ATTEMPTS, LATENCY)) == {ERRORS: 0.5, ATTEMPTS: 0.25, LATENCY: 0.25}
    assert shares((ERRORS,)) == {ERRORS: 1.0}
    assert sum(shares((ERRORS, ATTEMPTS, LATENCY, "empty-carts", LIMIT)).values()) == pytest.approx(1)


def test_the_defaults() -> None:
    found = planned()
    assert (found.alpha, found.beta, found.promote, found.tolerance) == (0.01, 0.05, "proof", 0.0025)
    assert (found.limit, found.limit_share, found.latency_bound) == (None, 0.0, 50.0)
    errors, attempts, latency = found.metrics
    assert (errors.name, errors.share, errors.tolerated, errors.margin, errors.least) == (
        ERRORS, 0.5, 1.0, 0.0025, 0.0025,
    )  # fmt: skip
    assert (attempts.name, attempts.tolerated, attempts.margin, attempts.least) == (ATTEMPTS, 1.5, None, 0)
    assert (latency.name, latency.tolerated, latency.phi_history) == (LATENCY, 1.5, 2.0)
    assert latency.margin == pytest.approx(0.03), "half as many slow requests again"


def test_what_a_file_says_instead() -> None:
    found = planned(
        tolerance="0.2%",
        falseAbort="0.1%",
        confidence="99%",
        promote="time",
        attempts={"enabled": False},
        latency={"ratio": 2.0},
        custom=[{"name": "empty-carts", "failures": "a", "requests": "b", "ratio": 1.2}],
        limits={"errors": "2%"},
    )
    assert (found.alpha, found.beta, found.promote, found.tolerance) == (0.001, 0.01, "time", 0.002)
    assert [(one.name, one.share, one.tolerated) for one in found.metrics] == [
        (ERRORS, 0.4, 1.0),
        (LATENCY, 0.2, 2.0),
        ("empty-carts", 0.2, 1.2),
    ]
    assert (found.limit, found.limit_share) == (0.02, 0.2)


def test_a_history_that_is_too_short_says_nothing_about_the_tolerance() -> None:
    found = planned({ERRORS: History(rate=0.2, requests=100, phi=None)})
    assert found.tolerance == 0.001
    assert found.metrics[0].phi_history is None
    assert planned({}).metrics[0].stable_rate == 0


def test_without_a_bound_latency_is_not_compared() -> None:
    assert [one.name for one in planned(bound=None).metrics] == [ERRORS, ATTEMPTS]
    assert planned(bound=None).latency_bound is None
    off = planned(latency={"enabled": False})
    assert [one.name for one in off.metrics] == [ERRORS, ATTEMPTS]
    assert off.latency_bound is None


def test_what_must_be_excluded_before_a_step() -> None:
    found = planned()
    errors, attempts, _ = found.metrics
    assert found.difference(errors, 0) == pytest.approx(0.0025)
    assert found.difference(attempts, 0) is None
    assert found.difference(errors, 1) is None, "after the last step there is nothing to prove"


def test_a_plan_comes_back_from_its_json() -> None:
    found = planned(limits={"errors": "2%"})
    assert GatePlan.model_validate_json(found.model_dump_json()) == found


def test_the_steps_are_those_of_the_records_plan() -> None:
    plan = record(strategy()).plan
    steps = gate_steps(plan, "version-2")
    assert [step.weight for step in steps] == [step.weight for step in plan.steps]
    assert [step.weights for step in steps] == [{"default": step.weight} for step in plan.steps]
    assert [step.hold_seconds for step in steps] == [step.hold_seconds for step in plan.steps]
