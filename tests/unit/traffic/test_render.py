"""The VirtualServices of a service, from its route."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.route_tables import table
from traffic.model import StringMatch, cookies_pattern
from traffic.render import Spec, places_of_weights, virtual_services

HOST = "website.website-istio-ns.svc.cluster.local"


def rendered(version_header: str | None = None, **website: Any) -> dict[str, Spec]:
    """The VirtualServices of the website, next to a shop that requests may be sent to."""
    routes = table(website={"namespace": "website-istio-ns", **website}, shop={"port": 8080})
    return virtual_services(routes, "website", gateway_namespace="istio-ingress", version_header=version_header)


def http(*given: dict[str, Any], version_header: str | None = None) -> Any:
    """The HTTP routes of a VirtualService for the website with these rules."""
    specs = rendered(version_header, route=given)
    assert list(specs) == ["website"]
    assert (specs["website"]["hosts"], specs["website"]["gateways"]) == (["*"], ["website-gateway"])
    return specs["website"]["http"]


def to(version: str, **more: Any) -> dict[str, Any]:
    """A destination of the website."""
    return {"destination": {"host": HOST, "subset": version, "port": {"number": 80}}, **more}


QA = {"match": [{"headers": {"qa": {"exact": "canary-test"}}}], "to": "version-2"}
SHOP = {"host": "shop.shop.svc.cluster.local", "subset": "version-1", "port": {"number": 8080}}


def test_the_websites_routes() -> None:
    assert http(QA, {"to": "version-1"}) == [
        {"match": [{"headers": {"qa": {"exact": "canary-test"}}}], "route": [to("version-2")]},
        {"route": [to("version-1")]},
    ]


def test_weights_are_with_each_destination_in_the_order_given() -> None:
    (only,) = http({"to": {"version-2": 10, "version-1": 90}})

    assert only == {"route": [to("version-2", weight=10), to("version-1", weight=90)]}


@pytest.mark.parametrize("destination", [{"version-1": 100}, {"version-1": 100, "version-2": 0}])
def test_a_version_at_0_is_not_a_destination_and_a_single_version_needs_no_weight(destination: dict[str, int]) -> None:
    assert http({"to": destination}) == [{"route": [to("version-1")]}]


def test_every_destination_names_its_version_in_the_response_header() -> None:
    routes = http(QA, {"to": {"version-1": 90, "version-2": 10}}, version_header="x-served-version")

    for one in routes:
        for destination in one["route"]:
            subset = destination["destination"]["subset"]
            assert destination["headers"] == {"response": {"set": {"x-served-version": subset}}}


def test_another_services_version_is_that_services_host_and_port() -> None:
    (only,) = http({"to": {"version-1": 90, "shop/version-1": 10}}, version_header="x-served-version")

    destination = only["route"][1]
    assert destination["destination"] == SHOP
    assert destination["headers"]["response"]["set"] == {"x-served-version": "shop/version-1"}, (
        "as the settings name it"
    )


MATCHES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {"headers": {"b": {"regex": "x.*"}, "a": {"prefix": "y"}}},
        {"headers": {"a": {"prefix": "y"}, "b": {"regex": "x.*"}}},
    ),
    ({"headers": {"a": {"present": True}}}, {"headers": {"a": {}}}),
    ({"withoutHeaders": {"a": {"present": True}}}, {"withoutHeaders": {"a": {}}}),
    ({"withoutHeaders": {"a": {"exact": "x"}}}, {"withoutHeaders": {"a": {"exact": "x"}}}),
    (
        {"cookies": {"user": {"exact": "a.b"}}, "headers": {"x": {"exact": "1"}}},
        {"headers": {"cookie": {"regex": cookies_pattern({"user": StringMatch(exact="a.b")})}, "x": {"exact": "1"}}},
    ),
    ({"uri": {"prefix": "/a"}}, {"uri": {"prefix": "/a"}}),
    ({"uri": {"exact": "/a"}, "ignoreUriCase": True}, {"uri": {"exact": "/a"}, "ignoreUriCase": True}),
    ({"method": {"exact": "GET"}}, {"method": {"exact": "GET"}}),
    ({"authority": {"regex": "shop[.].*"}}, {"authority": {"regex": "shop[.].*"}}),
    ({"scheme": {"exact": "https"}}, {"scheme": {"exact": "https"}}),
    (
        {"queryParams": {"b": {"present": True}, "a": {"exact": "1"}}},
        {"queryParams": {"a": {"exact": "1"}, "b": {}}},
    ),
    ({"port": 9191}, {"port": 9191}),
    ({"sourceLabels": {"app": "shop"}}, {"sourceLabels": {"app": "shop"}}),
    ({"sourceNamespace": "shop"}, {"sourceNamespace": "shop"}),
    ({"gateways": ["website-gateway"]}, {"gateways": ["website-gateway"]}),
]


@pytest.mark.parametrize(("match", "spec"), MATCHES)
def test_a_match_is_istios_match(match: dict[str, Any], spec: dict[str, Any]) -> None:
    (only,) = http({"match": [match], "to": "version-1"})

    assert only["match"] == [spec]


def test_conditions_of_a_match_are_one_entry_and_matches_of_a_rule_are_several() -> None:
    get, shop = {"method": {"exact": "GET"}, "uri": {"prefix": "/a"}}, {"uri": {"exact": "/shop"}}
    (only,) = http({"match": [get, shop], "to": "version-1"})

    assert only["match"] == [get, shop]


def test_the_same_route_gives_the_same_text_whatever_the_order_of_its_headers() -> None:
    one = http({"match": [{"headers": {"a": {"exact": "1"}, "b": {"exact": "2"}}}], "to": "v"})
    other = http({"match": [{"headers": {"b": {"exact": "2"}, "a": {"exact": "1"}}}], "to": "v"})

    assert json.dumps(one) == json.dumps(other)


ANSWERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {"redirect": {"uri": "/new", "authority": "shop.example.com", "scheme": "https", "port": 8443}},
        {"redirect": {"uri": "/new", "authority": "shop.example.com", "scheme": "https", "port": 8443}},
    ),
    ({"redirect": {"scheme": "https", "redirectCode": 308}}, {"redirect": {"scheme": "https", "redirectCode": 308}}),
    (
        {"directResponse": {"status": 503, "body": "closed"}},
        {"directResponse": {"status": 503, "body": {"string": "closed"}}},
    ),
    ({"directResponse": {"status": 404}}, {"directResponse": {"status": 404}}),
]


@pytest.mark.parametrize(("rule", "spec"), ANSWERS)
def test_a_response_without_a_version_has_no_destination(rule: dict[str, Any], spec: dict[str, Any]) -> None:
    assert http(rule, QA, version_header="x-served-version")[0] == spec


ACTIONS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"rewrite": {"uri": "/", "authority": "old.example.com"}}, {}),
    ({"rewrite": {"uriRegexRewrite": {"match": "/a/(.*)", "rewrite": "/\\1"}}}, {}),
    (
        {"headers": {"request": {"set": {"X-A": "1"}, "add": {"b": "2"}, "remove": ["c"]}}},
        {"headers": {"request": {"set": {"x-a": "1"}, "add": {"b": "2"}, "remove": ["c"]}}},
    ),
    ({"headers": {"response": {"remove": ["server"]}}}, {}),
    ({"timeout": "1.5s"}, {}),
    ({"retries": {"attempts": 0}}, {}),
    (
        {
            "retries": {
                "attempts": 3,
                "perTryTimeout": "2s",
                "retryOn": "5xx,connect-failure",
                "retryRemoteLocalities": True,
                "retryIgnorePreviousHosts": False,
                "backoff": "100ms",
            }
        },
        {},
    ),
    (
        {"fault": {"delay": {"fixedDelay": "5s"}}},
        {"fault": {"delay": {"fixedDelay": "5s", "percentage": {"value": 100}}}},
    ),
    (
        {"fault": {"abort": {"httpStatus": 503, "percentage": {"value": 0.5}}}},
        {"fault": {"abort": {"httpStatus": 503, "percentage": {"value": 0.5}}}},
    ),
    (
        {"fault": {"abort": {"grpcStatus": "UNAVAILABLE", "percentage": {"value": 0}}, "delay": {"fixedDelay": "1s"}}},
        {"fault": {"delay": {"fixedDelay": "1s", "percentage": {"value": 100}}}},
    ),
    (
        {"mirrors": [{"to": "version-2"}, {"to": "shop/version-1", "percentage": {"value": 2.5}}]},
        {
            "mirrors": [
                {**to("version-2"), "percentage": {"value": 100}},
                {"destination": SHOP, "percentage": {"value": 2.5}},
            ]
        },
    ),
    (
        {
            "corsPolicy": {
                "allowOrigins": [{"exact": "https://a.example.com"}, {"regex": "https://.*"}],
                "allowMethods": ["GET"],
                "allowHeaders": ["x-a"],
                "exposeHeaders": ["x-b"],
                "maxAge": "24h",
                "allowCredentials": False,
                "unmatchedPreflights": "IGNORE",
            }
        },
        {},
    ),
]


@pytest.mark.parametrize(("given", "spec"), ACTIONS)
def test_other_actions_use_istios_fields(given: dict[str, Any], spec: dict[str, Any]) -> None:
    (only,) = http({"to": "version-1", **given})

    assert only == {"route": [to("version-1")], **(spec or given)}


@pytest.mark.parametrize(
    "nothing",
    [
        {"fault": {"abort": {"httpStatus": 503, "percentage": {"value": 0}}}},
        {"mirrors": [{"to": "version-2", "percentage": {"value": 0}}]},
        {"headers": {"request": {}}},
    ],
)
def test_actions_without_effect_are_omitted(nothing: dict[str, Any]) -> None:
    assert http({"to": "version-1", **nothing}) == [{"route": [to("version-1")]}]


def test_a_sticky_rule_is_a_route_for_the_users_of_each_version_and_then_the_weights() -> None:
    sticky = {"cookie": "website-version", "ttl": "1h"}
    routes = http({"to": {"version-1": 90, "version-2": 10}, "sticky": sticky}, version_header="x-served-version")

    *kept, weights = routes
    for version, route in zip(("version-1", "version-2"), kept, strict=True):
        pattern = cookies_pattern({"website-version": StringMatch(exact=version)})
        assert route["match"] == [{"headers": {"cookie": {"regex": pattern}}}]
        assert [part["destination"]["subset"] for part in route["route"]] == [version]
        assert route["route"][0]["headers"] == {"response": {"set": {"x-served-version": version}}}
    for destination in weights["route"]:
        version = destination["destination"]["subset"]
        response = destination["headers"]["response"]
        assert response["set"] == {"x-served-version": version}
        cookie = f"website-version={version}; Max-Age=3600; Path=/; HttpOnly; SameSite=Lax"
        assert response["add"] == {"set-cookie": cookie}, "set would take the version's own cookies away"


WHERE: list[tuple[dict[str, Any], dict[str, tuple[list[str], list[str]]]]] = [
    ({}, {"website": (["*"], ["website-gateway"])}),
    ({"gateways": ["public"]}, {"website": (["*"], ["istio-ingress/public"])}),
    (
        {"gateways": ["website-gateway", "public"], "hosts": ["a.example.com"]},
        {"website": (["a.example.com"], ["website-gateway", "istio-ingress/public"])},
    ),
    ({"gateways": ["mesh"], "hosts": []}, {"website": ([HOST], ["mesh"])}),
    ({"gateways": ["mesh"]}, {"website": ([HOST], ["mesh"])}),
    (
        {"gateways": ["public", "mesh"], "hosts": ["a.example.com"]},
        {"website": (["a.example.com", HOST], ["istio-ingress/public", "mesh"])},
    ),
    (
        {"gateways": ["public", "mesh"]},
        {"website": (["*"], ["istio-ingress/public"]), "website-mesh": ([HOST], ["mesh"])},
    ),
]


@pytest.mark.parametrize(("given", "expected"), WHERE)
def test_a_route_applies_at_its_gateways(
    given: dict[str, Any], expected: dict[str, tuple[list[str], list[str]]]
) -> None:
    assert {name: (spec["hosts"], spec["gateways"]) for name, spec in rendered(**given).items()} == expected


def test_a_rule_for_another_gateway_is_omitted() -> None:
    outside = {"match": [{"gateways": ["public"]}], "to": "version-1"}
    inside = {"match": [{"gateways": ["mesh"]}, {"gateways": ["public"], "port": 80}], "to": "version-2"}
    rest = {"to": {"version-1": 50, "version-2": 50}}
    specs = rendered(gateways=["public", "mesh"], route=[outside, inside, rest])

    public = {"gateways": ["istio-ingress/public"]}
    assert [route.get("match") for route in specs["website"]["http"]] == [[public], [{"port": 80, **public}], None]
    assert [route.get("match") for route in specs["website-mesh"]["http"]] == [[{"gateways": ["mesh"]}], None]


def test_without_rules_there_is_no_virtual_service() -> None:
    only_outside = [{"match": [{"gateways": ["public"]}], "to": "version-1"}]

    assert list(rendered(gateways=["public", "mesh"], route=only_outside)) == ["website"], "Istio refuses an empty one"


def test_a_percent_sign_in_a_cookies_name_is_not_a_command_operator() -> None:
    routes = http({"to": {"version-1": 90, "version-2": 10}, "sticky": {"cookie": "a%b", "ttl": "1h"}})

    cookie = routes[-1]["route"][0]["headers"]["response"]["add"]["set-cookie"]
    assert cookie.startswith("a%%b=version-1;"), "Istio refuses a single %"


STICKY = {"to": {"version-1": 60, "version-2": 40}, "sticky": {"cookie": "v", "ttl": "1h"}}
PLACES: list[tuple[list[str], list[dict[str, Any]], list[tuple[str, int] | None]]] = [
    (["public"], [QA, STICKY, {"to": "version-1"}], [("website", 0), ("website", 3), ("website", 4)]),
    (["mesh"], [{"match": [{"gateways": ["public"]}], "to": "version-2"}, QA], [None, ("website", 0)]),
    (
        ["public", "mesh"],
        [{"match": [{"gateways": ["mesh"]}], **STICKY}, {"match": [{"gateways": ["public"]}], "to": "version-2"}, QA],
        [("website-mesh", 2), ("website", 0), ("website", 1)],
    ),
]


@pytest.mark.parametrize(("gateways", "route", "places"), PLACES)
def test_the_weights_of_a_rule_are_found_again(
    gateways: list[str], route: list[dict[str, Any]], places: list[tuple[str, int] | None]
) -> None:
    routes = table(website={"gateways": gateways, "route": route})

    assert places_of_weights(routes, "website") == places
    specs = virtual_services(routes, "website", gateway_namespace="istio-ingress")
    for rule, place in zip(routes["website"].route, places, strict=True):
        if place is not None:
            destinations = specs[place[0]]["http"][place[1]]["route"]
            weights = {part["destination"]["subset"]: part.get("weight", 100) for part in destinations}
            assert weights == rule.weights
