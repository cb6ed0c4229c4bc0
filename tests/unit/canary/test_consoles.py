"""The consoles: their names in the cluster, and what is said of one that is on, elsewhere or off."""

from __future__ import annotations

from typing import Any

import pytest

from canary.consoles import CONSOLES, GRAFANA, JAEGER, KIALI, PROMETHEUS, Availability
from tests.unit.canary.telemetry_settings import telemetry_with


def test_services_and_ports_are_those_of_istios_addons_and_istioctl_dashboard() -> None:
    assert {
        console.name: (console.service, console.port, console.local_port, console.path) for console in CONSOLES.values()
    } == {
        "kiali": ("kiali", 20001, 20001, "/kiali"),
        "grafana": ("grafana", 3000, 3000, ""),
        "prometheus": ("prometheus", 9090, 9090, ""),
        "jaeger": ("tracing", 80, 16686, "/jaeger"),
    }


@pytest.mark.parametrize("name", CONSOLES)
def test_a_console_has_settings_of_its_own(name: str) -> None:
    consoles: dict[str, Any] = {name: {"note": "this one"}}
    telemetry = telemetry_with(**consoles)
    assert [console.name for console in CONSOLES.values() if console.settings(telemetry).note] == [name]


@pytest.mark.parametrize(
    ("settings", "availability", "summary"),
    [
        ({"enabled": True}, Availability.ON, "on"),
        ({}, Availability.OFF, "off"),
        ({"note": "no images here"}, Availability.OFF, "off: no images here"),
        ({"url": "https://g.example"}, Availability.ELSEWHERE, "https://g.example"),
    ],
)
def test_a_console_is_on_elsewhere_or_off(settings: dict[str, Any], availability: Availability, summary: str) -> None:
    telemetry = telemetry_with(grafana=settings)
    assert GRAFANA.availability(telemetry) is availability
    assert GRAFANA.summary(telemetry) == summary


@pytest.mark.parametrize(
    ("note", "details", "instead"),
    [("", (), ""), ("no images here", ("note: no images here",), " instead of its note")],
)
def test_a_console_that_is_off_is_an_error_that_names_key_file_and_command(
    note: str, details: tuple[str, ...], instead: str
) -> None:
    error = KIALI.off(telemetry_with(kiali={"note": note}), "dev", "Pulumi.dev.yaml")
    assert error.message == "kiali is off in the stack dev"
    assert error.details == details
    assert error.fix == (
        f"set istio-canary:telemetry.kiali.enabled: true{instead} in Pulumi.dev.yaml, "
        "then run `canary up --stack dev`; for one that exists already, set istio-canary:telemetry.kiali.url"
    )


def test_how_to_sign_in_is_a_command_that_shows_the_password_or_the_token() -> None:
    telemetry = telemetry_with(namespace="monitoring")
    assert GRAFANA.how_to_sign_in(telemetry) == (
        "user: admin; password: kubectl get secret grafana --namespace=monitoring "
        "--output=jsonpath='{.data.admin-password}' | base64 --decode"
    )
    assert KIALI.how_to_sign_in(telemetry) == "token: kubectl create token kiali --namespace=monitoring"


def test_consoles_without_a_login_need_nothing_to_sign_in() -> None:
    telemetry = telemetry_with(kiali={"enabled": True, "authentication": "anonymous"})
    for console in (KIALI, PROMETHEUS, JAEGER):
        assert console.how_to_sign_in(telemetry) == ""
