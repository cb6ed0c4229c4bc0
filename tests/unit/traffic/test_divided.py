"""VirtualServices whose weights another controller writes: both destinations are there, and all else as always."""

from __future__ import annotations

from typing import Any

from stacks.settings.loading import load
from traffic.model import RouteTable
from traffic.render import divided_routes, divided_virtual_services, virtual_services

PAIR = ("v1", "v2")
MATCH = {"match": [{"headers": {"qa": {"exact": "yes"}}}], "redirect": {"authority": "qa.example.com"}}


def table(*rules: dict[str, Any], **keys: Any) -> RouteTable:
    versions = {name: {"image": f"shop:{name}", "port": 8080} for name in PAIR}
    shop = {"hosts": ["shop.example.com"], "versions": versions, "route": list(rules), **keys}
    return load({"services": {"shop": shop}}).services


def rendered(routes: RouteTable, header: str | None = None) -> dict[str, Any]:
    return divided_virtual_services(routes, "shop", PAIR, gateway_namespace="istio-system", version_header=header)


RULE = {"name": "main", "to": {"v1": 100, "v2": 0}, "timeout": "5s"}


def test_both_destinations_are_there_and_the_first_has_all_requests() -> None:
    (route,) = rendered(table(RULE))["shop"]["http"]
    assert [(one["destination"]["subset"], one["weight"]) for one in route["route"]] == [("v1", 100), ("v2", 0)]
    assert (route["name"], route["timeout"]) == ("main", "5s")


def test_other_rules_are_rendered_as_always() -> None:
    routes = table(MATCH, RULE)
    plain = virtual_services(routes, "shop", gateway_namespace="istio-system")
    first, second = rendered(routes)["shop"]["http"]
    assert first == plain["shop"]["http"][0]
    assert second != plain["shop"]["http"][1]
    assert divided_routes(rendered(routes), PAIR) == {"shop": ("main",)}


def test_each_destination_names_itself_in_the_response() -> None:
    (route,) = rendered(table(RULE), "x-served-version")["shop"]["http"]
    names = [one["headers"]["response"]["set"]["x-served-version"] for one in route["route"]]
    assert names == ["v1", "v2"]


def test_a_service_with_a_second_virtual_service_has_the_route_in_both() -> None:
    routes = table(RULE, hosts=["*"], gateways=["shop-gateway", "mesh"])
    assert divided_routes(rendered(routes), PAIR) == {"shop": ("main",), "shop-mesh": ("main",)}
