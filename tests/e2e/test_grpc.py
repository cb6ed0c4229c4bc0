"""gRPC canaries with a real gRPC client: weights, header rules, failures, and a port that is not of gRPC."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest

from canary.verify.split import judge
from tests.e2e.tools import Project, wait_until

STACK = "grpc"
HOST, PLAIN = "cart.grpc.example", "plain.grpc.example"
METHOD = "/cart.v1.Cart/Add"
ECHO: dict[str, Any] = {
    "image": "istio-canary/echo:1.0.0",
    "port": 50051,
    "preStopSeconds": 0,
    "terminationGracePeriodSeconds": 1,
}
ALPHA = 1e-6
"""The probability that a correct split fails a test."""


def version(name: str) -> dict[str, Any]:
    return {**ECHO, "args": ["-listen=:50051,:9090", f"-version={name}"]}


SERVICES: dict[str, Any] = {
    "cart": {
        "namespace": "cart-grpc",
        "hosts": [HOST],
        "gateways": ["cart-gateway", "mesh"],
        "protocol": "GRPC",
        "port": 50051,
        "ports": [{"name": "http-rest", "port": 9090}],
        "versions": {name: version(name) for name in ("v1", "v2")},
        "route": [
            {"match": [{"uri": {"prefix": "/cart.v1.Cart/"}, "headers": {"x-canary": {"exact": "true"}}}], "to": "v2"},
            {"to": {"v1": 90, "v2": 10}, "retries": {"attempts": 2, "retryOn": "unavailable,cancelled"}},
        ],
    },
    "plain": {
        "namespace": "plain-grpc",
        "hosts": [PLAIN],
        "port": 50051,
        "versions": {"v1": version("v1")},
    },
}


@pytest.fixture(scope="module")
def stack(mesh: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The services in the existing mesh."""
    project = Project.create(tmp_path_factory.mktemp("grpc"), mesh.cluster)
    config = project.service_config(SERVICES)
    config["istio-canary:versionHeader"] = "x-served-version"
    project.write_stack(STACK, config)
    project.up(STACK)
    wait_until(lambda: set(calls(project, 16)) <= {"v1", "v2"}, "the gateway's first route")
    yield project
    project.leave(STACK, "cart-grpc", "plain-grpc")


def calls(project: Project, count: int, host: str = HOST, **metadata: str) -> Counter[str]:
    """Call the method, and count the versions that answered over HTTP/2, and the failures by status."""
    address = urlsplit(project.cluster.layout.gateway_url).netloc
    found: Counter[str] = Counter()
    headers = [(name.replace("_", "-"), value) for name, value in metadata.items()]
    with grpc.insecure_channel(address, options=[("grpc.default_authority", host)]) as channel:
        method = channel.unary_unary(METHOD, request_serializer=bytes, response_deserializer=bytes)
        for _ in range(count):
            try:
                seen = json.loads(method(b"two apples", metadata=headers, timeout=10))
            except grpc.RpcError as error:
                found[error.code().name] += 1
                continue
            assert (seen["path"], seen["protocol"], seen["bodyBytes"]) == (METHOD, "HTTP/2.0", 10)
            found[seen["version"]] += 1
    return found


def test_calls_are_shared_out_by_weight(stack: Project) -> None:
    found = calls(stack, 2000)

    assert all(share.passes for share in judge({"v1": 90, "v2": 10}, found, ALPHA)), found


def test_a_header_of_the_call_selects_the_canary(stack: Project) -> None:
    assert calls(stack, 100, x_canary="true") == {"v2": 100}


def test_a_call_is_tried_again_when_its_status_is_unavailable(stack: Project) -> None:
    once = {"x_echo_status": "503 times=1 key=grpc-once"}

    assert set(calls(stack, 20, **once)) <= {"v1", "v2"}, "the first call of each version failed once"
    thrice = calls(stack, 2, x_canary="true", x_echo_status="503 times=3 key=grpc-thrice")
    assert thrice == {"UNAVAILABLE": 1, "v2": 1}, "tried again twice, and the next call not any more"


def test_a_server_of_grpc_behind_a_port_of_plain_http_refuses_every_call(stack: Project) -> None:
    refused = {"UNAVAILABLE", "UNKNOWN", "INTERNAL"}
    assert set(calls(stack, 5, PLAIN)) <= refused, "without a route it would be UNIMPLEMENTED"


def test_verify_measures_calls_without_knowing_their_methods(stack: Project) -> None:
    done = stack.canary("verify", "cart", "--stack", STACK, "--json")

    assert done.returncode == 0, done.stdout + done.stderr
    assert [rule["verdict"] for rule in json.loads(done.stdout)["rules"]] == ["pass", "pass"]


def test_a_change_of_the_protocol_replaces_no_pods(stack: Project) -> None:
    before = stack.cluster.get("pods", "--namespace=plain-grpc")["items"]
    config = stack.service_config({**SERVICES, "plain": {**SERVICES["plain"], "protocol": "GRPC"}})
    config["istio-canary:versionHeader"] = "x-served-version"
    stack.write_stack(STACK, config)
    stack.up(STACK)

    wait_until(lambda: set(calls(stack, 5, PLAIN)) == {"v1"}, "Envoy speaks HTTP/2 to the pods")
    after = stack.cluster.get("pods", "--namespace=plain-grpc")["items"]
    assert [pod["metadata"]["uid"] for pod in after] == [pod["metadata"]["uid"] for pod in before]


def test_a_second_up_changes_nothing(stack: Project) -> None:
    assert set(stack.up(STACK)["changes"]) == {"same"}
