"""Gateways shared by several services."""

from __future__ import annotations

import pulumi

from components.shared_gateways import SharedGateways, SharedGatewaysArgs
from tests.unit.mocks import Deploy, in_cluster
from traffic.model import SharedGateway

SELECTOR = {"istio": "ingressgateway"}


def test_each_is_a_gateway_in_the_namespace_of_the_gateways_pods(deploy: Deploy) -> None:
    names = ("public", "partners")
    gateways = {
        name: SharedGateway.model_validate({"servers": [{"port": 80, "hosts": [f"{name}.example.com"]}]})
        for name in names
    }
    args = SharedGatewaysArgs(namespace="istio-ingress", selector=SELECTOR, gateways=gateways)

    def program() -> pulumi.Output[list[str]]:
        return SharedGateways("gateways", args, in_cluster()).gateways

    run = deploy(program)
    found = {r.metadata["name"]: r for r in run.custom()}
    assert set(found) == set(names)
    for name, gateway in found.items():
        assert (gateway.inputs["kind"], gateway.metadata["namespace"]) == ("Gateway", "istio-ingress")
        assert gateway.spec["selector"] == SELECTOR
        assert gateway.spec["servers"][0]["hosts"] == [f"{name}.example.com"]
    if run.result is not None:  # ids are unknown in a preview
        assert run.result == [f"istio-ingress/{name}" for name in names]
