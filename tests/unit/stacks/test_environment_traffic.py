"""Gateways, routes between services, security and egress: the resources registered for a stack's settings."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from stacks.cluster_facts import ClusterFacts
from stacks.environment import Environment
from stacks.settings.loading import load
from stacks.settings.model import ServiceSettings
from tests.unit.conftest import ECHO
from tests.unit.mocks import Deploy, Run
from traffic.graph import called_by, called_first

FACTS = ClusterFacts(uid="7b1f")
PUBLIC = {"servers": [{"port": 80, "hosts": ["*.example.com"]}]}
DENY = {"denyByDefault": True}


def _environment(values: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    settings = load(values)
    return lambda: Environment(settings, FACTS, "istio-canary/test").outputs


def _found(run: Run, *kinds: str) -> set[tuple[str, str, str]]:
    """Kind, namespace and name of the objects of these kinds."""
    return {
        (r.inputs["kind"], r.metadata["namespace"], r.metadata["name"])
        for r in run.custom()
        if r.inputs.get("kind") in kinds
    }


def _policies(run: Run) -> set[tuple[str, str, str]]:
    return _found(run, "PeerAuthentication", "AuthorizationPolicy", "RequestAuthentication")


def _named(run: Run, kind: str, name: str) -> Any:
    (found,) = [r for r in run.custom() if r.inputs.get("kind") == kind and r.metadata["name"] == name]
    return found


def _shop(**more: Any) -> dict[str, Any]:
    """A second service, to which the website may route requests."""
    return {"hosts": ["shop.example.com"], "versions": {"version-1": ECHO}, **more}


def test_shared_gateways_are_in_the_gateways_namespace_and_created_before_the_routes_that_name_them(
    deploy: Deploy, website: dict[str, Any]
) -> None:
    website["gateways"] = {"public": PUBLIC}
    website["services"]["website"] |= {"gateways": ["public"], "hosts": ["www.example.com"]}
    run = deploy(_environment(website))

    assert _found(run, "Gateway") == {("Gateway", "istio-ingress", "public")}
    gateway, route = _named(run, "Gateway", "public"), run.named("website-routing")
    assert gateway.spec["selector"] == {"istio": "ingressgateway"}
    assert gateway.urn in route.depends_on
    assert run.named("website-routing-virtual-service").spec["gateways"] == ["istio-ingress/public"]


def test_with_an_existing_mesh_shared_gateways_are_in_its_gateways_namespace(
    deploy: Deploy, website: dict[str, Any]
) -> None:
    website["mesh"] = {"install": False, "gateway": {"namespace": "edge", "name": "istio-edge"}}
    website["gateways"] = {"public": PUBLIC}
    run = deploy(_environment(website))

    gateway = _named(run, "Gateway", "public")
    assert (gateway.metadata["namespace"], gateway.spec["selector"]) == ("edge", {"istio": "edge"})


def test_a_route_to_another_service_is_created_after_its_pods_and_subsets(
    deploy: Deploy, website: dict[str, Any]
) -> None:
    website["services"]["website"] |= {
        "hosts": ["www.example.com"],
        "route": [{"to": {"version-1": 90, "version-2": 10}, "mirrors": [{"to": "shop/version-1"}]}],
    }
    website["services"]["shop"] = _shop(port=8080)
    run = deploy(_environment(website))

    needs = run.named("website-routing").depends_on
    assert run.named("shop-version-1").urn in needs
    assert run.named("shop-routing-destination-rule").urn in needs
    (mirror,) = run.named("website-routing-virtual-service").spec["http"][0]["mirrors"]
    assert mirror["destination"] == {
        "host": "shop.shop.svc.cluster.local",
        "subset": "version-1",
        "port": {"number": 8080},
    }


@pytest.mark.parametrize(("mode", "protocol"), [("SIMPLE", "https"), ("ISTIO_MUTUAL", None)])
def test_sidecars_pass_tls_through_to_pods_that_terminate_it(
    deploy: Deploy, website: dict[str, Any], mode: str, protocol: str | None
) -> None:
    website["services"]["website"] |= {"mtls": {"mode": "PERMISSIVE"}, "trafficPolicy": {"tls": {"mode": mode}}}
    service = deploy(_environment(website)).named("website-service", "kubernetes:core/v1:Service")

    assert [port.get("appProtocol") for port in service.spec["ports"]] == [protocol]


def test_a_service_calls_those_that_get_its_requests_or_mirrored_ones() -> None:
    mirrors = [{"to": "log/version-1"}, {"to": "shop/version-1"}]
    shared = {"version-1": 50, "shop/version-1": 50, "cart/version-2": 0}
    website = ServiceSettings.model_validate(_shop(route=[{"to": shared, "mirrors": mirrors}]))

    assert called_by("website", website) == ["shop", "cart", "log"]


@pytest.mark.parametrize(
    ("calls", "order"),
    [
        ({"a": [], "b": []}, "ab"),
        ({"a": ["b"], "b": ["c"], "c": []}, "cba"),
        ({"a": ["b", "c"], "b": ["c"], "c": []}, "cba"),
        ({"a": ["b"], "b": ["a"]}, "ba"),
        ({"a": ["a"]}, "a"),
    ],
)
def test_services_that_others_call_come_first(calls: dict[str, list[str]], order: str) -> None:
    services = {
        name: _shop(hosts=[f"{name}.example.com"], route=[*_copies(called), {"to": "version-1"}])
        for name, called in calls.items()
    }

    assert called_first(load({"services": services}).services) == list(order)


def _copies(called: list[str]) -> list[dict[str, Any]]:
    """A rule that mirrors its requests to these services."""
    mirrors = [{"to": f"{name}/version-1"} for name in called]
    return [{"match": [{"uri": {"prefix": "/copied"}}], "to": "version-1", "mirrors": mirrors}] if called else []


def test_a_service_says_who_may_call_it(deploy: Deploy, website: dict[str, Any]) -> None:
    jwks_uri = "https://issuer.example.com/jwks.json"
    website["services"]["website"] |= {
        "mtls": {"mode": "PERMISSIVE"},
        "authorization": {"allow": [{"requestPrincipals": ["*"]}]},
        "jwt": [{"issuer": "https://issuer.example.com", "jwksUri": jwks_uri}],
    }
    run = deploy(_environment(website))

    assert _policies(run) == {
        ("PeerAuthentication", "istio-system", "default"),
        ("PeerAuthentication", "website-istio-ns", "website"),
        ("AuthorizationPolicy", "website-istio-ns", "website-allow"),
        ("RequestAuthentication", "website-istio-ns", "website"),
    }
    assert _named(run, "AuthorizationPolicy", "website-allow").urn in run.named("website-routing").depends_on, (
        "requests would be accepted before the policy exists"
    )


def test_deny_by_default_of_a_namespace_leaves_the_gateway_open(deploy: Deploy, website: dict[str, Any]) -> None:
    website["namespaces"] = {"website-istio-ns": {"mtls": "STRICT", **DENY}}
    website["services"]["website"]["authorization"] = {"allow": [{}]}
    run = deploy(_environment(website))

    assert _policies(run) - {("PeerAuthentication", "istio-system", "default")} == {
        ("PeerAuthentication", "website-istio-ns", "default"),
        ("AuthorizationPolicy", "website-istio-ns", "deny-by-default"),
        ("AuthorizationPolicy", "website-istio-ns", "website-allow"),
    }
    allowed = _named(run, "AuthorizationPolicy", "website-allow").urn
    denied = run.named("website-istio-ns/security")
    assert allowed in denied.depends_on, "ALLOW policies are created before the denial"


def test_deny_by_default_of_the_mesh_leaves_the_gateway_open(deploy: Deploy, website: dict[str, Any]) -> None:
    website["mesh"] = {**website["mesh"], **DENY}
    run = deploy(_environment(website))

    assert _found(run, "AuthorizationPolicy") == {
        ("AuthorizationPolicy", "istio-system", "deny-by-default"),
        ("AuthorizationPolicy", "istio-ingress", "allow-all"),
    }
    gateway = _named(run, "AuthorizationPolicy", "allow-all")
    assert gateway.spec["selector"] == {"matchLabels": {"istio": "ingressgateway"}}
    assert gateway.urn in run.named("istio-system/security").depends_on, (
        "the gateway would deny all requests in between"
    )


def test_external_hosts_are_registered_for_the_whole_mesh_before_services_call_them(
    deploy: Deploy, website: dict[str, Any]
) -> None:
    website["mesh"] = {**website["mesh"], "outboundTrafficPolicy": "REGISTRY_ONLY"}
    website["egress"] = {"payments": {"hosts": ["api.example.org"]}}
    run = deploy(_environment(website))

    assert _found(run, "ServiceEntry") == {("ServiceEntry", "istio-system", "payments")}
    assert _named(run, "ServiceEntry", "payments").urn in run.named("website", SERVICE).depends_on
    config = run.named("mesh-istiod").inputs["values"]["meshConfig"]
    assert config["outboundTrafficPolicy"] == {"mode": "REGISTRY_ONLY"}


def test_with_an_existing_mesh_external_hosts_are_in_a_namespace_of_the_stack(
    deploy: Deploy, website: dict[str, Any]
) -> None:
    website["mesh"] = {"install": False}
    website["egress"] = {"payments": {"hosts": ["api.example.org"]}}
    run = deploy(_environment(website))

    assert _found(run, "ServiceEntry") == {("ServiceEntry", "website-istio-ns", "payments")}


def test_a_stack_without_these_settings_has_none_of_these_resources(deploy: Deploy, website: dict[str, Any]) -> None:
    changed = copy.deepcopy(website)
    changed |= {"gateways": {}, "namespaces": {}, "egress": {}}
    changed["mesh"] = {**changed["mesh"], "denyByDefault": False, "outboundTrafficPolicy": "ALLOW_ANY"}

    before, after = deploy(_environment(website)), deploy(_environment(changed))
    assert before.inputs() == after.inputs()
    istiod = before.named("mesh-istiod").inputs["values"]["meshConfig"]
    assert istiod == {"defaultConfig": {"holdApplicationUntilProxyStarts": True}}, "istiod would restart needlessly"


SERVICE = "istio-canary:index:VersionedService"
