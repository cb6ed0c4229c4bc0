"""Echoes that call each other inside the mesh: the caller is a sidecar, which Prometheus scrapes each second."""

from __future__ import annotations

from typing import Any

from tests.e2e.conftest import EXISTING

IMAGE = "istio-canary/echo:1.0.0"
SHARED = "http://prometheus.istio-system:9090"
"""The Prometheus of a sandbox that has one."""


def echo(*args: str) -> dict[str, Any]:
    """A version whose pods have these flags, and end at once."""
    return {
        "image": IMAGE,
        "args": list(args),
        "port": 8080,
        "preStopSeconds": 0,
        "terminationGracePeriodSeconds": 1,
    }


def front(namespace: str, host: str, called: str) -> dict[str, Any]:
    """A service that is reached by a host through the gateway, and calls another one for each request to /chain."""
    own = echo("-service=front", f"-next=http://{called}.{namespace}/chain")
    return {"namespace": namespace, "hosts": [host], "versions": {"only": own}}


def telemetry(namespace: str) -> dict[str, Any]:
    """The telemetry of a stack whose services are in a namespace, with a Prometheus of its own unless one is there."""
    return {
        "namespace": f"{namespace}-telemetry",
        "metrics": "envoy",
        "scrapeInterval": "1s",
        "prometheus": {"url": SHARED} if EXISTING else {"enabled": True, "storage": None},
    }
