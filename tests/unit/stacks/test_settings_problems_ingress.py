"""What a Kubernetes Ingress cannot express is reported, with its line and the fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from stacks.settings.loading import load
from tests.unit.problems import (
    HERE,
    HOSTS,
    ONE,
    SHOP,
    TWO,
    Case,
    assert_is_reported,
    config,
    problems_of,
    service,
    told,
)

CLASS = f"{SHOP}.ingressClassName"


def exposed(keys: str, versions: str = ONE) -> str:
    """The service `shop`, exposed by an Ingress."""
    return service(f"ingressClassName: istio\n{HOSTS}{versions}{keys}")


def rule(text: str) -> str:
    """The service with one rule besides the last."""
    return exposed(f"route:\n  - {text} {HERE}\n  - directResponse: {{status: 404}}\n")


CART = "    cart: {gateways: [mesh], namespace: elsewhere, versions: {v1: {image: a, port: 80}}}\n"

CASES = [
    Case("a name that is none", service(f"ingressClassName: My Class {HERE}\n{HOSTS}{ONE}"), CLASS,
         ("is not a DNS label",)),
    Case("another port of the gateway",
         exposed(f"gatewayPort: 9191 {HERE}\n") + "  istio-canary:mesh: {gateway: {ports: [80, 9191]}}\n",
         f"{SHOP}.gatewayPort",
         told("Istio serves an Ingress at port 80 of the gateway alone", "9191", "80, or no ingressClassName",
              "remove gatewayPort, or remove ingressClassName")),
    Case("a service inside the mesh alone",
         service(f"ingressClassName: istio {HERE}\ngateways: [mesh]\n{ONE}"), CLASS,
         ("takes the place of shop-gateway, but the service's gateways are mesh",)),
    Case("a shared gateway",
         config("gateways: {public: {servers: [{port: 80, hosts: ['*']}]}}")
         + service(f"ingressClassName: istio {HERE}\ngateways: [public]\n{HOSTS}{ONE}").removeprefix("config:\n"),
         CLASS, ("the service's gateways are public",)),
    Case("a header", rule("{match: [{headers: {qa: {exact: yes}}}], to: v1}").replace("yes", '"yes"'),
         f"{SHOP}.route[0].match", ("tells requests apart by their path alone",)),
    Case("a prefix that ends anywhere", rule("{match: [{uri: {prefix: /shop}}], to: v1}"), f"{SHOP}.route[0].match",
         ("a prefix ends at a /", "or write [{uri: {exact: /shop}}, {uri: {prefix: /shop/}}]")),
    Case("a rewrite", rule("{match: [{uri: {exact: /shop}}], rewrite: {uri: /}, to: v1}"), f"{SHOP}.route[0].rewrite",
         ("an Ingress cannot express rewrite", "can express this; or remove rewrite")),
    Case("a redirect", rule("{match: [{uri: {exact: /shop}}], redirect: {uri: /}}"), f"{SHOP}.route[0].redirect",
         ("an Ingress cannot express redirect",)),
    Case("another answer at the end", exposed(f"route:\n  - directResponse: {{status: 403}} {HERE}\n"),
         f"{SHOP}.route[0].directResponse", ("an Ingress cannot express directResponse",)),
    Case("two versions", exposed(f"route: [{{to: {{v1: 90, v2: 10}}}}] {HERE}\n", TWO), f"{SHOP}.route[0].to",
         ("the backend of an Ingress is the whole Service shop, all 2 versions", "fix:     remove ingressClassName")),
    Case("another namespace", exposed(f"route: [{{to: cart/v1}}, {{to: v1}}] {HERE}\n") + CART, f"{SHOP}.route[0].to",
         ("cart is in namespace elsewhere", "put shop into elsewhere, or remove ingressClassName")),
    Case("another namespace, from one that has settings",
         exposed(f"route: [{{to: cart/v1}}, {{to: v1}}] {HERE}\n") + CART
         + "  istio-canary:namespaces: {shop: {denyByDefault: true}}\n", f"{SHOP}.route[0].to",
         ("fix:     remove ingressClassName",)),
    Case("a sample's route", config(f"samples: [website]\nservices:\n  website: {{ingressClassName: istio}} {HERE}\n"),
         "istio-canary:services.website.ingressClassName",
         told("an Ingress tells requests apart by their path alone, and a prefix ends at a / "
              "(istio-canary:services.website.route[0].match of the sample)", '"istio"',
              "match with uri", "remove ingressClassName: a VirtualService can express this")),
    Case("a sample's backend that is moved",
         config("samples: [assets-ingress]\nservices:\n"
                f"  asset-mgr-ms-svc: {{namespace: elsewhere}} {HERE}\n"),
         "istio-canary:services.asset-mgr-ms-svc.namespace", ("fix:     remove it, or write",)),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_an_ingress_cannot_express_is_reported(case: Case, tmp_path: Path) -> None:
    assert_is_reported(case, tmp_path)


def test_a_samples_route_is_reported_once(tmp_path: Path) -> None:
    text = config("samples: [website]\nservices: {website: {ingressClassName: istio}}\n")

    assert len(problems_of(tmp_path, text).problems) == 1


def test_a_match_is_reported_beside_another_key(tmp_path: Path) -> None:
    text = rule("{match: [{headers: {qa: {exact: a}}}], timeout: 1s, to: v1}")

    assert [one.path for one in problems_of(tmp_path, text).problems] == [
        f"{SHOP}.route[0].match",
        f"{SHOP}.route[0].timeout",
    ]


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"gateways": ["shop-gateway", "mesh"]},
        {"route": [{"match": [{"uri": {"exact": "/shop"}}], "to": "v1"}, {"to": "v1"}]},
        {"route": [{"match": [{"uri": {"exact": "/shop"}}], "to": "v1"}, {"directResponse": {"status": 404}}]},
    ],
    ids=str,
)
def test_what_an_ingress_can_express_is_accepted(keys: dict[str, object]) -> None:
    versions = {"v1": {"image": "shop:1", "port": 8080}}
    shop = {"hosts": ["shop.example.com"], "ingressClassName": "istio", "versions": versions, **keys}

    assert load({"services": {"shop": shop}}).services["shop"].ingress_class_name == "istio"
