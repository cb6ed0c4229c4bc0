"""Which rule a request meets, as Envoy decides it; and which rules no request can meet."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traffic.model import Route, Rule
from traffic.reach import covered_by, is_catch_all
from traffic.simulate import Request, rule_for


def route(*matches: dict[str, Any] | None) -> Route:
    """A route with a rule for each match; None is a rule without one."""
    return tuple(
        Rule.model_validate({"to": "v1"} if match is None else {"match": [match], "to": "v1"}) for match in matches
    )


def header(**want: Any) -> dict[str, Any]:
    """A match on the header x."""
    return {"headers": {"x": want}}


def without(**want: Any) -> dict[str, Any]:
    """A match that forbids a value of the header x."""
    return {"withoutHeaders": {"x": want}}


X = Request(headers={"X": "abc"})
NONE = Request()

MEETINGS: list[tuple[str, dict[str, Any], Request, bool]] = [
    ("a header's name has no case", header(exact="abc"), X, True),
    ("a header's value has case", header(exact="ABC"), X, False),
    ("exact is the whole value", header(exact="ab"), X, False),
    ("a prefix begins the value", header(prefix="ab"), X, True),
    ("a prefix does not end it", header(prefix="bc"), X, False),
    ("a regex matches the whole value", header(regex="a.c"), X, True),
    ("a regex does not search", header(regex="b"), X, False),
    ("a regex's alternatives are whole values too", header(regex="ab|abc"), X, True),
    ("present takes any value", header(present=True), X, True),
    ("present takes an empty value", header(present=True), Request(headers={"x": ""}), True),
    ("a missing header meets nothing", header(regex=".*"), NONE, False),
    ("a missing header is not present", header(present=True), NONE, False),
    ("two headers of a name are one value", header(exact="a,b"), Request(headers={"x": "a", "X": "b"}), True),
    ("without: another value is fine", without(exact="z"), X, True),
    ("without: this value is not", without(exact="abc"), X, False),
    ("without: a missing header is fine", without(exact="abc"), NONE, True),
    ("without: a missing header counts as empty", without(regex=".*"), NONE, False),
    ("without present: the header is missing", without(present=True), NONE, True),
    ("without present: the header is there", without(present=True), X, False),
    ("a path has case", {"uri": {"exact": "/A"}}, Request(path="/a"), False),
    ("unless it is ignored", {"uri": {"exact": "/A"}, "ignoreUriCase": True}, Request(path="/a"), True),
    ("also for a prefix", {"uri": {"prefix": "/SH"}, "ignoreUriCase": True}, Request(path="/shop"), True),
    ("a path is compared without query", {"uri": {"exact": "/a"}}, Request(path="/a?b=c"), True),
    ("a prefix is no whole segment", {"uri": {"prefix": "/a"}}, Request(path="/ab"), True),
    ("a regex takes no query", {"uri": {"regex": "/a[0-9]+"}}, Request(path="/a12?b"), True),
    ("a method", {"method": {"exact": "POST"}}, Request(method="POST"), True),
    ("another method", {"method": {"exact": "POST"}}, NONE, False),
    ("all of a match must hold", {"uri": {"prefix": "/"}, **header(exact="z")}, X, False),
]


@pytest.mark.parametrize(("says", "match", "request_", "meets"), MEETINGS, ids=lambda value: str(value)[:60])
def test_a_match_is_decided_as_envoy_does(says: str, match: dict[str, Any], request_: Request, meets: bool) -> None:
    assert rule_for(route(match), request_) == (0 if meets else None), says


def test_the_first_rule_that_fits_decides() -> None:
    rules = route(header(exact="abc"), header(present=True), None)

    assert rule_for(rules, X) == 0
    assert rule_for(rules, Request(headers={"x": "other"})) == 1
    assert rule_for(rules, NONE) == 2


def test_any_match_of_a_rule_is_enough() -> None:
    rules = (Rule.model_validate({"match": [header(exact="z"), {"uri": {"prefix": "/"}}], "to": "v1"}),)

    assert rule_for(rules, X) == 0


def test_a_request_that_meets_no_rule_meets_none() -> None:
    assert rule_for(route(header(exact="z")), X) is None


COVERS: list[tuple[str, dict[str, Any] | None, dict[str, Any] | None, bool]] = [
    ("all covers all", None, None, True),
    ("all covers some", None, header(exact="a"), True),
    ("some do not cover all", header(exact="a"), None, False),
    ("every path is all", {"uri": {"prefix": "/"}}, None, True),
    ("present covers exact", header(present=True), header(exact="a"), True),
    ("exact does not cover present", header(exact="a"), header(present=True), False),
    ("a regex covers what it matches", header(regex="a+"), header(exact="aa"), True),
    ("a regex does not cover the rest", header(regex="a+"), header(exact="ab"), False),
    ("a prefix covers longer ones", header(prefix="a"), header(prefix="ab"), True),
    ("a prefix does not cover shorter ones", header(prefix="ab"), header(prefix="a"), False),
    ("fewer conditions cover more", header(exact="a"), {**header(exact="a"), "uri": {"prefix": "/a"}}, True),
    ("more conditions do not cover fewer", {**header(exact="a"), "uri": {"prefix": "/a"}}, header(exact="a"), False),
    ("another header is not covered", header(present=True), {"headers": {"y": {"exact": "a"}}}, False),
    ("without a value covers another one", without(exact="a"), header(exact="b"), True),
    ("without a value does not cover it", without(exact="a"), header(exact="a"), False),
    ("without a value covers the missing header", without(exact="a"), without(present=True), True),
    ("a missing header counts as empty", without(regex=".*"), without(present=True), False),
    ("case ignored covers case", {"uri": {"prefix": "/A"}, "ignoreUriCase": True}, {"uri": {"exact": "/ab"}}, True),
    (
        "case does not cover case ignored",
        {"uri": {"exact": "/a"}},
        {"uri": {"exact": "/a"}, "ignoreUriCase": True},
        False,
    ),
]


@pytest.mark.parametrize(("says", "earlier", "later", "covered"), COVERS, ids=lambda value: str(value)[:60])
def test_a_rule_is_covered_by_an_earlier_one(
    says: str, earlier: dict[str, Any] | None, later: dict[str, Any] | None, covered: bool
) -> None:
    assert covered_by(route(earlier, later), 1) == (0 if covered else None), says


TEXTS = st.sampled_from(["", "a", "b", "ab", "abc", "ba"])
WANTS = st.one_of(
    TEXTS.filter(bool).map(lambda text: {"exact": text}),
    TEXTS.filter(bool).map(lambda text: {"prefix": text}),
    st.sampled_from([{"regex": "a*"}, {"regex": "ab?"}, {"regex": ".*"}, {"present": True}]),
)
PATHS = st.sampled_from(["/", "/a", "/A", "/ab", "/b"])
URIS = st.one_of(
    PATHS.map(lambda path: {"uri": {"exact": path}}),
    PATHS.map(lambda path: {"uri": {"prefix": path}, "ignoreUriCase": True}),
    st.sampled_from([{"uri": {"regex": "/a.*"}}, {"uri": {"prefix": "/a"}}]),
)
MATCHES = st.one_of(
    URIS,
    st.builds(lambda name, want: {name: {"x": want}}, st.sampled_from(["headers", "withoutHeaders"]), WANTS),
    st.builds(lambda uri, want: {**uri, "headers": {"x": want}}, URIS, WANTS),
    st.builds(lambda one, two: {"headers": {"x": one}, "withoutHeaders": {"x": two}}, WANTS, WANTS),
)
REQUESTS = st.builds(
    lambda value, path: Request(headers={} if value is None else {"x": value}, path=path), st.none() | TEXTS, PATHS
)


@settings(deadline=None)
@given(st.lists(st.none() | MATCHES, min_size=1, max_size=4), st.lists(REQUESTS, max_size=20))
def test_no_request_meets_a_covered_rule(matches: list[dict[str, Any] | None], requests: list[Request]) -> None:
    rules = route(*matches)
    met = {rule_for(rules, request) for request in requests}
    covered = {index for index in range(len(rules)) if covered_by(rules, index) is not None}

    assert not met & covered, "a rule that is called unreachable was reached"
    assert not (None in met and any(is_catch_all(rule) for rule in rules)), "a catch-all did not catch"
