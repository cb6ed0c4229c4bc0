"""Policies at the gateway's pods: what is registered for claims and addresses, where, and in which order."""

from __future__ import annotations

from typing import Any

from stacks.cluster_facts import ClusterFacts
from stacks.environment import Environment
from stacks.settings.loading import load
from tests.unit.conftest import ECHO
from tests.unit.mocks import Deploy, Run

JWT = [{"issuer": "https://id.example.com", "jwksUri": "https://id.example.com/keys"}]
BETA = {"match": [{"claims": {"groups": {"exact": "beta"}}}], "to": "v2"}
OFFICE = {"allow": [{"remoteIpBlocks": ["198.51.100.0/24"]}]}
SELECTOR = {"matchLabels": {"istio": "ingressgateway"}}


def stack(mesh: dict[str, Any] | None = None, **services: dict[str, Any]) -> dict[str, Any]:
    """A stack with these services, each with two versions and a host of its own."""
    versions = {"v1": ECHO, "v2": ECHO}
    defaults = {
        name: {"hosts": [f"{name}.example.com"], "versions": versions, "route": [{"to": {"v1": 90, "v2": 10}}]}
        for name in services
    }
    whole = {name: defaults[name] | given for name, given in services.items()}
    return {"services": whole, "mesh": mesh or {}}


def at_gateway(deploy: Deploy, values: dict[str, Any]) -> tuple[Run, dict[tuple[str, str], Any]]:
    """The run, and the policies in the gateway's namespace by kind and name."""
    settings = load(values)
    run = deploy(lambda: Environment(settings, ClusterFacts(uid="7b1f"), "istio-canary/test").outputs)
    kinds = ("AuthorizationPolicy", "RequestAuthentication")
    found = {
        (one.inputs["kind"], one.metadata["name"]): one
        for one in run.custom()
        if one.inputs.get("kind") in kinds and one.metadata["namespace"] == "istio-ingress"
    }
    return run, found


def test_tokens_of_all_services_at_the_gateway_are_validated_there_if_a_route_looks_at_claims(deploy: Deploy) -> None:
    inside = {"jwt": JWT, "gateways": ["mesh"], "hosts": []}
    rules = [BETA, {"to": {"v1": 90, "v2": 10}}]
    values = stack(shop={"jwt": JWT, "route": rules}, bank={"jwt": JWT}, page={}, inner=inside)
    run, found = at_gateway(deploy, values)
    assert set(found) == {("RequestAuthentication", "shop.shop"), ("RequestAuthentication", "bank.bank")}
    spec = found["RequestAuthentication", "shop.shop"].inputs["spec"]
    assert spec == {"selector": SELECTOR, "jwtRules": [{**JWT[0], "forwardOriginalToken": True}]}
    policy = found["RequestAuthentication", "shop.shop"]
    assert policy.urn in run.named("shop-routing").depends_on, "routes that look at claims come after"


def test_without_claims_and_addresses_the_gateway_has_no_policies(deploy: Deploy) -> None:
    _, found = at_gateway(deploy, stack(shop={"jwt": JWT, "authorization": {"allow": [{"paths": ["/a"]}]}}))
    assert found == {}


def test_addresses_are_compared_at_the_gateway_before_the_pods_let_in_what_it_sends(deploy: Deploy) -> None:
    run, found = at_gateway(deploy, stack(shop={"authorization": OFFICE, "gatewayPort": 80}, page={}))
    assert set(found) == {("AuthorizationPolicy", "shop.shop")}
    spec = found["AuthorizationPolicy", "shop.shop"].inputs["spec"]
    assert (spec["action"], spec["selector"]) == ("DENY", SELECTOR)
    (rule,) = spec["rules"]
    assert rule["from"] == [{"source": {"notRemoteIpBlocks": ["198.51.100.0/24"]}}]
    scope = {"hosts": ["shop.example.com", "shop.example.com:*"], "ports": ["80"]}
    assert rule["to"] == [{"operation": scope}]

    (pods,) = [
        one.inputs["spec"]
        for one in run.custom()
        if one.inputs.get("kind") == "AuthorizationPolicy" and one.metadata["namespace"] == "shop"
    ]
    assert pods["rules"][0] == {"from": [{"source": {"namespaces": ["istio-ingress"]}}]}
    assert found["AuthorizationPolicy", "shop.shop"].urn in run.named("shop-security").depends_on


def test_ports_are_left_out_where_another_installer_chose_those_of_the_gateways_pods(deploy: Deploy) -> None:
    own_ports: dict[str, Any] = {"values": {"gateway": {"service": {"ports": []}}}}
    for mesh in ({"install": False}, own_ports):
        _, found = at_gateway(deploy, stack(mesh, shop={"authorization": OFFICE}))
        (rule,) = found["AuthorizationPolicy", "shop.shop"].inputs["spec"]["rules"]
        assert "ports" not in rule["to"][0]["operation"]
