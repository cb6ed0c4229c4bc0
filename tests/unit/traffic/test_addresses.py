"""Rules on addresses of callers: what the gateway and the pods do together is what the rules say."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traffic.addresses import at_pods, compares_addresses, denied_at_gateway
from traffic.model import AccessRule, Authorization, ServiceRouting
from traffic.render import authorization_policies, gateway_denial
from traffic.simulate import Request, Simulator
from traffic.simulate.gateway_access import in_blocks, path_fits

OFFICE, OTHER = "198.51.100.9", "203.0.113.7"
GATEWAY = "istio-ingress"


def authorization(**given: Any) -> Authorization:
    """Rules from a stack's file."""
    return Authorization.model_validate(given)


def simulator(rules: Authorization | None, hosts: tuple[str, ...] = ("shop.example.com",)) -> Simulator:
    """A shop with these rules beside another service, at one gateway."""
    service = {"namespace": "n", "versions": {"v1": {}}, "route": [{"to": "v1"}]}
    shop = {**service, "hosts": hosts, "gateways": ["shop-gateway"], "authorization": rules}
    other = {**service, "hosts": ["other.example.com"], "gateways": ["other-gateway"]}
    return Simulator({name: ServiceRouting.model_validate(one) for name, one in (("shop", shop), ("other", other))})


def status(rules: Authorization, **request: Any) -> int:
    """200 if the gateway lets the request through to the route."""
    asked = Request(**{"authority": "shop.example.com", "client": OFFICE, **request})
    return simulator(rules).decide(asked).status or 200


ADDRESS = st.sampled_from(["198.51.100.0/24", "203.0.113.7", "0.0.0.0/0", "2001:db8::/32"])
CONDITIONS: dict[str, st.SearchStrategy[list[str]]] = {
    "remoteIpBlocks": st.lists(ADDRESS, min_size=1, max_size=2, unique=True),
    "methods": st.lists(st.sampled_from(["GET", "POST", "P*"]), min_size=1, max_size=2, unique=True),
    "paths": st.lists(st.sampled_from(["/a", "/a*", "/b/{*}", "*b"]), min_size=1, max_size=2, unique=True),
}
RULES = st.fixed_dictionaries({}, optional=CONDITIONS).filter(bool)
REQUESTS = st.fixed_dictionaries(
    {
        "client": st.sampled_from([OFFICE, OTHER, "192.0.2.1", "2001:db8::7"]),
        "method": st.sampled_from(["GET", "POST", "PUT"]),
        "path": st.sampled_from(["/", "/a", "/a/b", "/b/c?q=1"]),
    }
)


def meets(rule: dict[str, list[str]], request: dict[str, str]) -> bool:
    """Whether a request is as a rule says, read literally."""
    address = ipaddress.ip_address(request["client"])
    path = request["path"].partition("?")[0]
    blocks = rule.get("remoteIpBlocks", ["0.0.0.0/0", "::/0"])
    methods, paths = rule.get("methods", ["*"]), rule.get("paths", ["*"])
    return (
        any(address in ipaddress.ip_network(block) for block in blocks)
        and any(method in ("*", request["method"]) or (method == "P*" and request["method"][0] == "P")
                for method in methods)
        and any(path_fits(pattern, path) for pattern in paths)
    )  # fmt: skip


@given(st.lists(RULES, min_size=1, max_size=3), REQUESTS)
def test_a_request_is_let_in_if_and_only_if_a_rule_of_allow_lets_it_in(
    rules: list[dict[str, list[str]]], request: dict[str, str]
) -> None:
    given_rules = authorization(allow=rules)
    expected = 200 if any(meets(rule, request) for rule in rules) else 403
    if compares_addresses(given_rules):
        assert status(given_rules, **request) == expected


@given(st.lists(RULES, min_size=1, max_size=3), REQUESTS)
def test_a_request_is_denied_if_and_only_if_a_rule_of_deny_with_an_address_denies_it(
    rules: list[dict[str, list[str]]], request: dict[str, str]
) -> None:
    denying = [rule for rule in rules if "remoteIpBlocks" in rule]
    expected = 403 if any(meets(rule, request) for rule in denying) else 200
    assert status(authorization(deny=rules), **request) == expected


@pytest.mark.parametrize("host", ["shop.example.com", "SHOP.example.com", "shop.example.com:8080"])
def test_no_spelling_of_the_host_gets_around_a_rule(host: str) -> None:
    rules = authorization(allow=[{"remoteIpBlocks": ["198.51.100.0/24"]}])
    assert status(rules, authority=host, client=OTHER) == 403
    assert status(rules, authority=host) == 200


def test_other_hosts_at_the_gateway_are_let_in_as_before() -> None:
    rules = authorization(allow=[{"remoteIpBlocks": ["198.51.100.0/24"]}])
    for hosts in (("shop.example.com",), ("*",)):
        decided = simulator(rules, hosts).decide(Request(authority="other.example.com", client=OTHER))
        assert decided.status is None
    anything = simulator(rules, ("*",)).decide(Request(authority="any.example", client=OTHER))
    assert anything.status == 403


def test_a_header_of_the_caller_is_no_address() -> None:
    rules = authorization(allow=[{"remoteIpBlocks": ["198.51.100.0/24"]}])
    assert status(rules, client=OTHER, headers={"x-forwarded-for": OFFICE, "x-envoy-external-address": OFFICE}) == 403


def test_without_an_address_nothing_is_claimed() -> None:
    table = simulator(authorization(allow=[{"remoteIpBlocks": ["198.51.100.0/24"]}]))
    request = Request(authority="shop.example.com")
    assert request.seen is not None
    assert table.is_denied("shop", request, request.seen) is None


def test_the_pods_let_in_what_the_gateway_sends_and_compare_the_addresses_of_other_pods() -> None:
    rules = authorization(
        allow=[{"remoteIpBlocks": ["198.51.100.0/24"], "methods": ["GET"]}, {"namespaces": ["client"]}],
        deny=[{"notRemoteIpBlocks": ["198.51.100.0/24"], "paths": ["/admin*"]}, {"paths": ["/never"]}],
    )
    assert authorization_policies("shop", at_pods(rules, GATEWAY)) == {
        "shop-allow": {
            "selector": {"matchLabels": {"app": "shop"}},
            "action": "ALLOW",
            "rules": [
                {"from": [{"source": {"namespaces": [GATEWAY]}}], "to": [{"operation": {"methods": ["GET"]}}]},
                {
                    "from": [{"source": {"notNamespaces": [GATEWAY], "ipBlocks": ["198.51.100.0/24"]}}],
                    "to": [{"operation": {"methods": ["GET"]}}],
                },
                {"from": [{"source": {"namespaces": ["client"]}}]},
            ],
        },
        "shop-deny": {
            "selector": {"matchLabels": {"app": "shop"}},
            "action": "DENY",
            "rules": [
                {
                    "from": [{"source": {"notNamespaces": [GATEWAY], "notIpBlocks": ["198.51.100.0/24"]}}],
                    "to": [{"operation": {"paths": ["/admin*"]}}],
                },
                {"to": [{"operation": {"paths": ["/never"]}}]},
            ],
        },
    }


def test_the_gateway_denies_for_the_hosts_and_ports_of_the_service_alone() -> None:
    rules = authorization(allow=[{"remoteIpBlocks": ["198.51.100.0/24"], "methods": ["GET"]}, {"namespaces": ["c"]}])
    scope = {"hosts": ["shop.example.com", "shop.example.com:*"], "ports": ["80"]}
    denied = denied_at_gateway(rules, ("shop.example.com",), (), GATEWAY)
    assert gateway_denial(denied, {"istio": "g"}, [80]) == {
        "selector": {"matchLabels": {"istio": "g"}},
        "action": "DENY",
        "rules": [
            {"from": [{"source": {"notRemoteIpBlocks": ["198.51.100.0/24"]}}], "to": [{"operation": scope}]},
            {"to": [{"operation": {"notMethods": ["GET"], **scope}}]},
        ],
    }


def test_rules_without_addresses_stay_as_they_are() -> None:
    rules = authorization(allow=[{"ipBlocks": ["10.0.0.0/8"]}], deny=[{"paths": ["/x"]}])
    assert at_pods(rules, GATEWAY) == rules
    assert denied_at_gateway(rules, ("shop.example.com",), (), GATEWAY) == ()


@pytest.mark.parametrize(
    ("address", "blocks", "expected"),
    [
        ("198.51.100.9", ["198.51.100.0/24"], True),
        ("198.51.100.9", ["198.51.100.9"], True),
        ("198.51.101.9", ["198.51.100.0/24"], False),
        ("2001:db8::1", ["198.51.100.0/24", "2001:db8::/32"], True),
        ("no address", ["0.0.0.0/0"], False),
    ],
)
def test_an_address_is_in_a_block(address: str, blocks: list[str], expected: bool) -> None:
    assert in_blocks(address, blocks) is expected


def test_an_address_beside_an_identity_is_refused_with_a_way() -> None:
    with pytest.raises(ValueError, match="cannot be in one rule with the address"):
        AccessRule.model_validate({"remoteIpBlocks": ["198.51.100.0/24"], "requestPrincipals": ["*"]})
