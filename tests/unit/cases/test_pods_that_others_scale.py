"""Files of services whose number of pods an autoscaler, or somebody else, decides about."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from stacks.recording import record
from stacks.settings.loading import load_stack, warnings
from stacks.simulator import simulator_of
from traffic.simulate import Request

CASES = Path(__file__).parents[2] / "cases"


@pytest.mark.parametrize("name", ["autoscaled-version", "replicas-left-to-others"])
def test_the_file_is_accepted_splits_requests_and_leaves_the_pods_alone(name: str) -> None:
    expected = yaml.safe_load((CASES / name / "expected.yaml").read_text())
    stack = load_stack(CASES / name / "Pulumi.case.yaml")
    service = stack.settings.services["billing"]

    assert {key: version.scaled_by for key, version in service.deployed.items()} == expected["replicas"]
    assert [warning.path for warning in warnings(stack.settings, stack.source)] == expected["warnings"]
    decision = simulator_of(stack.settings).decide(Request(authority="billing.example.com"))
    assert decision.rule is not None
    assert decision.rule.weights == expected["split"]
    (stable,) = (one for one in record(stack.settings, "case") if one.name == "billing-stable")
    assert "spec.replicas" in stable.ignores
