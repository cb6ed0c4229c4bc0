"""Protocols of a service's ports, which decide what Envoy can tell apart in them: requests, server names, or
connections (https://istio.io/latest/docs/ops/configuration/traffic-management/protocol-selection/).
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, Strict, WithJsonSchema, model_validator

from traffic.fields import DNS_LABEL, Model, OpenPort, Port, wrong

LONGEST_PORT_NAME = 15
"""Kubernetes' limit for the name of a container port (IANA_SVC_NAME), by which a Service refers to it."""


class RouteKind(StrEnum):
    """What a route tells apart: requests, or connections of TCP or TLS. The names of a VirtualService's lists."""

    HTTP = "http"
    TCP = "tcp"
    TLS = "tls"


class ServiceProtocol(StrEnum):
    """Protocol of a service's port, by Istio's names."""

    HTTP = "HTTP"
    HTTP2 = "HTTP2"
    GRPC = "GRPC"
    TCP = "TCP"
    TLS = "TLS"

    @property
    def route_kind(self) -> RouteKind:
        """What the route of a service with this protocol tells apart."""
        return {ServiceProtocol.TCP: RouteKind.TCP, ServiceProtocol.TLS: RouteKind.TLS}.get(self, RouteKind.HTTP)

    @property
    def is_http(self) -> bool:
        """Whether Envoy sees requests, which a route can tell apart."""
        return self.route_kind is RouteKind.HTTP

    @property
    def is_http2(self) -> bool:
        """Whether Envoy speaks HTTP/2 to the pods."""
        return self in (ServiceProtocol.HTTP2, ServiceProtocol.GRPC)

    @property
    def port_name(self) -> str:
        """The name of a Service's port that tells Istio the protocol, also the value of appProtocol."""
        return self.value.lower()


OTHER_NAMES = {
    "https": ServiceProtocol.TLS,
    "mongo": ServiceProtocol.TCP,
    "mysql": ServiceProtocol.TCP,
    "redis": ServiceProtocol.TCP,
}
"""Further names of Istio's, of protocols in which Envoy sees TLS or bytes (Istio: "Protocol Selection")."""


def protocol_of(port_name: str) -> ServiceProtocol | None:
    """Return the protocol that Istio reads from the name of a port, `<protocol>` or `<protocol>-<suffix>`, or None."""
    prefix = port_name.partition("-")[0]
    if prefix in OTHER_NAMES:
        return OTHER_NAMES[prefix]
    return next((protocol for protocol in ServiceProtocol if protocol.port_name == prefix), None)


def _port_name(value: str) -> str:
    if len(value) <= LONGEST_PORT_NAME and re.fullmatch(DNS_LABEL, value) and re.search("[a-z]", value):
        return value
    shorter = re.sub(r"[^a-z0-9]+", "-", value.lower())[:LONGEST_PORT_NAME].strip("-")
    raise wrong(
        f"{value!r} is not a port name",
        f"1 to {LONGEST_PORT_NAME} characters of a-z, 0-9 and '-', with at least one letter",
        f"write {shorter}" if re.search("[a-z]", shorter) else "write http-metrics, for example",
    )


PortName = Annotated[
    str,
    AfterValidator(_port_name),
    WithJsonSchema({"type": "string", "pattern": f"^{DNS_LABEL}$", "maxLength": LONGEST_PORT_NAME}),
]


class NamedPort(Model):
    """A further port of a service, beside `port`. Names are those of Kubernetes' ServicePort."""

    name: PortName = Field(examples=["http-metrics"], description="Name of the port, in the Service and the pods.")
    port: Port = Field(examples=[9090], description="Port of the Service inside the cluster.")
    protocol: Annotated[ServiceProtocol, Strict(False)] | None = Field(
        default=None,
        description="Protocol of the port; defaults to what its name begins with (http-metrics: HTTP; https: TLS; "
        "mongo, mysql, redis: TCP), as in Istio.",
    )
    target_port: OpenPort | None = Field(
        default=None, description="Port that the container listens on; defaults to `port`."
    )

    @model_validator(mode="after")
    def _protocol_is_known(self) -> NamedPort:
        by_name = protocol_of(self.name)
        if self.protocol is None and by_name is None:
            raise wrong(
                f"the name {self.name!r} tells no protocol, and without one Envoy guesses it from the first bytes",
                f"protocol: {', '.join(ServiceProtocol)}; or a name that begins with one, such as http-{self.name}",
                "add protocol: HTTP if the container serves HTTP there, TLS if it terminates TLS, otherwise TCP",
            )
        if self.protocol is not None and by_name is not None and self.protocol is not by_name:
            raise wrong(
                f"the name {self.name!r} says {by_name.value} to Istio, and protocol says {self.protocol.value}",
                "a name that begins with the protocol, or with none",
                f"write name: {_renamed(self.name, self.protocol)}",
            )
        return self

    @property
    def speaks(self) -> ServiceProtocol:
        """Its protocol, given or by its name."""
        protocol = self.protocol or protocol_of(self.name)
        assert protocol is not None  # validated
        return protocol

    @property
    def container_port(self) -> int:
        """The port that the container listens on."""
        return self.target_port or self.port


def _renamed(name: str, protocol: ServiceProtocol) -> str:
    rest = name.partition("-")[2]
    return f"{protocol.port_name}-{rest}"[:LONGEST_PORT_NAME].strip("-") if rest else protocol.port_name


NamedPorts = Annotated[tuple[NamedPort, ...], Strict(False)]
