"""Gateways: hosts and ports at which requests enter the mesh. Field names and meaning are those of Istio's Gateway
(https://istio.io/latest/docs/reference/config/networking/gateway/).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, Strict, model_validator

from traffic.fields import Host, Model, OpenPort, SecretName, each_once, wrong

MESH = "mesh"
"""Istio's name for all sidecars: a route bound to it applies to callers inside the mesh."""


class Protocol(StrEnum):
    """Protocol of a gateway port."""

    HTTP = "HTTP"
    HTTPS = "HTTPS"


class ServerTlsMode(StrEnum):
    """Who presents a certificate: only the gateway, or the caller too."""

    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"


class TlsVersion(StrEnum):
    """TLS versions."""

    TLSV1_2 = "TLSV1_2"
    TLSV1_3 = "TLSV1_3"


class ServerTls(Model):
    """TLS of an HTTPS port of a gateway, or the redirect to HTTPS of an HTTP port."""

    https_redirect: bool = Field(default=False, description="Redirect every request to https://.")
    mode: Annotated[ServerTlsMode, Strict(False)] | None = Field(
        default=None, description="SIMPLE: the gateway has a certificate; MUTUAL: callers need one too."
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
    protocol: Annotated[Protocol, Strict(False)] = Field(default=Protocol.HTTP, description="Protocol of the port.")
    hosts: Annotated[tuple[Host, ...], Field(min_length=1), Strict(False), AfterValidator(each_once)] = Field(
        examples=[["shop.example.com"]], description="Hosts that the port accepts."
    )
    tls: ServerTls | None = Field(default=None, description="TLS for HTTPS, or the redirect to HTTPS.")

    @model_validator(mode="after")
    def _tls_fits_protocol(self) -> Server:
        ends_tls = self.tls is not None and self.tls.mode is not None
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

    @property
    def redirects(self) -> bool:
        """Whether every request is redirected to https://."""
        return self.tls is not None and self.tls.https_redirect


class SharedGateway(Model):
    """A Gateway that several services share, in the namespace of the gateway's pods."""

    servers: Annotated[tuple[Server, ...], Field(min_length=1), Strict(False)] = Field(
        examples=[[{"port": 80, "hosts": ["*.example.com"]}]], description="Ports of the Gateway, each with its hosts."
    )


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
