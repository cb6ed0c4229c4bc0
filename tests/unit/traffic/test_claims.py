"""Claims of tokens in matches: what Istio gets, and what the gateway decides."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest

from traffic.diff import traffic_diff
from traffic.model import Match, ServiceRouting, claim_header, claim_path
from traffic.reach import covered_by
from traffic.render import gateway_request_authentication, virtual_services
from traffic.sample import NoSample, sample_request
from traffic.simulate import Caller, Refused, Request, Simulator
from traffic.simulate.tokens import texts_of, with_claim

ISSUER = {"issuer": "https://id.example.com", "jwksUri": "https://id.example.com/keys"}
BETA = {"match": [{"claims": {"groups": {"exact": "beta"}}}], "to": "v2"}


def shop(*rules: dict[str, Any], **given: Any) -> ServiceRouting:
    """A service at a gateway that validates tokens."""
    return ServiceRouting.model_validate(
        {
            "namespace": "shop",
            "hosts": ["shop.example.com"],
            "gateways": ["shop-gateway", "mesh"],
            "versions": {"v1": {}, "v2": {}},
            "jwt": [ISSUER],
            "route": [*rules, {"to": "v1"}],
            **given,
        }
    )


def token(**claims: Any) -> str:
    """A token that looks as if an issuer had signed it."""
    parts = ({"alg": "ES256"}, claims)
    return ".".join([*(urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts), "sig"])


def asked(simulator: Simulator, **request: Any) -> str:
    """The version that gets the request, or the status."""
    decision = simulator.decide(Request(**{"authority": "shop.example.com", **request}))
    outcome = decision.outcome
    return str(outcome.status) if isinstance(outcome, Refused) else outcome.shares[0].destination  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "path", "header"),
    [
        ("groups", ("groups",), "@request.auth.claims[groups]"),
        ("realm.roles", ("realm", "roles"), "@request.auth.claims[realm][roles]"),
        ("[realm][roles]", ("realm", "roles"), "@request.auth.claims[realm][roles]"),
        ("[https://a.example/x]", ("https://a.example/x",), "@request.auth.claims[https://a.example/x]"),
        ("cognito:groups", ("cognito:groups",), "@request.auth.claims[cognito:groups]"),
    ],
)
def test_a_claim_is_named_as_istio_names_it(name: str, path: tuple[str, ...], header: str) -> None:
    assert (claim_path(name), claim_header(name)) == (path, header)
    assert Match.model_validate({"claims": {name: {"exact": "x"}}}).claims.keys() == {name}


@pytest.mark.parametrize("name", ["", "https://a.example/x", "a..b", "[a", "[a]b", "[]", "@request.auth.claims.x"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a claim"):
        Match.model_validate({"claims": {name: {"exact": "x"}}})


def test_istios_notation_is_read_as_claims() -> None:
    headers = {
        "@request.auth.claims.groups": {"exact": "b"},
        "@Request.Auth.Claims[a][b]": {"prefix": "c"},
        "x": {"exact": "y"},
    }
    match = Match.model_validate({"headers": headers})
    assert match == Match.model_validate(
        {"claims": {"groups": {"exact": "b"}, "[a][b]": {"prefix": "c"}}, "headers": {"x": {"exact": "y"}}}
    )


def test_istio_gets_the_claim_with_the_issuers_of_the_service() -> None:
    other = {"issuer": "https://b.example", "jwksUri": "https://b.example/keys"}
    present = {"match": [{"claims": {"sub": {"present": True}, "iss": {"exact": "https://b.example"}}}], "to": "v2"}
    spec = virtual_services({"shop": shop(BETA, present, jwt=[ISSUER, other])}, "shop", gateway_namespace="g")["shop"]
    first, second = (rule["match"][0]["headers"] for rule in spec["http"][:2])
    assert first == {
        "@request.auth.claims[groups]": {"exact": "beta"},
        "@request.auth.claims[iss]": {"regex": "https://id\\.example\\.com|https://b\\.example"},
    }
    assert second == {
        "@request.auth.claims[sub]": {"regex": ".*"},
        "@request.auth.claims[iss]": {"exact": "https://b.example"},
    }, "an empty match makes Envoy refuse everything"


def test_the_gateway_forwards_the_token_to_the_pods_which_validate_it_again() -> None:
    spec = gateway_request_authentication(shop(jwt=[{**ISSUER, "forwardOriginalToken": False}]).jwt, {"istio": "g"})
    assert spec == {"selector": {"matchLabels": {"istio": "g"}}, "jwtRules": [{**ISSUER, "forwardOriginalToken": True}]}


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"groups": "beta"}, "v2"),
        ({"groups": ["staff", "beta"]}, "v2"),
        ({"groups": "Beta"}, "v1"),
        ({"groups": "staff beta"}, "v1"),
        ({"groups": 7}, "v1"),
        ({"groups": {"beta": "beta"}}, "v1"),
        ({}, "v1"),
        ({"groups": "beta", "iss": "https://id.example.com"}, "v2"),
        ({"groups": "beta", "iss": "https://other.example"}, "v1"),
        (None, "v1"),
    ],
)
def test_a_request_goes_where_its_claims_lead(claims: dict[str, Any] | None, expected: str) -> None:
    assert asked(Simulator({"shop": shop(BETA)}), claims=claims) == expected


INSIDE = {"caller": Caller("n"), "authority": "shop.shop"}
PREFLIGHT = {"origin": "https://a.example", "access-control-request-method": "GET"}
GOOD = {"iss": ISSUER["issuer"], "groups": ["beta"]}


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"headers": {"authorization": f"Bearer {token(**GOOD)}"}}, "v2"),
        ({"path": f"/?access_token={token(**GOOD)}"}, "v2"),
        ({"headers": {"authorization": f"Basic {token(**GOOD)}"}}, "v1"),
        ({"headers": {"authorization": f"Bearer {token(**GOOD, exp=1)}"}}, "401"),
        ({"headers": {"authorization": f"Bearer {token(**GOOD, nbf=99999999999)}"}}, "401"),
        ({"headers": {"authorization": f"Bearer {token(groups=['beta'], iss='https://x.example')}"}}, "401"),
        ({"headers": {"authorization": "Bearer opaque"}}, "401"),
        ({"headers": {"authorization": "Bearer opaque"}, "authority": "unknown.example"}, "401"),
        ({"headers": {"request.auth.claims.groups": "beta"}}, "v1"),
        ({"headers": {"@request.auth.claims.groups": "beta"}}, "v1"),
        ({"headers": {"authorization": f"Bearer {token(**GOOD)}"}, **INSIDE}, "v1"),
        ({"method": "OPTIONS", "headers": {"authorization": "Bearer opaque", **PREFLIGHT}}, "v1"),
    ],
)  # fmt: skip
def test_a_request_goes_where_its_token_leads(request_: dict[str, Any], expected: str) -> None:
    assert asked(Simulator({"shop": shop(BETA)}), **request_) == expected


def test_without_claims_in_a_route_the_gateway_looks_at_no_token() -> None:
    assert asked(Simulator({"shop": shop()}), headers={"authorization": "Bearer opaque"}) == "v1"


def test_the_gateway_accepts_tokens_of_all_its_services_and_each_looks_at_its_own() -> None:
    other = {"issuer": "https://b.example", "jwksUri": "https://b.example/keys"}
    bank = shop(hosts=["bank.example.com"], jwt=[other], gateways=["bank-gateway"])
    table = Simulator({"shop": shop(BETA), "bank": bank})
    of_bank = {"authorization": f"Bearer {token(iss='https://b.example', groups=['beta'])}"}
    assert asked(table, headers=of_bank, authority="bank.example.com") == "v1"
    assert asked(table, headers=of_bank) == "v1", "its pods then answer 401"


def test_an_audience_must_be_one_of_the_rule() -> None:
    table = Simulator({"shop": shop(BETA, jwt=[{**ISSUER, "audiences": ["shop"]}])})
    assert asked(table, headers={"authorization": f"Bearer {token(**GOOD, aud=['shop', 'x'])}"}) == "v2"
    assert asked(table, headers={"authorization": f"Bearer {token(**GOOD, aud='x')}"}) == "401"


def test_claims_that_are_lists_of_words_are_divided_as_envoy_does() -> None:
    assert texts_of({"scope": "read write"}, "scope") == ("read", "write")
    assert texts_of({"title": "read write"}, "title") == ("read write",)
    assert texts_of(with_claim({"a": {"b": "1"}}, "a.c", ["2", "3"]), "a.c") == ("2", "3")
    assert with_claim({"a": {"b": "1"}}, "a.c", ["2"]) == {"a": {"b": "1", "c": "2"}}
    assert with_claim({}, "a.b.c", ["1"]) == {"a": {"b": {"c": "1"}}}


def test_a_rule_for_a_claim_covers_another_for_less() -> None:
    narrow = {"match": [{"claims": {"groups": {"exact": "beta"}, "sub": {"exact": "a"}}}], "to": "v2"}
    assert covered_by(shop(BETA, narrow).route, 1) == 0
    assert covered_by(shop(narrow, BETA).route, 1) is None


def test_a_change_of_a_claim_is_seen_by_the_diff() -> None:
    before, after = Simulator({"shop": shop()}), Simulator({"shop": shop(BETA)})
    at_gateway = [group for group in traffic_diff(before, after).groups if not group.witness.request.caller]
    (group,) = at_gateway
    assert (group.change.before, group.change.after) == ("shop/v1", "shop/v2")
    assert group.witness.request.claims == {"groups": "beta"}


def test_no_request_is_made_up_for_a_rule_that_needs_a_token() -> None:
    found = sample_request(Simulator({"shop": shop(BETA)}), "shop", 0)
    assert isinstance(found, NoSample)
    assert "only its issuer can sign" in found.reason
