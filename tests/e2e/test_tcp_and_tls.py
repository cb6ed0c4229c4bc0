"""Connections of TCP and of TLS that passes through, shared out by the real Envoy."""

from __future__ import annotations

import json
import socket
import ssl
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from canary.verify.split import judge
from tests.e2e.certificates import Authority
from tests.e2e.tools import Project, wait_until

STACK = "connections"
TCP_PORT, TLS_PORT = 7070, 8443
VAULT, BETA, OTHER = "vault.connections.example", "beta.connections.example", "other.elsewhere.example"
ECHO: dict[str, Any] = {
    "image": "istio-canary/echo:1.0.0",
    "preStopSeconds": 0,
    "terminationGracePeriodSeconds": 1,
}
GATEWAYS = {
    "connections": {
        "servers": [
            {"port": TCP_PORT, "protocol": "TCP", "hosts": ["*"]},
            {"port": TLS_PORT, "protocol": "TLS", "hosts": ["*.connections.example"], "tls": {"mode": "PASSTHROUGH"}},
        ]
    }
}
ALPHA = 1e-6
"""The probability that a correct split fails a test."""


def broker(name: str) -> dict[str, Any]:
    return {**ECHO, "port": 7070, "args": ["-lines=:7070", f"-version={name}"]}


def services(weights: dict[str, int]) -> dict[str, Any]:
    """A broker of TCP, and a vault whose pods terminate TLS."""
    pair = {name: content.decode() for name, content in Authority("connections").certificate(VAULT).items()}
    vault = {**ECHO, "port": 8443, "configFiles": {"/tls": pair}}
    flags = ["-listen=:8443", "-certificate=/tls/tls.crt", "-key=/tls/tls.key"]
    return {
        "broker": {
            "namespace": "broker-tcp",
            "hosts": ["broker.connections.example"],
            "gateways": ["connections", "mesh"],
            "protocol": "TCP",
            "port": 7070,
            "versions": {name: broker(name) for name in ("v1", "v2")},
            "route": [{"to": weights}],
        },
        "vault": {
            "namespace": "vault-tls",
            "hosts": [VAULT, BETA],
            "gateways": ["connections"],
            "protocol": "TLS",
            "port": 8443,
            "versions": {name: {**vault, "args": [*flags, f"-version={name}"]} for name in ("v1", "v2")},
            "route": [{"match": [{"sniHosts": [BETA]}], "to": "v2"}, {"to": {"v1": 90, "v2": 10}}],
        },
    }


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    """The services, with one certificate for all tests."""
    return services({"v1": 90, "v2": 10})


@pytest.fixture(scope="module")
def stack(mesh: Project, made: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The services in the existing mesh."""
    project = Project.create(tmp_path_factory.mktemp("connections"), mesh.cluster)
    up(project, made)
    wait_until(lambda: set(lines(project, 8)) <= {"v1", "v2"}, "the gateway's port of TCP")
    wait_until(lambda: set(secure(project, 8, VAULT)) <= {"v1", "v2"}, "the gateway's port of TLS")
    yield project
    project.leave(STACK, "broker-tcp", "vault-tls")


def up(project: Project, given: dict[str, Any]) -> dict[str, Any]:
    config = project.service_config(given)
    config["istio-canary:mesh"] = {"install": False, "gateway": {"ports": [80, TCP_PORT, TLS_PORT]}}
    config["istio-canary:gateways"] = GATEWAYS
    project.write_stack(STACK, config)
    return project.up(STACK)


def gateway(project: Project) -> str:
    """The address of the gateway's pod: its Service has no node ports for these."""
    (pod,) = project.cluster.get("pods", "--namespace=istio-ingress", "--selector=istio=ingressgateway")["items"]
    return str(pod["status"]["podIP"])


def lines(project: Project, count: int) -> Counter[str]:
    """Open connections of TCP, each for one line, and count the versions that answered it."""
    found: Counter[str] = Counter()
    address = gateway(project)
    for _ in range(count):
        try:
            with socket.create_connection((address, TCP_PORT), timeout=10) as connection:
                connection.sendall(b"hello\n")
                found[connection.makefile().readline().split(" ")[0] or "closed"] += 1
        except OSError as error:
            found[type(error).__name__] += 1
    return found


def secure(project: Project, count: int, server_name: str) -> Counter[str]:
    """Open connections of TLS to a server name, and count the versions whose certificate and answer came back."""
    found: Counter[str] = Counter()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    address = gateway(project)
    for _ in range(count):
        try:
            plain = socket.create_connection((address, TLS_PORT), timeout=10)
            with plain, context.wrap_socket(plain, server_hostname=server_name) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: vault\r\nConnection: close\r\n\r\n")
                answer = connection.makefile("rb").read()
                found[json.loads(answer.partition(b"\r\n\r\n")[2])["version"]] += 1
        except OSError:
            found["no connection"] += 1
    return found


def test_connections_of_tcp_are_shared_out_by_weight(stack: Project) -> None:
    found = lines(stack, 1000)

    assert all(share.passes for share in judge({"v1": 90, "v2": 10}, found, ALPHA)), found


def test_connections_of_tls_pass_through_and_are_shared_out(stack: Project) -> None:
    found = secure(stack, 300, VAULT)

    assert all(share.passes for share in judge({"v1": 90, "v2": 10}, found, ALPHA)), found


def test_the_server_name_selects_the_canary(stack: Project) -> None:
    assert secure(stack, 50, BETA) == {"v2": 50}


def test_another_server_name_gets_no_connection(stack: Project) -> None:
    assert secure(stack, 3, OTHER) == {"no connection": 3}


def test_verify_says_that_connections_are_not_measured(stack: Project) -> None:
    done = stack.canary("verify", "broker", "--stack", STACK, "--json")

    (rule,) = json.loads(done.stdout)["rules"]
    assert (rule["verdict"], "does not tell which version has it" in rule["reason"]) == ("connections", True)


def test_an_open_connection_stays_and_new_ones_follow_the_new_weights(stack: Project, made: dict[str, Any]) -> None:
    with socket.create_connection((gateway(stack), TCP_PORT), timeout=10) as connection:
        answers = connection.makefile()
        connection.sendall(b"before\n")
        version = answers.readline().split(" ")[0]
        other = {"v1": "v2", "v2": "v1"}[version]
        broker_now = {**made["broker"], "route": [{"to": {other: 100, version: 0}}]}
        up(stack, {**made, "broker": broker_now})
        wait_until(lambda: lines(stack, 20) == {other: 20}, "the new weights")
        connection.sendall(b"after\n")
        assert answers.readline().split(" ")[0] == version


@pytest.mark.long
def test_a_second_up_changes_nothing(stack: Project, made: dict[str, Any]) -> None:
    up(stack, made)

    assert set(up(stack, made)["changes"]) == {"same"}
