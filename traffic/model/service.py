"""What routing needs to know about a service: where requests enter, its versions, and how requests are split.

A route table is these by name. `stacks.settings.model.ServiceSettings` adds what the service's pods need.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import AfterValidator, Discriminator, Field, Strict, Tag

from traffic.fields import DnsLabel, Host, LabelKey, LabelValue, Model, OpenPort, Port, Text, each_once
from traffic.model.gateway import MESH, Protocol, Server, ServerTls, ServerTlsMode, own_gateway
from traffic.model.jwt import JwtRule
from traffic.model.outside import DEPLOYED, OUTSIDE, OutsideVersion, Source, VersionRouting, kind_of_version
from traffic.model.policy import TlsMode, TrafficPolicy
from traffic.model.protocols import NamedPort, NamedPorts, RouteKind, ServiceProtocol
from traffic.model.rule import Rule
from traffic.model.security import Authorization, MutualTls

AnyVersion = Annotated[
    Annotated[VersionRouting, Tag(DEPLOYED)] | Annotated[OutsideVersion, Tag(OUTSIDE)], Discriminator(kind_of_version)
]


class ServiceRouting(Model):
    """One service: its hosts, its versions, the route between them, and who may call it."""

    namespace: DnsLabel = Field(default="", description="Namespace of the service; defaults to the service's name.")
    hosts: Annotated[tuple[Host, ...], Strict(False)] = Field(
        default=(),
        examples=[["*"]],
        description="Hosts at the gateway that route to the service: '*', DNS names, or wildcards.",
    )
    port: Port = Field(default=80, description="Port of the Service inside the cluster.")
    protocol: Annotated[ServiceProtocol, Strict(False)] = Field(
        default=ServiceProtocol.HTTP,
        description="Protocol of `port`: HTTP, or HTTP2 or GRPC for servers that speak only HTTP/2; defaults to HTTP, "
        "or to what the servers of its gateways speak: TCP, or TLS that passes through.",
    )
    ports: NamedPorts = Field(
        default=(),
        examples=[[{"name": "http-metrics", "port": 9090}]],
        description="Further ports of the Service, for all versions.",
    )
    ingress_class_name: DnsLabel | None = Field(
        default=None,
        examples=["istio"],
        description="Expose the service by a Kubernetes Ingress of this class, whose controller is Istio, instead of "
        "its own Gateway and a VirtualService; its route may then only tell paths apart.",
    )
    gateway_port: OpenPort = Field(default=80, description="Port at the gateway that routes to the service.")
    gateways: Annotated[tuple[Text, ...], Field(min_length=1), Strict(False), AfterValidator(each_once)] = Field(
        default=(),
        examples=[["public", MESH]],
        description="Where the route applies: names of `gateways`, <service>-gateway for the service's own Gateway on "
        "gatewayPort, and `mesh` for callers inside; defaults to <service>-gateway.",
    )
    selector: dict[LabelKey, LabelValue] = Field(
        default_factory=dict,
        examples=[{"app.kubernetes.io/name": "shop"}],
        description="Labels by which the Service and the access policies select pods; the stack's own pods have them, "
        "too. Defaults to app: <service>.",
    )
    versions: Annotated[Mapping[DnsLabel, AnyVersion], Field(min_length=1)] = Field(
        description="The versions, by name, which is also the name of Istio's subset."
    )
    route: Annotated[tuple[Rule, ...], Field(min_length=1), Strict(False)] = Field(
        default=(),
        description="Rules in order; the first that matches decides. Optional with a single version.",
    )
    traffic_policy: TrafficPolicy | None = Field(
        default=None,
        description="How callers connect to the service's pods: load balancing, limits, outlier detection, TLS.",
    )
    mtls: MutualTls | None = Field(
        default=None, description="Whether its pods accept plain text as well as mutual TLS."
    )
    authorization: Authorization | None = Field(default=None, description="Who may call it.")
    jwt: Annotated[tuple[JwtRule, ...], Strict(False)] = Field(
        default=(), description="Issuers whose tokens are validated."
    )

    def placed(self, name: str) -> Self:
        """Return the service with the namespace and gateways that default to its name filled in."""
        filled = {"namespace": self.namespace or name, "gateways": self.gateways or (own_gateway(name),)}
        return self.model_copy(update=filled)

    @property
    def further_ports(self) -> tuple[NamedPort, ...]:
        """The ports beside `port`: the service's, and those that only a version names; each name once."""
        found: dict[str, NamedPort] = {}
        for port in (*self.ports, *(port for version in self.versions.values() for port in version.ports)):
            found.setdefault(port.name, port)
        return tuple(found.values())

    @property
    def http_ports(self) -> tuple[int, ...]:
        """The ports whose requests the route decides inside the mesh, `port` first; none if that is not HTTP."""
        return self.ports_of_requests if self.protocol.is_http else ()

    @property
    def ports_of_requests(self) -> tuple[int, ...]:
        """The ports of HTTP, whether or not the route decides there."""
        main = (self.port,) if self.protocol.is_http else ()
        return (*main, *(port.port for port in self.further_ports if port.speaks.is_http))

    def container_ports(self, version: str) -> dict[str, int]:
        """Return the container ports of a version by name, apart from its main one."""
        own = {port.name: port.container_port for port in self.versions[version].ports}
        return {port.name: own.get(port.name, port.container_port) for port in self.further_ports}

    def policies_of(self, version: str) -> tuple[TrafficPolicy, ...]:
        """Return the traffic policies that apply to a version; the first that has a key decides.

        The service's own is for its pods: it does not apply to versions that are another Service or a host.
        """
        given = self.versions.get(version)
        is_elsewhere = isinstance(given, OutsideVersion) and given.source is not Source.PODS
        policies = (given.traffic_policy if given else None, None if is_elsewhere else self.traffic_policy)
        return tuple(policy for policy in policies if policy is not None)

    @property
    def rolled(self) -> tuple[Rule, ...]:
        """The rules with a rollout."""
        return tuple(rule for rule in self.route if rule.rollout is not None)

    @property
    def in_mesh(self) -> bool:
        """Whether the route applies to callers inside the mesh."""
        return MESH in self.gateways

    def selector_of(self, name: str) -> dict[str, str]:
        """Return the labels by which the Service of the service, which is called `name`, selects pods."""
        return dict(self.selector) or {"app": name}

    @property
    def route_kind(self) -> RouteKind:
        """What its route tells apart."""
        return self.protocol.route_kind

    @property
    def own_server(self) -> Server:
        """The one server of its own Gateway: its protocol, for its hosts, on `gateway_port`."""
        protocol = {RouteKind.TCP: Protocol.TCP, RouteKind.TLS: Protocol.TLS}.get(self.route_kind, Protocol.HTTP)
        tls = ServerTls(mode=ServerTlsMode.PASSTHROUGH) if self.route_kind is RouteKind.TLS else None
        return Server.model_construct(port=self.gateway_port, protocol=protocol, hosts=self.hosts, tls=tls)

    @property
    def has_mesh_virtual_service(self) -> bool:
        """Whether callers inside the mesh have a VirtualService of their own.

        Istio rejects the host `*` inside the mesh; and requests keep their port only inside the mesh.
        """
        outside = any(gateway != MESH for gateway in self.gateways)
        return self.in_mesh and outside and ("*" in self.hosts or len(self.http_ports) > 1)

    def has_ingress(self, name: str) -> bool:
        """Return whether an Ingress takes the place of the own Gateway of the service, which is called `name`."""
        return self.ingress_class_name is not None and own_gateway(name) in self.gateways

    @property
    def speaks_tls(self) -> bool:
        """Whether its pods terminate TLS themselves: then callers originate TLS, and it is not Istio's mutual TLS."""
        versions = self.versions.values()
        here = [one for one in versions if not isinstance(one, OutsideVersion) or one.source is Source.PODS]
        policies = [self.traffic_policy, *(version.traffic_policy for version in here)]
        return any(policy and policy.tls and policy.tls.mode in (TlsMode.SIMPLE, TlsMode.MUTUAL) for policy in policies)


def service_host(service: str, namespace: str) -> str:
    """Return the full DNS name of a Service; short names depend on the caller's namespace."""
    return f"{service}.{namespace}.svc.cluster.local"


def mesh_virtual_service(service: str) -> str:
    """Return the name of the VirtualService for callers inside the mesh, where it is not the service's only one."""
    return f"{service}-mesh"


RouteTable = Mapping[str, ServiceRouting]
"""Services by name, with namespaces, gateways and routes filled in."""
