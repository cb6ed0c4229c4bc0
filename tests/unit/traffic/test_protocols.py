"""Named ports: which ports a service has, what is rendered for them, and what Envoy speaks to the pods."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.route_tables import table
from traffic.model import RouteTable, Target
from traffic.render import virtual_services
from traffic.simulate import Caller, Forwarded, Request, Simulator, Unrouted, Upstream, is_grpc, upstream

OWN = "cart.cart.svc.cluster.local"
METRICS = {"name": "http-metrics", "port": 9090}
POD = Caller("web", {"app": "web"})


def cart(**more: Any) -> RouteTable:
    """A table with the service cart, which callers outside and inside the mesh may call."""
    given = {"hosts": ["grpc.example.com"], "gateways": ["cart-gateway", "mesh"], "port": 50051, "protocol": "GRPC"}
    route = [{"to": {"version-1": 90, "version-2": 10}}]
    return table(cart={**given, "route": route, **more})


def specs(routes: RouteTable) -> dict[str, Any]:
    """The VirtualServices of the service cart."""
    return virtual_services(routes, "cart", gateway_namespace="istio-ingress")


def destinations(spec: Any) -> list[Any]:
    """The ports of the destinations of the first route, None where there is none."""
    return [one["destination"].get("port", {}).get("number") for one in spec["http"][0]["route"]]


def test_a_service_with_one_port_has_one_virtual_service_that_names_it() -> None:
    (only,) = specs(cart()).values()

    assert (only["hosts"], only["gateways"]) == (["grpc.example.com", OWN], ["cart-gateway", "mesh"])
    assert destinations(only) == [50051, 50051]


def test_inside_the_mesh_requests_keep_the_port_that_they_are_sent_to() -> None:
    found = specs(cart(ports=[METRICS]))

    assert list(found) == ["cart", "cart-mesh"]
    assert (found["cart"]["hosts"], found["cart"]["gateways"]) == (["grpc.example.com"], ["cart-gateway"])
    assert destinations(found["cart"]) == [50051, 50051], "at the gateway, no port of the service is asked for"
    assert (found["cart-mesh"]["hosts"], found["cart-mesh"]["gateways"]) == (["grpc.example.com", OWN], ["mesh"])
    assert destinations(found["cart-mesh"]) == [None, None]


def test_a_service_for_callers_inside_alone_needs_no_second_virtual_service() -> None:
    (only,) = specs(cart(ports=[METRICS], gateways=["mesh"], hosts=[])).values()

    assert destinations(only) == [None, None]


def test_a_version_of_another_service_gets_requests_at_its_main_port() -> None:
    routes = {**cart(ports=[METRICS], route=[{"to": "shop/version-1"}]), **table(shop={"port": 8080})}

    assert destinations(specs(routes)["cart-mesh"]) == [8080]


@pytest.mark.parametrize("port", [50051, 9090])
def test_the_route_decides_at_every_http_port(port: int) -> None:
    outcome = Simulator(cart(ports=[METRICS])).decide(Request(authority="cart.cart", port=port, caller=POD)).outcome

    assert isinstance(outcome, Forwarded)
    assert [share.probability for share in outcome.shares] == [0.9, 0.1]


def test_a_rule_can_tell_the_ports_apart() -> None:
    rules = [{"match": [{"port": 9090}], "to": "version-2"}, {"to": "version-1"}]
    simulator = Simulator(cart(ports=[METRICS], route=rules))

    decided = [simulator.decide(Request(authority="cart.cart", port=port, caller=POD)).index for port in (9090, 50051)]

    assert decided == [0, 1]


def test_a_further_port_of_tcp_has_no_route_of_requests() -> None:
    routes = cart(ports=[{"name": "tcp-raft", "port": 7000}])

    assert list(specs(routes)) == ["cart"]
    outcome = Simulator(routes).decide(Request(authority="cart.cart", port=7000, caller=POD)).outcome
    assert outcome == Unrouted("cart", "port 7000 carries TCP connections, in which Envoy sees no request")


def test_the_ports_are_the_services_and_those_that_only_a_version_names() -> None:
    versions = {
        "version-1": {"ports": [METRICS, {"name": "grpc-admin", "port": 7000, "targetPort": 7001}]},
        "version-2": {"ports": [{**METRICS, "targetPort": 9191}]},
    }
    service = cart(versions=versions, ports=[METRICS])["cart"]

    assert [port.name for port in service.further_ports] == ["http-metrics", "grpc-admin"]
    assert service.http_ports == (50051, 9090, 7000)
    assert service.container_ports("version-1") == {"http-metrics": 9090, "grpc-admin": 7001}
    assert service.container_ports("version-2") == {"http-metrics": 9191, "grpc-admin": 7001}


POOL = "trafficPolicy"
CLIENT = {"connectionPool": {"http": {"useClientProtocol": True}}}
UPGRADE = {"connectionPool": {"http": {"h2UpgradePolicy": "UPGRADE"}}}
LIMIT = {"connectionPool": {"tcp": {"maxConnections": 1}}}
TLS = {"tls": {"mode": "SIMPLE"}}


@pytest.mark.parametrize(
    ("given", "spoken"),
    [
        ({"protocol": "HTTP"}, Upstream.HTTP1),
        ({"protocol": "GRPC"}, Upstream.HTTP2),
        ({"protocol": "HTTP2"}, Upstream.HTTP2),
        ({"protocol": "HTTP", POOL: CLIENT}, Upstream.AS_CLIENT),
        ({"protocol": "HTTP", POOL: UPGRADE}, Upstream.HTTP2),
        ({"protocol": "GRPC", POOL: TLS}, Upstream.HTTP1),
        ({"protocol": "HTTP", POOL: {**UPGRADE, **TLS}}, Upstream.HTTP1),
        ({"protocol": "GRPC", POOL: {**CLIENT, **TLS}}, Upstream.AS_CLIENT),
        # A version's connectionPool replaces the service's.
        ({"protocol": "HTTP", POOL: CLIENT, "versions": {"version-1": {POOL: LIMIT}}}, Upstream.HTTP1),
        ({"protocol": "HTTP", "versions": {"version-1": {POOL: CLIENT}}}, Upstream.AS_CLIENT),
    ],
)
def test_what_envoy_speaks_to_the_pods(given: dict[str, Any], spoken: Upstream) -> None:
    routes = cart(**{"route": [{"to": "version-1"}], **given})

    assert upstream(routes, Target("cart", "version-1")) is spoken


def test_a_request_of_grpc_is_known_by_its_content_type() -> None:
    assert is_grpc(Request(headers={"Content-Type": "application/grpc+proto"}))
    assert not is_grpc(Request(headers={"content-type": "application/json"}))
