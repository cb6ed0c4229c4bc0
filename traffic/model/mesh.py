"""What the mesh as a whole decides about requests, apart from routes (Istio: MeshConfig,
https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/).
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

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
    """Facts about the mesh; the defaults are Istio's."""

    default_retries: Retries | None = Field(
        default=None, description="Retries of rules that set none, None for Istio's two."
    )
    path_normalization: PathNormalization = Field(
        default=PathNormalization.BASE, description="How Envoy normalises paths before it compares them."
    )
    num_trusted_proxies: int = Field(
        default=0, description="Proxies in front of the gateway that it believes (gatewayTopology.numTrustedProxies)."
    )
    outbound_traffic_policy: OutboundTrafficPolicy = Field(
        default=OutboundTrafficPolicy.ALLOW_ANY, description="What happens to calls of hosts outside the mesh."
    )


ISTIOS_MESH = MeshTraffic()
"""The mesh as Istio's defaults have it."""
