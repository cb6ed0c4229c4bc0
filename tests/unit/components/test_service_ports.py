"""Ports of a Service and its containers, from whose names Istio takes the protocol."""

from __future__ import annotations

from typing import Any

import pytest

from components.service_ports import container_ports, service_ports
from traffic.model import NamedPort, ServiceProtocol

METRICS = NamedPort(name="http-metrics", port=9090)


def ports(protocol: str, *further: NamedPort, speaks_tls: bool = False) -> list[tuple[Any, ...]]:
    """Name, number, target and appProtocol of each port."""
    made = service_ports(80, ServiceProtocol(protocol), further, speaks_tls=speaks_tls)
    return [(port.name, port.port, port.target_port, port.app_protocol) for port in made]


@pytest.mark.parametrize(
    ("protocol", "name", "app_protocol"),
    [("HTTP", "http", None), ("HTTP2", "http2", "http2"), ("GRPC", "grpc", "grpc"), ("TCP", "tcp", "tcp"),
     ("TLS", "tls", "tls")],
)  # fmt: skip
def test_the_main_port_is_named_by_its_protocol(protocol: str, name: str, app_protocol: str | None) -> None:
    assert ports(protocol) == [(name, 80, "http", app_protocol)]


def test_a_port_of_pods_that_terminate_tls_is_https_to_istio() -> None:
    assert ports("HTTP", speaks_tls=True) == [("http", 80, "http", "https")]


def test_further_ports_keep_their_names() -> None:
    named = NamedPort(name="metrics", port=9090, protocol=ServiceProtocol.HTTP)

    assert ports("GRPC", METRICS)[1:] == [("http-metrics", 9090, "http-metrics", "http")]
    assert ports("GRPC", named)[1:] == [("metrics", 9090, "metrics", "http")]


def test_a_rest_port_called_http_beside_grpc_is_not_the_containers_main_port() -> None:
    rest = NamedPort(name="http", port=8080)

    assert ports("GRPC", rest) == [("grpc", 80, "http", "grpc"), ("http", 8080, "further-http", "http")]
    assert [(port.name, port.container_port) for port in container_ports(50051, {"http": 8080})] == [
        ("http", 50051),
        ("further-http", 8080),
    ]
