"""The sample cloud-native-starter: the stages of a release, a fault, security by identity, and egress."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from stacks.settings.model import Sample
from tests.e2e.samples import AT_ONCE, SampleStack, sample_stack
from tests.e2e.tools import Project, wait_until

NAMESPACE, HOST, PATH = "starter", "starter.localhost", "/web-api/v1/getmultiple"
FIELDS = {"id", "title", "url", "authorName", "authorBlog", "authorTwitter"}
CLIENT_HOST, OUTSIDE = "starter-client.localhost", "starter-outside"
ECHO = "istio-canary/echo:1.0.0"
CLIENT: dict[str, Any] = {
    "starter-client": {
        "hosts": [CLIENT_HOST],
        "versions": {"version-1": {"image": ECHO, "port": 8080, **AT_ONCE}},
    }
}
"""A caller inside the mesh that sends the calls that it is told to send."""


@pytest.fixture(scope="module")
def starter(mesh: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SampleStack]:
    """The sample and a caller, deployed in a mesh from which no unknown host can be called."""
    config = mesh.mesh_config()
    config["istio-canary:mesh"]["outboundTrafficPolicy"] = "REGISTRY_ONLY"
    mesh.write_stack("mesh", config)
    mesh.up("mesh")
    folder = tmp_path_factory.mktemp("starter")
    with sample_stack(mesh, folder, Sample.CLOUD_NATIVE_STARTER, HOST, services=CLIENT, path=PATH) as stack:
        yield stack
    mesh.write_stack("mesh", mesh.mesh_config())
    mesh.up("mesh")


def counts(starter: SampleStack, count: int = 100, **options: Any) -> Counter[int]:
    """How many articles the answers have."""
    answers = starter.send(PATH, count, **options)
    assert {answer.status for answer in answers} == {200}
    return Counter(len(json.loads(answer.body)) for answer in answers)


def call(starter: SampleStack, address: str, path: str, method: str = "GET", host: str = "") -> int:
    """The status of a call that the caller inside the mesh sends."""
    order = {"method": method, "address": address, "host": host or address, "uri": path}
    answer = starter.one("/_call", method="POST", headers={"Host": CLIENT_HOST}, json=order)
    assert answer.status == 200, answer
    return int(json.loads(answer.body)["status"])


def test_without_a_choice_about_half_get_five_articles_and_half_ten(starter: SampleStack) -> None:
    found = counts(starter, 200)

    assert set(found) == {5, 10}
    assert 65 <= found[5] <= 135, found
    article = json.loads(starter.one(PATH).body)[0]
    assert article.keys() == FIELDS
    assert all(article.values()), f"articles and authors were asked: {article}"
    assert json.loads(starter.one("/openapi").body)["openapi"].startswith("3.")
    for path in ("/", "/articles/v1/getmultiple", "/api/v1/getauthor"):
        assert starter.one(path).status == 404, "the gateway lets in two paths"


def blogs(starter: SampleStack) -> Counter[bool]:
    """How many articles have the blog of their author."""
    articles = [article for answer in starter.send(PATH, 40) for article in json.loads(answer.body)]
    assert all(bool(article["authorBlog"]) == bool(article["authorTwitter"]) for article in articles)
    return Counter(bool(article["authorBlog"]) for article in articles)


def test_a_fault_of_authors_leaves_their_fields_empty_until_it_is_removed(starter: SampleStack) -> None:
    fault = {"abort": {"httpStatus": 500, "percentage": {"value": 50}}}
    starter.up({**CLIENT, "authors": {"route": [{"to": "v1", "fault": fault}]}})

    def half_of_the_calls_fail() -> bool:
        found = blogs(starter)
        return 0.35 <= found[False] / found.total() <= 0.65

    wait_until(half_of_the_calls_fail, "the fault at both of the API's Envoys")
    starter.up(CLIENT)
    wait_until(lambda: blogs(starter)[False] == 0, "the end of the fault")
    assert blogs(starter)[False] == 0


def test_the_api_may_call_articles_and_nobody_else(starter: SampleStack) -> None:
    assert set(counts(starter, 20)) <= {5, 10}, "the API got its articles"
    policy = starter.project.cluster.get("authorizationpolicy", "articles-allow", f"--namespace={NAMESPACE}")["spec"]
    (rule,) = policy["rules"]
    assert rule["from"][0]["source"]["principals"] == [f"cluster.local/ns/{NAMESPACE}/sa/web-api"]
    assert rule["to"][0]["operation"]["methods"] == ["GET", "POST"]
    deny = starter.project.cluster.get("authorizationpolicy", "deny-by-default", f"--namespace={NAMESPACE}")["spec"]
    assert "rules" not in deny, "without a policy that allows, everything is denied"


@pytest.mark.parametrize(
    ("address", "path"),
    [("articles.starter:8080", "/articles/v1/getmultiple"), ("authors.starter:3000", "/api/v1/getauthor?name=Ada")],
)
def test_a_caller_that_is_not_allowed_gets_403(starter: SampleStack, address: str, path: str) -> None:
    assert {call(starter, address, path, method) for method in ("GET", "POST")} == {403}


def test_the_api_is_open_for_reading_alone(starter: SampleStack) -> None:
    assert call(starter, "web-api.starter:9080", PATH) == 200
    assert starter.one(PATH, method="POST").status == 403


def test_a_plain_text_call_to_a_pod_fails(starter: SampleStack) -> None:
    pods = starter.project.cluster.get("pods", f"--namespace={NAMESPACE}", "--selector=app=articles")["items"]
    address = f"http://{pods[0]['status']['podIP']}:8080/articles/v1/getmultiple"
    with pytest.raises(httpx.TransportError, match=r"reset|disconnected"):
        httpx.get(address, trust_env=False)


def test_a_host_that_is_not_listed_is_refused_and_a_listed_one_is_reached(starter: SampleStack) -> None:
    """The host is a pod outside the mesh, which the stack's file names as `blog.example.com`."""
    cluster = starter.project.cluster
    container = {"name": "echo", "image": ECHO, "imagePullPolicy": "IfNotPresent"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "blog", "namespace": OUTSIDE}}
    cluster.kubectl("create", "namespace", OUTSIDE)
    try:
        cluster.kubectl("apply", "--filename=-", stdin=json.dumps({**pod, "spec": {"containers": [container]}}))
        place = ("pod", "blog", f"--namespace={OUTSIDE}")
        wait_until(lambda: bool(cluster.get(*place)["status"].get("podIP")), "the host has an address")
        address = cluster.get(*place)["status"]["podIP"]
        listed = {"resolution": "STATIC", "endpoints": [address], "ports": [{"number": 8080, "protocol": "HTTP"}]}
        starter.up(CLIENT, egress={"blog": listed})

        def called(host: str) -> int:
            return call(starter, f"{address}:8080", "/", host=f"{host}:8080")

        wait_until(lambda: called("blog.example.com") == 200, "the listed host", 20)
        assert called("other.example.com") == 502
    finally:
        cluster.kubectl("delete", "namespace", OUTSIDE, "--wait=false")
