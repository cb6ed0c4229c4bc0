"""Istio's resources from a route."""

from __future__ import annotations

import json
from typing import Any

import pytest

from traffic.model import Route, Rule, version_label
from traffic.render import destination_rule, gateway, virtual_service

HOST = "website.website-istio-ns.svc.cluster.local"


def rules(*given: dict[str, Any]) -> Route:
    """A route of these rules."""
    return tuple(Rule.model_validate(rule) for rule in given)


def http(*given: dict[str, Any], version_header: str | None = None) -> Any:
    """The HTTP routes of a VirtualService for the website with these rules."""
    spec = virtual_service(
        service="website",
        namespace="website-istio-ns",
        hosts=["*"],
        gateways=["website-gateway"],
        route=rules(*given),
        port=80,
        version_header=version_header,
    )
    assert (spec["hosts"], spec["gateways"]) == (["*"], ["website-gateway"])
    return spec["http"]


def to(version: str, **more: Any) -> dict[str, Any]:
    """A destination of the website."""
    return {"destination": {"host": HOST, "subset": version, "port": {"number": 80}}, **more}


QA = {"match": [{"headers": {"qa": {"exact": "canary-test"}}}], "to": "version-2"}


def test_the_websites_routes() -> None:
    assert http(QA, {"to": "version-1"}) == [
        {"match": [{"headers": {"qa": {"exact": "canary-test"}}}], "route": [to("version-2")]},
        {"route": [to("version-1")]},
    ]


def test_weights_stand_beside_each_destination_in_the_order_written() -> None:
    (only,) = http({"to": {"version-2": 10, "version-1": 90}})

    assert only == {"route": [to("version-2", weight=10), to("version-1", weight=90)]}


@pytest.mark.parametrize("destination", [{"version-1": 100}, {"version-1": 100, "version-2": 0}])
def test_a_version_at_0_is_no_destination_and_one_version_needs_no_weight(destination: dict[str, int]) -> None:
    assert http({"to": destination}) == [{"route": [to("version-1")]}]


def test_every_destination_names_its_version_in_the_response_header() -> None:
    routes = http(QA, {"to": {"version-1": 90, "version-2": 10}}, version_header="x-served-version")

    for one in routes:
        for destination in one["route"]:
            subset = destination["destination"]["subset"]
            assert destination["headers"] == {"response": {"set": {"x-served-version": subset}}}


MATCHES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {"headers": {"b": {"regex": "x.*"}, "a": {"prefix": "y"}}},
        {"headers": {"a": {"prefix": "y"}, "b": {"regex": "x.*"}}},
    ),
    ({"headers": {"a": {"present": True}}}, {"headers": {"a": {}}}),
    ({"withoutHeaders": {"a": {"present": True}}}, {"withoutHeaders": {"a": {}}}),
    ({"withoutHeaders": {"a": {"exact": "x"}}}, {"withoutHeaders": {"a": {"exact": "x"}}}),
    ({"uri": {"prefix": "/a"}}, {"uri": {"prefix": "/a"}}),
    ({"uri": {"exact": "/a"}, "ignoreUriCase": True}, {"uri": {"exact": "/a"}, "ignoreUriCase": True}),
    ({"method": {"exact": "GET"}}, {"method": {"exact": "GET"}}),
]


@pytest.mark.parametrize(("match", "rendered"), MATCHES)
def test_a_match_is_istios_match(match: dict[str, Any], rendered: dict[str, Any]) -> None:
    (only,) = http({"match": [match], "to": "version-1"})

    assert only["match"] == [rendered]


def test_the_same_route_gives_the_same_text_whatever_the_order_of_its_headers() -> None:
    one = http({"match": [{"headers": {"a": {"exact": "1"}, "b": {"exact": "2"}}}], "to": "v"})
    other = http({"match": [{"headers": {"b": {"exact": "2"}, "a": {"exact": "1"}}}], "to": "v"})

    assert json.dumps(one) == json.dumps(other)


def test_every_version_has_a_subset_by_its_label() -> None:
    assert version_label("website", "version-1") == "website-version-1"
    assert destination_rule(service="website", namespace="website-istio-ns", versions=["version-1", "version-2"]) == {
        "host": HOST,
        "subsets": [
            {"name": "version-1", "labels": {"version": "website-version-1"}},
            {"name": "version-2", "labels": {"version": "website-version-2"}},
        ],
    }


def test_the_gateway_takes_http_for_its_hosts() -> None:
    assert gateway(hosts=["*"], port=80, selector={"istio": "ingressgateway"}) == {
        "selector": {"istio": "ingressgateway"},
        "servers": [{"port": {"number": 80, "name": "http-80", "protocol": "HTTP"}, "hosts": ["*"]}],
    }
