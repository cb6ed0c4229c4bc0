"""Services for routing tests, as in a stack's settings."""

from __future__ import annotations

from typing import Any

from traffic.model import RouteTable, ServiceRouting, own_gateway


def service(name: str, **given: Any) -> ServiceRouting:
    """Return a service with two versions at the host `*`; `given` overrides its settings."""
    filled = {
        "namespace": name,
        "hosts": ["*"],
        "gateways": [own_gateway(name)],
        "versions": {"version-1": {}, "version-2": {}},
        "route": [{"to": "version-1"}],
        **given,
    }
    return ServiceRouting.model_validate(filled)


def table(**services: dict[str, Any]) -> RouteTable:
    """Return these services by name."""
    return {name: service(name, **given) for name, given in services.items()}
