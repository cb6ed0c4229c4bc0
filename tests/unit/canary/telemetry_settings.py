"""Settings of the telemetry's consoles, for tests."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class ConsoleOf:
    """Settings of one console."""

    enabled: bool = True
    url: str | None = None
    note: str = ""
    authentication: str = "token"


@dataclass(frozen=True)
class TelemetryOf:
    """Settings of all consoles."""

    namespace: str = "istio-system"
    kiali: ConsoleOf = field(default_factory=ConsoleOf)
    grafana: ConsoleOf = field(default_factory=ConsoleOf)
    prometheus: ConsoleOf = field(default_factory=ConsoleOf)
    jaeger: ConsoleOf = field(default_factory=ConsoleOf)
