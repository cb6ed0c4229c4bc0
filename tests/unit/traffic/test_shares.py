"""Destinations that say more than their weight: how they are read, rendered, simulated and compared."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.route_tables import table
from traffic.diff import rule_changes, traffic_diff
from traffic.model import Rule
from traffic.render import virtual_services
from traffic.simulate import Forwarded, Request, Simulator

MARK = {"request": {"set": {"x-canary": "true"}}}
MARKED = {"version-1": 90, "version-2": {"weight": 10, "headers": MARK}}
STICKY = {"cookie": "v", "ttl": "1h"}


def http(rule: dict[str, Any], version_header: str | None = None) -> Any:
    routes = table(shop={"route": [rule]})
    specs = virtual_services(routes, "shop", gateway_namespace="istio-ingress", version_header=version_header)
    return specs["shop"]["http"]


def destinations(rule: dict[str, Any], version_header: str | None = None) -> list[dict[str, Any]]:
    """The destinations of the last route, without the names of hosts."""
    (*_, last) = http(rule, version_header)
    return [{key: value for key, value in one.items() if key != "destination"} for one in last["route"]]


@pytest.mark.parametrize(
    ("to", "weights"),
    [
        ({"version-1": 90, "version-2": 10}, [90, 10]),
        ({"version-1": 99.5, "version-2": 0.5}, [995, 5]),
        ({"version-1": 995, "version-2": 5}, [995, 5]),
        ({"version-1": 999_999, "version-2": 1}, [999_999, 1]),
        ({"version-1": {"weight": 99.9}, "version-2": {"weight": 0.1}}, [999, 1]),
        ({"version-1": 90.0, "version-2": 10.0}, [90, 10]),
    ],
)
def test_weights_are_rendered_as_whole_numbers(to: dict[str, Any], weights: list[int]) -> None:
    assert [one["weight"] for one in destinations({"to": to})] == weights


def test_the_weights_of_a_rule_are_percentages_whatever_they_sum_to() -> None:
    rule = Rule.model_validate({"to": {"version-1": 995, "version-2": {"weight": 5, "headers": MARK}}})
    assert rule.weights == {"version-1": 99.5, "version-2": 0.5}
    assert rule.shares["version-2"].weight == 0.5
    assert rule.shares["version-2"].headers is not None
    assert rule.shares["version-1"].headers is None


def test_the_headers_of_a_share_are_with_its_destination_alone() -> None:
    assert destinations({"to": MARKED}) == [{"weight": 90}, {"weight": 10, "headers": MARK}]


def test_the_version_header_and_the_sticky_cookie_are_added_to_the_headers_of_a_share() -> None:
    own = {"request": {"set": {"x-canary": "true"}}, "response": {"set": {"x-a": "b"}, "add": {"x-c": "d"}}}
    to = {"version-1": 90, "version-2": {"weight": 10, "headers": own}}
    (_, canary) = destinations({"to": to, "sticky": STICKY}, version_header="x-served")

    assert canary["headers"]["request"] == own["request"]
    assert canary["headers"]["response"]["set"] == {"x-a": "b", "x-served": "version-2"}
    assert canary["headers"]["response"]["add"].keys() == {"x-c", "set-cookie"}


def test_users_who_stay_on_a_version_get_the_headers_of_its_share_too() -> None:
    (first, second, _) = http({"to": MARKED, "sticky": STICKY})
    assert "headers" not in first["route"][0]
    assert second["route"][0]["headers"] == MARK
    assert "weight" not in second["route"][0]


def test_one_destination_with_headers_gets_all_requests() -> None:
    assert destinations({"to": {"version-2": {"weight": 100, "headers": MARK}}}) == [{"headers": MARK}]


def test_a_request_that_goes_to_a_share_gets_its_headers_in_the_simulator() -> None:
    simulator = Simulator(table(shop={"route": [{"to": MARKED}]}))
    outcome = simulator.decide(Request(authority="shop.example")).outcome

    assert isinstance(outcome, Forwarded)
    assert [(one.destination, one.probability) for one in outcome.shares] == [("version-1", 0.9), ("version-2", 0.1)]
    assert [one.headers and one.headers.request.set for one in outcome.shares] == [None, {"x-canary": "true"}]


def test_headers_of_a_share_that_change_are_shown_with_the_version_that_gets_them() -> None:
    before, after = (
        Simulator(table(shop={"route": [{"to": to}]})) for to in ({"version-1": 90, "version-2": 10}, MARKED)
    )
    (group,) = traffic_diff(before, after).groups

    assert group.change.part == "request headers"
    assert (group.change.before, group.change.after) == (
        "unchanged",
        "requests to shop/version-2: set x-canary: true",
    )


def test_rules_differ_in_the_headers_of_a_share_and_not_in_the_form_of_their_weights() -> None:
    def rule(to: dict[str, Any]) -> Rule:
        return Rule.model_validate({"to": to})

    assert rule_changes(rule({"a": 99.5, "b": 0.5}), rule({"a": 995, "b": {"weight": 5}})) == ()
    (change,) = rule_changes(rule({"a": 99.5, "b": 0.5}), rule({"a": 99.5, "b": {"weight": 0.5, "headers": MARK}}))
    assert (change.path, change.before, change.after) == ("to.b.headers.request", None, {"set": {"x-canary": "true"}})
