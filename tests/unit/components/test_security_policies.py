"""Policies of a service, a namespace, and the gateway's pods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi

from components.security_policies import SecurityPolicies, SecurityPoliciesArgs
from tests.unit.mocks import Deploy, Run, in_cluster
from traffic.model import Authorization, JwtRule, MutualTls

MTLS = MutualTls.model_validate({"mode": "STRICT"})
AUTHORIZATION = Authorization.model_validate({"allow": [{"methods": ["GET"]}], "deny": [{"paths": ["/admin*"]}]})
JWT = JwtRule.model_validate({"issuer": "https://a.example.com", "jwksUri": "https://a.example.com/jwks.json"})


def _policies(**given: Any) -> Callable[[], pulumi.Output[Any]]:
    args = SecurityPoliciesArgs(namespace="shop-ns", **given)
    return lambda: SecurityPolicies("policies", args, in_cluster()).policies


def _objects(run: Run) -> set[tuple[str, str]]:
    assert all(r.inputs["apiVersion"] == "security.istio.io/v1" for r in run.custom())
    assert all(r.metadata["namespace"] == "shop-ns" for r in run.custom())
    return {(r.inputs["kind"], r.metadata["name"]) for r in run.custom()}


def test_a_services_policies_are_named_after_it(deploy: Deploy) -> None:
    run = deploy(_policies(service="shop", mtls=MTLS, authorization=AUTHORIZATION, jwt=[JWT]))

    assert _objects(run) == {
        ("PeerAuthentication", "shop"),
        ("RequestAuthentication", "shop"),
        ("AuthorizationPolicy", "shop-allow"),
        ("AuthorizationPolicy", "shop-deny"),
    }
    assert {r.name for r in run.custom() if r.inputs["kind"] == "AuthorizationPolicy"} == {
        "policies-allow",
        "policies-deny",
    }
    for resource in run.custom():
        assert resource.spec["selector"] == {"matchLabels": {"app": "shop"}}, (
            f"{resource.name} applies to other pods, too"
        )


def test_only_configured_policies_are_created(deploy: Deploy) -> None:
    assert _objects(deploy(_policies(service="shop", mtls=MTLS))) == {("PeerAuthentication", "shop")}


def test_a_namespaces_policies_apply_to_all_its_pods(deploy: Deploy) -> None:
    run = deploy(_policies(mtls=MTLS, deny_by_default=True))

    assert _objects(run) == {("PeerAuthentication", "default"), ("AuthorizationPolicy", "deny-by-default")}
    assert all("selector" not in resource.spec for resource in run.custom())


def test_every_request_to_selected_pods_can_be_allowed(deploy: Deploy) -> None:
    run = deploy(_policies(allow_all={"istio": "ingressgateway"}))

    (policy,) = run.custom()
    assert policy.metadata["name"] == "allow-all"
    assert policy.spec["selector"] == {"matchLabels": {"istio": "ingressgateway"}}
    if run.result is not None:  # ids are unknown in a preview
        assert run.result == ["shop-ns/allow-all"]
