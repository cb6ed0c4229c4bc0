"""What all tables share on the cluster: services, versions, callers and gateways; and each table's own domain.

There are many tables, and pods are expensive. So all tables route to the same services, whose pods stay, and each has
hosts below its own domain: `shop.example.test` in table 7 is `shop.t7.example.test` on the cluster.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

DOMAIN = "example.test"
"""The domain of the hosts in generated tables."""
NAMESPACE = "differential"
OTHER_NAMESPACE = "differential-other"
GATEWAY_NAMESPACE = "differential-ingress"
NAMESPACES = (NAMESPACE, OTHER_NAMESPACE, GATEWAY_NAMESPACE)
SELECTOR = {"istio": "differential-gateway"}
IMAGE = "istio-canary/echo:1.0.0"

PUBLIC = "public"
"""The shared gateway; HTTP and HTTPS."""
HTTP_PORT, HTTPS_PORT, OWN_PORT = PORTS = (80, 443, 9191)
MORE_PORT = 8090
"""A further port of HTTP that some services have inside the mesh."""


@dataclass(frozen=True)
class Upstream:
    """A service whose pods serve all tables."""

    name: str
    namespace: str
    versions: tuple[str, ...]
    has_more_ports: bool = False


UPSTREAMS = {
    upstream.name: upstream
    for upstream in (
        Upstream("shop", NAMESPACE, ("version-1", "version-2", "version-3")),
        Upstream("users", OTHER_NAMESPACE, ("version-1", "version-2"), has_more_ports=True),
        Upstream("assets", NAMESPACE, ("version-1",)),
    )
}


@dataclass(frozen=True)
class Caller:
    """A pod inside the mesh that sends requests."""

    name: str
    namespace: str
    labels: dict[str, str] = field(hash=False)


CALLERS = {
    caller.name: caller
    for caller in (
        Caller("web", NAMESPACE, {"app": "web", "tier": "front"}),
        Caller("batch", OTHER_NAMESPACE, {"app": "batch", "tier": "back"}),
    )
}


def below_domain(generated: Any, number: int) -> Any:
    """Return generated settings or a request with the common domain replaced by that of table `number`."""
    return json.loads(json.dumps(generated).replace(DOMAIN, domain(number)))


def domain(number: int) -> str:
    """Return the domain of the hosts of table `number`."""
    return f"t{number}.{DOMAIN}"
