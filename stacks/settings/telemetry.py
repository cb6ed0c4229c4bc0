"""The telemetry's settings: the servers for metrics, traces and dashboards, and what the mesh reports to them.

The names of the keys are those of Prometheus, Grafana, Kiali and Istio's Telemetry where they have one.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, Strict, model_validator

from metrics.durations import prometheus_seconds
from metrics.queries import Source
from stacks.settings.fields import Image, VariableName
from stacks.settings.resources import Resources
from stacks.settings.telemetry_fields import (
    Cel,
    Endpoint,
    MetricLabel,
    PendingPeriod,
    Retention,
    Sampling,
    ScrapeInterval,
    StorageClassName,
    Url,
    VolumeSize,
)
from traffic.fields import DnsLabel, HeaderName, Model, Percentage, Text, each_once, wrong


class Authentication(StrEnum):
    """Kiali's strategies of authentication that need nothing but Kubernetes."""

    TOKEN = "token"  # noqa: S105 - a name of Kiali's, not a token
    ANONYMOUS = "anonymous"


class LogFormat(StrEnum):
    """Formats of Envoy's access logs."""

    TEXT = "TEXT"
    JSON = "JSON"


class Storage(Model):
    """A PersistentVolumeClaim for a server's data."""

    size: VolumeSize = Field(default="10Gi", examples=["10Gi"], description="Size of the volume.")
    storage_class_name: StorageClassName | None = Field(
        default=None, description="StorageClass of the volume; defaults to the cluster's."
    )


class Server(Model):
    """A server for telemetry: one that the stack creates, one that exists, or none."""

    enabled: bool = Field(default=False, description="Create it in the telemetry's namespace.")
    url: Url | None = Field(
        default=None,
        examples=["http://prometheus.monitoring:9090"],
        description="URL of one that exists, to use instead of creating one.",
    )
    note: str = Field(default="", description="Why there is none; `canary status` shows it.")
    image: Image = Field(description="Image of the server.")
    resources: Resources = Field(default_factory=Resources, description="Requests and limits of the container.")

    @property
    def in_use(self) -> bool:
        """Whether there is one, of the stack or at `url`."""
        return self.enabled or self.url is not None


class PrometheusSettings(Server):
    """Prometheus, which collects the metrics."""

    image: Image = Field(default="docker.io/prom/prometheus:v3.14.0", description="Image of Prometheus.")
    retention: Retention = Field(default="15d", description="How long metrics are kept.")
    storage: Storage | None = Field(
        default_factory=Storage, description="Volume for the metrics; null keeps them as long as the pod."
    )
    alertmanagers: Annotated[tuple[Url, ...], Strict(False), AfterValidator(each_once)] = Field(
        default=(),
        examples=[["http://alertmanager.monitoring:9093"]],
        description="URLs of the Alertmanagers that get the alerts.",
    )


class JaegerSettings(Server):
    """Jaeger, which stores and shows traces."""

    image: Image = Field(default="docker.io/jaegertracing/jaeger:2.17.0", description="Image of Jaeger, version 2.")
    retention: Retention = Field(default="72h", description="How long traces are kept.")
    storage: Storage | None = Field(
        default_factory=Storage, description="Volume for the traces; null keeps them as long as the pod."
    )
    collector: Endpoint | None = Field(
        default=None,
        examples=["jaeger-collector.observability.svc.cluster.local:4317"],
        description="Host and port to which spans go by OTLP over gRPC, with `url`; without it there is no tracing.",
    )

    @property
    def gets_spans(self) -> bool:
        """Whether it is known where spans go."""
        return self.enabled or (self.url is not None and self.collector is not None)

    @property
    def retention_seconds(self) -> int:
        """`retention` in seconds: the durations of Jaeger, which are Go's, have no days."""
        return int(prometheus_seconds(self.retention))


class GrafanaSettings(Server):
    """Grafana, which shows the dashboards."""

    image: Image = Field(default="docker.io/grafana/grafana:12.3.0", description="Image of Grafana.")
    storage: Storage | None = Field(
        default=None, description="Volume for Grafana's own data; null keeps it as long as the pod."
    )
    anonymous: bool = Field(
        default=False, description="Show the dashboards without a login; only in stacks named dev or dev-…."
    )


class KialiSettings(Server):
    """Kiali, which shows the mesh."""

    image: Image = Field(default="quay.io/kiali/kiali:v2.31", description="Image of Kiali.")
    authentication: Annotated[Authentication, Strict(False)] = Field(
        default=Authentication.TOKEN,
        description="Login with a token of Kubernetes, or none; anonymous only in stacks named dev or dev-….",
    )


class CustomTag(Model):
    """A tag of every span: a fixed text, a header of the request, or an environment variable of the sidecar."""

    literal: Text | None = Field(default=None, description="The value itself.")
    header: HeaderName | None = Field(default=None, description="Request header with the value.")
    environment: VariableName | None = Field(
        default=None, description="Environment variable of the sidecar with the value."
    )

    @model_validator(mode="after")
    def _one_source(self) -> CustomTag:
        given = [name for name in ("literal", "header", "environment") if getattr(self, name) is not None]
        if len(given) != 1:
            raise wrong(
                f"{' and '.join(given)} are both set" if given else "the tag has no value",
                "exactly one of literal, header and environment",
                f"keep one of {' and '.join(given)}" if given else "write {header: x-tenant}, for example",
            )
        return self


class Tracing(Model):
    """What the mesh reports to Jaeger (Istio's Telemetry, `tracing`)."""

    sampling: Sampling = Field(
        default=1.0, description="Percentage of traced requests, of those whose caller has not decided it."
    )
    custom_tags: dict[Text, CustomTag] = Field(
        default_factory=dict, examples=[{"tenant": {"header": "x-tenant"}}], description="Tags of all spans, by name."
    )


class AccessLogs(Model):
    """The access logs of the mesh's Envoys, which `kubectl logs` shows (Istio's Telemetry, `accessLogging`)."""

    enabled: bool = Field(default=False, description="Write a line for every request.")
    format: Annotated[LogFormat, Strict(False)] = Field(default=LogFormat.TEXT, description="Format of a line.")
    filter: Cel | None = Field(
        default=None, examples=["response.code >= 400"], description="Which requests are logged, in CEL."
    )


class Alerts(Model):
    """When Prometheus raises an alert about a version."""

    enabled: bool = Field(default=True, description="Evaluate the alerts, if the stack creates Prometheus.")
    for_: PendingPeriod = Field(
        default="2m", alias="for", description="How long the condition must hold before the alert fires."
    )
    failure_rate: Percentage = Field(
        default=1.0, description="Percentage points by which a version may fail more often than the stable one."
    )
    share: Percentage = Field(
        default=5.0,
        description="Percentage points by which a version's share of the requests may differ from its weight.",
    )
    minimum_requests: Annotated[int, Field(ge=1)] = Field(
        default=50, description="Requests that a version must have had before it is judged."
    )


class TelemetrySettings(Model):
    """Metrics, traces and access logs of the mesh, and the servers for them."""

    namespace: DnsLabel = Field(default="", description="Namespace of the servers; defaults to the mesh's.")
    allowed_namespaces: Annotated[tuple[DnsLabel, ...], Strict(False), AfterValidator(each_once)] = Field(
        default=(),
        examples=[["monitoring"]],
        description="Further namespaces whose pods may reach the servers, such as that of a Grafana that exists.",
    )
    metrics: Annotated[Source, Strict(False)] = Field(
        default=Source.ISTIO,
        description="Istio's own metrics, or Envoy's, for Envoys without Istio's filters.",
    )
    scrape_interval: ScrapeInterval = Field(default="15s", description="How often Prometheus collects the metrics.")
    prometheus: PrometheusSettings = Field(
        default_factory=PrometheusSettings, description="Prometheus, which collects the metrics."
    )
    jaeger: JaegerSettings = Field(default_factory=JaegerSettings, description="Jaeger, which stores and shows traces.")
    grafana: GrafanaSettings = Field(
        default_factory=GrafanaSettings, description="Grafana, which shows the dashboards."
    )
    kiali: KialiSettings = Field(default_factory=KialiSettings, description="Kiali, which shows the mesh.")
    tracing: Tracing = Field(default_factory=Tracing, description="What the mesh reports to Jaeger, if there is one.")
    access_logs: AccessLogs = Field(default_factory=AccessLogs, description="The access logs of the mesh's Envoys.")
    metric_tags: dict[MetricLabel, Cel] = Field(
        default_factory=dict,
        examples=[{"request_host": "request.host"}],
        description="Further labels of Istio's metrics, by name, with their values in CEL.",
    )
    alerts: Alerts = Field(default_factory=Alerts, description="When Prometheus raises an alert about a version.")

    @property
    def creates_objects(self) -> bool:
        """Whether the stack creates objects in `namespace`: a server, or the files for a Grafana that exists."""
        servers = (self.prometheus, self.jaeger, self.grafana, self.kiali)
        return any(server.enabled for server in servers) or self.grafana.url is not None

    @property
    def prometheus_url(self) -> str | None:
        """URL of Prometheus inside the cluster, None if there is none."""
        in_cluster = f"http://prometheus.{self.namespace}:9090" if self.prometheus.enabled else None
        return self.prometheus.url or in_cluster

    @property
    def jaeger_url(self) -> str | None:
        """URL of Jaeger's query service inside the cluster, None if there is none."""
        in_cluster = f"http://tracing.{self.namespace}/jaeger" if self.jaeger.enabled else None
        return self.jaeger.url or in_cluster

    @property
    def traces_requests(self) -> bool:
        """Whether the mesh's Envoys send spans to a Jaeger."""
        return self.jaeger.gets_spans and self.tracing.sampling > 0

    @property
    def span_collector(self) -> str | None:
        """Host and port to which the mesh's Envoys send spans by OTLP over gRPC, None if they send none."""
        if not self.traces_requests:
            return None
        return self.jaeger.collector or f"jaeger-collector.{self.namespace}.svc.cluster.local:4317"

    @property
    def evaluates_alerts(self) -> bool:
        """Whether the stack's Prometheus evaluates the alerts."""
        return self.alerts.enabled and self.prometheus.enabled
