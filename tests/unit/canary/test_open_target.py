"""What `canary open NAME` opens, and what it says of it."""

from __future__ import annotations

from typing import Any

import pytest

from canary.browser import has_browser
from canary.command_error import CommandError
from canary.exit_codes import ExitCode
from canary.open_target import Target, target_of
from stacks.settings.loading import load
from stacks.settings.telemetry import TelemetrySettings
from tests.unit.canary.telemetry_settings import telemetry_with

TLS = {"mode": "SIMPLE", "credentialName": "shop-cert"}
GATEWAYS: dict[str, Any] = {
    "public": {
        "servers": [
            {"port": 80, "hosts": ["*.example.com"], "tls": {"httpsRedirect": True}},
            {"port": 443, "protocol": "HTTPS", "hosts": ["*.example.com"], "tls": TLS},
        ]
    }
}


def opened(
    name: str, telemetry: TelemetrySettings | None = None, services: dict[str, Any] | None = None
) -> Target | str:
    """The target in a stack with these services, with the local port that it has by default."""
    versions = {"one": {"image": "shop:1", "port": 8080}}
    filled = {service: {"versions": versions, **settings} for service, settings in (services or {}).items()}
    shares = any("public" in service.get("gateways", ()) for service in filled.values())
    mesh = {"gateway": {"ports": [80, 443, 8443]}}
    settings = load({"mesh": mesh, "gateways": GATEWAYS if shares else {}, "services": filled})
    settings = settings.model_copy(update={"telemetry": telemetry or telemetry_with()})
    target = target_of(settings, name, "dev", "Pulumi.dev.yaml")
    return target if isinstance(target, str) else target.at_port(target.local_port)


@pytest.mark.parametrize(
    ("name", "service", "port", "url", "note"),
    [
        ("kiali", "kiali", 20001, "http://localhost:20001/kiali", "token: kubectl create token kiali"),
        ("grafana", "grafana", 3000, "http://localhost:3000", "{.data.admin-password}"),
        ("prometheus", "prometheus", 9090, "http://localhost:9090", ""),
        ("jaeger", "tracing", 80, "http://localhost:16686/jaeger", ""),
    ],
)
def test_a_console_is_opened_at_its_service(name: str, service: str, port: int, url: str, note: str) -> None:
    target = opened(name, telemetry_with(namespace="monitoring"))
    assert isinstance(target, Target)
    assert (target.namespace, target.service, target.port, target.url) == ("monitoring", service, port, url)
    assert target.for_browser
    assert note in "".join(target.notes)


def test_a_console_that_exists_elsewhere_is_its_url() -> None:
    assert opened("grafana", telemetry_with(grafana={"url": "https://g.example.com"})) == "https://g.example.com"


@pytest.mark.parametrize(
    ("url", "service", "opened_at"),
    [
        ("http://grafana.monitoring:3000", ("monitoring", "grafana", 3000), "http://localhost:3000"),
        ("https://g.obs.svc.cluster.local/grafana", ("obs", "g", 443), "https://localhost:3000/grafana"),
    ],
)
def test_a_console_that_only_the_cluster_can_reach_is_opened_at_its_service(
    url: str, service: tuple[str, str, int], opened_at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.getaddrinfo", lambda *_: [])
    target = opened("grafana", telemetry_with(grafana={"url": url}))
    assert isinstance(target, Target)
    assert (target.namespace, target.service, target.port) == service
    assert target.url == opened_at
    assert target.created_by == "correct istio-canary:telemetry.grafana.url, which names it"


def test_a_console_that_is_off_is_an_error() -> None:
    with pytest.raises(CommandError, match="kiali is off in the stack dev"):
        opened("kiali", telemetry_with(kiali={}))


@pytest.mark.parametrize(
    ("settings", "port", "url", "for_browser"),
    [
        ({"hosts": ["*"]}, 80, "http://localhost:8080/", True),
        ({"hosts": ["shop.localhost"]}, 80, "http://shop.localhost:8080/", True),
        ({"hosts": ["shop.example.com"]}, 80, "http://shop.example.com:8080/", False),
        ({"hosts": ["*.example.com"]}, 80, "http://any.example.com:8080/", False),
        ({"hosts": ["shop.example.com"], "gatewayPort": 8443}, 8443, "http://shop.example.com:8080/", False),
        ({"hosts": ["shop.example.com"], "gateways": ["public"]}, 443, "https://shop.example.com:8080/", False),
    ],
    ids=[
        "any host",
        "a name of this machine",
        "a host",
        "a wildcard",
        "another port",
        "HTTPS, which HTTP redirects to",
    ],
)
def test_a_service_is_opened_at_the_gateway(settings: dict[str, Any], port: int, url: str, for_browser: bool) -> None:
    target = opened("shop", services={"shop": settings})
    assert isinstance(target, Target)
    assert (target.namespace, target.service, target.port) == ("istio-ingress", "istio-ingressgateway", port)
    assert (target.url, target.for_browser) == (url, for_browser)
    host = url.split("/")[2].partition(":")[0]
    curl = f"{host} does not resolve to this machine: curl --resolve {host}:8080:127.0.0.1 {url}"
    assert target.notes == (() if for_browser else (curl,))
    assert "istio-canary:mesh.gateway" in target.created_by


def test_a_service_without_a_gateway_is_opened_at_its_pods_and_no_route_applies() -> None:
    target = opened("shop", services={"shop": {"gateways": ["mesh"], "port": 8000}})
    assert isinstance(target, Target)
    assert (target.namespace, target.service, target.port) == ("shop", "shop", 8000)
    assert target.url == "http://localhost:8080/"
    assert target.notes == ("no route applies: shop is bound to no gateway, so requests go straight to this pod",)


@pytest.mark.parametrize(
    ("name", "fix"), [("kiala", "did you mean kiali?"), ("shpo", "did you mean shop?"), ("?", "choose one of these")]
)
def test_an_unknown_name_lists_what_can_be_opened(name: str, fix: str) -> None:
    with pytest.raises(CommandError) as error:
        opened(name, services={"shop": {"hosts": ["*"]}})
    assert error.value == CommandError(
        f"there is nothing called {name!r} to open",
        ExitCode.CONFIG,
        fix,
        ("consoles: kiali, grafana, prometheus, jaeger", "services: shop"),
    )


@pytest.mark.parametrize(
    ("environment", "platform", "expected"),
    [
        ({}, "linux", False),
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({"BROWSER": "firefox"}, "linux", True),
        ({"SSH_CONNECTION": "1.2.3.4"}, "linux", False),
        ({"SSH_CONNECTION": "1.2.3.4", "DISPLAY": "localhost:10.0"}, "linux", True),
        ({"SSH_CONNECTION": "1.2.3.4"}, "darwin", False),
        ({}, "darwin", True),
        ({}, "win32", True),
        ({"DISPLAY": ":0", "CI": "true"}, "linux", False),
        ({"DISPLAY": ":0", "CI": "false"}, "linux", True),
    ],
)
def test_a_browser_is_opened_only_where_a_user_sees_it(
    environment: dict[str, str], platform: str, expected: bool
) -> None:
    assert has_browser(environment, platform) is expected
