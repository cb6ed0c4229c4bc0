"""Versions that the stack does not make: pods that someone else deploys, another Service, or a host outside.

`labels` are those of a subset of the service's own Service (Istio: DestinationRule, Subset); `service` and `host` are
hosts of Istio's service registry (Istio: VirtualService, Destination).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from traffic.fields import DNS_LABEL, HOST, LabelKey, LabelValue, Model, Port, wrong
from traffic.model.policy import H2UpgradePolicy, HttpSettings, TlsMode, TrafficPolicy
from traffic.model.protocols import NamedPorts, ServiceProtocol
from traffic.model.rule import version_label

DEPLOYED, OUTSIDE = "<deployed>", "<outside>"
"""Markers of the two kinds of version in the locations of validation errors; no key can have these names."""

SOURCES = ("labels", "service", "host")
HTTPS = 443
SERVICE_NAME = rf"{DNS_LABEL}(\.{DNS_LABEL})?"


class Source(StrEnum):
    """What a version that the stack does not make consists of."""

    PODS = "pods"
    SERVICE = "service"
    HOST = "host"


def _service_name(value: str) -> str:
    if re.fullmatch(SERVICE_NAME, value) and all(len(label) <= 63 for label in value.split(".")):
        return value
    short = ".".join(re.sub(r"^[a-z]+://", "", value.lower()).split("/")[0].split(":")[0].split(".")[:2])
    raise wrong(
        f"{value!r} is not the name of a Service",
        "the name of a Service, with its namespace after a dot if it is in another one: foo-legacy.foo",
        f"write {short}" if re.fullmatch(SERVICE_NAME, short) else "write foo-legacy.foo, for example",
    )


def _external_host(value: str) -> str:
    if re.fullmatch(HOST, value) and "*" not in value and len(value) <= 253 and ".svc." not in f"{value}.":
        return value
    if ".svc." in f"{value}.":
        name = ".".join(value.split(".")[:2])
        raise wrong(f"{value!r} is a Service of the cluster", "a DNS name outside", f"write service: {name}")
    bare = re.sub(r"^[a-z]+://", "", value.lower()).split("/")[0].split(":")[0]
    is_host = re.fullmatch(HOST, bare) and "*" not in bare
    raise wrong(
        f"{value!r} is not the name of a host",
        "a DNS name such as foo.legacy.example.net, without scheme, port, path and wildcard",
        f"write {bare}, and the port in `port`" if is_host else "write foo.legacy.example.net, for example",
    )


ServiceName = Annotated[
    str, AfterValidator(_service_name), WithJsonSchema({"type": "string", "pattern": f"^{SERVICE_NAME}$"})
]
ExternalHost = Annotated[
    str,
    AfterValidator(_external_host),
    WithJsonSchema({"type": "string", "pattern": rf"^{DNS_LABEL}(\.{DNS_LABEL})+$", "maxLength": 253}),
]


class VersionRouting(Model):
    """What callers need to know about a version."""

    ports: NamedPorts = Field(
        default=(),
        examples=[[{"name": "http-metrics", "port": 9090}]],
        description="Further ports of the service, or where this version's container listens for one of them.",
    )
    traffic_policy: TrafficPolicy | None = Field(
        default=None, description="How callers connect to the pods of this version; if unset, the service's policy."
    )


class OutsideVersion(VersionRouting):
    """A version that the stack does not make: it has no image. At most one of `labels`, `service` and `host` is set.

    Without any, it is the pods with the label `version: <name of the version>`, which is Istio's convention.
    """

    labels: Annotated[dict[LabelKey, LabelValue], Field(min_length=1)] | None = Field(
        default=None,
        examples=[{"version": "v1"}],
        description="Labels of pods in the service's namespace that someone else deploys and its Service selects.",
    )
    service: ServiceName | None = Field(
        default=None,
        examples=["foo-legacy.foo"],
        description="Another Service of the cluster, as <name> or <name>.<namespace>.",
    )
    host: ExternalHost | None = Field(
        default=None, examples=["foo.legacy.example.net"], description="A host outside the mesh."
    )
    port: Port | None = Field(
        default=None,
        examples=[8080],
        description="Container port of the pods, or port of the Service or host, by default 80; callers originate TLS "
        "to port 443 of a host.",
    )

    @model_validator(mode="before")
    @classmethod
    def _is_not_deployed(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and "image" in value:
            given = " and ".join(name for name in SOURCES if name in value)
            raise wrong(
                f"the version has an image and {given}: with {given}, the stack deploys no pods for it",
                "image, for a version that the stack deploys, or one of labels, service and host",
                f"remove {given}, or remove image and the other keys of its pods",
            )
        return value

    @model_validator(mode="after")
    def _one_source(self) -> OutsideVersion:
        given = [name for name in SOURCES if getattr(self, name) is not None]
        if len(given) > 1:
            raise wrong(
                f"{' and '.join(given)} are set together", "one of labels, service and host", "keep one of them"
            )
        return self

    @property
    def source(self) -> Source:
        """What it consists of."""
        if self.service is not None:
            return Source.SERVICE
        return Source.PODS if self.host is None else Source.HOST

    @property
    def originates_tls(self) -> bool:
        """Whether callers originate TLS to it."""
        tls = self.traffic_policy and self.traffic_policy.tls
        if tls:
            return tls.mode is not TlsMode.DISABLE
        return self.source is Source.HOST and self.port == HTTPS

    @property
    def has_subset(self) -> bool:
        """Whether a DestinationRule says how callers connect to it."""
        return self.source is Source.PODS or self.traffic_policy is not None or self.originates_tls

    @property
    def http_settings(self) -> HttpSettings | None:
        """How callers connect to it for requests, if it has a policy of its own that says so."""
        pool = self.traffic_policy and self.traffic_policy.connection_pool
        return pool.http if pool else None

    def gets_http2(self, protocol: ServiceProtocol) -> bool:
        """Whether Envoy speaks HTTP/2 to it, which is a host: as to the other versions of a service of `protocol`.

        Its own h2UpgradePolicy decides first. What useClientProtocol changes is left out.
        """
        policy = self.http_settings.h2_upgrade_policy if self.http_settings else None
        if policy in (None, H2UpgradePolicy.DEFAULT):
            return protocol.is_http2
        return policy is H2UpgradePolicy.UPGRADE

    def service_of(self, namespace: str) -> tuple[str, str]:
        """Return the name and namespace of its Service; `namespace` is that of the service whose version it is."""
        name, _, elsewhere = (self.service or "").partition(".")
        return name, elsewhere or namespace

    def words(self, version: str) -> str:
        """Return what it is, in a few words; `version` is its name."""
        if self.source is Source.PODS:
            labels = ", ".join(f"{key}={value}" for key, value in self.pod_labels(version).items())
            return f"pods with {labels}, which the stack does not deploy"
        if self.source is Source.SERVICE:
            return f"the Service {self.service}, port {self.port or 80}"
        return f"the host {self.host}, port {self.port or 80}{', over TLS' if self.originates_tls else ''}"

    def pod_labels(self, version: str) -> dict[str, str]:
        """Return the labels that tell its pods apart from those of other versions."""
        return dict(self.labels or {"version": version})


def kind_of_version(value: Any) -> str:
    """Return the marker of the kind of version that a value is meant as.

    A version with a port alone runs already, whoever deploys it: one that the stack deploys has an image.
    """
    if not isinstance(value, Mapping):
        return OUTSIDE if isinstance(value, OutsideVersion) else DEPLOYED
    outside = any(name in value for name in SOURCES) or (value.keys() <= {"port", "trafficPolicy"} and "port" in value)
    return OUTSIDE if outside else DEPLOYED


def labels_of(service: str, version: str, settings: VersionRouting) -> dict[str, str]:
    """Return the labels that tell the pods of a version apart from those of other versions of the service."""
    if isinstance(settings, OutsideVersion):
        return settings.pod_labels(version)
    return {"version": version_label(service, version)}
