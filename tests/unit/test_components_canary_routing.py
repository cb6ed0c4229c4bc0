"""The routing of a service: three Istio objects from one route."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi

from components.canary_routing import CanaryRouting, CanaryRoutingArgs
from tests.unit.mocks import Deploy, Run, in_cluster
from traffic.model import Match, Route, Rule, StringMatch

TESTERS = Rule(match=(Match(headers={"qa": StringMatch(exact="canary-test")}),), to="version-2")
HOST = "website.website-istio-ns.svc.cluster.local"


def _routing(route: Route, **changes: Any) -> Callable[[], pulumi.Output[Any]]:
    given: dict[str, Any] = {
        "service": "website",
        "namespace": "website-istio-ns",
        "hosts": ["*"],
        "port": 80,
        "versions": ["version-1", "version-2"],
        "route": route,
        "gateway_port": 80,
        "gateway_selector": {"istio": "ingressgateway"},
        **changes,
    }

    def program() -> pulumi.Output[Any]:
        routing = CanaryRouting("website-routing", CanaryRoutingArgs(**given), in_cluster())
        return pulumi.Output.all(routing.gateway, routing.virtual_service, routing.destination_rule)

    return program


def _by_kind(run: Run) -> dict[str, dict[str, Any]]:
    return {resource.inputs["kind"]: resource.inputs for resource in run.custom()}


def test_the_objects_are_those_of_the_website_sample(deploy: Deploy) -> None:
    objects = _by_kind(deploy(_routing((TESTERS, Rule(to="version-1")))))

    assert set(objects) == {"Gateway", "VirtualService", "DestinationRule"}
    for kind, name in (("Gateway", "website-gateway"), ("VirtualService", "website"), ("DestinationRule", "website")):
        assert objects[kind]["apiVersion"] == "networking.istio.io/v1"
        assert objects[kind]["metadata"]["name"] == name
        assert objects[kind]["metadata"]["namespace"] == "website-istio-ns"
    assert objects["Gateway"]["spec"] == {
        "selector": {"istio": "ingressgateway"},
        "servers": [{"port": {"number": 80, "name": "http-80", "protocol": "HTTP"}, "hosts": ["*"]}],
    }
    assert objects["DestinationRule"]["spec"] == {
        "host": HOST,
        "subsets": [
            {"name": "version-1", "labels": {"version": "website-version-1"}},
            {"name": "version-2", "labels": {"version": "website-version-2"}},
        ],
    }
    virtual_service = objects["VirtualService"]["spec"]
    assert virtual_service["gateways"] == ["website-gateway"]
    assert [_subsets(rule) for rule in virtual_service["http"]] == [{"version-2": 100}, {"version-1": 100}]
    assert virtual_service["http"][0]["match"] == [{"headers": {"qa": {"exact": "canary-test"}}}]


def test_a_change_of_weights_changes_the_virtual_service_alone(deploy: Deploy) -> None:
    before, after = (
        deploy(_routing((TESTERS, Rule(to={"version-1": stable, "version-2": 100 - stable})))).inputs()
        for stable in (90, 50)
    )

    assert before.keys() == after.keys()
    changed = [urn for urn in before if before[urn] != after[urn]]
    assert [urn.rpartition("::")[2] for urn in changed] == ["website-routing-virtual-service"]


def test_subsets_are_there_before_a_route_names_them(deploy: Deploy) -> None:
    run = deploy(_routing((Rule(to="version-1"),)))

    needs = run.named("website-routing-virtual-service").depends_on
    assert run.named("website-routing-destination-rule").urn in needs, "Envoy answers 503 for a subset it does not know"
    assert run.named("website-routing-gateway").urn in needs


def test_the_version_header_names_the_version_that_served(deploy: Deploy) -> None:
    objects = _by_kind(deploy(_routing((Rule(to="version-1"),), version_header="x-served-version")))

    (destination,) = objects["VirtualService"]["spec"]["http"][0]["route"]
    assert destination["headers"] == {"response": {"set": {"x-served-version": "version-1"}}}


def test_the_routing_says_what_it_made(deploy: Deploy) -> None:
    run = deploy(_routing((Rule(to="version-1"),)))

    outputs = run.named("website-routing").outputs
    assert outputs is not None
    assert set(outputs) == {"gateway", "virtual_service", "destination_rule"}
    if run.result is not None:  # ids are unknown in a preview
        assert run.result == [f"website-istio-ns/{name}" for name in ("website-gateway", "website", "website")]


def _subsets(rule: dict[str, Any]) -> dict[str, int]:
    return {part["destination"]["subset"]: part.get("weight", 100) for part in rule["route"]}
