"""Settings of the mesh: Istio's release, charts and gateway, and what holds for all of its traffic."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Discriminator, Field, Strict, Tag

from components.names import DEFAULT_REVISION
from stacks.settings.cluster_fields import StackName
from stacks.settings.fields import ChartSource, Hub, IstioVersion
from stacks.settings.hosting import OFFICIAL_CHARTS, OFFICIAL_HUB
from stacks.settings.revisions import RevisionSettings
from traffic.fields import DnsLabel, Duration, Model, OpenPort, each_once
from traffic.model import Mtls, OutboundTrafficPolicy, PathNormalization, PortKey, Retries

ONE_PORT, SEVERAL_PORTS = "<one port>", "<several ports>"
"""Markers of the two kinds of node ports in the locations of validation errors; no key can have these names."""

NodePort = Annotated[int, Field(ge=30000, le=32767)]
NodePorts = Annotated[
    Annotated[NodePort, Tag(ONE_PORT)] | Annotated[dict[PortKey, NodePort], Field(min_length=1), Tag(SEVERAL_PORTS)],
    Discriminator(lambda value: SEVERAL_PORTS if isinstance(value, dict) else ONE_PORT),
]
Values = dict[str, Any]


class ServiceType(StrEnum):
    """Types of a Kubernetes Service."""

    LOAD_BALANCER = "LoadBalancer"
    NODE_PORT = "NodePort"
    CLUSTER_IP = "ClusterIP"


class GatewaySettings(Model):
    """Istio's ingress gateway."""

    namespace: DnsLabel = Field(default="istio-ingress", description="Namespace of the gateway.")
    name: DnsLabel = Field(
        default="istio-ingressgateway", description="Name of the gateway's Helm release and Service."
    )
    service_type: Annotated[ServiceType, Strict(False)] = Field(
        default=ServiceType.LOAD_BALANCER, description="Type of the gateway's Service."
    )
    ports: Annotated[tuple[OpenPort, ...], Field(min_length=1), Strict(False), AfterValidator(each_once)] = Field(
        default=(80,),
        examples=[[80, 443]],
        description="Ports of the gateway's Service; services and `gateways` can only use these.",
    )
    node_port: NodePorts | None = Field(
        default=None,
        examples=[30080],
        description="Node port for the first of `ports`, or for each of several: {80: 30080}; Kubernetes chooses the "
        "others.",
    )
    num_trusted_proxies: Annotated[int, Field(ge=0, le=100)] = Field(
        default=0,
        examples=[1],
        description="Proxies in front of the gateway, such as a load balancer that ends TLS, whose x-forwarded-for and "
        "x-forwarded-proto it believes (Istio: gatewayTopology).",
    )
    revision: DnsLabel | None = Field(
        default=None,
        examples=["1-31"],
        description="Revision or tag of Istio that the gateway's pods belong to; defaults to `mesh.revision`.",
    )

    @property
    def node_ports(self) -> dict[int, int]:
        """The node ports that are set, by port."""
        if isinstance(self.node_port, dict):
            return self.node_port
        return {} if self.node_port is None else {self.ports[0]: self.node_port}


class MeshValues(Model):
    """Values for Istio's Helm charts, merged over this project's own (deep merge; lists are replaced)."""

    base: Values = Field(default_factory=dict, description="Values for the chart `base`.")
    istiod: Values = Field(default_factory=dict, description="Values for the chart `istiod`.")
    gateway: Values = Field(default_factory=dict, description="Values for the chart `gateway`.")


class MeshSettings(Model):
    """The Istio mesh."""

    install: bool = Field(default=True, description="Install Istio; false where the cluster has a mesh already.")
    stack_reference: StackName | None = Field(
        default=None,
        examples=["organization/istio-canary/prod-mesh"],
        description="Stack that installs the mesh, as <organization>/<project>/<stack>; then `install` is false.",
    )
    version: IstioVersion = Field(default="1.31.4", examples=["1.31.4"], description="Release of Istio.")
    revisions: dict[DnsLabel, RevisionSettings] = Field(
        default_factory=dict,
        examples=[{"1-31": {"version": "1.31.4"}, "1-32": {"version": "1.32.0"}}],
        description="Revisions of Istio side by side, by name; `default` is that of a mesh without this key.",
    )
    revision: DnsLabel | None = Field(
        default=None,
        examples=["1-31"],
        description="Revision or tag of the namespaces that name none, and of the gateway; the only one of `revisions`,"
        " or `default`, if there is such a one.",
    )
    tags: dict[DnsLabel, DnsLabel] = Field(
        default_factory=dict,
        examples=[{"stable": "1-31"}],
        description="Names for revisions (istioctl tag), by which namespaces can name them.",
    )
    mtls: Annotated[Mtls, Strict(False)] = Field(
        default=Mtls.STRICT,
        description="Whether workloads accept plain text as well as mutual TLS; no effect when install is false.",
    )
    deny_by_default: bool = Field(
        default=False,
        description="Deny requests with 403 unless an `authorization.allow` allows them, in the whole mesh.",
    )
    outbound_traffic_policy: Annotated[OutboundTrafficPolicy, Strict(False)] = Field(
        default=OutboundTrafficPolicy.ALLOW_ANY,
        description="What happens to calls to hosts that the mesh does not know; `egress` adds hosts.",
    )
    retries: Retries | None = Field(
        default=None,
        examples=[{"attempts": 0}],
        description="Retries of rules that set none (defaultHttpRetryPolicy); if unset, Istio's default of two.",
    )
    path_normalization: Annotated[PathNormalization, Strict(False)] = Field(
        default=PathNormalization.BASE,
        description="How proxies normalise paths before they compare them (Istio: MeshConfig.pathNormalization).",
    )
    charts: ChartSource = Field(
        default=OFFICIAL_CHARTS, description="Repository of Istio's charts, or a folder of them."
    )
    # Always given to istiod's chart, since the charts of 1.30 name a registry that is retired.
    hub: Hub = Field(
        default=OFFICIAL_HUB,
        examples=["registry.example.com/istio"],
        description="Registry and path of Istio's images (the charts' global.hub); name a mirror here.",
    )
    namespace: DnsLabel = Field(default="istio-system", description="Namespace of istiod.")
    gateway: GatewaySettings = Field(default_factory=GatewaySettings, description="The ingress gateway.")
    push_debounce: Duration | None = Field(
        default=None,
        description="How long istiod collects changes before a push (PILOT_DEBOUNCE_AFTER), such as 10ms.",
    )
    values: MeshValues = Field(
        default_factory=MeshValues, description="Values for Istio's charts, merged over this project's."
    )

    @property
    def all_revisions(self) -> dict[str, RevisionSettings]:
        """The revisions, with what the mesh says for those that do not; without the key, Istio's `default` alone."""
        own = {"version": self.version, "charts": self.charts, "hub": self.hub}
        given = self.revisions or {DEFAULT_REVISION: RevisionSettings()}
        return {
            name: one.model_copy(update={key: value for key, value in own.items() if getattr(one, key) is None})
            for name, one in given.items()
        }

    @property
    def usual_revision(self) -> str:
        """The revision or tag of the namespaces that name none."""
        only = next(iter(self.revisions)) if len(self.revisions) == 1 else DEFAULT_REVISION
        return self.revision or only

    def behind(self, name: str) -> str:
        """Return the revision that a tag stands for; a revision stands for itself."""
        return self.tags.get(name, name)

    @property
    def charts_folder(self) -> Path | None:
        """The folder of the charts, or None if `charts` is the URL of a repository."""
        return None if "://" in self.charts else Path(self.charts)
