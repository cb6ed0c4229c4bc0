"""The objects of Argo Rollouts: steps, analyses that never pass without a yes, and what they name."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.engines.argo import NEVER, ArgoRollout, rollout_spec, template_specs
from traffic.model.rollout import RolloutDeadline, RolloutStep, RolloutStrategy
from traffic.model.rollout_gates import RolloutGates

STEPS = (RolloutStep(weight=10.0, for_="2m"), RolloutStep(weight=50.0, approve=True), RolloutStep(weight=100.0))
GATE = "http://gate:8087/shop/website"


def given(gate: str | None = GATE, **keys: Any) -> ArgoRollout:
    own = {key: keys.pop(key) for key in list(keys) if key not in RolloutStrategy.model_fields}
    strategy = RolloutStrategy(**{"steps": STEPS, "engine": "argo", "gates": RolloutGates(), **keys})
    fields: dict[str, Any] = {
        "service": "website",
        "deployment": "website-main",
        "replicas": 3,
        "routes": {"website": ("rollout",)},
    }
    return ArgoRollout(**(fields | own), strategy=strategy, gate=gate)


def steps(**keys: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = rollout_spec(given(**keys))["strategy"]["canary"]["steps"]
    return found


def rise(**keys: Any) -> dict[str, Any]:
    metric: dict[str, Any] = template_specs(given(**keys))["website-rise"]["metrics"][0]
    return metric


ASKED = {"analysis": {"templates": [{"templateName": "website-rise"}]}}


def test_each_step_but_the_last_is_a_weight_its_time_its_gate_and_its_approval() -> None:
    assert steps() == [
        {"setWeight": 10},
        {"pause": {"duration": "120s"}},
        ASKED,
        {"setWeight": 50},
        ASKED,
        {"pause": {}},
    ]


def test_without_gates_a_step_is_kept_for_its_time_alone() -> None:
    assert steps(gate=None, gates=None) == [
        {"setWeight": 10},
        {"pause": {"duration": "120s"}},
        {"setWeight": 50},
        {"pause": {}},
    ]
    assert template_specs(given(gate=None)) == {}
    assert "analysis" not in rollout_spec(given(gate=None))["strategy"]["canary"]


def test_by_hand_a_person_ends_each_step() -> None:
    assert steps(gates=RolloutGates(promote="hand")) == [
        {"setWeight": 10},
        {"pause": {"duration": "120s"}},
        {"pause": {}},
        {"setWeight": 50},
        {"pause": {}},
    ]


def test_the_rollout_takes_the_pods_of_the_deployment_and_names_routes_and_subsets() -> None:
    spec = rollout_spec(given())
    assert spec["workloadRef"] == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": "website-main",
        "scaleDown": "onsuccess",
    }
    assert spec["strategy"]["canary"]["trafficRouting"]["istio"] == {
        "virtualService": {"name": "website", "routes": ["rollout"]},
        "destinationRule": {"name": "website", "stableSubsetName": "stable", "canarySubsetName": "canary"},
    }
    assert spec["strategy"]["canary"]["scaleDownDelaySeconds"] == 3600
    assert spec["strategy"]["canary"]["analysis"] == {"templates": [{"templateName": "website-harm"}]}


def test_two_virtual_services_are_named_both() -> None:
    routes = {"website": ("rollout",), "website-mesh": ("rollout",)}
    istio = rollout_spec(given(routes=routes))["strategy"]["canary"]["trafficRouting"]["istio"]
    assert "virtualService" not in istio
    assert [one["name"] for one in istio["virtualServices"]] == ["website", "website-mesh"]


def test_a_number_of_pods_that_somebody_else_decides_is_left_out() -> None:
    assert "replicas" not in rollout_spec(given(replicas=None))
    assert rollout_spec(given())["replicas"] == 3


def test_no_answer_and_no_data_neither_pass_nor_fail() -> None:
    for template in template_specs(given()).values():
        (metric,) = template["metrics"]
        assert metric["failureCondition"] == "result.harm == true"
        assert metric["consecutiveErrorLimit"] == NEVER
        assert "failureLimit" not in metric, "the first harm goes back"
    assert rise()["successCondition"] == "result.pass == true"
    assert rise()["inconclusiveLimit"] == rise()["count"], "a hold lasts until the deadline, and is then inconclusive"
    assert rise()["consecutiveSuccessLimit"] == 1, "without it, the count would end the step as passed"


@pytest.mark.parametrize(
    ("deadline", "seconds"),
    [({}, 600), ({"step": "30m"}, 1800)],
)
def test_a_step_waits_for_its_gate_until_its_deadline(deadline: dict[str, str], seconds: int) -> None:
    assert rise(deadline=RolloutDeadline(**deadline))["count"] * 10 == seconds


def test_the_automatic_deadline_is_three_times_the_longest_step() -> None:
    long = (RolloutStep(weight=10.0, for_="1h"), RolloutStep(weight=100.0))
    assert rise(steps=long)["count"] * 10 == 3 * 3600
