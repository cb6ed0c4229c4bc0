"""Which service's route a request gets to: hosts, ports, Gateways, callers in the mesh, as measured on Istio 1.31."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.route_tables import table
from traffic.model import RouteTable, SharedGateway
from traffic.simulate import Caller, Forwarded, Redirected, Refused, Request, Simulator, Unrouted, intersection
from traffic.words import miss_words

POD = Caller("cart", {"app": "cart", "version": "cart-version-1"})


def decided(simulator: Simulator, authority: str, **more: Any) -> str | None:
    """The service whose route decides."""
    return simulator.decide(Request(authority=authority, **more)).service


HOSTS = Simulator(
    table(
        all={},
        shop={"hosts": ["shop.example.com", "www.example.com"]},
        wild={"hosts": ["*.example.com"]},
        deep={"hosts": ["*.eu.example.com"]},
        other={"hosts": ["*"], "gatewayPort": 9191},
    )
)


@pytest.mark.parametrize(
    ("authority", "service"),
    [
        ("shop.example.com", "shop"),
        ("SHOP.example.COM", "shop"),
        ("shop.example.com:80", "shop"),
        ("shop.example.com:9999", "shop"),
        ("www.example.com", "shop"),
        ("shop.example.com.", "all"),
        ("a.example.com", "wild"),
        ("a.b.example.com", "wild"),
        ("a.eu.example.com", "deep"),
        ("eu.example.com", "wild"),
        ("example.com", "all"),
        ("10.0.0.1:30080", "all"),
        ("[fd00::1]:80", "all"),
        ("", "all"),
    ],
)
def test_the_most_specific_host_decides(authority: str, service: str) -> None:
    assert decided(HOSTS, authority) == service


def test_each_port_has_its_own_hosts() -> None:
    assert decided(HOSTS, "shop.example.com", port=9191) == "other"
    closed = HOSTS.decide(Request(port=8080)).outcome
    assert closed == Refused(None, "no Gateway listens on port 8080; open ports: 80, 9191")
    assert HOSTS.decide(Request(scheme="https", port=80)).outcome == Refused(None, "port 80 only speaks HTTP")


def test_a_host_that_no_service_has_is_not_found() -> None:
    outcome = Simulator(table(shop={"hosts": ["shop.example.com"]})).decide(Request(authority="x.example")).outcome
    assert outcome == Refused(404, "no service has the host 'x.example' at gateway port 80")


def test_a_request_that_no_rule_matches_does_not_fall_back_to_another_host() -> None:
    rule = {"match": [{"port": 80, "uri": {"exact": "/a"}}], "to": "version-1"}
    routes = table(all={}, shop={"hosts": ["shop.example.com"], "route": [rule]})
    decision = Simulator(routes).decide(Request(authority="shop.example.com", path="/b"))
    assert decision.outcome == Refused(404, "no rule of shop matches the request")
    assert decision.service == "shop"
    assert [miss_words(miss) for rule in decision.passed for miss in rule.misses] == [
        "it requires the path to be /a, but it is /b"
    ]


def test_a_host_whose_rules_all_apply_elsewhere_does_not_exist() -> None:
    nowhere = [{"match": [{"port": 8080}, {"sourceLabels": {"app": "cart"}}], "to": "version-1"}]
    routes = table(all={}, shop={"hosts": ["shop.example.com"], "route": nowhere})
    assert decided(Simulator(routes), "shop.example.com") == "all", "istiod gives Envoy no host without routes"


SHARED: dict[str, SharedGateway] = {
    "public": SharedGateway.model_validate(
        {
            "servers": [
                {"port": 80, "hosts": ["*.example.com"], "tls": {"httpsRedirect": True}},
                {
                    "port": 443,
                    "protocol": "HTTPS",
                    "hosts": ["*.example.com"],
                    "tls": {"mode": "SIMPLE", "credentialName": "c"},
                },
                {"port": 8080, "hosts": ["shop.example.com", "*.eu.example.com"]},
            ]
        }
    )
}


def shared() -> Simulator:
    """Two services at one Gateway."""
    routes = table(
        shop={"hosts": ["shop.example.com", "shop.other.org"], "gateways": ["public"]},
        eu={"hosts": ["*.com"], "gateways": ["public", "eu-gateway"], "gatewayPort": 9191},
    )
    return Simulator(routes, SHARED)


@pytest.mark.parametrize(
    ("scheme", "port", "authority", "service"),
    [
        ("https", None, "shop.example.com", "shop"),
        ("https", None, "a.example.com", "eu"),
        ("http", 8080, "shop.example.com", "shop"),
        ("http", 8080, "a.eu.example.com", "eu"),
        ("http", 8080, "a.example.com", None),
        ("http", 8080, "shop.other.org", None),
        ("http", 9191, "shop.example.com", "eu"),
        ("https", None, "shop.other.org", None),
    ],
)
def test_a_shared_gateway_accepts_hosts_that_it_shares_with_the_service(
    scheme: str, port: int | None, authority: str, service: str | None
) -> None:
    assert decided(shared(), authority, scheme=scheme, port=port) == service


def test_a_gateway_may_only_serve_https() -> None:
    for authority in ("shop.example.com", "A.example.com:80"):
        outcome = shared().decide(Request(authority=authority, path="/x//y/../z?q=1#f")).outcome
        assert outcome == Redirected(301, f"https://{authority}/x//z?q=1")


def test_only_the_hosts_of_the_given_gateway_count() -> None:
    simulator = Simulator(table(all={}, shop={"hosts": ["shop.example.com"]}))
    assert decided(simulator, "shop.example.com", gateway="all-gateway") == "all"


def test_rules_may_apply_at_one_gateway_or_port() -> None:
    route = [
        {"match": [{"gateways": ["own-gateway"]}], "to": "version-1"},
        {"match": [{"port": 8080}], "to": "version-2"},
        {"match": [{"sourceLabels": {"istio": "ingressgateway"}, "sourceNamespace": "istio-ingress"}], "to": "cart/a"},
    ]
    routes = table(own={"hosts": ["*.example.com"], "gateways": ["own-gateway", "public"], "route": route})
    simulator = Simulator(routes, SHARED)
    assert simulator.decide(Request(authority="a.example.com")).status == 301
    assert simulator.decide(Request(authority="shop.example.com", port=8080)).index == 1
    last = simulator.decide(Request(authority="a.example.com", scheme="https"))
    assert last.index == 2, "at a gateway Istio compares the labels of the gateway's own pod"
    assert [miss_words(miss) for rule in last.passed for miss in rule.misses] == [
        "it requires requests at gateway own-gateway, but this one comes in at gateway public",
        "it requires the port to be 8080, but it is 443",
    ]


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (["*"], ["a.example.com"], ["a.example.com"]),
        (["a.example.com", "*.net"], ["*.example.com", "b.net"], ["a.example.com", "b.net"]),
        (["a.example.com", "*.net"], ["*.b.net"], ["*.b.net"]),
        (["a.example.com"], ["b.example.com"], []),
        (["*.example.com"], ["example.com"], []),
        (["*.a.example.com"], ["*.example.com"], ["*.a.example.com"]),
    ],
)
def test_hosts_that_both_match(one: list[str], other: list[str], both: list[str]) -> None:
    assert intersection(one, other) == intersection(other, one) == both


MESH_ROUTE = [
    {"match": [{"sourceLabels": {"app": "cart"}, "uri": {"prefix": "/label"}}], "to": "version-1"},
    {"match": [{"sourceNamespace": "cart", "uri": {"prefix": "/ns"}}], "to": "version-1"},
    {"match": [{"gateways": ["mesh"], "uri": {"prefix": "/mesh"}}], "to": "version-2"},
]


def mesh(**shop: Any) -> Simulator:
    """A service with rules inside the mesh, and one without."""
    filled = {"hosts": ["shop.example.com", "*.wild.example.com"], "gateways": ["mesh"], "port": 8080, **shop}
    return Simulator(table(shop=filled, cart={}))


@pytest.mark.parametrize(
    "authority",
    [
        "shop.shop", "shop.shop.svc", "shop.shop.svc.cluster.local", "shop.shop.svc.cluster.local.", "SHOP.shop:8080",
        "shop.example.com", "a.wild.example.com",
    ],
)  # fmt: skip
def test_a_service_has_many_names_inside_the_mesh(authority: str) -> None:
    assert decided(mesh(), authority, port=8080, caller=POD) == "shop"


def test_a_short_name_belongs_to_the_callers_namespace() -> None:
    assert decided(mesh(), "shop", port=8080, caller=Caller("shop")) == "shop"
    assert decided(mesh(), "shop", port=8080, caller=POD) is None


def test_other_ports_and_hosts_are_not_routed() -> None:
    for request in (
        Request(authority="shop.shop", caller=POD),
        Request(authority="x.example", port=8080, caller=POD),
    ):
        outcome = mesh().decide(request).outcome
        assert isinstance(outcome, Unrouted)
        assert outcome.service is None


def test_without_mesh_among_its_gateways_a_service_is_not_routed_inside() -> None:
    outcome = mesh().decide(Request(authority="cart", caller=POD)).outcome
    assert isinstance(outcome, Unrouted)
    assert outcome.service == "cart"


@pytest.mark.parametrize(
    ("path", "caller", "index"),
    [
        ("/label", POD, 0),
        ("/ns", POD, 1),
        ("/mesh", POD, 2),
        ("/label", Caller("cart", {"app": "x"}), None),
        ("/ns", Caller("x", {"app": "cart"}), None),
    ],
)
def test_rules_inside_the_mesh_know_the_caller(path: str, caller: Caller, index: int | None) -> None:
    simulator = mesh(route=MESH_ROUTE)
    assert simulator.decide(Request(authority="shop.shop", path=path, port=8080, caller=caller)).index == index


def test_if_no_rule_applies_to_a_caller_the_service_picks_any_pod() -> None:
    simulator = mesh(route=MESH_ROUTE[:1])
    outcome = simulator.decide(Request(authority="shop.shop", path="/label", port=8080, caller=Caller("x"))).outcome
    assert isinstance(outcome, Unrouted), "not 404: istiod gives the sidecar no route at all"
    assert "no rule applies to this caller" in outcome.reason


def test_why_rules_did_not_match_is_given_with_what_the_request_has() -> None:
    route = [
        {"match": [{"headers": {"qa": {"exact": "canary-test"}}}, {"method": {"exact": "POST"}}], "to": "version-2"},
        {"match": [{"sourceLabels": {"app": "x"}}], "to": "version-2"},
        {"match": [{"withoutHeaders": {"x": {"present": True}}}], "to": "version-2"},
        {"match": [{"queryParams": {"a": {"prefix": "b"}}}], "to": "version-2"},
        {"match": [{"cookies": {"user": {"regex": "b+"}}}], "to": "version-2"},
        {"to": "version-1"},
    ]
    request = Request(headers=(("x", "1"), ("x", "2"), ("cookie", "user=a; b=c")), path="/?a=c")
    decision = Simulator(table(shop={"route": route})).decide(request)
    assert isinstance(decision.outcome, Forwarded)
    assert [(passed.index, [miss_words(miss) for miss in passed.misses]) for passed in decision.passed] == [
        (0, ["it requires qa to be canary-test, but the request has no header qa",
             "it requires the method to be POST, but it is GET"]),
        (1, ["it requires the caller's label app to be x, but the request comes from outside the mesh"]),
        (2, ["it requires x not to be present, but it is 1 and 2"]),
        (3, ["it requires the parameter a to begin with b, but it is c"]),
        (4, ["it requires the cookie user to match b+, but it is a"]),
    ]  # fmt: skip


def large_table() -> RouteTable:
    """1,000 services with 10 rules each, made of few different objects, so that the simulator is what is measured."""
    rules = [
        {"match": [{"headers": {"user": {"exact": f"u{n}"}}}, {"uri": {"regex": f"/r{n}/[0-9]+"}}], "to": "version-1"}
        for n in range(9)
    ]
    model = table(model={"route": [*rules, {"to": {"version-1": 90, "version-2": 10}}]})["model"]
    return {
        f"s{n}": model.model_copy(update={"hosts": (f"s{n}.example.com",), "gateways": (f"s{n}-gateway", "mesh")})
        for n in range(1000)
    }


def test_each_of_a_thousand_services_gets_its_own_requests() -> None:
    simulator = Simulator(large_table())
    fired = [
        simulator.decide(Request(path=f"/r{n % 10}/{n}", authority=f"s{n}.example.com")).index for n in range(1000)
    ]
    assert fired == [n % 10 for n in range(1000)]
