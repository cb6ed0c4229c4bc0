"""Hosts outside the mesh that its services may call. Field names and meaning are those of Istio's ServiceEntry
(https://istio.io/latest/docs/reference/config/networking/service-entry/).
"""

from __future__ import annotations

import ipaddress
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, Strict, model_validator

from traffic.fields import Host, Model, Port, each_once, wrong


class OutboundTrafficPolicy(StrEnum):
    """What happens to calls to hosts that the mesh does not know (Istio: MeshConfig.outboundTrafficPolicy)."""

    ALLOW_ANY = "ALLOW_ANY"
    REGISTRY_ONLY = "REGISTRY_ONLY"


class EgressProtocol(StrEnum):
    """Protocol of an external host."""

    HTTP = "HTTP"
    HTTPS = "HTTPS"
    HTTP2 = "HTTP2"
    GRPC = "GRPC"
    TLS = "TLS"
    TCP = "TCP"


class Resolution(StrEnum):
    """How the host's addresses are found."""

    NONE = "NONE"
    STATIC = "STATIC"
    DNS = "DNS"


def _address(value: str) -> str:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        raise wrong(
            f"{value!r} is not an IP address", "an IPv4 or IPv6 address", "write 192.0.2.1, for example"
        ) from None
    return value


class EgressPort(Model):
    """One port of an external host."""

    number: Port = Field(examples=[443], description="Port number.")
    protocol: Annotated[EgressProtocol, Strict(False)] = Field(
        default=EgressProtocol.TLS, description="Protocol of the port; TLS: the caller's TLS is passed through."
    )


def _each_port_once(ports: tuple[EgressPort, ...]) -> tuple[EgressPort, ...]:
    each_once(tuple(port.number for port in ports))
    return ports


class ExternalService(Model):
    """Hosts outside the mesh that the mesh knows."""

    hosts: Annotated[
        tuple[Host, ...], Field(min_length=1, max_length=256), Strict(False), AfterValidator(each_once)
    ] = Field(examples=[["api.example.com"]], description="DNS names of the hosts.")
    ports: Annotated[
        tuple[EgressPort, ...], Field(min_length=1, max_length=256), Strict(False), AfterValidator(_each_port_once)
    ] = Field(
        default=(EgressPort(number=443),), description="Ports of the hosts; if unset, 443 with the caller's own TLS."
    )
    resolution: Annotated[Resolution, Strict(False)] = Field(
        default=Resolution.DNS,
        description="DNS: by name; STATIC: the `endpoints`; NONE: the address that the caller connects to.",
    )
    endpoints: Annotated[tuple[Annotated[str, AfterValidator(_address)], ...], Strict(False)] = Field(
        default=(), description="IP addresses of the hosts, for STATIC."
    )

    @model_validator(mode="after")
    def _endpoints_for_static(self) -> ExternalService:
        if (self.resolution is Resolution.STATIC) != bool(self.endpoints):
            raise wrong(
                f"resolution is {self.resolution.value}, and {'' if self.endpoints else 'no '}endpoints are set",
                "endpoints with resolution: STATIC, and only with it",
                "write resolution: STATIC" if self.endpoints else "add endpoints: [192.0.2.1], for example",
            )
        if self.resolution is Resolution.DNS and any("*" in host for host in self.hosts):
            raise wrong(
                "a wildcard cannot be looked up in DNS", "resolution: NONE for wildcards", "write resolution: NONE"
            )
        return self

    @model_validator(mode="after")
    def _hosts_are_distinguishable(self) -> ExternalService:
        if "*" in self.hosts:
            raise wrong(
                "'*' would allow every host",
                "names, or wildcards such as *.example.com",
                "name the hosts, or set mesh.outboundTrafficPolicy to ALLOW_ANY",
            )
        plain = next((port.number for port in self.ports if port.protocol is EgressProtocol.TCP), None)
        if plain is not None and len(self.hosts) > 1 and self.resolution is not Resolution.NONE:
            raise wrong(
                f"a TCP connection to port {plain} does not say which of the {len(self.hosts)} hosts it is for",
                "one host with TCP, a protocol that names the host, or resolution: NONE",
                "add an entry to `egress` for each host, or use TLS if the callers do",
            )
        return self
