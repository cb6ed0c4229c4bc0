"""The ports of a Service and of its containers, named so that Istio knows their protocols (Istio: "Protocol
Selection").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_kubernetes as k8s

from components.names import PORT_NAME
from traffic.model import NamedPort, ServiceProtocol

MAIN_PORT = PORT_NAME
"""Name of the containers' main port, whatever its protocol: a Service that is given another protocol must still find
the port in pods that are not replaced yet. Istio reads the protocol from the Service."""


def service_ports(
    port: pulumi.Input[int],
    protocol: ServiceProtocol,
    further: Sequence[NamedPort],
    *,
    speaks_tls: bool,
    name: str | None = None,
    target_port: int | None = None,
    is_adopted: bool = False,
) -> list[k8s.core.v1.ServicePortArgs]:
    """Return the ports of a Service: its main one, named by its protocol, and the further ones.

    On an HTTP port a sidecar accepts Istio's mTLS and plain text, and resets any other TLS (measured); on an HTTPS port
    it passes TLS through to the container. With `speaks_tls` the pods terminate TLS themselves.

    `name` is that of a main port that exists, which it keeps, and `target_port` its container port if the containers'
    main port has another name. `is_adopted`: someone else has named it.
    """
    name = name or protocol.port_name
    main = k8s.core.v1.ServicePortArgs(
        name=name,
        port=port,
        target_port=target_port or MAIN_PORT,
        protocol="TCP",
        app_protocol="https" if speaks_tls else app_protocol(protocol, name, is_adopted),
    )
    return [main, *map(_further, further)]


def app_protocol(protocol: ServiceProtocol, name: str, is_adopted: bool) -> str | None:
    """Return what the port says of its protocol, None where its name says it.

    A port that someone else named for HTTP/2 or gRPC stays one.
    """
    if protocol is not ServiceProtocol.HTTP:
        return protocol.port_name
    says = name.partition("-")[0]
    return None if says == MAIN_PORT or (is_adopted and says in ("http2", "grpc")) else MAIN_PORT


def _further(port: NamedPort) -> k8s.core.v1.ServicePortArgs:
    return k8s.core.v1.ServicePortArgs(
        name=port.name,
        port=port.port,
        target_port=_container_name(port.name),
        protocol="TCP",
        app_protocol=port.speaks.port_name,
    )


def container_ports(port: pulumi.Input[int], further: Mapping[str, int]) -> list[k8s.core.v1.ContainerPortArgs]:
    """Return the ports of a container: its main one, and `further` ones by name."""
    ports: dict[str, pulumi.Input[int]] = {MAIN_PORT: port}
    ports.update({_container_name(name): number for name, number in further.items()})
    return [
        k8s.core.v1.ContainerPortArgs(name=name, container_port=number, protocol="TCP")
        for name, number in ports.items()
    ]


def _container_name(name: str) -> str:
    """A further port may be called like the containers' main one, if the main one's protocol is another."""
    return f"further-{name}" if name == MAIN_PORT else name
