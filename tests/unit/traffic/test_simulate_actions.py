"""What a rule does to the requests that it matches: all measured on Envoy 1.40 with Istio 1.31."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.route_tables import table
from traffic.model import HeaderOperations, Target
from traffic.simulate import (
    Aborted,
    Answered,
    Decision,
    Delayed,
    Forwarded,
    Redirected,
    Request,
    RetryPolicy,
    Share,
    Simulator,
)
from traffic.simulate.path import normalized, replace_all

PLAIN = Request()


def decide(rule: dict[str, Any], request: Request = PLAIN) -> Decision:
    """The decision of a service `shop` with only this rule."""
    filled = rule if {"redirect", "directResponse"} & rule.keys() else {"to": "version-1", **rule}
    return Simulator(table(shop={"route": [filled]})).decide(request)


def forwarded(rule: dict[str, Any], request: Request = PLAIN) -> Forwarded:
    """What is forwarded to a version."""
    outcome = decide(rule, request).outcome
    assert isinstance(outcome, Forwarded), outcome
    return outcome


PATHS: list[tuple[str, str | None]] = [
    ("/", "/"),
    ("//a//b", "//a//b"),
    ("/a/./b", "/a/b"),
    ("/a/../b", "/b"),
    ("/a/%2e%2E/b", "/b"),
    ("/a//../b", "/a/b"),
    ("//..", "/"),
    ("/.//a", "//a"),
    ("/..", "/"),
    ("/a/..", "/"),
    ("/a/.", "/a/"),
    ("/a/b/../../../c", "/c"),
    ("/a/...", "/a/..."),
    ("/a/.b", "/a/.b"),
    ("/a/..%2fb", "/a/..%2fb"),
    ("/a%2fb", "/a%2fb"),
    ("/%41%7e%20%5f", "/A~%20_"),
    ("/%3a%c3", "/%3a%c3"),
    ("/%zz%4", "/%zz%4"),
    ("/a\\b", "/a/b"),
    ("/a\\..\\b", "/b"),
    ("/a%5cb", "/a%5cb"),
    ('/a|b<>"^`{}', "/a%7Cb%3C%3E%22%5E%60%7B%7D"),
    ("/a;b/c", "/a;b/c"),
    ("/a/..;x/b", "/b"),
    ("/a/.;x/b", "/a/b"),
    ("/a/...;x/b", "/a/...;x/b"),
    ("/a/%2e%2e;x/b", "/a/..;x/b"),
    ("/a/..;x\\b", "/"),
    ("", None),
    ("a", None),
    ("*", None),
    ("/é", None),
    ("/a b", None),
    ("/a%00b", None),
]


@pytest.mark.parametrize(("path", "seen"), PATHS)
def test_paths_are_normalised_as_envoy_does(path: str, seen: str | None) -> None:
    assert normalized(path) == seen


@pytest.mark.parametrize("request_", [Request(path="/a%00"), Request(method="get"), Request(method="X-TRY")])
def test_what_envoy_rejects_is_a_bad_request(request_: Request) -> None:
    assert decide({}, request_).status == 400


def uri(**want: str) -> dict[str, Any]:
    """A rule with a match on the path."""
    return {"match": [{"uri": want}]}


REWRITES: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    (uri(prefix="/shop"), {"uri": "/"}, "/shop/x", "//x"),
    (uri(prefix="/shop"), {"uri": "/"}, "/shop?a=b", "/?a=b"),
    (uri(prefix="/shop"), {"uri": "/"}, "/shopping", "/ping"),
    (uri(prefix="/api/"), {"uri": "/"}, "/api/v1?q", "/v1?q"),
    (uri(prefix="/new"), {"uri": "/old/"}, "/new/x", "/old//x"),
    (uri(exact="/exact"), {"uri": "/e2"}, "/exact?q=1", "/e2?q=1"),
    (uri(regex="/re/[0-9]+"), {"uri": "/r2"}, "/re/12?q", "/r2?q"),
    ({"match": [{"uri": {"prefix": "/CASE"}, "ignoreUriCase": True}]}, {"uri": "/low"}, "/CaSeX", "/lowX"),
    ({}, {"uri": "/base"}, "/a/b", "/basea/b"),
    ({}, {"uri": "/base"}, "/", "/base"),
    ({}, {"uri": "/base/"}, "/../a?b", "/base/a?b"),
    ({"match": [{"uri": {"prefix": "/b"}}, {"uri": {"prefix": "/a"}}]}, {"uri": "/c"}, "/a/b", "/c/b"),
    ({}, {"uriRegexRewrite": {"match": "/a/", "rewrite": "/"}}, "/a/a/a/b?/a/", "/a/b?/a/"),
    ({}, {"authority": "other.example"}, "/a/./b#c", "/a/b"),
    # The version's sidecar normalises what the rewrite made.
    (uri(prefix="/a"), {"uri": r"/\1"}, "/a/x", "//1/x"),
    ({}, {"uriRegexRewrite": {"match": "^/a", "rewrite": "/../<b>"}}, "/a/x?q", "/%3Cb%3E/x?q"),
    ({}, {"uriRegexRewrite": {"match": "^/a(.*)$", "rewrite": r"\1"}}, "/a?q", "/a?q"),
]


@pytest.mark.parametrize(("rule", "rewrite", "path", "seen"), REWRITES)
def test_paths_are_rewritten_as_envoy_does(rule: dict[str, Any], rewrite: dict[str, Any], path: str, seen: str) -> None:
    assert forwarded({**rule, "rewrite": rewrite}, Request(path=path)).path == seen


@pytest.mark.parametrize(
    ("pattern", "replacement", "text", "result"),
    [
        ("/rg/([^/]+)/(.*)", r"/\2/\1", "/rg/one/two/three", "/two/three/one"),
        ("b*", "-", "/bsabbcb", "-/-s-a-c-"),
        ("x", r"\0\\y", "/qxx", r"/qx\yx\y"),
        ("(a)(b)?", r"<\1\2>", "/ab/a", "/<ab>/<a>"),
        ("^/z", "w", "/z/z", "w/z"),
        ("x", r"\1", "/x", "/x"),
        ("none", "-", "/x", "/x"),
    ],
)
def test_regexes_replace_as_re2_does(pattern: str, replacement: str, text: str, result: str) -> None:
    assert replace_all(pattern, replacement, text) == result


@pytest.mark.parametrize("replacement", ["b", "/a b", "/é"])
def test_a_rewrite_to_an_invalid_path_is_rejected_by_the_versions_sidecar(replacement: str) -> None:
    rewrite = {"uriRegexRewrite": {"match": "^/a", "rewrite": replacement}}

    assert not forwarded({"rewrite": rewrite}, Request(path="/a/x")).is_taken, "measured: its sidecar answers 400"
    assert forwarded({"rewrite": rewrite}, Request(path="/x")).is_taken


def test_the_version_sees_the_callers_authority_unless_it_is_rewritten() -> None:
    asked = Request(authority="Shop.example:80")
    assert forwarded({}, asked).authority == "Shop.example:80"
    assert forwarded({"rewrite": {"authority": "other.example"}}, asked).authority == "other.example"


H = "a.example"
LOCATIONS: list[tuple[dict[str, Any], str, str]] = [
    ({"uri": "/new"}, H, "http://a.example/new?y=1"),
    ({"uri": "/new"}, f"{H}:80", "http://a.example:80/new?y=1"),
    ({"authority": "o.example"}, f"{H}:80", "http://o.example/x?y=1"),
    ({"scheme": "https"}, "A.example", "https://A.example/x?y=1"),
    ({"scheme": "https"}, f"{H}:80", "https://a.example/x?y=1"),
    ({"scheme": "https"}, f"{H}:8080", "https://a.example:8080/x?y=1"),
    ({"scheme": "https", "port": 8443}, f"{H}:80", "https://a.example:8443/x?y=1"),
    ({"port": 80}, f"{H}:8080", "http://a.example:8080/x?y=1"),
    ({"port": 443}, f"{H}:80", "http://a.example:443/x?y=1"),
    ({"scheme": "https", "port": 443}, f"{H}:8080", "https://a.example:8080/x?y=1"),
    ({"scheme": "http", "port": 443}, H, "http://a.example:443/x?y=1"),
    ({"authority": "o.example", "port": 8080}, H, "http://o.example:8080/x?y=1"),
    ({"uri": "/new"}, "[fd00::1]:80", "http://[fd00::1]:80/new?y=1"),
    ({"port": 81}, "[fd00::1]", "http://[fd00::1]:81/x?y=1"),
]


@pytest.mark.parametrize(("redirect", "authority", "location"), LOCATIONS)
def test_redirects_lead_where_envoy_leads(redirect: dict[str, Any], authority: str, location: str) -> None:
    outcome = decide({"redirect": redirect}, Request(path="/./x?y=1#z", authority=authority)).outcome
    assert isinstance(outcome, Redirected)
    assert (outcome.status, outcome.location) == (301, location)


def test_a_direct_response_is_envoys_own() -> None:
    decision = decide({"directResponse": {"status": 418, "body": "tea"}, "headers": {"response": {"set": {"a": "b"}}}})
    assert decision.outcome == Answered(418, "tea", response_headers=HeaderOperations(set={"a": "b"}))
    assert decision.status == 418


def test_weights_are_probabilities_and_those_at_0_are_none() -> None:
    shares = forwarded({"to": {"version-1": 90, "version-2": 0, "cart/blue": 10}}).shares
    assert shares == (
        Share("version-1", Target("shop", "version-1"), 0.9),
        Share("cart/blue", Target("cart", "blue"), 0.1),
    )


STICKY = {"to": {"version-1": 90, "version-2": 10, "version-3": 0}, "sticky": {"cookie": "v", "ttl": "1h"}}


def test_a_user_without_the_cookie_follows_the_weights_and_gets_it() -> None:
    decision = decide(STICKY)
    assert isinstance(decision.outcome, Forwarded)
    assert {share.destination: share.probability for share in decision.outcome.shares} == {
        "version-1": 0.9,
        "version-2": 0.1,
    }
    assert decision.outcome.shares[1].set_cookie == "v=version-2; Max-Age=3600; Path=/; HttpOnly; SameSite=Lax"
    assert not decision.sticks


def test_a_user_with_the_cookie_stays_unless_the_version_has_no_weight() -> None:
    stays = decide(STICKY, Request(headers={"cookie": "a=b; v=version-2"}))
    assert isinstance(stays.outcome, Forwarded)
    assert [(share.destination, share.probability) for share in stays.outcome.shares] == [("version-2", 1.0)]
    assert stays.sticks
    assert stays.outcome.shares[0].set_cookie is None, "the cookie keeps its first lifetime"
    assert stays.passed == (), "the rule's other steps are no rules before it"

    lost = decide(STICKY, Request(headers={"cookie": "v=version-3"}))
    assert isinstance(lost.outcome, Forwarded)
    assert len(lost.outcome.shares) == 2, "at weight 0 the cookie counts no more"


def test_istio_retries_twice_by_default() -> None:
    assert forwarded({}).retries == RetryPolicy(
        2, "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
    )
    assert forwarded({}).timeout is None
    assert forwarded({"retries": {"attempts": 0}}).retries is None


def test_retries_and_timeout_are_as_the_rule_says() -> None:
    retries = {"attempts": 3, "perTryTimeout": "2s", "retryOn": "reset,503", "backoff": "1s"}
    outcome = forwarded({"timeout": "1m10s", "retries": {**retries, "retryIgnorePreviousHosts": False}})
    assert outcome.timeout == 70.0
    assert outcome.retries == RetryPolicy(3, "reset,503,retriable-status-codes", 2.0, 1.0, to_other_hosts=False)


def test_mirrors_get_their_percentage_and_none_at_0() -> None:
    mirrors = [{"to": "version-2", "percentage": {"value": 12.345678}}, {"to": "cart/a", "percentage": {"value": 0}}]
    assert forwarded({"mirrors": mirrors}).mirrors == (Share("version-2", Target("shop", "version-2"), 0.123456),)


def test_faults_come_with_their_probability() -> None:
    delay = {"fixedDelay": "1.5s", "percentage": {"value": 25}}
    decision = decide({"fault": {"delay": delay, "abort": {"httpStatus": 503}}})
    assert (decision.delay, decision.abort) == (Delayed(1.5, 0.25), Aborted(503, 1.0))
    grpc = decide({"fault": {"abort": {"grpcStatus": "UNAVAILABLE", "percentage": {"value": 50}}}})
    assert grpc.abort == Aborted(200, 0.5, "UNAVAILABLE")
    assert decide({"fault": {"abort": {"httpStatus": 503, "percentage": {"value": 0}}}}).abort is None


CORS: dict[str, Any] = {
    "allowOrigins": [{"exact": "https://ok.example"}, {"regex": "https://r[0-9]"}],
    "allowMethods": ["GET", "PUT"],
    "allowHeaders": ["x-a", "x-b"],
    "exposeHeaders": ["x-e"],
    "maxAge": "24h",
    "allowCredentials": True,
}
OK = {"access-control-allow-origin": "https://ok.example", "access-control-allow-credentials": "true"}
EXPOSED = {"access-control-expose-headers": "x-e"}
TERMS = {
    "access-control-allow-methods": "GET,PUT",
    "access-control-allow-headers": "x-a,x-b",
    "access-control-max-age": "86400",
}


def browser(origin: str, method: str = "GET", wants: str | None = None) -> Request:
    """What a page of `origin` sends; `wants` makes a preflight of it."""
    wish = {} if wants is None else {"access-control-request-method": wants}
    return Request(headers={"Origin": origin, **wish}, method=method)


def test_envoy_answers_preflights_of_allowed_origins() -> None:
    outcome = decide({"corsPolicy": CORS}, browser("https://ok.example", "OPTIONS", "PUT")).outcome
    assert outcome == Answered(200, headers={**OK, **EXPOSED, **TERMS})


@pytest.mark.parametrize(
    "request_",
    [
        browser("https://bad.example", "OPTIONS", "PUT"),
        browser("https://OK.example", "OPTIONS", "PUT"),
        browser("https://r77", "OPTIONS", "PUT"),
        browser("https://ok.example", "OPTIONS"),
        browser("https://ok.example", "GET", "PUT"),
        browser("", "OPTIONS", "PUT"),
        Request(method="OPTIONS"),
    ],
)
def test_other_requests_than_allowed_preflights_are_forwarded(request_: Request) -> None:
    assert isinstance(decide({"corsPolicy": CORS}, request_).outcome, Forwarded)


def test_an_ignored_preflight_is_answered_without_its_origin() -> None:
    policy = {**CORS, "unmatchedPreflights": "IGNORE"}
    outcome = decide({"corsPolicy": policy}, browser("https://bad.example", "OPTIONS", "PUT")).outcome
    assert outcome == Answered(200, headers={"access-control-allow-credentials": "true", **TERMS})


def test_a_star_allows_what_is_requested() -> None:
    policy = {"allowOrigins": [{"exact": "*"}], "allowMethods": ["*"], "allowHeaders": ["*"]}
    outcome = decide({"corsPolicy": policy}, browser("https://x.example", "OPTIONS", "PUT")).outcome
    assert isinstance(outcome, Answered)
    assert outcome.headers["access-control-allow-methods"] == "PUT"
    assert outcome.headers["access-control-allow-headers"] == ""


def test_responses_to_allowed_origins_have_cors_headers() -> None:
    assert decide({"corsPolicy": CORS}, browser("https://ok.example")).cors == {**OK, **EXPOSED}
    assert decide({"corsPolicy": CORS}, browser("https://bad.example")).cors == {}
    assert decide({}, browser("https://ok.example")).cors == {}
