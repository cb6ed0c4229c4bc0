"""The sample cloud-native-starter: versions, the two paths that the gateway lets in, and who may call whom."""

from __future__ import annotations

from typing import Any

import pytest

from stacks.settings.model import Sample
from stacks.simulator import simulator_of
from tests.unit.stacks.sample_stacks import chosen, deployed, objects
from traffic.simulate import Answered, Forwarded, Request

WEB_API = "cluster.local/ns/starter/sa/web-api"


def test_the_starter_has_a_deployment_for_each_version_that_selects_it_alone() -> None:
    run = deployed(Sample.CLOUD_NATIVE_STARTER)

    assert objects(run, "starter")["Deployment"] == {"web-api-v1", "web-api-v2", "articles-v1", "authors-v1"}
    for deployment in run.of_type(":Deployment"):
        assert deployment.spec["replicas"] == 1
        assert deployment.spec["selector"]["matchLabels"]["version"] == deployment.metadata["name"]
    ports = {one.metadata["name"]: one.spec["ports"][0]["port"] for one in run.of_type("v1:Service")}
    assert ports == {"web-api": 9080, "articles": 8080, "authors": 3000}
    args = {one.name: one.spec["template"]["spec"]["containers"][0].get("args") for one in run.of_type(":Deployment")}
    assert (args["web-api-v1"], args["web-api-v2"]) == (["-amount=5"], ["-amount=10"])


@pytest.mark.parametrize(
    ("path", "shares"),
    [
        ("/web-api/v1/getmultiple", {"v1": 50, "v2": 50}),
        ("/web-api/v1/getmultiple?amount=1", {"v1": 50, "v2": 50}),
        ("/openapi", {"v1": 50, "v2": 50}),
        ("/", None),
        ("/articles/v1/getmultiple", None),
    ],
)
def test_the_gateway_lets_in_the_starters_two_paths(path: str, shares: dict[str, int] | None) -> None:
    request = Request(authority="starter.localhost", port=80, path=path)
    outcome = simulator_of(chosen(Sample.CLOUD_NATIVE_STARTER)).decide(request).outcome

    if shares is None:
        assert isinstance(outcome, Answered)
        assert outcome.status == 404
    else:
        assert isinstance(outcome, Forwarded)
        assert {share.target.version: 100 * share.probability for share in outcome.shares} == shares


def test_only_the_api_may_call_articles_and_authors_and_everything_else_is_denied() -> None:
    run = deployed(Sample.CLOUD_NATIVE_STARTER)

    policies = {one.metadata["name"]: one.spec for one in run.of_type(":AuthorizationPolicy")}
    assert policies["deny-by-default"] == {"action": "ALLOW"}
    allowed = {"source": {"principals": [WEB_API]}}
    assert policies["articles-allow"]["rules"] == [
        {"from": [allowed], "to": [{"operation": {"methods": ["GET", "POST"]}}]}
    ]
    assert policies["authors-allow"]["rules"] == [{"from": [allowed], "to": [{"operation": {"methods": ["GET"]}}]}]
    assert policies["web-api-allow"]["rules"] == [{"to": [{"operation": {"methods": ["GET"]}}]}]
    assert run.named("starter/security-peer-authentication").spec == {"mtls": {"mode": "STRICT"}}
    accounts = {one.metadata["name"] for one in run.of_type(":ServiceAccount")}
    assert accounts == {"web-api", "articles", "authors"}
    (entry,) = run.of_type(":ServiceEntry")
    assert entry.spec["hosts"] == ["blog.example.com"]


FIREFOX = {"headers": {"user-agent": {"regex": ".*Firefox.*"}}, "uri": {"prefix": "/web-api/v1/getmultiple"}}
ENTRY = {"uri": {"prefix": "/web-api/v1/getmultiple"}}


@pytest.mark.parametrize(
    ("rules", "agent", "shares"),
    [
        ([{"match": [ENTRY], "to": {"v1": 100, "v2": 0}}], "curl", {"v1": 100}),
        ([{"match": [FIREFOX], "to": "v2"}, {"match": [ENTRY], "to": "v1"}], "Mozilla Firefox/130", {"v2": 100}),
        ([{"match": [FIREFOX], "to": "v2"}, {"match": [ENTRY], "to": "v1"}], "Mozilla Chrome/130", {"v1": 100}),
        ([{"match": [ENTRY], "to": {"v1": 80, "v2": 20}}], "curl", {"v1": 80, "v2": 20}),
    ],
    ids=["v1 only", "Firefox", "not Firefox", "weights"],
)
def test_a_stage_of_the_starter_is_a_value_of_the_stack(rules: Any, agent: str, shares: dict[str, int]) -> None:
    route = [*rules, {"directResponse": {"status": 404}}]
    settings = chosen(Sample.CLOUD_NATIVE_STARTER, services={"web-api": {"route": route}})
    request = Request(
        authority="starter.localhost", port=80, path="/web-api/v1/getmultiple", headers={"user-agent": agent}
    )
    outcome = simulator_of(settings).decide(request).outcome

    assert isinstance(outcome, Forwarded)
    assert {share.target.version: 100 * share.probability for share in outcome.shares} == shares
