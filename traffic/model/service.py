"""What routing has to know of a service: where requests come in, which versions there are, how they are shared out.

A route table is these by name. `stacks.settings.model.ServiceSettings` is one with all that its pods need beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import AfterValidator, Field, Strict

from traffic.fields import DnsLabel, Host, Model, OpenPort, Port, Text, each_once
from traffic.model.gateway import MESH, own_gateway
from traffic.model.jwt import JwtRule
from traffic.model.policy import TlsMode, TrafficPolicy
from traffic.model.rule import Rule
from traffic.model.security import Authorization, MutualTls


class VersionRouting(Model):
    """What callers have to know of a version."""

    traffic_policy: TrafficPolicy | None = Field(
        default=None, description="How callers treat the pods of this version; left out, as the service says."
    )


class ServiceRouting(Model):
    """One service: what callers name, its versions, the route between them, and who may call."""

    namespace: DnsLabel = Field(default="", description="Namespace of the service; left out, the service's name.")
    hosts: Annotated[tuple[Host, ...], Strict(False)] = Field(
        default=(),
        examples=[["*"]],
        description="Hosts at the gateway that lead to the service: '*', DNS names, or wildcards.",
    )
    port: Port = Field(default=80, description="Port of the service inside the cluster.")
    gateway_port: OpenPort = Field(default=80, description="Port at the gateway that leads to the service.")
    gateways: Annotated[tuple[Text, ...], Field(min_length=1), Strict(False), AfterValidator(each_once)] = Field(
        default=(),
        examples=[["public", MESH]],
        description="Where the route holds: names of `gateways`, <service>-gateway for one of its own on gatewayPort, "
        "and `mesh` for callers inside; left out, <service>-gateway.",
    )
    versions: Annotated[Mapping[DnsLabel, VersionRouting], Field(min_length=1)] = Field(
        description="The versions, by name; the name is also that of Istio's subset."
    )
    route: Annotated[tuple[Rule, ...], Field(min_length=1), Strict(False)] = Field(
        default=(),
        description="Rules in order; the first that fits decides. Left out with one version, all goes there.",
    )
    traffic_policy: TrafficPolicy | None = Field(
        default=None, description="How callers treat the service's pods: balancing, limits, ejection, TLS."
    )
    mtls: MutualTls | None = Field(default=None, description="Whether its pods accept plain text.")
    authorization: Authorization | None = Field(default=None, description="Who may call it.")
    jwt: Annotated[tuple[JwtRule, ...], Strict(False)] = Field(
        default=(), description="Issuers whose tokens are checked."
    )

    def placed(self, name: str) -> Self:
        """Return the service as that of this name: with the namespace and the gateways that follow from it."""
        filled = {"namespace": self.namespace or name, "gateways": self.gateways or (own_gateway(name),)}
        return self.model_copy(update=filled)

    @property
    def in_mesh(self) -> bool:
        """Whether the route holds for callers inside the mesh."""
        return MESH in self.gateways

    @property
    def speaks_tls(self) -> bool:
        """Whether its pods end TLS by themselves: then callers begin it, and it is not Istio's own."""
        policies = [self.traffic_policy, *(version.traffic_policy for version in self.versions.values())]
        return any(policy and policy.tls and policy.tls.mode in (TlsMode.SIMPLE, TlsMode.MUTUAL) for policy in policies)


def service_host(service: str, namespace: str) -> str:
    """Return the full DNS name of a Service; what a short name means depends on the namespace."""
    return f"{service}.{namespace}.svc.cluster.local"


RouteTable = Mapping[str, ServiceRouting]
"""Services by name, with namespaces, gateways and routes filled in."""
