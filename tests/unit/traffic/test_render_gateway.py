"""Gateways, and hosts outside the mesh."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.route_tables import service
from traffic.model import ExternalService, SharedGateway
from traffic.render import Spec, own_gateway, service_entry, shared_gateway

SELECTOR = {"istio": "ingressgateway"}


def servers(*given: dict[str, Any]) -> list[Spec]:
    """The servers of a shared Gateway."""
    spec = shared_gateway(SharedGateway.model_validate({"servers": given}), SELECTOR)
    assert spec["selector"] == SELECTOR
    rendered: list[Spec] = spec["servers"]
    return rendered


def test_a_services_own_gateway_serves_http_for_its_hosts() -> None:
    website = service("website", hosts=["a.example.com", "b.example.com"], gatewayPort=9191)

    assert own_gateway(website, SELECTOR) == {
        "selector": {"istio": "ingressgateway"},
        "servers": [
            {
                "port": {"number": 9191, "name": "http-9191", "protocol": "HTTP"},
                "hosts": ["a.example.com", "b.example.com"],
            }
        ],
    }


TLS: list[dict[str, Any]] = [
    {"mode": "SIMPLE", "credentialName": "shop-cert"},
    {"mode": "MUTUAL", "credentialName": "shop-cert", "minProtocolVersion": "TLSV1_3"},
]


@pytest.mark.parametrize("tls", TLS)
def test_a_server_that_terminates_tls_names_its_certificate(tls: dict[str, Any]) -> None:
    (server,) = servers({"port": 443, "protocol": "HTTPS", "hosts": ["shop.example.com"], "tls": tls})

    assert server == {
        "port": {"number": 443, "name": "https-443", "protocol": "HTTPS"},
        "hosts": ["shop.example.com"],
        "tls": tls,
    }


def test_a_server_may_redirect_to_https() -> None:
    redirecting, plain = servers(
        {"port": 80, "hosts": ["*"], "tls": {"httpsRedirect": True}},
        {"port": 9191, "hosts": ["*"], "tls": {"httpsRedirect": False}},
    )

    assert redirecting["tls"] == {"httpsRedirect": True}
    assert "tls" not in plain


def test_servers_of_one_port_have_different_names() -> None:
    https = {"port": 443, "protocol": "HTTPS", "tls": {"mode": "SIMPLE", "credentialName": "cert"}}
    rendered = servers(
        {"port": 80, "hosts": ["*"]},
        {**https, "hosts": ["a.example.com"]},
        {**https, "hosts": ["b.example.com"]},
    )

    names = [server["port"]["name"] for server in rendered]
    assert names == ["http-80", "https-443", "https-443-2"], "Istio wants them unique in a Gateway"


ENTRIES: list[tuple[dict[str, Any], Spec]] = [
    (
        {"hosts": ["api.example.com"]},
        {
            "hosts": ["api.example.com"],
            "location": "MESH_EXTERNAL",
            "ports": [{"number": 443, "name": "tls-443", "protocol": "TLS"}],
            "resolution": "DNS",
        },
    ),
    (
        {"hosts": ["*.example.com"], "ports": [{"number": 80, "protocol": "HTTP"}], "resolution": "NONE"},
        {
            "hosts": ["*.example.com"],
            "location": "MESH_EXTERNAL",
            "ports": [{"number": 80, "name": "http-80", "protocol": "HTTP"}],
            "resolution": "NONE",
        },
    ),
    (
        {"hosts": ["db.example.com"], "resolution": "STATIC", "endpoints": ["192.0.2.1", "192.0.2.2"]},
        {
            "hosts": ["db.example.com"],
            "location": "MESH_EXTERNAL",
            "ports": [{"number": 443, "name": "tls-443", "protocol": "TLS"}],
            "resolution": "STATIC",
            "endpoints": [{"address": "192.0.2.1"}, {"address": "192.0.2.2"}],
        },
    ),
]


@pytest.mark.parametrize(("given", "spec"), ENTRIES)
def test_an_external_host_is_a_service_entry(given: dict[str, Any], spec: Spec) -> None:
    assert service_entry(ExternalService.model_validate(given)) == spec
