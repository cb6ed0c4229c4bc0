"""Routes of TCP and TLS: what is rendered, and which version a connection goes to."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.route_tables import table
from traffic.diff import traffic_diff
from traffic.model import RouteTable, SharedGateway
from traffic.render import own_gateway, places_of_weights, virtual_services
from traffic.simulate import Caller, Connected, Decision, Refused, Request, Simulator, Unrouted
from traffic.words import miss_words

OWN = "broker.broker.svc.cluster.local"
WEIGHTS = {"to": {"version-1": 90, "version-2": 10}}
NAMED = {"match": [{"sniHosts": ["b.example.com"]}], "to": "version-2"}
WEB = {"sourceLabels": {"app": "web"}}
WEB_POD = Caller("web", {"app": "web"})
OTHER_POD = Caller("batch", {"app": "batch"})


def gateway(*servers: dict[str, Any]) -> SharedGateway:
    """A shared Gateway with these servers."""
    return SharedGateway.model_validate({"servers": list(servers)})


TCP = gateway({"port": 7070, "protocol": "TCP", "hosts": ["*"]})
TLS = gateway({"port": 443, "protocol": "TLS", "hosts": ["*.example.com"], "tls": {"mode": "PASSTHROUGH"}})
ENDED = gateway(
    {"port": 443, "protocol": "TLS", "hosts": ["a.example.com"], "tls": {"mode": "SIMPLE", "credentialName": "a"}},
    {"port": 443, "protocol": "TLS", "hosts": ["b.example.com"], "tls": {"mode": "SIMPLE", "credentialName": "b"}},
)


def broker(**given: Any) -> RouteTable:
    """A table with the service broker, of TCP behind the Gateway `edge` if nothing else is given."""
    return table(broker={"protocol": "TCP", "gateways": ["edge"], "port": 7070, "route": [WEIGHTS], **given})


def tls(**given: Any) -> RouteTable:
    """The service broker of TLS, with two hosts."""
    return broker(**{"protocol": "TLS", "hosts": ["a.example.com", "b.example.com"], **given})


def spec(routes: RouteTable, name: str = "broker") -> Any:
    """A VirtualService of the broker."""
    return virtual_services(routes, "broker", gateway_namespace="istio-ingress", version_header="x-served")[name]


def to(version: str, **more: Any) -> dict[str, Any]:
    """A destination of the broker."""
    return {"destination": {"host": OWN, "subset": version, "port": {"number": 7070}}, **more}


SHARED = [to("version-1", weight=90), to("version-2", weight=10)]


def test_connections_of_tcp_are_shared_out_by_weight() -> None:
    assert spec(broker()) == {"hosts": ["*"], "gateways": ["istio-ingress/edge"], "tcp": [{"route": SHARED}]}


def test_inside_the_mesh_a_tcp_route_is_that_of_one_port() -> None:
    routes = broker(hosts=["tcp.example.com"], gateways=["edge", "mesh"])

    assert spec(routes)["tcp"][0]["match"] == [
        {"gateways": ["istio-ingress/edge"]},
        {"port": 7070, "gateways": ["mesh"]},
    ]
    assert spec(broker(gateways=["mesh"], hosts=[]))["tcp"] == [{"match": [{"port": 7070}], "route": SHARED}]


def test_the_host_that_istio_rejects_inside_the_mesh_has_its_own_virtual_service() -> None:
    routes = broker(gateways=["edge", "mesh"])

    assert spec(routes)["gateways"] == ["istio-ingress/edge"]
    assert spec(routes, "broker-mesh")["tcp"] == [{"match": [{"port": 7070}], "route": SHARED}]


def test_callers_are_matched_inside_the_mesh_alone() -> None:
    routes = broker(
        hosts=["tcp.example.com"], gateways=["edge", "mesh"], route=[{"match": [WEB], "to": "version-2"}, WEIGHTS]
    )

    assert spec(routes)["tcp"][0]["match"] == [{"port": 7070, "sourceLabels": {"app": "web"}, "gateways": ["mesh"]}]


def test_a_tls_rule_without_a_match_has_the_server_names_that_are_left() -> None:
    """istiod drops a match as a whole if an earlier one has any of its names (measured)."""
    assert spec(tls(route=[NAMED, WEIGHTS]))["tls"] == [
        {"match": [{"sniHosts": ["b.example.com"]}], "route": [to("version-2")]},
        {"match": [{"sniHosts": ["a.example.com"]}], "route": SHARED},
    ]


def test_each_server_name_is_a_match_of_its_own() -> None:
    assert spec(tls())["tls"][0]["match"] == [{"sniHosts": ["a.example.com"]}, {"sniHosts": ["b.example.com"]}]


def test_a_server_name_that_only_some_callers_take_is_left_for_the_others() -> None:
    named = {"match": [{"sniHosts": ["a.example.com"], "port": 7070}], "to": "version-2"}

    assert spec(tls(route=[named, WEIGHTS]))["tls"][1]["match"] == [
        {"sniHosts": ["a.example.com"]},
        {"sniHosts": ["b.example.com"]},
    ]


def test_inside_the_mesh_the_services_own_name_is_a_server_name() -> None:
    routes = tls(hosts=["a.example.com"], gateways=["edge", "mesh"])

    assert spec(routes)["tls"][0]["match"] == [
        {"sniHosts": ["a.example.com"], "gateways": ["istio-ingress/edge"]},
        {"sniHosts": ["a.example.com"], "port": 7070, "gateways": ["mesh"]},
        {"sniHosts": [OWN], "gateways": ["istio-ingress/edge"]},
        {"sniHosts": [OWN], "port": 7070, "gateways": ["mesh"]},
    ]


@pytest.mark.parametrize(
    ("protocol", "server"),
    [
        ("TCP", {"port": {"number": 7000, "name": "tcp-7000", "protocol": "TCP"}, "hosts": ["a.example.com"]}),
        ("TLS", {"port": {"number": 7000, "name": "tls-7000", "protocol": "TLS"}, "hosts": ["a.example.com"],
                 "tls": {"mode": "PASSTHROUGH"}}),
    ],
)  # fmt: skip
def test_the_own_gateway_speaks_the_services_protocol(protocol: str, server: dict[str, Any]) -> None:
    service = broker(protocol=protocol, gatewayPort=7000, hosts=["a.example.com"])["broker"]

    assert own_gateway(service, {"istio": "x"})["servers"] == [server]


def test_the_place_of_each_rules_weights_is_known() -> None:
    assert places_of_weights(tls(route=[NAMED, WEIGHTS]), "broker") == [("broker", 0), ("broker", 1)]


def decided(routes: RouteTable, shared: SharedGateway | None = None, **more: Any) -> Decision:
    """What happens to a connection."""
    return Simulator(routes, {"edge": shared or TCP}).decide(Request(**more))


def shares(decision: Decision) -> dict[str, float]:
    """The versions that a connection may go to, each with its probability."""
    assert isinstance(decision.outcome, Connected), decision.outcome
    return {share.destination: share.probability for share in decision.outcome.shares}


BOTH = {"version-1": 0.9, "version-2": 0.1}


def test_a_connection_at_a_tcp_port_is_shared_out() -> None:
    decision = decided(broker(), scheme="tcp", port=7070)

    assert (decision.service, decision.gateway, decision.index) == ("broker", "edge", 0)
    assert shares(decision) == BOTH


def test_a_request_at_a_tcp_port_is_only_a_connection() -> None:
    outcome = decided(broker(), port=7070).outcome

    assert outcome == Refused(None, "port 7070 carries connections, in which Envoy sees no request")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.example.com", BOTH),
        ("b.example.com", {"version-2": 1}),
        ("B.Example.com", {"version-2": 1}),
    ],
)
def test_the_server_name_decides(name: str, expected: dict[str, float]) -> None:
    assert shares(decided(tls(route=[NAMED, WEIGHTS]), TLS, scheme="tls", port=443, authority=name)) == expected


@pytest.mark.parametrize("name", ["", "c.example.com"])
def test_a_server_name_that_no_rule_has_gets_no_connection(name: str) -> None:
    assert isinstance(decided(tls(), TLS, scheme="tls", port=443, authority=name).outcome, Refused)


def test_the_more_specific_server_name_decides_whatever_the_order() -> None:
    route = [{"match": [{"sniHosts": ["*.example.com"]}], "to": "version-1"}, NAMED]
    routes = tls(hosts=["*.example.com"], route=route)

    assert shares(decided(routes, TLS, scheme="tls", port=443, authority="b.example.com")) == {"version-2": 1}
    assert shares(decided(routes, TLS, scheme="tls", port=443, authority="c.example.com")) == {"version-1": 1}


def test_where_tls_ends_at_the_gateway_its_server_selects_the_service() -> None:
    routes = {**broker(hosts=["a.example.com"]), **table(other={**OTHER, "hosts": ["b.example.com"]})}

    found = [
        decided(routes, ENDED, scheme="tls", port=443, authority=f"{name}.example.com").service for name in ("a", "b")
    ]

    assert found == ["broker", "other"]


OTHER = {"protocol": "TCP", "gateways": ["edge"]}


def test_callers_inside_the_mesh_are_told_apart() -> None:
    routes = broker(gateways=["mesh"], hosts=[], route=[{"match": [WEB], "to": "version-2"}, WEIGHTS])
    inside: dict[str, Any] = {"scheme": "tcp", "port": 7070, "authority": "broker.broker"}

    assert shares(decided(routes, caller=WEB_POD, **inside)) == {"version-2": 1}
    other = decided(routes, caller=OTHER_POD, **inside)
    assert shares(other) == BOTH
    (passed,) = other.passed
    assert [miss_words(miss) for miss in passed.misses] == [
        "it requires the caller's label app to be web, but it is batch"
    ]


def test_a_route_for_the_gateway_alone_leaves_callers_inside_to_the_service() -> None:
    outcome = decided(broker(), scheme="tcp", port=7070, authority="broker.broker", caller=WEB_POD).outcome

    assert isinstance(outcome, Unrouted)
    assert "any of its pods" in outcome.reason


def test_a_service_of_requests_is_not_led_to_by_a_server_of_connections() -> None:
    routes = table(shop={"gateways": ["edge"]})

    assert isinstance(decided(routes, scheme="tcp", port=7070).outcome, Refused)


def test_the_diff_tells_of_a_connection_whose_weights_change() -> None:
    before, after = (Simulator(broker(route=[{"to": weights}]), {"edge": TCP}) for weights in (
        {"version-1": 90, "version-2": 10}, {"version-1": 50, "version-2": 50}))  # fmt: skip

    (group,) = traffic_diff(before, after).groups

    assert group.witness.request == Request((), scheme="tcp", port=7070)
    assert (group.change.before, group.change.after) == (
        "broker/version-1 90 %, broker/version-2 10 %",
        "broker/version-1 50 %, broker/version-2 50 %",
    )


def test_the_diff_tells_of_a_server_name_that_changes() -> None:
    before, after = (Simulator(tls(route=route), {"edge": TLS}) for route in ([WEIGHTS], [NAMED, WEIGHTS]))

    (group,) = traffic_diff(before, after).groups

    assert group.witness.request.authority == "b.example.com"
    assert group.change.after == "broker/version-2"


@pytest.mark.parametrize(("name", "port"), [("http-admin", 15672), ("tcp-dist", 25672)])
def test_a_further_port_of_a_service_of_connections_goes_to_any_of_its_pods(name: str, port: int) -> None:
    routes = broker(gateways=["mesh"], ports=[{"name": name, "port": port}])
    outcome = inside(routes, port)

    assert isinstance(outcome, Unrouted)
    assert outcome.service == "broker"
    assert outcome.reason.startswith(f"{name} is a further port of broker")
    assert outcome.reason.endswith("sends it to any of its pods, of any version")


def test_a_port_that_a_service_of_connections_does_not_have_is_unknown() -> None:
    outcome = inside(broker(gateways=["mesh"], ports=[{"name": "http-admin", "port": 15672}]), 9)

    assert isinstance(outcome, Unrouted)
    assert outcome.service is None


def inside(routes: RouteTable, port: int) -> Any:
    """What happens to a connection of another pod to this port of the broker."""
    return Simulator(routes).decide(Request(authority="broker.broker", scheme="tcp", port=port, caller=WEB_POD)).outcome
