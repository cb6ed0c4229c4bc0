"""The consoles of a stack's telemetry: their Services and ports, and whether a stack has them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from canary.command_error import CommandError
from canary.exit_codes import ExitCode

if TYPE_CHECKING:
    from stacks.settings.telemetry import Server, TelemetrySettings


class Availability(StrEnum):
    """Whether a stack has a console: its own, one that exists elsewhere, or none."""

    ON = "on"
    ELSEWHERE = "elsewhere"
    OFF = "off"


@dataclass(frozen=True)
class Console:
    """A console: its Service and port, the local port for it, and the path of its pages.

    Services and ports are those of Istio's addons; the local ports are those of `istioctl dashboard`.
    """

    name: str
    service: str
    port: int
    local_port: int
    path: str = ""

    def settings(self, telemetry: TelemetrySettings) -> Server:
        """Return the console's own settings."""
        server: Server = getattr(telemetry, self.name)
        return server

    def availability(self, telemetry: TelemetrySettings) -> Availability:
        """Return whether the stack has the console."""
        settings = self.settings(telemetry)
        if settings.url:
            return Availability.ELSEWHERE
        return Availability.ON if settings.enabled else Availability.OFF

    def summary(self, telemetry: TelemetrySettings) -> str:
        """Return `on`, the URL of one that exists, or `off` with the settings' note."""
        settings = self.settings(telemetry)
        note = f": {settings.note}" if settings.note else ""
        states = {Availability.ON: "on", Availability.ELSEWHERE: str(settings.url), Availability.OFF: f"off{note}"}
        return states[self.availability(telemetry)]

    def off(self, telemetry: TelemetrySettings, stack: str, stack_file: str) -> CommandError:
        """Return the error for a console that is off, with what to set and to run, so that the stack has it."""
        note = self.settings(telemetry).note
        key = f"istio-canary:telemetry.{self.name}"
        instead = " instead of its note" if note else ""
        return CommandError(
            f"{self.name} is off in the stack {stack}",
            ExitCode.CONFIG,
            fix=f"set {key}.enabled: true{instead} in {stack_file}, then run `canary up --stack {stack}`; for one that "
            f"exists already, set {key}.url",
            details=(f"note: {note}",) if note else (),
        )

    def how_to_sign_in(self, telemetry: TelemetrySettings) -> str:
        """Return what to sign in with, and the command that shows it; empty if nothing is needed."""
        namespace = telemetry.namespace
        if self is GRAFANA:
            secret = f"kubectl get secret {self.service} --namespace={namespace}"
            return f"user: admin; password: {secret} --output=jsonpath='{{.data.admin-password}}' | base64 --decode"
        if self is KIALI and telemetry.kiali.authentication == "token":
            return f"token: kubectl create token {self.service} --namespace={namespace}"
        return ""


KIALI = Console("kiali", "kiali", 20001, 20001, "/kiali")
GRAFANA = Console("grafana", "grafana", 3000, 3000)
PROMETHEUS = Console("prometheus", "prometheus", 9090, 9090)
JAEGER = Console("jaeger", "tracing", 80, 16686, "/jaeger")

CONSOLES = {console.name: console for console in (KIALI, GRAFANA, PROMETHEUS, JAEGER)}
"""All consoles, by name."""
