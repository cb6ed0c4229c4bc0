"""assets: a manager of assets, the backend of a dashboard, and a consumer of events, behind one host.

Each has a path of that host. Exposed by a Gateway and a VirtualService, the path's prefix is removed on the way; by an
Ingress, which cannot do that, the services answer under their prefix.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

NAMESPACE = "greencompute"
HOST = "assetmanagement.greencompute.ibmcase.com"
PORT = 8080
VERSION = "version-1"
CONSUMER, DASHBOARD, MANAGER = "asset-consumer-svc", "asset-dashboard-bff-svc", "asset-mgr-ms-svc"
PREFIXES = {CONSUMER: "/assetconsumer", DASHBOARD: "/assetdashboard", MANAGER: "/assetmgrms"}
INGRESS_CLASS = "istio"


def _service(image: str, args: Sequence[str] = (), **more: Any) -> dict[str, Any]:
    probe = {"httpGet": {"path": "/health", "port": PORT}, "periodSeconds": 2}
    version = {"image": f"istio-canary/{image}:1.0.0", "port": PORT, "readinessProbe": probe, "livenessProbe": probe}
    return {
        "namespace": NAMESPACE,
        "port": PORT,
        "versions": {VERSION: {**version, "name": image, **({"args": list(args)} if args else {})}},
        **more,
    }


def _rule(service: str, prefix: str) -> dict[str, Any]:
    """The path itself and what is below it, as an Ingress has them in one path."""
    to = VERSION if service == DASHBOARD else f"{service}/{VERSION}"
    return {"match": [{"uri": {"prefix": f"{prefix}/"}}, {"uri": {"exact": prefix}}], "rewrite": {"uri": "/"}, "to": to}


SETTINGS: dict[str, Any] = {
    "services": {
        CONSUMER: _service("asset-consumer", gateways=["mesh"]),
        MANAGER: _service("asset-manager", gateways=["mesh"]),
        DASHBOARD: _service(
            "asset-bff",
            hosts=[HOST],
            route=[
                *(_rule(service, prefix) for service, prefix in PREFIXES.items()),
                {"directResponse": {"status": 404}},
            ],
        ),
    }
}
"""Exposed by a Gateway and a VirtualService. The dashboard's backend owns the host."""


def _by_ingress() -> dict[str, Any]:
    services = copy.deepcopy(SETTINGS["services"])
    for service, prefix in PREFIXES.items():
        services[service]["versions"][VERSION]["args"] = [f"-prefix={prefix}"]
    for rule in services[DASHBOARD]["route"]:
        rule.pop("rewrite", None)
    services[DASHBOARD]["ingressClassName"] = INGRESS_CLASS
    return {"services": services}


BY_INGRESS: dict[str, Any] = _by_ingress()
"""The same, exposed by an Ingress."""
