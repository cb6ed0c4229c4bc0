"""The admission policy around barred versions; tests/e2e/test_rollout_fence.py has what an API server makes of it."""

from __future__ import annotations

import pulumi
import pytest

from components.rollout_fence import RolloutFence, RolloutFenceArgs, fence_name
from tests.unit.mocks import Deploy, in_cluster

ARGS = RolloutFenceArgs(
    owner="istio-canary/dev", namespaces=["shop", "website", "shop"], annotation="istio-canary/barred", manager="us"
)


def test_it_is_a_policy_and_its_binding_to_the_services_namespaces(deploy: Deploy) -> None:
    def program() -> pulumi.Output[str]:
        return RolloutFence("rollout-fence", ARGS, in_cluster()).policy

    run = deploy(program)
    (policy,), (binding,) = run.of_type(":ValidatingAdmissionPolicy"), run.of_type(":ValidatingAdmissionPolicyBinding")
    assert policy.metadata["name"] == binding.metadata["name"] == "istio-canary-fence.istio-canary.dev"
    assert binding.spec["policyName"] == policy.metadata["name"]
    (selected,) = binding.spec["matchResources"]["namespaceSelector"]["matchExpressions"]
    assert selected["values"] == ["shop", "website"]


def test_a_policy_that_cannot_be_evaluated_stops_no_abort(deploy: Deploy) -> None:
    run = deploy(lambda: RolloutFence("rollout-fence", ARGS, in_cluster()).policy)
    spec = run.of_type(":ValidatingAdmissionPolicy")[0].spec
    assert spec["failurePolicy"] == "Ignore"
    assert "paramKind" not in spec, "the API server may stop to refresh ConfigMaps that are parameters"
    assert [rule["operations"] for rule in spec["matchConstraints"]["resourceRules"]] == [["UPDATE"]]


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        ("istio-canary/dev", "istio-canary-fence.istio-canary.dev"),
        ("Shop_A/Prod", "istio-canary-fence.shop-a.prod"),
    ],
)
def test_its_name_is_one_that_kubernetes_takes(owner: str, name: str) -> None:
    assert fence_name(owner) == name
