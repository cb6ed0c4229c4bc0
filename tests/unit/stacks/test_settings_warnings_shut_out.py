"""An authorization that lets no request from a gateway in is warned of, where the service is published there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.problems import warnings_of

STACK = """config:
  istio-canary:mesh: {gateway: {namespace: edge}, denyByDefault: CLOSED}
  istio-canary:gateways:
    public:
      servers: [{port: 80, hosts: ["*"]}]
    internal:
      namespace: istio-internal
      selector: {istio: internal-gateway}
      servers: [{port: 80, hosts: ["*"]}]
  istio-canary:services:
    shop:
      hosts: [shop.example.com]
      gateways: [GATEWAYS]
      versions: {v1: {image: "shop:1", port: 8080}}
"""


def warned(folder: Path, rules: str, gateways: str = "public, mesh", closed: str = "false") -> list[str]:
    """The warnings for a service with these rules at these gateways."""
    text = STACK.replace("GATEWAYS", gateways).replace("CLOSED", closed)
    found = warnings_of(folder, f"{text}      authorization: {{{rules}}}\n" if rules else text)
    return [str(one) for one in found]


@pytest.mark.parametrize(
    ("rules", "gateways", "words"),
    [
        ("allow: [{namespaces: [istio-ingress]}]", "public, mesh",
         ("shop.authorization.allow", "every request through public gets 403", "no rule allows it",
          "add {namespaces: [edge]} if callers at the gateway may call it", "write gateways: [mesh]")),
        ("allow: [{namespaces: [edgee], methods: [GET]}]", "public", ("write edge instead of edgee",)),
        ("allow: [{namespaces: [edge-*]}, {principals: [cluster.local/ns/apps/sa/front]}]", "public",
         ("every request through public gets 403",)),
        ("allow: [{principals: [cluster.local/ns/edgy/*]}]", "shop-gateway", ("through shop-gateway gets 403",)),
        ("allow: [{notNamespaces: [edge]}]", "public", ("add {namespaces: [edge]}",)),
        ("allow: [{namespaces: [apps], requestPrincipals: ['*']}]", "public", ("no rule allows it",)),
        ("allow: [{namespaces: [edge]}]", "public, internal",
         ("every request through internal gets 403", "in the namespace istio-internal", "write gateways: [public]")),
        ("allow: [{namespaces: [istio-internal]}]", "public, internal",
         ("every request through public gets 403", "add {namespaces: [edge]}")),
        ("allow: [{namespaces: [istio-internl]}]", "internal", ("write istio-internal instead of istio-internl",)),
        ("deny: [{notNamespaces: [edgee]}]", "public",
         ("shop.authorization.deny[0]", "this rule denies it", "write edge instead of edgee")),
        ("deny: [{namespaces: [edge]}]", "public", ("narrow the rule if callers at the gateway may call it",)),
    ],
)  # fmt: skip
def test_a_gateway_that_is_shut_out_is_warned_of(
    rules: str, gateways: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    jwt = "}\n      jwt: [{issuer: a, jwksUri: 'https://a.example/keys'}]\n      serviceAccount: {name: shop"
    (warning,) = warned(tmp_path, rules + (jwt if "request" in rules else ""), gateways)
    for one in words:
        assert one in warning


@pytest.mark.parametrize(
    ("rules", "gateways"),
    [
        ("", "public"),
        ("allow: [{namespaces: [apps]}]", "mesh"),
        ("allow: [{namespaces: [apps]}, {namespaces: [edge]}]", "public"),
        ("allow: [{namespaces: [apps]}, {methods: [GET]}]", "public"),
        ("allow: [{namespaces: ['*']}]", "public"),
        ("allow: [{}]", "public"),
        ("allow: [{namespaces: [e*]}]", "public"),
        ("allow: [{namespaces: [edge, istio-internal]}]", "public, internal"),
        ("allow: [{notNamespaces: [apps]}]", "public"),
        ("allow: [{principals: [cluster.local/ns/edge/sa/istio-ingressgateway]}]", "public"),
        ("allow: [{principals: ['*']}]", "public"),
        ("allow: [{remoteIpBlocks: [198.51.100.0/24]}]", "public"),
        ("allow: []", "public"),
        ("deny: [{notNamespaces: [apps], paths: [/admin*]}]", "public"),
        ("deny: [{namespaces: [apps]}]", "public"),
    ],
)
def test_rules_that_a_gateway_may_meet_are_no_warning(rules: str, gateways: str, tmp_path: Path) -> None:
    assert warned(tmp_path, rules, gateways) == []


@pytest.mark.parametrize(("gateways", "named"), [("public", "edge"), ("internal", "istio-internal")])
def test_a_service_that_nobody_may_call_is_told_the_namespace_of_its_gateway(
    gateways: str, named: str, tmp_path: Path
) -> None:
    (warning,) = warned(tmp_path, "", gateways, closed="true")
    assert f"such as [{{namespaces: [{named}]}}] for requests through the gateway" in warning
