"""Gateways of other deployments than the mesh's: each has its own ports, and its own pods."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tests.unit.route_tables import table
from traffic.diff import traffic_diff
from traffic.model import GatewayPods, SharedGateway
from traffic.render import shared_gateway, virtual_services
from traffic.simulate import Refused, Request, Simulator, entries

MESH = GatewayPods("istio-ingress", {"istio": "ingressgateway"})
SERVERS = [{"port": 80, "hosts": ["*"]}]
PUBLIC = SharedGateway.model_validate({"servers": SERVERS})
INTERNAL = SharedGateway.model_validate(
    {"servers": SERVERS, "namespace": "istio-internal", "selector": {"istio": "internal"}}
)
SHOP = {"gateways": ["public"], "hosts": ["shop.example.com"]}
ADMIN = {"gateways": ["internal"], "hosts": ["shop.example.com"]}
BOTH = Simulator(table(shop=SHOP, admin=ADMIN), {"public": PUBLIC, "internal": INTERNAL})


def test_a_gateway_configures_the_meshs_pods_unless_it_names_others() -> None:
    assert (PUBLIC.deployment, PUBLIC.pods(MESH)) == ("", MESH)
    assert INTERNAL.pods(MESH) == GatewayPods("istio-internal", {"istio": "internal"})
    assert SharedGateway.model_validate({"servers": SERVERS, "selector": {"a": "b"}}).pods(MESH).namespace == (
        "istio-ingress"
    )


def test_a_namespace_needs_a_selector() -> None:
    with pytest.raises(ValidationError, match="a namespace without selector"):
        SharedGateway.model_validate({"servers": SERVERS, "namespace": "istio-internal"})


def test_a_gateway_selects_its_pods() -> None:
    assert shared_gateway(INTERNAL, INTERNAL.selector)["selector"] == {"istio": "internal"}


def test_a_route_refers_to_each_gateway_in_its_namespace() -> None:
    routes = table(shop={**SHOP, "gateways": ["public", "internal"]})

    spec = virtual_services(
        routes, "shop", gateway_namespace="istio-ingress", gateway_namespaces={"internal": "istio-internal"}
    )["shop"]

    assert spec["gateways"] == ["istio-ingress/public", "istio-internal/internal"]


@pytest.mark.parametrize(("deployment", "service"), [("", "shop"), (INTERNAL.deployment, "admin")])
def test_one_port_and_host_are_different_services_at_different_gateways(deployment: str, service: str) -> None:
    request = Request(authority="shop.example.com", port=80, deployment=deployment)

    assert BOTH.decide(request).service == service


def test_a_port_is_only_open_where_a_gateway_has_it() -> None:
    simulator = Simulator(table(admin=ADMIN), {"internal": INTERNAL})

    assert isinstance(simulator.decide(Request(authority="shop.example.com", port=80)).outcome, Refused)


def test_labels_of_the_source_are_those_of_the_gateways_own_pods() -> None:
    rules = [{"match": [{"sourceLabels": {"istio": "internal"}}], "to": "version-2"}, {"to": "version-1"}]
    routes = table(shop={**SHOP, "gateways": ["public", "internal"], "route": rules})
    simulator = Simulator(routes, {"public": PUBLIC, "internal": INTERNAL})

    decided = [
        simulator.decide(Request(authority="shop.example.com", port=80, deployment=entry.deployment)).index
        for entry in entries("shop", routes["shop"], simulator.gateways)
    ]

    assert decided == [1, 0]


def test_the_diff_looks_at_every_gateway() -> None:
    def simulator(**admin: Any) -> Simulator:
        return Simulator(table(admin={**ADMIN, **admin}), {"internal": INTERNAL})

    (group,) = traffic_diff(simulator(), simulator(route=[{"to": "version-2"}])).groups

    assert group.witness.request.deployment == "istio-internal/istio=internal"
