"""Mistakes about callers at the gateway: claims of tokens and addresses, each reported with its line and fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.problems import (
    HERE,
    HOSTS,
    MATCH,
    ONE,
    ROUTE,
    SHOP,
    TWO,
    Case,
    assert_is_reported,
    assert_is_reported_once,
    config,
    matching,
    problems_of,
    service,
    warnings_of,
)

JWT = "jwt: [{issuer: a, jwksUri: 'https://a.example/keys'}]\n"
ALLOW = f"{SHOP}.authorization.allow"
OFFICE = "remoteIpBlocks: [198.51.100.0/24]"


def claiming(match: str, keys: str = JWT) -> str:
    """A service with tokens, whose first rule has this match."""
    return service(f"{HOSTS}{TWO}{keys}route:\n  - {{match: [{match}], to: v2}} {HERE}\n  - to: v1\n")


def allowing(rules: str, keys: str = HOSTS) -> str:
    """A service that allows these."""
    return service(f"{keys}{ONE}authorization: {{allow: [{rules}]}} {HERE}\n")


CASES = [
    Case("claims without tokens", matching("{claims: {groups: {exact: beta}}}"), f"{MATCH}.claims",
         ("the service validates no tokens", "fix:     add istio-canary:services.shop.jwt")),
    Case("claims in Istio's notation without tokens", matching('{headers: {"@request.auth.claims.a": {exact: b}}}'),
         f"{MATCH}.claims", ("the service validates no tokens",)),
    Case("claims inside the mesh alone", claiming("{claims: {groups: {exact: beta}}}", f"{JWT}gateways: [mesh]\n"),
         f"{MATCH}.claims", ("claims are known only at gateways", "add a gateway to")),
    Case("claims for callers inside", claiming("{claims: {groups: {exact: beta}}, sourceNamespace: a}"), MATCH,
         ("claims are known only at gateways", "make two rules of it")),
    Case("claims at the gateway mesh", claiming("{claims: {groups: {exact: beta}}, gateways: [mesh]}"), MATCH,
         ("claims are known only at gateways",)),
    Case("a claim that is a URL", claiming("{claims: {'https://a.example/x': {exact: b}}}"),
         f'{MATCH}.claims["https://a.example/x"]',
         ("is not the name of a claim", "write '[https://a.example/x]'")),
    Case("a claim with Istio's prefix", claiming("{claims: {'@request.auth.claims.groups': {exact: b}}}"),
         f'{MATCH}.claims["@request.auth.claims.groups"]', ("is not the name of a claim", "write groups")),
    Case("a claim that is a number", claiming("{claims: {level: 3}}"), f"{MATCH}.claims.level",
         ("fix:     write a mapping",)),
    Case("claims that must not be",
         claiming('{uri: {exact: /}, withoutHeaders: {"@request.auth.claims.a": {exact: b}}}'),
         f'{MATCH}.withoutHeaders["@request.auth.claims.a"]',
         ("Istio's notation for a claim", "use the match key `claims`: {a: {exact: …}}")),
    Case("an address beside an identity", allowing(f"{{{OFFICE}, principals: ['*']}}"), f"{ALLOW}[0]",
         ("principals cannot be in one rule with the address of the caller", "say it in a rule of `deny`")),
    Case("no address", allowing("{remoteIpBlocks: [office]}"), f"{ALLOW}[0].remoteIpBlocks[0]",
         ("neither an IP address nor a CIDR block",)),
    Case("an address beside tokens", service(f"{HOSTS}{ONE}{JWT}authorization:\n  allow:\n    - {{{OFFICE}}}\n"
                                            f"    - {{requestPrincipals: ['*']}} {HERE}\n"), f"{ALLOW}[1]",
         ("it cannot compare requestPrincipals", "say it in a rule of `deny`")),
    Case("an address beside everything", service(f"{HOSTS}{ONE}authorization:\n  allow:\n    - {{{OFFICE}}}\n"
                                                f"    - {{}} {HERE}\n"), f"{ALLOW}[1]",
         ("lets in every request, whatever the addresses",)),
    Case("an address beside the gateway's identity",
         service(f"{HOSTS}{ONE}authorization:\n  allow:\n    - {{{OFFICE}}}\n"
                 f"    - {{namespaces: [istio-*]}} {HERE}\n"), f"{ALLOW}[1]", ("it cannot compare namespaces",)),
    Case("an address for a wildcard", service(f"hosts: ['*.example.com'] {HERE}\n{ONE}"
                                             f"authorization: {{allow: [{{{OFFICE}}}]}}\n"), f"{SHOP}.hosts[0]",
         ("a port in the Host header would get around", "name the hosts one by one")),
    Case("an address inside the mesh alone", allowing(f"{{{OFFICE}}}", "gateways: [mesh]\n"), f"{SHOP}.authorization",
         ("only applies inside the mesh", "write ipBlocks, or add a gateway")),
    Case("an address without mutual TLS", allowing(f"{{{OFFICE}}}", f"{HOSTS}mtls: {{mode: DISABLE}}\n"),
         f"{SHOP}.authorization", ("needs mutual TLS between the gateway and the pods",)),
    Case("another service's route around the addresses",
         config(f"services:\n  shop:\n    {HOSTS}    {ONE}    authorization: {{allow: [{{{OFFICE}}}]}}\n"
                f"  front:\n    hosts: [front.example.com]\n    {ONE}    route: {HERE}\n"
                "      - {match: [{uri: {prefix: /shop}}], to: shop/v1}\n      - to: v1\n"),
         "istio-canary:services.front.route", ("all callers of front would be let in",
                                              "write the authorization of shop for front as well")),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_mistake_is_reported_with_its_line_path_and_fix(case: Case, tmp_path: Path) -> None:
    assert_is_reported(case, tmp_path)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_mistake_is_not_reported_many_times(case: Case, tmp_path: Path) -> None:
    assert_is_reported_once(case, tmp_path)


def warned(folder: Path, text: str) -> str:
    """The warnings for a file, as text."""
    return "\n".join(map(str, warnings_of(folder, text)))


@pytest.mark.parametrize(
    ("rules", "effect", "right"),
    [
        ("allow: [{ipBlocks: [198.51.100.0/24]}]", "shuts out", "remoteIpBlocks"),
        ("deny: [{ipBlocks: [198.51.100.0/24]}]", "lets in", "remoteIpBlocks"),
        ("allow: [{notIpBlocks: [198.51.100.0/24]}]", "lets in", "notRemoteIpBlocks"),
        ("deny: [{notIpBlocks: [198.51.100.0/24]}]", "shuts out", "notRemoteIpBlocks"),
    ],
)
def test_addresses_of_connections_behind_a_gateway_are_warned_of(
    rules: str, effect: str, right: str, tmp_path: Path
) -> None:
    found = warned(tmp_path, service(f"{HOSTS}{ONE}authorization: {{{rules}}}\n"))
    assert f"{effect} every caller at the gateway" in found
    assert f"write {right} for callers at the gateway" in found
    inside = warned(tmp_path, service(f"gateways: [mesh]\n{ONE}authorization: {{{rules}}}\n"))
    assert inside == ""


def test_other_services_at_the_gateway_are_named_when_it_validates_tokens(tmp_path: Path) -> None:
    shop = claiming("{claims: {groups: {exact: beta}}}")
    front = f"    front:\n      hosts: [front.example.com]\n      {ONE}"
    assert "requests for front with a token of another issuer get 401" in warned(tmp_path, shop + front)
    assert "401" not in warned(tmp_path, shop)
    own = shop.replace("keys'}", "keys', fromHeaders: [{name: x-token}]}")
    assert "401" not in warned(tmp_path, own + front), "bearer tokens are not looked at"


def test_a_problem_has_a_place_though_the_claim_is_written_as_a_header(tmp_path: Path) -> None:
    error = problems_of(tmp_path, claiming('{headers: {"@request.auth.claims.level": 3}}'))
    assert error.problems[0].line is not None
    assert error.problems[0].path == f"{ROUTE}[0].match[0].claims.level"


def test_a_service_of_every_host_with_addresses_is_warned_of(tmp_path: Path) -> None:
    shop = f"hosts: ['*']\n{ONE}authorization: {{allow: [{{{OFFICE}}}]}}\n"
    assert "those of other stacks at the gateway too" in warned(tmp_path, service(shop))
    assert warned(tmp_path, service(shop.replace("'*'", "shop.example.com"))) == ""
