"""Envoy routes requests as docs/routing.md says.

Each example is deployed by `canary up` in place of the previous one, while the pods stay. The page's requests are sent
as shown there; behaviour that it describes in words has its own tests. These are the examples that use an existing
mesh.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import pytest

from tests.e2e import tokens
from tests.e2e.certificates import Authority, bring_secret
from tests.e2e.routing import Lab, config_of, installs_mesh
from tests.e2e.routing_judge import check, cookie_of, pods_of
from tests.e2e.tools import Project, wait_until
from tests.routing_doc import FOLDER, HOST, Example, Request, examples
from traffic.model import NOWHERE

PODS = 3
"""Number of pods of version-2."""
IN_WORDS = {
    "load-balancer", "passthrough", "consistent-hash", "warmup", "locality", "connection-pool", "outlier-detection",
}  # fmt: skip
"""The examples that the page describes only in words."""
TLS_TO_PODS = next(example for example in examples() if example.file.stem == "tls-to-pods")
"""Has other pods than the rest, and so its own test."""
EXAMPLES = [
    example for example in examples() if example.lines and not installs_mesh(example.file) and example != TLS_TO_PODS
]
LONG_ONLY = {
    "addresses", "answers", "client-tls", "cookies", "cors", "match-and-or", "match-claims", "match-request",
    "mtls-namespace", "other-service", "protocols",
}  # fmt: skip
"""The examples that only `make test-long` has: each is like one of the rest, or takes long."""


@pytest.fixture(scope="module")
def lab(mesh: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The stack of the examples."""
    with Lab.opened(Project.create(tmp_path_factory.mktemp("routing"), mesh.cluster)) as lab:
        yield lab


def test_every_example_described_only_in_words_is_tested_here() -> None:
    assert {example.file.stem for example in examples() if not example.lines} == IN_WORDS


@pytest.mark.parametrize(
    "example",
    [
        pytest.param(one, id=one.file.stem, marks=pytest.mark.long if one.file.stem in LONG_ONLY else ())
        for one in EXAMPLES
    ],
)
def test_requests_are_answered_as_the_page_says(lab: Lab, example: Example) -> None:
    config = config_of(example.file)
    placeholders = {}
    if "jwt" in config["istio-canary:services"]["shop"]:
        issuer = tokens.Issuer()
        config["istio-canary:services"]["shop"]["jwt"][0]["jwks"] = issuer.jwks
        placeholders = issuer.placeholders(config["istio-canary:services"]["shop"]["jwt"][0])
    lab.apply(config)
    for line in example.lines:
        check(lab, line, placeholders)


@pytest.mark.long
def test_a_service_that_leaves_the_mesh_does_not_wait_for_the_routes_that_it_had_there(lab: Lab) -> None:
    """Pulumi deletes last, and version-2 keeps its pods until no Envoy has a route to it."""
    second = ("virtualservice", "shop-mesh", "--namespace=shop")
    lab.apply(config_of(FOLDER / "protocols.yaml"))
    assert lab.cluster.get(*second)["spec"]["gateways"] == ["mesh"]
    lab.apply(config_of(FOLDER / "answers.yaml"))
    assert lab.cluster.get(*second)["spec"]["gateways"] == [NOWHERE]
    lab.apply(config_of(FOLDER / "answers.yaml"))
    assert not lab.cluster.exists(*second)


def get(path: str = "/", **headers: str) -> Request:
    """A request to the gateway; `x_user` is the header x-user."""
    pairs = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Request("GET", f"http://{HOST}{path}", pairs, None, False)


def bring(lab: Lab, config: dict[str, Any]) -> None:
    """Deploy an example without access policies, and wait until those of the previous one are gone."""
    lab.apply(config)
    wait_until(lambda: {seen.status for seen in lab.send_all(get(), 30)} == {200}, "all requests are answered", 20)


class User:
    """A user whose browser keeps the cookie."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.cookie = ""

    def visit(self) -> str:
        """The version that answers."""
        seen = self.lab.send(get(cookie=self.cookie) if self.cookie else get())
        if "set-cookie" in seen.headers:
            self.cookie = cookie_of(seen)
        return seen.outcome


def sticky(stable: int) -> dict[str, Any]:
    """The example's config with another weight."""
    config = config_of(FOLDER / "sticky.yaml")
    config["istio-canary:services"]["shop"]["route"][0]["to"] = {"version-1": stable, "version-2": 100 - stable}
    return config


@pytest.mark.long
def test_a_sticky_user_stays_while_weights_change_and_leaves_a_version_without_weight(lab: Lab) -> None:
    bring(lab, sticky(50))
    users = [User(lab) for _ in range(40)]
    first = [user.visit() for user in users]
    assert set(first) == {"version-1", "version-2"}, "each version gets some of 40 users"
    bring(lab, sticky(99))
    for _ in range(3):
        assert [user.visit() for user in users] == first, "a new weight affects only new users"
    bring(lab, sticky(100))
    assert {user.visit() for user in users} == {"version-1"}, "a weight of 0 is a rollback"
    bring(lab, sticky(50))
    assert {user.visit() for user in users} == {"version-1"}, "and they stay there"


def test_the_cookie_of_a_sticky_rule_is_as_shown_on_the_page(lab: Lab) -> None:
    bring(lab, config_of(FOLDER / "sticky.yaml"))
    seen = lab.send(get())
    version = seen.outcome
    assert seen.headers["set-cookie"] == f"shop-version={version}; Max-Age=3600; Path=/; HttpOnly; SameSite=Lax"
    kept = lab.send(get(cookie=f"shop-version={version}"))
    assert "set-cookie" not in kept.headers, "a user who has it gets no new one"


def with_balancer(name: str, balancer: dict[str, Any]) -> dict[str, Any]:
    """An example's config with another load balancer for version-2."""
    config = config_of(FOLDER / f"{name}.yaml")
    policy = config["istio-canary:services"]["shop"]["versions"]["version-2"]["trafficPolicy"]
    policy["loadBalancer"] = balancer
    return config


def test_round_robin_takes_the_pods_in_turn(lab: Lab) -> None:
    bring(lab, config_of(FOLDER / "load-balancer.yaml"))

    def in_turn() -> bool:
        pods = pods_of(lab.send_on_one_connection(get(), 30))
        return Counter(Counter(pods).values()) == {10: PODS} and pods == pods[:PODS] * 10

    wait_until(in_turn, "each of three pods gets ten of 30 requests, in turn", 20)


@pytest.mark.parametrize("simple", ["LEAST_REQUEST", pytest.param("RANDOM", marks=pytest.mark.long)])
def test_random_balancers_use_every_pod_in_no_fixed_turn(lab: Lab, simple: str) -> None:
    bring(lab, with_balancer("load-balancer", {"simple": simple}))

    def out_of_turn() -> bool:
        pods = pods_of(lab.send_on_one_connection(get(), 300))
        return len(set(pods)) == PODS and pods != pods[:PODS] * 100

    wait_until(out_of_turn, f"{simple} uses every pod, and not in turn", 20)


@pytest.mark.long
def test_passthrough_routes_to_the_pod_that_the_caller_addressed(lab: Lab) -> None:
    lab.apply(config_of(FOLDER / "passthrough.yaml"))
    for pod in lab.pods("shop"):
        address = lab.address(pod)
        call = {"method": "GET", "address": f"{address}:8080", "uri": "/", "host": "shop.shop:8080", "headers": []}

        def asked(call: dict[str, Any] = call) -> str:
            answer = httpx.post(f"http://{lab.caller('client')}/_call", json=call, trust_env=False, timeout=30)
            return answer.text

        wait_until(lambda pod=pod, asked=asked: pod.split("/")[1] in asked(), f"{pod} answers", 20)  # type: ignore[misc]
        assert all(pod.split("/")[1] in asked() for _ in range(5)), "and no other"


def users(lab: Lab, requests: list[Request]) -> list[set[str]]:
    """The pods that answer each of these requests, sent several times over."""
    return [set(pods_of(lab.send_all(request, 10))) for request in requests]


@pytest.mark.long
def test_a_hash_keeps_each_user_on_one_pod_and_spreads_the_users(lab: Lab) -> None:
    by_header = [get(x_user=f"user-{number}") for number in range(30)]
    by_parameter = [get(f"/?user=user-{number}") for number in range(30)]
    balancers: list[tuple[dict[str, Any], list[Request]]] = [
        ({"httpHeaderName": "x-user"}, by_header),
        ({"httpHeaderName": "x-user", "maglev": {"tableSize": 65537}}, by_header),
        ({"httpQueryParameterName": "user"}, by_parameter),
    ]
    for balancer, requests in balancers:
        bring(lab, with_balancer("consistent-hash", {"consistentHash": balancer}))

        def kept(requests: list[Request] = requests) -> bool:
            pods = users(lab, requests)
            return all(len(one) == 1 for one in pods) and len(set.union(*pods)) > 1

        wait_until(kept, f"one pod for each user and several for all, by {balancer}", 20)


@pytest.mark.long
def test_a_hash_of_a_cookie_sets_it_and_keeps_to_it(lab: Lab) -> None:
    bring(lab, with_balancer("consistent-hash", {"consistentHash": {"httpCookie": {"name": "user", "ttl": "1h"}}}))
    wait_until(lambda: "set-cookie" in lab.send(get()).headers, "the first answer sets a cookie", 20)
    pods = set()
    for _ in range(20):
        first = lab.send(get())
        cookie = cookie_of(first)
        assert cookie.startswith("user=")
        assert set(pods_of(lab.send_all(get(cookie=cookie), 10))) == {first.pod}
        pods.add(first.pod)
    assert len(pods) > 1, "other users, other pods"


@pytest.mark.long
def test_a_hash_of_the_source_address_keeps_a_caller_on_one_pod(lab: Lab) -> None:
    bring(lab, with_balancer("consistent-hash", {"consistentHash": {"useSourceIp": True}}))
    wait_until(lambda: len(set(pods_of(lab.send_all(get(), 30)))) == 1, "one pod for one address", 20)


def test_requests_beyond_the_connection_pool_are_rejected_at_once(lab: Lab) -> None:
    lab.apply(config_of(FOLDER / "connection-pool.yaml"))
    one_by_one = partial(lab.send_on_one_connection, get(), 20)
    wait_until(
        lambda: {seen.outcome for seen in one_by_one()} == {"version-2"}, "one at a time is within the limit", 20
    )

    def limited() -> bool:
        answers = lab.send_all(get(x_echo_delay="2s"), 20, at_once=20)
        refused = [seen for seen in answers if seen.status == 503]
        overloaded = all(seen.headers.get("x-envoy-overloaded") == "true" for seen in refused)
        return len(refused) == 18 and overloaded and all(seen.seconds < 2 for seen in refused)

    wait_until(limited, "2 of 20 at a time are answered, and 18 refused at once", 30)
    assert {seen.outcome for seen in one_by_one()} == {"version-2"}


def test_a_failing_pod_is_ejected_temporarily(lab: Lab) -> None:
    bring(lab, config_of(FOLDER / "outlier-detection.yaml"))
    anna = get(x_user="anna")
    wait_until(lambda: len(set(pods_of(lab.send_all(anna, 10)))) == 1, "anna has a pod of her own", 20)
    first = lab.send(anna).pod
    failing = lab.send_on_one_connection(get(x_user="anna", x_echo_status="500"), 3)
    assert [seen.status for seen in failing] == [500] * 3
    assert {seen.pod for seen in failing} == {first}
    wait_until(lambda: lab.send(anna).pod != first, "another pod answers her", 2)
    assert lab.send(anna).status == 200
    wait_until(lambda: lab.send(anna).pod == first, "the first pod answers her again", 20)


def clusters(lab: Lab, version: str) -> Any:
    """The Envoy cluster of a version of the shop at the gateway."""
    (gateway,) = lab.cluster.get("pods", "--namespace=istio-ingress", "--selector=istio=ingressgateway")["items"]
    dump = lab.envoy(f"istio-ingress/{gateway['metadata']['name']}", "config_dump?resource=dynamic_active_clusters")
    name = f"outbound|80|{version}|shop.shop.svc.cluster.local"
    return next(entry["cluster"] for entry in dump["configs"] if entry["cluster"]["name"] == name)


@pytest.mark.long
def test_envoy_is_configured_to_warm_up_new_pods(lab: Lab) -> None:
    bring(lab, config_of(FOLDER / "warmup.yaml"))

    def configured() -> bool:
        start = clusters(lab, "version-2").get("round_robin_lb_config", {}).get("slow_start_config", {})
        return bool(start.get("slow_start_window") == "300s" and start.get("min_weight_percent") == {"value": 1})

    wait_until(configured, "slow_start_config in Envoy", 20)
    assert "round_robin_lb_config" not in clusters(lab, "version-1"), "the policy is the version's own"


@pytest.mark.long
def test_envoy_is_configured_with_locality_weights(lab: Lab) -> None:
    bring(lab, config_of(FOLDER / "locality.yaml"))
    wait_until(
        lambda: "locality_weighted_lb_config" in clusters(lab, "version-1")["common_lb_config"],
        "localities count in Envoy",
        20,
    )


@pytest.mark.long
def test_the_gateway_originates_tls_to_pods_that_terminate_it(lab: Lab) -> None:
    """Last, since it replaces the pods: these have certificates, which the gateway verifies as configured."""
    authority = Authority("internal")
    bring_secret(lab.cluster, "shop-authority", {"ca.crt": authority.pem})
    bring_secret(lab.cluster, "shop-client", {**authority.certificate("gateway.internal"), "ca.crt": authority.pem})
    pair = authority.certificate("shop.internal")
    files = {name: text.decode() for name, text in {**pair, "ca.crt": authority.pem}.items()}
    args = ["-certificate=/tls/tls.crt", "-key=/tls/tls.key"]
    config = config_of(TLS_TO_PODS.file)
    versions = config["istio-canary:services"]["shop"]["versions"]
    versions["version-1"] |= {"configFiles": {"/tls": files}, "args": args}
    versions["version-2"] |= {"configFiles": {"/tls": files}, "args": [*args, "-client-authority=/tls/ca.crt"]}
    lab.apply(config)
    for line in TLS_TO_PODS.lines:
        check(lab, line)
    versions["version-1"]["trafficPolicy"]["tls"]["subjectAltNames"] = ["other.internal"]
    versions["version-2"]["trafficPolicy"]["tls"] = {"mode": "SIMPLE", "credentialName": "shop-authority"}
    lab.apply(config)
    check(lab, "GET / → 503")
    check(lab, "GET /mutual → 503")
