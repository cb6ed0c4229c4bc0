"""The routing of a service: three Istio objects from one route."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi

from components.canary_routing import CanaryRouting, CanaryRoutingArgs
from tests.unit.mocks import Deploy, Run, in_cluster
from tests.unit.route_tables import service

HOST = "website.website-istio-ns.svc.cluster.local"
TESTERS = {"match": [{"headers": {"qa": {"exact": "canary-test"}}}], "to": "version-2"}
ALL = {"to": "version-1"}


def _routing(
    *route: dict[str, Any], version_header: str | None = None, **more: Any
) -> Callable[[], pulumi.Output[Any]]:
    website = service("website", namespace="website-istio-ns", route=route, **more)
    args = CanaryRoutingArgs(
        service="website",
        namespace="website-istio-ns",
        routes={"website": website, "shop": service("shop")},
        gateway_namespace="istio-ingress",
        gateway_selector={"istio": "ingressgateway"},
        version_header=version_header,
    )

    def program() -> pulumi.Output[Any]:
        routing = CanaryRouting("website-routing", args, in_cluster())
        return pulumi.Output.all(routing.gateway, routing.virtual_services, routing.destination_rule)

    return program


def _by_kind(run: Run) -> dict[str, dict[str, Any]]:
    return {resource.inputs["kind"]: resource.inputs for resource in run.custom()}


def test_the_website_sample_has_gateway_virtual_service_and_destination_rule(deploy: Deploy) -> None:
    objects = _by_kind(deploy(_routing(TESTERS, ALL)))

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
        deploy(_routing(TESTERS, {"to": {"version-1": stable, "version-2": 100 - stable}})).inputs()
        for stable in (90, 50)
    )

    assert before.keys() == after.keys()
    changed = [urn for urn in before if before[urn] != after[urn]]
    assert [urn.rpartition("::")[2] for urn in changed] == ["website-routing-virtual-service"]


def test_subsets_exist_before_a_route_names_them(deploy: Deploy) -> None:
    run = deploy(_routing(ALL))

    needs = run.named("website-routing-virtual-service").depends_on
    assert run.named("website-routing-destination-rule").urn in needs, "Envoy answers 503 for a subset it does not know"
    assert run.named("website-routing-gateway").urn in needs


def test_the_version_header_names_the_version_that_served(deploy: Deploy) -> None:
    objects = _by_kind(deploy(_routing(ALL, version_header="x-served-version")))

    (destination,) = objects["VirtualService"]["spec"]["http"][0]["route"]
    assert destination["headers"] == {"response": {"set": {"x-served-version": "version-1"}}}


def test_the_outputs_name_the_objects(deploy: Deploy) -> None:
    run = deploy(_routing(ALL))

    outputs = run.named("website-routing").outputs
    assert outputs is not None
    assert set(outputs) == {"gateway", "virtual_services", "destination_rule"}
    if run.result is not None:  # ids are unknown in a preview
        in_namespace = "website-istio-ns/"
        assert run.result == [f"{in_namespace}website-gateway", [f"{in_namespace}website"], f"{in_namespace}website"]


def test_a_service_with_shared_gateways_has_no_own_gateway(deploy: Deploy) -> None:
    run = deploy(_routing(ALL, gateways=["public"]))

    objects = _by_kind(run)
    assert set(objects) == {"VirtualService", "DestinationRule"}
    assert objects["VirtualService"]["spec"]["gateways"] == ["istio-ingress/public"]


def test_a_wildcard_host_with_callers_inside_the_mesh_needs_two_virtual_services(deploy: Deploy) -> None:
    run = deploy(_routing(ALL, gateways=["website-gateway", "mesh"]))

    objects = {name: run.named(f"website-routing{name}-virtual-service") for name in ("", "-mesh")}
    assert {name: resource.metadata["name"] for name, resource in objects.items()} == {
        "": "website",
        "-mesh": "website-mesh",
    }
    subsets = run.named("website-routing-destination-rule").urn
    assert all(subsets in resource.depends_on for resource in objects.values())


def test_a_policy_changes_the_destination_rule_alone(deploy: Deploy) -> None:
    policy = {"loadBalancer": {"simple": "ROUND_ROBIN"}}
    before = deploy(_routing(ALL)).inputs()
    after = deploy(_routing(ALL, trafficPolicy=policy)).inputs()

    changed = [urn for urn in before if before[urn] != after[urn]]
    assert [urn.rpartition("::")[2] for urn in changed] == ["website-routing-destination-rule"]


def _subsets(rule: dict[str, Any]) -> dict[str, int]:
    return {part["destination"]["subset"]: part.get("weight", 100) for part in rule["route"]}
