"""Hosts outside the mesh (https://istio.io/latest/docs/reference/config/networking/service-entry/)."""

from __future__ import annotations

from traffic.model import EgressPort, ExternalService
from traffic.render.spec import Spec


def service_entry(external: ExternalService) -> Spec:
    """Return the spec of the ServiceEntry that makes the hosts known to the whole mesh, whatever its namespace."""
    spec: Spec = {
        "hosts": list(external.hosts),
        "location": "MESH_EXTERNAL",
        "ports": [_port(port) for port in external.ports],
        "resolution": external.resolution.value,
    }
    if external.endpoints:
        spec["endpoints"] = [{"address": address} for address in external.endpoints]
    return spec


def _port(port: EgressPort) -> Spec:
    return {
        "number": port.number,
        "name": f"{port.protocol.value.lower()}-{port.number}",
        "protocol": port.protocol.value,
    }
