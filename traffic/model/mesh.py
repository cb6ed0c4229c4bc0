"""What the mesh as a whole decides about requests, apart from routes (Istio: MeshConfig,
https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/).
"""

from __future__ import annotations

from enum import StrEnum

from traffic.fields import Model
from traffic.model.actions import Retries
from traffic.model.egress import OutboundTrafficPolicy


class PathNormalization(StrEnum):
    """How Envoy normalises paths before it selects a route (Istio: MeshConfig.ProxyPathNormalization)."""

    NONE = "NONE"
    BASE = "BASE"
    MERGE_SLASHES = "MERGE_SLASHES"
    DECODE_AND_MERGE_SLASHES = "DECODE_AND_MERGE_SLASHES"


class MeshTraffic(Model):
    """Facts about the mesh; the defaults are Istio's.

    `default_retries` are those of rules that set none, None for Istio's two. `num_trusted_proxies` is the number of
    proxies in front of the gateway that it believes (Istio: gatewayTopology.numTrustedProxies).
    """

    default_retries: Retries | None = None
    path_normalization: PathNormalization = PathNormalization.BASE
    num_trusted_proxies: int = 0
    outbound_traffic_policy: OutboundTrafficPolicy = OutboundTrafficPolicy.ALLOW_ANY


ISTIOS_MESH = MeshTraffic()
"""The mesh as Istio's defaults have it."""
