"""Who may call a service, and how."""

from __future__ import annotations

from typing import Any

import pytest

from traffic.model import Authorization, JwtRule, MutualTls
from traffic.render import (
    Spec,
    allow_all,
    authorization_policies,
    deny_by_default,
    peer_authentication,
    request_authentication,
)

WEBSITE = {"selector": {"matchLabels": {"app": "website"}}}


def allowed(*rules: dict[str, Any]) -> Spec:
    """The policy that allows these requests to the website."""
    policies = authorization_policies("website", Authorization.model_validate({"allow": rules}))
    assert list(policies) == ["website-allow"]
    return policies["website-allow"]


@pytest.mark.parametrize(
    ("given", "spec"),
    [
        ({"mode": "STRICT"}, {"mtls": {"mode": "STRICT"}}),
        ({"portLevelMtls": {8080: "DISABLE"}}, {"portLevelMtls": {"8080": {"mode": "DISABLE"}}}),
        (
            {"mode": "STRICT", "portLevelMtls": {9090: "DISABLE", 8080: "PERMISSIVE"}},
            {
                "mtls": {"mode": "STRICT"},
                "portLevelMtls": {"8080": {"mode": "PERMISSIVE"}, "9090": {"mode": "DISABLE"}},
            },
        ),
    ],
)
def test_mutual_tls_of_a_service_selects_its_pods(given: dict[str, Any], spec: Spec) -> None:
    assert peer_authentication(MutualTls.model_validate(given), "website") == {**WEBSITE, **spec}


def test_mutual_tls_of_a_namespace_selects_no_pods() -> None:
    assert peer_authentication(MutualTls.model_validate({"mode": "PERMISSIVE"})) == {"mtls": {"mode": "PERMISSIVE"}}


SOURCES: dict[str, list[str]] = {
    "principals": ["cluster.local/ns/shop/sa/shop"],
    "notPrincipals": ["cluster.local/ns/shop/sa/other"],
    "namespaces": ["shop"],
    "notNamespaces": ["test"],
    "requestPrincipals": ["*"],
    "notRequestPrincipals": ["https://a.example.com/bob"],
    "ipBlocks": ["10.0.0.0/8"],
}
OPERATIONS: dict[str, list[str]] = {
    "methods": ["GET"],
    "notMethods": ["DELETE"],
    "paths": ["/api/*"],
    "notPaths": ["/api/admin"],
    "hosts": ["shop.example.com"],
}


def test_a_rule_is_split_into_caller_request_and_everything_else() -> None:
    rule = {**SOURCES, **OPERATIONS, "ports": [8080], "headers": {"x-b": ["1", "2"], "x-a": ["3"]}}

    assert allowed(rule) == {
        **WEBSITE,
        "action": "ALLOW",
        "rules": [
            {
                "from": [{"source": SOURCES}],
                "to": [{"operation": {**OPERATIONS, "ports": ["8080"]}}],
                "when": [
                    {"key": "request.headers[x-a]", "values": ["3"]},
                    {"key": "request.headers[x-b]", "values": ["1", "2"]},
                ],
            }
        ],
    }


def test_only_the_conditions_of_a_rule_are_rendered() -> None:
    rules = allowed({"namespaces": ["shop"]}, {"methods": ["GET"]}, {"headers": {"x-a": ["1"]}})["rules"]

    assert [list(rule) for rule in rules] == [["from"], ["to"], ["when"]]


def test_no_rules_allow_nothing_and_an_empty_rule_allows_everything() -> None:
    assert allowed() == {**WEBSITE, "action": "ALLOW"}
    assert allowed({}) == {**WEBSITE, "action": "ALLOW", "rules": [{}]}


def test_allow_and_deny_are_separate_policies() -> None:
    given = {"allow": [{"methods": ["GET"]}], "deny": [{"paths": ["/admin*"]}]}
    policies = authorization_policies("website", Authorization.model_validate(given))

    assert {name: (spec["action"], spec["rules"]) for name, spec in policies.items()} == {
        "website-allow": ("ALLOW", [{"to": [{"operation": {"methods": ["GET"]}}]}]),
        "website-deny": ("DENY", [{"to": [{"operation": {"paths": ["/admin*"]}}]}]),
    }


def test_deny_by_default_is_an_allow_without_rules() -> None:
    assert deny_by_default() == {"action": "ALLOW"}, "a DENY could not be lifted by another policy's ALLOW"


def test_all_requests_to_the_gateways_pods_can_be_allowed() -> None:
    assert allow_all({"istio": "ingressgateway"}) == {
        "selector": {"matchLabels": {"istio": "ingressgateway"}},
        "action": "ALLOW",
        "rules": [{}],
    }


def test_tokens_are_validated_per_issuer() -> None:
    issuers: list[dict[str, Any]] = [
        {"issuer": "https://a.example.com", "jwksUri": "https://a.example.com/jwks.json"},
        {
            "issuer": "https://b.example.com",
            "jwks": '{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}',
            "audiences": ["shop"],
            "fromHeaders": [{"name": "x-token"}, {"name": "authorization", "prefix": "Bearer "}],
            "fromParams": ["token"],
            "forwardOriginalToken": True,
        },
    ]
    spec = request_authentication("website", [JwtRule.model_validate(issuer) for issuer in issuers])

    assert spec == {**WEBSITE, "jwtRules": issuers}
