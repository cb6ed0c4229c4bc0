"""A request for each rule of a route, to measure it at the gateway."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.requests_and_matches import MATCHES, route
from tests.unit.route_tables import service
from traffic.model import Route, Rule, SharedGateway
from traffic.reach import covered_by
from traffic.sample import NoSample, sample_request
from traffic.simulate import Request, Simulator, rule_for


def sampled(rules: Route, index: int, seed: int = 0, **shop: Any) -> Request | NoSample:
    """A request for a rule of the service `shop`, which has this route."""
    return sample_request(one_service(rules, **shop), "shop", index, seed=seed)


def one_service(rules: Route, **shop: Any) -> Simulator:
    """A table of one service with this route."""
    return Simulator({"shop": service("shop", **shop).model_copy(update={"route": rules})}, GATEWAYS)


def gateway(*servers: dict[str, Any]) -> SharedGateway:
    """A shared Gateway."""
    return SharedGateway.model_validate({"servers": list(servers)})


TLS = {"mode": "SIMPLE", "credentialName": "cert"}
GATEWAYS = {
    "public": gateway(
        {"port": 80, "hosts": ["*.example.com"], "tls": {"httpsRedirect": True}},
        {"port": 443, "protocol": "HTTPS", "hosts": ["*.example.com"], "tls": TLS},
    ),
    "open": gateway({"port": 8080, "hosts": ["*"]}, {"port": 8443, "protocol": "HTTPS", "hosts": ["*"], "tls": TLS}),
}


def test_the_simplest_request_is_preferred() -> None:
    rules = route({"headers": {"qa": {"exact": "canary-test"}}}, None)

    assert sampled(rules, 0, hosts=["shop.example.com"]) == Request(
        headers={"qa": "canary-test"}, authority="shop.example.com", port=80
    )
    assert sampled(rules, 1) == Request(port=80)


def test_a_wildcard_gets_a_concrete_host() -> None:
    found = sampled(route(None), 0, hosts=["*.example.com"], gatewayPort=9191)
    assert found == Request(authority="canary-verify.example.com:9191", port=9191)


@pytest.mark.parametrize("want", [{"prefix": "eu."}, {"prefix": "eu"}, {"regex": r"eu\..*"}])
def test_a_host_for_a_wildcard_begins_as_the_rule_requires(want: dict[str, str]) -> None:
    found = sampled(route({"authority": want}, None), 0, hosts=["*.example.com"], gatewayPort=9191)
    assert isinstance(found, Request), found
    assert found.authority.startswith("eu")
    assert found.authority.endswith(".example.com:9191"), "clients send a port that is not the scheme's"


def test_a_host_is_set_if_rules_match_on_it() -> None:
    rules = route({"authority": {"prefix": "10."}}, None)
    assert sampled(rules, 1) == Request(authority="canary-verify.invalid", port=80), (
        "left out, the gateway's address would be sent, which the first rule might take"
    )


def test_a_gateway_that_only_serves_https_gets_https() -> None:
    found = sampled(route(None), 0, hosts=["shop.example.com"], gateways=["public"])
    assert found == Request(authority="shop.example.com", scheme="https", port=443)


def test_a_rule_may_choose_the_gateway_or_port() -> None:
    rules = route({"port": 8443}, {"scheme": {"exact": "https"}}, {"gateways": ["shop-gateway"]}, None)
    asked: dict[str, Any] = {"gateways": ["open", "shop-gateway"], "gatewayPort": 9191}
    found = [sampled(rules, index, **asked) for index in range(4)]
    assert [(request.scheme, request.port) for request in found if isinstance(request, Request)] == [
        ("https", 8443), ("http", 9191), ("http", 8080),
    ]  # fmt: skip
    assert isinstance(found[1], NoSample), "https is spoken on 8443 alone, which the first rule takes"


@pytest.mark.parametrize("match", [{"gateways": ["mesh"]}, {"sourceLabels": {"app": "cart"}}, {"sourceNamespace": "n"}])
def test_a_rule_for_callers_inside_is_not_measured_at_the_gateway(match: dict[str, Any]) -> None:
    rules = route(match, None)
    sample = sampled(rules, 0, gateways=["shop-gateway", "mesh"])
    assert sample == NoSample(
        "rule 1 applies to callers inside the mesh, and requests are measured at the gateway", inside=True
    )
    assert isinstance(sampled(rules, 1, gateways=["shop-gateway", "mesh"]), Request)


def test_a_service_inside_is_not_measured_at_the_gateway() -> None:
    sample = sampled(route(None), 0, gateways=["mesh"], hosts=[])
    assert sample == NoSample(
        "the route only applies inside the mesh, and requests are measured at the gateway", inside=True
    )


def test_a_port_without_a_route_of_the_service_is_reported() -> None:
    sample = sampled(route({"port": 8080}, None), 0)
    assert sample == NoSample("rule 1 requires a gateway or port at which the service has no route")


def test_a_sticky_rule_gets_a_request_of_a_new_user() -> None:
    weights = {"version-1": 50, "version-2": 50}
    rules = (Rule.model_validate({"to": weights, "sticky": {"cookie": "v", "ttl": "1h"}}),)
    assert sampled(rules, 0) == Request(port=80)


SAMPLED: list[tuple[str, list[dict[str, Any] | None]]] = [
    ("a browser", [{"headers": {"user-agent": {"regex": ".*Firefox.*"}}}, None]),
    ("a number", [{"headers": {"user-id": {"regex": "[1-9][0-9]{0,3}"}}}, None]),
    ("case ignored", [{"headers": {"x": {"regex": "(?i)canary"}}}, None]),
    ("a path", [{"uri": {"regex": "/api/v[0-9]+/.*"}}, {"uri": {"prefix": "/api/"}}, {"uri": {"exact": "/a"}}, None]),
    ("a method", [{"method": {"exact": "POST"}}, {"method": {"regex": "P.*"}}, None]),
    (
        "a prefix after one of its values",
        [{"headers": {"x": {"exact": "ca"}}}, {"headers": {"x": {"prefix": "ca"}}}, None],
    ),
    ("the rest of what a header forbids", [{"withoutHeaders": {"x": {"exact": "a"}}}, None]),
    ("the rest of what a regex forbids", [{"withoutHeaders": {"x": {"regex": "[a-c]+"}}}, None]),
    ("any value but one", [{"headers": {"x": {"present": True}}, "withoutHeaders": {"x": {"exact": "any"}}}, None]),
    ("a host in another spelling", [{"authority": {"exact": "shop.example.com"}}, None]),
    (
        "a host with its port",
        [{"authority": {"regex": ".*:[0-9]+"}}, {"authority": {"exact": "shop.example.com"}}, None],
    ),
    ("a parameter", [{"queryParams": {"a": {"regex": "[a-c]{3}"}}}, {"queryParams": {"a": {"present": True}}}, None]),
    ("parameters and a path", [{"queryParams": {"a": {"exact": "1"}, "b": {"prefix": "2"}}, "uri": {"prefix": "/x"}}]),
    ("a cookie", [{"cookies": {"user": {"regex": "[0-9]+"}}}, {"cookies": {"user": {"present": True}}}, None]),
    ("a cookie and a header", [{"cookies": {"user": {"prefix": "a"}}, "headers": {"x": {"exact": "1"}}}, None]),
    ("a host asked as a header", [{"headers": {"host": {"exact": "shop.example.com"}}}, None]),
    ("what the root path leaves", [{"uri": {"exact": "/"}}, None]),
    ("what one method leaves", [{"method": {"exact": "GET"}}, None]),
]


@pytest.mark.parametrize("matches", [matches for _, matches in SAMPLED], ids=[name for name, _ in SAMPLED])
def test_every_rule_gets_a_request_that_only_meets_it(matches: list[dict[str, Any] | None]) -> None:
    rules = route(*matches)
    for index in range(len(rules)):
        request = sampled(rules, index, hosts=["shop.example.com"])
        assert isinstance(request, Request), f"rule {index}: {request}"
        assert rule_for(rules, request) == index
        assert all(value.isascii() and value.isprintable() for _, value in request.pairs), "it goes over the wire"


def test_the_same_route_gives_the_same_request() -> None:
    rules = route({"headers": {"user-agent": {"regex": ".*Firefox.*"}}}, None)

    assert sampled(rules, 0) == sampled(rules, 0)
    assert sampled(rules, 0, seed=1) != sampled(rules, 0, seed=2)


NOT_SAMPLED: list[tuple[list[dict[str, Any] | None], str]] = [
    ([None, {"headers": {"x": {"exact": "a"}}}], "rule 1 matches every request that rule 2 would match"),
    ([{"headers": {"x": {"regex": r"\pN"}}}], "no value can be generated"),
    ([{"headers": {"x": {"regex": "a^b"}}}], "requests were tried"),
    ([{"headers": {"x": {"exact": " a"}}}], "requests were tried"),
]


@pytest.mark.parametrize(("matches", "reason"), NOT_SAMPLED)
def test_if_no_request_is_found_the_reason_is_given(matches: list[dict[str, Any] | None], reason: str) -> None:
    rules = route(*matches)
    sample = sampled(rules, len(rules) - 1)

    assert isinstance(sample, NoSample)
    assert reason in sample.reason


@settings(max_examples=25, deadline=None)
@given(st.lists(st.none() | MATCHES, min_size=1, max_size=3))
def test_a_sample_always_meets_its_rule(matches: list[dict[str, Any] | None]) -> None:
    rules = route(*matches)
    for index in range(len(rules)):
        simulator = one_service(rules, gateways=["g", "mesh", "shop-gateway"])
        sample = sample_request(simulator, "shop", index)
        if isinstance(sample, Request):
            assert simulator.decide(sample).index == index
            assert covered_by(rules, index) is None
