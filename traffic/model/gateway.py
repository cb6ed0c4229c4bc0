"""Gateways: hosts and ports at which requests enter the mesh. Field names and meaning are those of Istio's Gateway
(https://istio.io/latest/docs/reference/config/networking/gateway/).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, Strict, model_validator

from traffic.fields import DnsLabel, Host, LabelKey, LabelValue, Model, OpenPort, SecretName, each_once, wrong
from traffic.model.protocols import RouteKind

MESH = "mesh"
"""Istio's name for all sidecars: a route bound to it applies to callers inside the mesh."""

NOWHERE = "istio-canary/nowhere"
"""A Gateway that does not exist: a VirtualService that is bound to it alone applies to no request."""


class Protocol(StrEnum):
    """Protocol of a gateway port."""

    HTTP = "HTTP"
    HTTPS = "HTTPS"
    TCP = "TCP"
    TLS = "TLS"


class ServerTlsMode(StrEnum):
    """Who presents a certificate: only the gateway, or the caller too; PASSTHROUGH: the pods, not the gateway."""

    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    PASSTHROUGH = "PASSTHROUGH"


class TlsVersion(StrEnum):
    """TLS versions."""

    TLSV1_2 = "TLSV1_2"
    TLSV1_3 = "TLSV1_3"


class ServerTls(Model):
    """TLS of an HTTPS or TLS port of a gateway, or the redirect to HTTPS of an HTTP port."""

    https_redirect: bool = Field(default=False, description="Redirect every request to https://.")
    mode: Annotated[ServerTlsMode, Strict(False)] | None = Field(
        default=None,
        description="SIMPLE: the gateway has a certificate; MUTUAL: callers need one too; PASSTHROUGH, with protocol "
        "TLS: TLS ends at the pods, and the server name (SNI) decides the route.",
    )
    credential_name: SecretName | None = Field(
        default=None,
        description="Secret in the gateway's namespace: tls.crt and tls.key, for MUTUAL also ca.crt.",
    )
    min_protocol_version: Annotated[TlsVersion, Strict(False)] | None = Field(
        default=None, description="Minimum TLS version."
    )

    @model_validator(mode="after")
    def _mode_with_certificate(self) -> ServerTls:
        if self.mode is ServerTlsMode.PASSTHROUGH:
            if self.credential_name is None and self.min_protocol_version is None and not self.https_redirect:
                return self
            raise wrong(
                "PASSTHROUGH leaves TLS to the pods, so the gateway has no certificate and no say in the TLS version",
                "mode: PASSTHROUGH alone",
                "remove the other keys, or write mode: SIMPLE to end TLS at the gateway",
            )
        if self.mode and self.credential_name is None:
            raise wrong(
                f"{self.mode.value} needs a certificate",
                "credentialName: the name of a Secret in the gateway's namespace",
                "add credentialName: shop-cert, for example, and create the Secret: "
                "kubectl create secret tls shop-cert --cert=… --key=… --namespace=istio-ingress",
            )
        if self.mode is None and (self.credential_name or self.min_protocol_version):
            raise wrong("a certificate has no effect without a mode", "mode: SIMPLE or MUTUAL", "add mode: SIMPLE")
        if not self.model_fields_set:
            raise wrong(
                "tls is empty",
                "mode and credentialName with HTTPS, or httpsRedirect: true with HTTP",
                "write {httpsRedirect: true}; or protocol: HTTPS with tls: {mode: SIMPLE, credentialName: shop-cert}",
            )
        return self


class Server(Model):
    """One port of a gateway."""

    port: OpenPort = Field(examples=[443], description="Port of the gateway's Service.")
    protocol: Annotated[Protocol, Strict(False)] = Field(
        default=Protocol.HTTP,
        description="Protocol of the port. HTTP and HTTPS also take HTTP/2 and gRPC; of TCP and TLS, routes share the "
        "connections out.",
    )
    hosts: Annotated[tuple[Host, ...], Field(min_length=1), Strict(False), AfterValidator(each_once)] = Field(
        examples=[["shop.example.com"]], description="Hosts that the port accepts."
    )
    tls: ServerTls | None = Field(default=None, description="TLS for HTTPS, or the redirect to HTTPS.")

    @model_validator(mode="after")
    def _tls_fits_protocol(self) -> Server:
        ends_tls = self.tls is not None and self.tls.mode is not None
        if self.protocol in (Protocol.TCP, Protocol.TLS):
            self._tls_fits_connections()
        if self.protocol is Protocol.HTTPS and self.passes_through:
            raise wrong(
                "the gateway cannot see requests in TLS that passes through",
                "mode: SIMPLE or MUTUAL for protocol: HTTPS, and mode: PASSTHROUGH for protocol: TLS",
                "write protocol: TLS, whose connections a route shares out; or end TLS here, with mode: SIMPLE and "
                "credentialName",
            )
        if self.protocol is Protocol.HTTPS and (not ends_tls or self.redirects):
            raise wrong(
                "HTTPS needs a certificate" if not ends_tls else "an HTTPS port redirects to HTTPS",
                "tls with mode and credentialName for protocol: HTTPS",
                "write tls: {mode: SIMPLE, credentialName: shop-cert}, for example",
            )
        if self.protocol is Protocol.HTTP and ends_tls:
            raise wrong(
                "an HTTP port has no certificate",
                "tls: {httpsRedirect: true} for protocol: HTTP",
                "write protocol: HTTPS",
            )
        return self

    def _tls_fits_connections(self) -> None:
        if self.protocol is Protocol.TCP and self.tls is not None:
            raise wrong(
                "a TCP port has no TLS",
                "protocol: TCP without tls, or protocol: TLS with it",
                "write protocol: TLS, or remove tls",
            )
        if self.protocol is Protocol.TLS and (self.tls is None or self.tls.mode is None or self.redirects):
            raise wrong(
                "a TLS port needs to know where TLS ends",
                "tls: {mode: PASSTHROUGH}, or mode: SIMPLE or MUTUAL with credentialName",
                "write tls: {mode: PASSTHROUGH} if the pods terminate TLS",
            )

    @property
    def passes_through(self) -> bool:
        """Whether TLS ends at the pods."""
        return self.tls is not None and self.tls.mode is ServerTlsMode.PASSTHROUGH

    @property
    def route_kind(self) -> RouteKind:
        """What routes can tell apart here: of TLS that ends at the gateway, the connections inside."""
        if self.protocol in (Protocol.HTTP, Protocol.HTTPS):
            return RouteKind.HTTP
        return RouteKind.TLS if self.passes_through else RouteKind.TCP

    @property
    def redirects(self) -> bool:
        """Whether every request is redirected to https://."""
        return self.tls is not None and self.tls.https_redirect


@dataclass(frozen=True)
class GatewayPods:
    """The pods of a gateway deployment: their namespace, and labels that all of them have."""

    namespace: str
    selector: Mapping[str, str]


class SharedGateway(Model):
    """A Gateway that several services share, in the namespace of the gateway's pods.

    With `selector` these are the pods of another gateway deployment than the mesh's, which exists already.
    """

    namespace: DnsLabel | None = Field(
        default=None,
        examples=["istio-internal"],
        description="Namespace of the gateway's pods, with `selector`; defaults to that of mesh.gateway.",
    )
    selector: dict[LabelKey, LabelValue] = Field(
        default_factory=dict,
        examples=[{"istio": "internal-gateway"}],
        description="Labels of the pods of another gateway deployment, which the stack does not make; by default, the "
        "pods of mesh.gateway.",
    )

    servers: Annotated[tuple[Server, ...], Field(min_length=1), Strict(False)] = Field(
        examples=[[{"port": 80, "hosts": ["*.example.com"]}]], description="Ports of the Gateway, each with its hosts."
    )

    @model_validator(mode="after")
    def _namespace_with_selector(self) -> SharedGateway:
        if self.namespace is None or self.selector:
            return self
        raise wrong(
            "a namespace without selector says nothing: the pods of mesh.gateway are in the namespace of mesh.gateway",
            "namespace with selector",
            "add selector: the labels of the other gateway's pods; or remove namespace",
        )

    @property
    def deployment(self) -> str:
        """What tells gateway deployments apart: empty for the mesh's own, else its namespace and labels."""
        labels = ",".join(f"{key}={value}" for key, value in sorted(self.selector.items()))
        return f"{self.namespace or ''}/{labels}" if labels else ""

    def pods(self, mesh: GatewayPods) -> GatewayPods:
        """Return the pods that it configures; `mesh` are those of mesh.gateway."""
        return GatewayPods(self.namespace or mesh.namespace, self.selector) if self.selector else mesh


def own_gateway(service: str) -> str:
    """Return the name of a service's own Gateway."""
    return f"{service}-gateway"


def gateway_selector(name: str) -> dict[str, str]:
    """Return the labels by which a Gateway selects the gateway's pods, given the gateway's release name.

    The gateway chart sets them: `istio: ingressgateway` for the release istio-ingressgateway.
    """
    return {"istio": name.removeprefix("istio-")}


def gateway_labels(name: str) -> dict[str, str]:
    """Return all labels that the gateway chart sets on the gateway's pods."""
    return {"app": name, **gateway_selector(name)}
