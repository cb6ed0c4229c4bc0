"""Requests that meet two matches at once: each one found is verified."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings

from tests.unit.requests_and_matches import MATCHES, MatchData, route
from traffic.model import Match
from traffic.overlap import overlap, witness
from traffic.simulate import Caller, Request, matches


def header(name: str = "x", **want: Any) -> MatchData:
    """A match on a header."""
    return {"headers": {name: want}}


OVERLAPS: list[tuple[MatchData | None, MatchData | None, Request | None]] = [
    (header("a", exact="1"), header("b", exact="2"), Request(headers={"a": "1", "b": "2"})),
    (header(exact="1"), {"uri": {"prefix": "/shop"}}, Request(headers={"x": "1"}, path="/shop")),
    (header(exact="1"), None, Request(headers={"x": "1"})),
    (header(prefix="ab"), header(prefix="abc"), Request(headers={"x": "abc"})),
    (header(present=True), header(exact="1"), Request(headers={"x": "1"})),
    ({"uri": {"exact": "/a"}}, {"uri": {"regex": "/[a-z]"}}, Request(path="/a")),
    ({"cookies": {"a": {"exact": "1"}}}, {"cookies": {"b": {"exact": "2"}}}, Request(headers={"cookie": "a=1; b=2"})),
    (
        {"queryParams": {"a": {"exact": "1"}}},
        {"queryParams": {"b": {"exact": "2"}}, "method": {"exact": "POST"}},
        Request(path="/?a=1&b=2", method="POST"),
    ),
    ({"authority": {"prefix": "shop."}}, {"authority": {"exact": "shop.org"}}, Request(authority="shop.org")),
    ({"port": 8080}, {"scheme": {"exact": "https"}}, Request(port=8080, scheme="https")),
    ({"gateways": ["g", "mesh"]}, {"gateways": ["g"]}, Request(gateway="g")),
    ({"gateways": ["mesh"]}, {"sourceLabels": {"a": "b"}}, Request(caller=Caller("default", {"a": "b"}))),
    ({"sourceNamespace": "n"}, {"sourceLabels": {"a": "b"}}, Request(caller=Caller("n", {"a": "b"}))),
    (header(exact="1"), header(exact="2"), None),
    (header(exact="1"), header(prefix="2"), None),
    (header(prefix="1"), header(prefix="2"), None),
    (header(exact="1"), {"withoutHeaders": {"x": {"exact": "1"}}}, None),
    (header(prefix="1"), {"withoutHeaders": {"x": {"present": True}}}, None),
    ({"method": {"exact": "GET"}}, {"method": {"exact": "POST"}}, None),
    ({"port": 80}, {"port": 8080}, None),
    ({"gateways": ["g"]}, {"gateways": ["h"]}, None),
    ({"gateways": ["g"]}, {"sourceNamespace": "n"}, None),
    ({"sourceNamespace": "m"}, {"sourceNamespace": "n"}, None),
    ({"sourceLabels": {"a": "b"}}, {"sourceLabels": {"a": "c"}}, None),
    ({"uri": {"exact": "/A"}}, {"uri": {"exact": "/a"}}, None),
    ({"uri": {"prefix": "/shop"}}, {"uri": {"regex": "/items/[0-9]+"}}, None),
    ({"uri": {"regex": "/shop/.*"}}, {"uri": {"regex": "/items/[0-9]+"}}, None),
    ({"uri": {"exact": "/A"}, "ignoreUriCase": True}, {"uri": {"exact": "/a"}}, Request(path="/a")),
]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"uri": {"prefix": "/shops"}}, {"uri": {"regex": "/shops?/.*"}}),
        ({"uri": {"prefix": "/b"}}, {"uri": {"regex": "/a*b"}}),
        ({"uri": {"prefix": "/b"}}, {"uri": {"regex": "/a|/b"}}),
        ({"uri": {"prefix": "/SHOP"}, "ignoreUriCase": True}, {"uri": {"prefix": "/shop"}}),
        (header(regex=".*Firefox.*"), header(regex=".*Mobile.*")),
    ],
)
def test_matches_that_look_disjoint_may_overlap(one: MatchData, other: MatchData) -> None:
    found = overlap(*route(one, other))

    assert found is not None, "the expressions have texts in common"


@pytest.mark.parametrize(("one", "other", "request_"), OVERLAPS)
def test_a_request_for_both_is_found_where_there_is_one(
    one: MatchData | None, other: MatchData | None, request_: Request | None
) -> None:
    first, second = route(one, other)
    assert overlap(first, second) == request_
    assert (overlap(second, first) is None) == (request_ is None), "the order of the two does not matter"


@settings(deadline=None)
@given(MATCHES, MATCHES)
def test_a_witness_meets_both(one: MatchData, other: MatchData) -> None:
    first, second = Match.model_validate(one), Match.model_validate(other)
    found = witness(first, second)
    if found is not None:
        assert matches(first, found)
        assert matches(second, found)


def test_disjoint_rules_are_recognised_quickly() -> None:
    rules = route(*({**header(exact=str(n)), "uri": {"prefix": "/"}} for n in range(100)))
    begin = time.process_time()
    assert not any(overlap(one, other) for one in rules for other in rules if one is not other)
    assert time.process_time() - begin < 2, "a table of 1,000 services has 45,000 pairs"
