"""Settings of the telemetry, for tests."""

from __future__ import annotations

from typing import Any

from stacks.settings.telemetry import TelemetrySettings


def telemetry_with(*, namespace: str = "istio-system", **consoles: Any) -> TelemetrySettings:
    """Settings with every console on, except for the settings of `consoles`."""
    on: dict[str, Any] = {name: {"enabled": True} for name in ("kiali", "grafana", "prometheus", "jaeger")}
    return TelemetrySettings.model_validate({"namespace": namespace, **on, **consoles})
