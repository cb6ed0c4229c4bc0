"""Settings of Istio's revisions: several istiods side by side, and which of them a namespace's proxies belong to."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from stacks.settings.fields import ChartSource, Hub, IstioVersion
from traffic.fields import DnsLabel, Model
from traffic.model import NamespaceSecurity


class RevisionSettings(Model):
    """One revision of Istio: an istiod. What it does not say is as `mesh` says."""

    version: IstioVersion | None = Field(default=None, examples=["1.31.4"], description="Release of Istio.")
    charts: ChartSource | None = Field(
        default=None, description="Repository of Istio's charts, or a folder of them; defaults to `mesh.charts`."
    )
    hub: Hub | None = Field(
        default=None,
        examples=["registry.example.com/istio"],
        description="Registry and path of Istio's images; defaults to `mesh.hub`.",
    )
    values: dict[str, Any] = Field(
        default_factory=dict, description="Values for the chart `istiod`, merged over `mesh.values.istiod`."
    )


class NamespaceSettings(NamespaceSecurity):
    """Settings for all services of a namespace."""

    revision: DnsLabel | None = Field(
        default=None,
        examples=["1-31"],
        description="Revision or tag of Istio that its pods belong to; a change replaces them. Defaults to "
        "`mesh.revision`.",
    )
