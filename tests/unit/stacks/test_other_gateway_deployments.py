"""Services at gateways of other deployments than the mesh's: who their pods see, and what is not applied there."""

from __future__ import annotations

from pathlib import Path

import pytest

from canary.explain.access import is_caller_allowed
from stacks.gateway_policies import gateway_policies
from stacks.settings.loading import load_stack
from stacks.simulator import simulator_of
from tests.unit.problems import problems_of
from traffic.simulate import Forwarded, Request, entries

ELSEWHERE = """config:
  istio-canary:gateways:
    public:
      servers: [{port: 80, hosts: ["*"]}]
    internal:
      namespace: istio-internal
      selector: {istio: internal-gateway}
      servers: [{port: 80, hosts: ["*"]}]
    beside:
      selector: {istio: second-gateway}
      servers: [{port: 80, hosts: ["*"]}]
  istio-canary:services:
    shop:
      hosts: [shop.example.com]
      gateways: [GATEWAYS]
      versions: {v1: {image: "shop:1", port: 8080}}
"""


def stack(gateways: str, keys: str = "") -> str:
    """A file with the service `shop` at these gateways, which has these keys."""
    return ELSEWHERE.replace("GATEWAYS", gateways) + keys


@pytest.mark.parametrize(
    ("gateway", "allowed", "expected"),
    [
        ("internal", "namespaces: [istio-internal]", True),
        ("internal", "namespaces: [istio-ingress]", False),
        ("internal", "principals: [cluster.local/ns/istio-internal/*]", True),
        ("internal", "principals: [cluster.local/ns/istio-ingress/*]", False),
        ("internal", "notNamespaces: [istio-internal]", False),
        ("public", "namespaces: [istio-internal]", False),
        ("public", "namespaces: [istio-ingress]", True),
        ("beside", "namespaces: [istio-ingress]", True),
    ],
)
def test_the_pods_see_the_gateway_that_the_request_came_through(
    gateway: str, allowed: str, expected: bool, tmp_path: Path
) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(stack(gateway, f"      authorization: {{allow: [{{{allowed}}}]}}\n"))
    settings = load_stack(file).settings
    (entry,) = entries("shop", settings.services["shop"], settings.gateways)
    request = Request(authority=entry.domain, port=80, deployment=entry.deployment)

    assert is_caller_allowed(settings, "shop", request) is expected


def problem_of(folder: Path, text: str) -> str:
    """The one mistake in a file."""
    (problem,) = problems_of(folder, text).problems
    return str(problem)


OFFICE = "      authorization: {allow: [{remoteIpBlocks: [198.51.100.0/24]}]}\n"
JWT = "      jwt: [{issuer: a, jwksUri: 'https://a.example/keys'}]\n"
CLAIMS = """      route:
        - match: [{claims: {groups: {exact: beta}}, gateways: [ONLY]}]
          to: v1
        - to: v1
"""
ANYWHERE = CLAIMS.replace(", gateways: [ONLY]", "")


@pytest.mark.parametrize("gateways", ["internal", "beside", "public, internal", "internal, mesh"])
@pytest.mark.parametrize(
    "rules", [OFFICE, OFFICE.replace("allow", "deny"), OFFICE.replace("remoteIpBlocks", "notRemoteIpBlocks")]
)
def test_addresses_of_callers_are_refused_at_other_deployments(gateways: str, rules: str, tmp_path: Path) -> None:
    found = problem_of(tmp_path, stack(gateways, rules))
    assert "there nothing would compare the addresses of callers" in found
    assert "remove it from the list" in found


@pytest.mark.parametrize(
    ("gateways", "route", "fix"),
    [
        ("internal", ANYWHERE, "remove this match, and the whole rule"),
        ("internal, mesh", ANYWHERE, "remove this match, and the whole rule"),
        ("public, internal", ANYWHERE, "add gateways: [public] to the match"),
        ("public, internal", CLAIMS.replace("ONLY", "internal, public"), "gateways: [public]"),
    ],
)
def test_claims_are_refused_at_other_deployments(gateways: str, route: str, fix: str, tmp_path: Path) -> None:
    found = problem_of(tmp_path, stack(gateways, JWT + route))
    assert "selects those of another deployment: there no claims are known" in found
    assert fix in found


def test_claims_and_addresses_are_for_the_pods_of_the_meshs_gateway(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    for text in (stack("public, mesh", OFFICE), stack("public, internal", JWT + CLAIMS.replace("ONLY", "public"))):
        file.write_text(text)
        load_stack(file)


def test_what_the_meshs_gateway_checks_is_not_checked_at_others(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    desk = """    desk:
      hosts: [desk.example.com]
      gateways: [internal]
      versions: {v1: {image: "desk:1", port: 8080}}
"""
    other = JWT.replace("issuer: a", "issuer: b")
    file.write_text(stack("public", JWT + ANYWHERE + desk + other))
    settings = load_stack(file).settings

    assert list(gateway_policies(settings, lambda name: name)) == ["shop"], "desk's requests do not come through it"
    token = Request(
        {"authorization": "Bearer of.another.issuer"},
        authority="desk.example.com",
        port=80,
        deployment=settings.gateways["internal"].deployment,
    )
    assert isinstance(simulator_of(settings).decide(token).outcome, Forwarded)


def test_hosts_at_other_deployments_are_no_way_around_the_addresses_of_every_host(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    text = stack("public", OFFICE).replace("[shop.example.com]", "['*']")
    for name, gateway in (("desk", "internal"), ("front", "public")):
        text += f"""    {name}:
      hosts: [{name}.example.com]
      gateways: [{gateway}]
      versions: {{v1: {{image: "shop:1", port: 8080}}}}
"""
    file.write_text(text)

    (denied,) = gateway_policies(load_stack(file).settings, lambda name: name)["shop"].denied

    assert denied.not_hosts == ("front.example.com", "front.example.com:*")
