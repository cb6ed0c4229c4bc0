"""The objects of Flagger: weights or iterations, webhooks that halt, and a metric that fails for harm alone."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.engines.flagger import HOOKS, FlaggerCanary, canary_spec, template_spec
from traffic.model.rollout import RolloutStep, RolloutStrategy
from traffic.model.rollout_gates import RolloutGates

STEPS = (RolloutStep(weight=10.0, for_="2m"), RolloutStep(weight=50.0, for_="5m"), RolloutStep(weight=100.0))


def given(**keys: Any) -> FlaggerCanary:
    own = {key: keys.pop(key) for key in list(keys) if key not in RolloutStrategy.model_fields}
    fields: dict[str, Any] = {
        "service": "website",
        "namespace": "shop",
        "deployment": "website-main",
        "port": 80,
        "target_port": "http",
        "port_name": "http",
        "hosts": ("shop.example.com",),
        "gateways": ("website-gateway",),
        "gate": "http://gate:8087",
    }
    strategy = RolloutStrategy(**{"steps": STEPS, "engine": "flagger", "gates": RolloutGates(), **keys})
    return FlaggerCanary(**(fields | own), strategy=strategy)


def analysis(**keys: Any) -> dict[str, Any]:
    found: dict[str, Any] = canary_spec(given(**keys))["analysis"]
    return found


def test_the_weights_are_those_of_the_steps_but_the_last() -> None:
    assert analysis()["stepWeights"] == [10, 50]
    assert "iterations" not in analysis()


def test_all_requests_at_once_are_iterations() -> None:
    whole = analysis(steps=(RolloutStep(weight=100.0, for_="1m"),))
    assert whole["iterations"] == 6
    assert "stepWeights" not in whole


def test_the_webhooks_halt_or_go_back_and_one_failed_check_goes_back() -> None:
    hooks = {one["type"]: one["url"] for one in analysis()["webhooks"]}
    assert hooks == {kind: f"http://gate:8087/shop/website/{kind}" for kind in HOOKS}
    assert analysis()["threshold"] == 1
    (metric,) = analysis()["metrics"]
    assert metric["thresholdRange"] == {"max": 100.0}
    template = template_spec(given())
    assert template is not None
    assert template["provider"] == {"type": "prometheus", "address": "http://gate:8087"}


@pytest.mark.parametrize(("false_abort", "limit"), [("1%", 100.0), ("0.1%", 1000.0)])
def test_the_metric_fails_from_the_evidence_on_that_is_harm(false_abort: str, limit: float) -> None:
    (metric,) = analysis(gates=RolloutGates(falseAbort=false_abort))["metrics"]
    assert metric["thresholdRange"] == {"max": limit}


def test_without_gates_each_weight_is_kept_for_the_longest_time_of_a_step() -> None:
    found = analysis(gate=None, gates=None)
    assert found == {"interval": "300s", "threshold": 1, "stepWeights": [10, 50]}
    assert template_spec(given(gate=None)) is None


def test_the_canary_replaces_the_deployment_and_keeps_what_the_rule_does() -> None:
    spec = canary_spec(given(rule={"timeout": "5s"}, many_ports=True))
    assert spec["targetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "website-main"}
    assert spec["provider"] == "istio"
    service = spec["service"]
    assert (service["name"], service["port"], service["targetPort"]) == ("website", 80, "http")
    assert (service["timeout"], service["portDiscovery"]) == ("5s", True)
