"""What the mesh reports: Istio's Telemetry resource of the whole mesh, and the providers in istiod's MeshConfig."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
from pulumi_kubernetes_istio_crds.telemetry.v1 import Telemetry

from components.base import Component
from metrics.series_names import CLUSTER_STATISTICS, LISTENER_STATISTICS

NAME = "mesh-default"
TRACING_PROVIDER = "jaeger"
ACCESS_LOG_PROVIDER = "access-log"
METRICS_PROVIDER = "prometheus"
"""Provider that istiod knows without an entry in MeshConfig."""

JSON_LOG = {
    "start_time": "%START_TIME%",
    "method": "%REQ(:METHOD)%",
    "authority": "%REQ(:AUTHORITY)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "protocol": "%PROTOCOL%",
    "response_code": "%RESPONSE_CODE%",
    "response_flags": "%RESPONSE_FLAGS%",
    "response_code_details": "%RESPONSE_CODE_DETAILS%",
    "upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "duration": "%DURATION%",
    "upstream_service_time": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "route_name": "%ROUTE_NAME%",
    "upstream_cluster": "%UPSTREAM_CLUSTER_RAW%",
    "upstream_host": "%UPSTREAM_HOST%",
    "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "x_forwarded_for": "%REQ(X-FORWARDED-FOR)%",
    "user_agent": "%REQ(USER-AGENT)%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "trace_id": "%TRACE_ID%",
}
"""Keys as in Istio's default JSON format, and the trace's id; `upstream_cluster` names the version."""


@dataclass(frozen=True, kw_only=True)
class TracingArgs:
    """Traces: `sampling` is the percentage of requests, 0 to 100; `custom_tags` are Telemetry's customTags by name."""

    sampling: float
    custom_tags: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class AccessLogArgs:
    """Access logs of the requests that the CEL expression `filter` selects, or of all if it is None."""

    filter: str | None = None


@dataclass(frozen=True, kw_only=True)
class MeshTelemetryArgs:
    """What all proxies report. `namespace` is the mesh's root namespace.

    `metric_tags` are further tags of Istio's metrics and their CEL expressions. Without one of the three, MeshConfig's
    defaults hold for it.
    """

    namespace: pulumi.Input[str]
    tracing: TracingArgs | None = None
    access_logs: AccessLogArgs | None = None
    metric_tags: Mapping[str, str] = field(default_factory=dict)


class MeshTelemetry(Component):
    """The Telemetry resource of the whole mesh, `mesh-default` (telemetry.istio.io/v1).

    Istio uses one Telemetry without a selector in the root namespace: if there are several, the oldest (Istio:
    "Telemetry"). The providers that it names are defined by `mesh_config`.
    """

    telemetry: pulumi.Output[str]
    """The Telemetry, as `<namespace>/<name>`."""

    def __init__(self, name: str, args: MeshTelemetryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("istio-canary:index:MeshTelemetry", name, opts)
        telemetry = Telemetry(
            f"{name}-telemetry",
            metadata=k8s.meta.v1.ObjectMetaArgs(name=NAME, namespace=args.namespace),
            spec=telemetry_spec(args),
            opts=self._child(),
        )

        self.telemetry = telemetry.id
        self.register_outputs({"telemetry": self.telemetry})


def telemetry_spec(args: MeshTelemetryArgs) -> dict[str, Any]:
    """Return the Telemetry's spec."""
    spec: dict[str, Any] = {}
    if args.metric_tags:
        spec["metrics"] = [_provider(METRICS_PROVIDER) | _overrides(args.metric_tags)]
    if args.tracing is not None:
        tracing = _provider(TRACING_PROVIDER) | {"randomSamplingPercentage": args.tracing.sampling}
        if args.tracing.custom_tags:
            tracing["customTags"] = dict(args.tracing.custom_tags)
        spec["tracing"] = [tracing]
    if args.access_logs is not None:
        expression = args.access_logs.filter
        selects = {} if expression is None else {"filter": {"expression": expression}}
        spec["accessLogging"] = [_provider(ACCESS_LOG_PROVIDER) | selects]
    return spec


def mesh_config(*, collector: str | None = None, access_log_format: str | None = None) -> dict[str, Any]:
    """Return the part of `meshConfig`, a value of the istiod chart, that the telemetry needs.

    `collector` is the host and port that gets the spans by OTLP over gRPC, None for no tracing. `access_log_format` is
    "TEXT" (Istio's default format, which Kiali reads), "JSON", or None for no access logs of this project.
    """
    providers: list[dict[str, Any]] = []
    config: dict[str, Any] = {}
    if collector is not None:
        config["enableTracing"] = True
        service, _, port = collector.rpartition(":")
        providers.append({"name": TRACING_PROVIDER, "opentelemetry": {"service": service, "port": int(port)}})
    if access_log_format is not None:
        providers.append({"name": ACCESS_LOG_PROVIDER, "envoyFileAccessLog": _file_log(access_log_format)})
    if providers:
        config["extensionProviders"] = providers
    return config


def proxy_config(namespaces: Sequence[str], services: Sequence[str] = ()) -> dict[str, Any]:
    """Return the ProxyConfig of a pod whose proxy keeps the statistics of versions' clusters in `namespaces`.

    `services` are Services that are a version each, as `<name>.<namespace>`. A proxy reads it when its pod starts
    (Istio: "MeshConfig", ProxyConfig).
    """
    patterns = [versions_statistics(namespaces), LISTENER_STATISTICS]
    if services:
        hosts = "|".join(sorted(one.replace(".", r"\.") for one in services))
        patterns.append(rf"cluster\.outbound\|[0-9]+\|\|({hosts})\.svc\.[^;]+;?\.({CLUSTER_STATISTICS})")
    return {"proxyStatsMatcher": {"inclusionRegexps": patterns}}


def versions_statistics(namespaces: Sequence[str]) -> str:
    """Return the RE2 pattern of the full names of statistics that the proxies keep, in addition to Istio's own.

    An example is `cluster.outbound|80|version-1|website.shop.svc.cluster.local;.upstream_rq_total`. Only services with
    subsets have a cluster with the version in its name, so other services cost nothing.
    """
    hosts = rf"[^|]+\.({'|'.join(sorted(set(namespaces)))})\.svc\.[^;]+"
    return rf"cluster\.outbound\|[0-9]+\|[^|]+\|{hosts};?\.({CLUSTER_STATISTICS})"


def _file_log(format_: str) -> dict[str, Any]:
    formats: dict[str, dict[str, Any]] = {"TEXT": {}, "JSON": {"logFormat": {"labels": dict(JSON_LOG)}}}
    return {"path": "/dev/stdout", **formats[format_]}


def _provider(name: str) -> dict[str, Any]:
    return {"providers": [{"name": name}]}


def _overrides(metric_tags: Mapping[str, str]) -> dict[str, Any]:
    tags = {name: {"operation": "UPSERT", "value": expression} for name, expression in metric_tags.items()}
    return {"overrides": [{"match": {"metric": "ALL_METRICS"}, "tagOverrides": tags}]}
