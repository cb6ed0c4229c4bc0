"""Which rule a request meets, as Envoy decides it: all measured on Envoy 1.40 with Istio 1.31."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.requests_and_matches import route
from traffic.model import Match, Rule
from traffic.simulate import Caller, Request, matches, rule_for


def header(**want: Any) -> dict[str, Any]:
    """A match on the header x."""
    return {"headers": {"x": want}}


def without(**want: Any) -> dict[str, Any]:
    """A match that forbids a value of the header x."""
    return {"withoutHeaders": {"x": want}}


def param(**want: Any) -> dict[str, Any]:
    """A match on the parameter a."""
    return {"queryParams": {"a": want}}


def cookie(**want: Any) -> dict[str, Any]:
    """A match on the cookie a."""
    return {"cookies": {"a": want}}


X = Request(headers={"X": "abc"})
NONE = Request()
EMPTY_TWICE = Request(headers=(("user-agent", ""), ("user-agent", "b"), ("user-agent", "")))
TWICE = Request(
    headers=(("x", "a"), ("X", "b"), ("accept", "a"), ("accept", "b"), ("cookie", "a=1"), ("cookie", "b=2"))
)
HOPS = Request(headers={"Connection": "keep-alive, x-hop", "x-hop": "1", "upgrade": "h2c"})
MINE = Request(headers={"x-request-id": "mine", "x-forwarded-proto": "https"})
POD = Caller("shop", {"app": "cart", "version": "cart-v1"})
FROM_POD = Request(headers=MINE.headers, caller=POD)

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
    ("values of a name are compared one by one", header(exact="b"), TWICE, True),
    ("they are not joined", header(exact="a,b"), TWICE, False),
    ("but those of well-known headers are", {"headers": {"accept": {"exact": "a,b"}}}, TWICE, True),
    ("cookies of two headers are not joined", {"headers": {"cookie": {"regex": ".*a=1.*b=2.*"}}}, TWICE, False),
    ("spaces around a value do not count", header(exact="abc"), Request(headers={"x": " abc\t"}), True),
    ("a regex sees bytes: é has two", header(regex="..\\S"), Request(headers={"x": "éa"}), True),
    ("and . takes one of them", header(regex="."), Request(headers={"x": "é"}), False),
    ("an empty value is not joined", {"headers": {"user-agent": {"exact": "b"}}}, EMPTY_TWICE, True),
    ("a method that HTTP/1.1 has not", {"method": {"regex": ".*"}}, Request(method="X-TRY"), False),
    ("a host that cannot be one", {"authority": {"regex": ".*"}}, Request(authority="a>b"), False),
    ("the host can be asked as a header", {"headers": {"host": {"exact": "h"}}}, Request(authority="h"), True),
    ("hop-by-hop headers are taken away", {"headers": {"connection": {"present": True}}}, HOPS, False),
    ("and those that connection names", {"headers": {"x-hop": {"present": True}}}, HOPS, False),
    ("an upgrade to something else, too", {"headers": {"upgrade": {"present": True}}}, HOPS, False),
    ("a gateway makes up a request id", {"headers": {"x-request-id": {"exact": "mine"}}}, MINE, False),
    ("a sidecar keeps it", {"headers": {"x-request-id": {"exact": "mine"}}}, FROM_POD, True),
    ("a gateway tells the scheme", {"headers": {"x-forwarded-proto": {"exact": "http"}}}, MINE, True),
    ("a sidecar believes the caller", {"scheme": {"exact": "https"}}, FROM_POD, True),
    ("without: one of the values is enough", without(exact="b"), TWICE, False),
    ("without: none of the values is fine", without(exact="c"), TWICE, True),
    ("without: an empty value is not missing", without(present=True), Request(headers={"x": ""}), False),
    ("without: another value is fine", without(exact="z"), X, True),
    ("without: this value is not", without(exact="abc"), X, False),
    ("without: a missing header is fine", without(exact="abc"), NONE, True),
    ("without: a missing header counts as empty", without(regex=".*"), NONE, False),
    ("without present: the header is missing", without(present=True), NONE, True),
    ("without present: the header is present", without(present=True), X, False),
    ("a path has case", {"uri": {"exact": "/A"}}, Request(path="/a"), False),
    ("unless it is ignored", {"uri": {"exact": "/A"}, "ignoreUriCase": True}, Request(path="/a"), True),
    ("also for a prefix", {"uri": {"prefix": "/SH"}, "ignoreUriCase": True}, Request(path="/shop"), True),
    ("a path is compared without query", {"uri": {"exact": "/a"}}, Request(path="/a?b=c"), True),
    ("a prefix is no whole segment", {"uri": {"prefix": "/a"}}, Request(path="/ab"), True),
    ("a regex takes no query", {"uri": {"regex": "/a[0-9]+"}}, Request(path="/a12?b"), True),
    ("a method", {"method": {"exact": "POST"}}, Request(method="POST"), True),
    ("another method", {"method": {"exact": "POST"}}, NONE, False),
    ("the authority has its port", {"authority": {"exact": "h:80"}}, Request(authority="h:80"), True),
    ("and case", {"authority": {"exact": "H"}}, Request(authority="h"), False),
    ("a scheme", {"scheme": {"exact": "https"}}, Request(scheme="https"), True),
    ("another scheme", {"scheme": {"exact": "https"}}, NONE, False),
    ("a parameter", param(exact="b"), Request(path="/?x=1&a=b"), True),
    ("of its values the first", param(exact="b"), Request(path="/?a=c&a=b"), False),
    ("a parameter is not decoded", param(exact="b c"), Request(path="/?a=b%20c"), False),
    ("nor is +", param(exact="b+c"), Request(path="/?a=b+c"), True),
    ("nor its name", {"queryParams": {"A": {"present": True}}}, Request(path="/?%41=1"), False),
    ("a parameter without a value is present", param(present=True), Request(path="/?b&a"), True),
    ("and empty", param(regex="x*"), Request(path="/?a"), True),
    ("a missing one is not", param(present=True), Request(path="/?b=a"), False),
    ("a value may hold =", param(exact="b=c"), Request(path="/?a=b=c"), True),
    ("a second ? is the name's", param(present=True), Request(path="/??a"), False),
    ("no parameters in a fragment", param(present=True), Request(path="/#?a"), False),
    ("a fragment is no part of the query", param(exact="b"), Request(path="/?a=b#c"), True),
    ("a port", {"port": 8080}, Request(port=8080), True),
    ("the scheme's own port", {"port": 443}, Request(scheme="https"), True),
    ("another port", {"port": 8080}, NONE, False),
    ("a label of the caller", {"sourceLabels": {"app": "cart"}}, FROM_POD, True),
    ("all labels must be there", {"sourceLabels": {"app": "cart", "tier": "x"}}, FROM_POD, False),
    ("who comes from outside has none", {"sourceLabels": {"app": "cart"}}, NONE, False),
    ("the caller's namespace", {"sourceNamespace": "shop"}, FROM_POD, True),
    ("another namespace", {"sourceNamespace": "other"}, FROM_POD, False),
    ("inside the mesh", {"gateways": ["mesh"]}, FROM_POD, True),
    ("not inside the mesh", {"gateways": ["mesh"]}, NONE, False),
    ("at a gateway", {"gateways": ["public", "mesh"]}, Request(gateway="public"), True),
    ("at another gateway", {"gateways": ["public"]}, Request(gateway="private"), False),
    ("a cookie", cookie(exact="1"), Request(headers={"cookie": "b=2; a=1"}), True),
    ("a cookie alone", cookie(exact="1"), Request(headers={"cookie": "a=1"}), True),
    ("a cookie before others", cookie(prefix="1"), Request(headers={"cookie": "a=12;b=2"}), True),
    ("the end of another cookie's name", cookie(exact="1"), Request(headers={"cookie": "ba=1"}), False),
    ("more than the cookie's value", cookie(exact="1"), Request(headers={"cookie": "a=12"}), False),
    ("a cookie of a second header", cookie(exact="1"), TWICE, True),
    ("any value of a cookie", cookie(present=True), Request(headers={"cookie": "b=2; a="}), True),
    ("all of a match must hold", {"uri": {"prefix": "/"}, **header(exact="z")}, X, False),
]


@pytest.mark.parametrize(("says", "match", "request_", "meets"), MEETINGS, ids=lambda value: str(value)[:60])
def test_a_match_is_decided_as_envoy_does(says: str, match: dict[str, Any], request_: Request, meets: bool) -> None:
    assert rule_for(route(match), request_) == (0 if meets else None), says
    assert matches(Match.model_validate(match), request_) is meets, "both ways to ask agree"


def test_the_first_rule_that_matches_decides() -> None:
    rules = route(header(exact="abc"), header(present=True), None)

    assert rule_for(rules, X) == 0
    assert rule_for(rules, Request(headers={"x": "other"})) == 1
    assert rule_for(rules, NONE) == 2


def test_any_match_of_a_rule_is_enough() -> None:
    rules = (Rule.model_validate({"match": [header(exact="z"), {"uri": {"prefix": "/"}}], "to": "v1"}),)

    assert rule_for(rules, X) == 0


def test_a_request_that_meets_no_rule_meets_none() -> None:
    assert rule_for(route(header(exact="z")), X) is None
