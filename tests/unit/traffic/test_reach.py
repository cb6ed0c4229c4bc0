"""Which rules no request can reach, without false positives."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.requests_and_matches import MATCHES, REQUESTS, MatchData, route
from traffic.model import Match
from traffic.reach import covered_by, implies, is_catch_all
from traffic.simulate import Request, matches, rule_for


def header(**want: Any) -> MatchData:
    """A match on the header x."""
    return {"headers": {"x": want}}


def without(**want: Any) -> MatchData:
    """A match that forbids a value of the header x."""
    return {"withoutHeaders": {"x": want}}


def cookie(**want: Any) -> MatchData:
    """A match on the cookie c."""
    return {"cookies": {"c": want}}


COVERS: list[tuple[str, MatchData | None, MatchData | None, bool]] = [
    ("all covers all", None, None, True),
    ("all covers some", None, header(exact="a"), True),
    ("some do not cover all", header(exact="a"), None, False),
    ("every path is all", {"uri": {"prefix": "/"}}, None, True),
    ("present covers exact", header(present=True), header(exact="a"), True),
    ("exact does not cover present", header(exact="a"), header(present=True), False),
    ("a regex covers what it matches", header(regex="a+"), header(exact="aa"), True),
    ("a regex does not cover the rest", header(regex="a+"), header(exact="ab"), False),
    ("a prefix covers longer ones", header(prefix="a"), header(prefix="ab"), True),
    ("a regex that is a prefix covers longer ones", {"uri": {"regex": "/a.*"}}, {"uri": {"prefix": "/a/b"}}, True),
    ("a dot is no text", {"uri": {"regex": "/a.b.*"}}, {"uri": {"prefix": "/a.b"}}, False),
    ("an escaped dot is", {"uri": {"regex": r"/a\.b.*"}}, {"uri": {"prefix": "/a.b"}}, True),
    ("a regex that is a text is covered by its prefix", header(prefix="a"), header(regex="ab"), True),
    ("a prefix does not cover shorter ones", header(prefix="ab"), header(prefix="a"), False),
    ("fewer conditions cover more", header(exact="a"), {**header(exact="a"), "uri": {"prefix": "/a"}}, True),
    ("more conditions do not cover fewer", {**header(exact="a"), "uri": {"prefix": "/a"}}, header(exact="a"), False),
    ("another header is not covered", header(present=True), {"headers": {"y": {"exact": "a"}}}, False),
    ("a header may stand twice", without(exact="a"), header(exact="b"), False),
    ("without a value does not cover it", without(exact="a"), header(exact="a"), False),
    ("without a value covers without more", without(exact="a"), without(prefix="a"), True),
    ("without a value covers the missing header", without(exact="a"), without(present=True), True),
    ("a missing header counts as empty", without(regex=".*"), without(present=True), False),
    ("case ignored covers case", {"uri": {"prefix": "/A"}, "ignoreUriCase": True}, {"uri": {"exact": "/ab"}}, True),
    (
        "case does not cover case ignored",
        {"uri": {"exact": "/a"}},
        {"uri": {"exact": "/a"}, "ignoreUriCase": True},
        False,
    ),
    ("a method covers itself", {"method": {"regex": "GET|HEAD"}}, {"method": {"exact": "GET"}}, True),
    ("an authority", {"authority": {"prefix": "a."}}, {"authority": {"exact": "a.example.com"}}, True),
    ("a scheme", {"scheme": {"exact": "https"}}, {"scheme": {"exact": "https"}, **header(exact="a")}, True),
    ("another scheme", {"scheme": {"exact": "https"}}, {"scheme": {"exact": "http"}}, False),
    ("a parameter", {"queryParams": {"q": {"present": True}}}, {"queryParams": {"q": {"prefix": "a"}}}, True),
    ("another parameter", {"queryParams": {"q": {"present": True}}}, {"queryParams": {"p": {"prefix": "a"}}}, False),
    ("a port", {"port": 80}, {"port": 80, "uri": {"prefix": "/a"}}, True),
    ("any port", {"port": 80}, {"uri": {"prefix": "/a"}}, False),
    ("fewer labels", {"sourceLabels": {"a": "b"}}, {"sourceLabels": {"a": "b", "c": "d"}}, True),
    ("more labels", {"sourceLabels": {"a": "b", "c": "d"}}, {"sourceLabels": {"a": "b"}}, False),
    ("a namespace", {"sourceNamespace": "n"}, {"sourceNamespace": "n", "sourceLabels": {"a": "b"}}, True),
    ("more gateways", {"gateways": ["g", "mesh"]}, {"gateways": ["mesh"]}, True),
    ("fewer gateways", {"gateways": ["mesh"]}, {"gateways": ["g", "mesh"]}, False),
    ("some gateways do not cover all", {"gateways": ["mesh"]}, header(exact="a"), False),
    ("a cookie", cookie(present=True), cookie(exact="a"), True),
    ("a cookie by regex", cookie(regex="a|b"), cookie(exact="a"), True),
    ("another cookie", cookie(present=True), {"cookies": {"d": {"exact": "a"}}}, False),
    ("a cookie is a header", {"headers": {"cookie": {"present": True}}}, cookie(exact="a"), True),
    ("a header may hold a cookie", cookie(prefix="a"), {"headers": {"cookie": {"exact": "d=1; c=ab"}}}, True),
    ("or not", cookie(prefix="a"), {"headers": {"cookie": {"exact": "d=1; c=b"}}}, False),
]


@pytest.mark.parametrize(("says", "earlier", "later", "covered"), COVERS, ids=[entry[0] for entry in COVERS])
def test_a_rule_is_covered_by_an_earlier_one(
    says: str, earlier: MatchData | None, later: MatchData | None, covered: bool
) -> None:
    assert covered_by(route(earlier, later), 1) == (0 if covered else None), says


@settings(deadline=None)
@given(st.lists(st.none() | MATCHES, min_size=1, max_size=4), st.lists(REQUESTS, max_size=20))
def test_no_request_meets_a_covered_rule(given_matches: list[MatchData | None], requests: list[Request]) -> None:
    rules = route(*given_matches)
    met = {rule_for(rules, request) for request in requests}
    covered = {index for index in range(len(rules)) if covered_by(rules, index) is not None}

    assert not met & covered, "a rule that is called unreachable was reached"
    assert not (None in met and any(is_catch_all(rule) for rule in rules)), "a catch-all did not catch"


@settings(deadline=None, max_examples=200)
@given(MATCHES, MATCHES, st.data())
def test_what_is_implied_holds(narrow: MatchData, wide: MatchData, data: st.DataObject) -> None:
    one, other = Match.model_validate(narrow), Match.model_validate(wide)
    if implies(one, other):
        for request in data.draw(st.lists(REQUESTS, min_size=10, max_size=20)):
            assert matches(other, request) or not matches(one, request)
