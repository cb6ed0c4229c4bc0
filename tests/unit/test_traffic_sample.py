"""A request for each rule of a route, to measure it at the gateway."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.requests_and_matches import MATCHES, route
from traffic.reach import covered_by
from traffic.sample import NoSample, sample_request
from traffic.simulate import Request, rule_for


def test_the_simplest_request_is_taken() -> None:
    rules = route({"headers": {"qa": {"exact": "canary-test"}}}, None)

    assert sample_request(rules, 0, authority="shop.example.com") == Request(
        headers={"qa": "canary-test"}, authority="shop.example.com"
    )
    assert sample_request(rules, 1) == Request()


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
    ("what the root path leaves", [{"uri": {"exact": "/"}}, None]),
    ("what one method leaves", [{"method": {"exact": "GET"}}, None]),
]


@pytest.mark.parametrize("matches", [matches for _, matches in SAMPLED], ids=[name for name, _ in SAMPLED])
def test_every_rule_gets_a_request_that_meets_it_alone(matches: list[dict[str, Any] | None]) -> None:
    rules = route(*matches)
    for index in range(len(rules)):
        request = sample_request(rules, index)
        assert isinstance(request, Request), f"rule {index}: {request}"
        assert rule_for(rules, request) == index
        assert all(value.isascii() and value.isprintable() for _, value in request.pairs), (
            "it goes over the wire"
        )


def test_the_same_route_gives_the_same_request() -> None:
    rules = route({"headers": {"user-agent": {"regex": ".*Firefox.*"}}}, None)

    assert sample_request(rules, 0) == sample_request(rules, 0)
    assert sample_request(rules, 0, seed=1) != sample_request(rules, 0, seed=2)


NOT_SAMPLED: list[tuple[list[dict[str, Any] | None], str]] = [
    ([None, {"headers": {"x": {"exact": "a"}}}], "rule 1 takes every request that rule 2 asks for"),
    ([{"headers": {"x": {"regex": r"\pN"}}}], "no value can be made up"),
    ([{"headers": {"x": {"regex": "a^b"}}}], "requests were tried"),
    ([{"headers": {"x": {"exact": " a"}}}], "requests were tried"),
]


@pytest.mark.parametrize(("matches", "reason"), NOT_SAMPLED)
def test_where_no_request_is_found_the_reason_is_told(matches: list[dict[str, Any] | None], reason: str) -> None:
    rules = route(*matches)
    sample = sample_request(rules, len(rules) - 1)

    assert isinstance(sample, NoSample)
    assert reason in sample.reason


@settings(max_examples=25, deadline=None)
@given(st.lists(st.none() | MATCHES, min_size=1, max_size=3))
def test_a_sample_always_meets_its_rule(matches: list[dict[str, Any] | None]) -> None:
    rules = route(*matches)
    for index in range(len(rules)):
        sample = sample_request(rules, index)
        if isinstance(sample, Request):
            assert rule_for(rules, sample) == index
            assert covered_by(rules, index) is None
