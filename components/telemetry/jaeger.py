"""Jaeger, which stores the mesh's traces and shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import yaml

from components.base import Component
from components.telemetry import workload

NAME = "jaeger"
COLLECTOR = "jaeger-collector"
OTLP_GRPC = 4317
OTLP_HTTP = 4318
ZIPKIN = 9411
JAEGER_GRPC = 14250
JAEGER_HTTP = 14268
QUERY_HTTP = 16686
QUERY_GRPC = 16685
HEALTH = 13133
METRICS = 8888
COLLECTOR_PORTS = {
    "jaeger-collector-http": JAEGER_HTTP,
    "jaeger-collector-grpc": JAEGER_GRPC,
    "http-zipkin": ZIPKIN,
    "grpc-otel": OTLP_GRPC,
    "http-otel": OTLP_HTTP,
}
"""Ports of the Service jaeger-collector; Istio takes the protocol from the name (Istio: "Protocol Selection")."""

CONFIG = "/jaeger-configuration"
DATA = "/badger"
USER = 10001
NO_TRACES_OF_QUERIES = k8s.core.v1.EnvVarArgs(name="OTEL_TRACES_SAMPLER", value="always_off")
"""Without it, Jaeger traces every query of its own API, and appears among the services."""


@dataclass(frozen=True, kw_only=True)
class JaegerArgs:
    """Jaeger 2. `retention` is a duration as Go writes it; `base_path` is the path of the web pages and the API.

    Without `storage` the traces are lost with the pod. Pods of `allowed_namespaces` may query it, as Grafana's and
    Kiali's do. `ready_within` is in seconds.
    """

    namespace: pulumi.Input[str]
    image: pulumi.Input[str]
    retention: str = "72h"
    base_path: str = "/jaeger"
    storage: workload.StorageArgs | None = None
    resources: pulumi.Input[k8s.core.v1.ResourceRequirementsArgs] | None = None
    allowed_namespaces: Sequence[str] = ()
    ready_within: int = 300


class Jaeger(Component):
    """Jaeger's Deployment with the database Badger, its Services, ConfigMap and NetworkPolicy.

    The Services are `tracing` (web pages and API: 80, gRPC: 16685), `jaeger-collector` (OTLP, Zipkin and Jaeger's own
    protocols) and `zipkin`, as in Istio's addon. Any pod of the cluster may send spans; only Grafana's and Kiali's pods
    in the same namespace may read them, and Prometheus Jaeger's own metrics. The NetworkPolicy does not apply to a
    port-forward. Badger is one process' database, so there is exactly one pod (Jaeger: "Badger").
    """

    query_url: pulumi.Output[str]
    """URL of the web pages and the API inside the cluster, with the base path."""
    collector_host: pulumi.Output[str]
    """Host name of the Service that receives spans, fully qualified."""
    zipkin_host: pulumi.Output[str]
    """Host name of the Service that receives spans on Zipkin's port only, fully qualified."""

    def __init__(self, name: str, args: JaegerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("istio-canary:index:Jaeger", name, opts)
        query, collector, zipkin = self._services(name, args)
        self._deployment(name, args)
        workload.network_policy(
            f"{name}-policy",
            NAME,
            args.namespace,
            [
                *workload.allow_all(sorted(COLLECTOR_PORTS.values())),
                *workload.allow([QUERY_HTTP, QUERY_GRPC], ["grafana", "kiali"], args.allowed_namespaces),
                *workload.allow([METRICS], ["prometheus"]),
            ],
            self._child(),
        )

        self.query_url = pulumi.Output.concat("http://", query.metadata.name, ".", args.namespace, args.base_path)
        self.collector_host = pulumi.Output.all(collector.metadata.name, args.namespace).apply(_host)
        self.zipkin_host = pulumi.Output.all(zipkin.metadata.name, args.namespace).apply(_host)
        self.register_outputs(
            {
                "query_url": self.query_url,
                "collector_host": self.collector_host,
                "zipkin_host": self.zipkin_host,
            }
        )

    def _services(self, name: str, args: JaegerArgs) -> list[k8s.core.v1.Service]:
        ports = {
            "tracing": [
                workload.service_port("http-query", 80, QUERY_HTTP),
                workload.service_port("grpc-query", QUERY_GRPC),
            ],
            COLLECTOR: [workload.service_port(port_name, port) for port_name, port in COLLECTOR_PORTS.items()],
            "zipkin": [workload.service_port("http-query", ZIPKIN)],
        }
        return [
            workload.cluster_ip_service(f"{name}-{service}", service, NAME, args.namespace, of_service, self._child())
            for service, of_service in ports.items()
        ]

    def _deployment(self, name: str, args: JaegerArgs) -> None:
        files = {"config.yaml": yaml.safe_dump(configuration(args.retention, args.base_path), sort_keys=False)}
        config_map = workload.config_map(f"{name}-config", NAME, args.namespace, files, self._child())
        data = workload.storage_mount(f"{name}-storage", NAME, args.namespace, DATA, args.storage, self._child())
        workload.deployment(
            f"{name}-server",
            workload.ServerArgs(
                name=NAME,
                namespace=args.namespace,
                image=args.image,
                user=USER,
                ports={
                    "health": HEALTH,
                    "metrics": METRICS,
                    "query": QUERY_HTTP,
                    "query-grpc": QUERY_GRPC,
                    "otlp-grpc": OTLP_GRPC,
                    "otlp-http": OTLP_HTTP,
                    "zipkin": ZIPKIN,
                    "jaeger-grpc": JAEGER_GRPC,
                    "jaeger-http": JAEGER_HTTP,
                },
                args=["--config", f"{CONFIG}/config.yaml"],
                env=[NO_TRACES_OF_QUERIES],
                mounts=[workload.config_mount("config", config_map.metadata.name, CONFIG), data],
                annotations={"prometheus.io/scrape": "true", "prometheus.io/port": str(METRICS)}
                | workload.checksum(files),
                readiness_probe=workload.probe("/status", "health"),
                liveness_probe=workload.probe("/status", "health"),
                resources=args.resources,
                ready_within=args.ready_within,
            ),
            self._child(),
        )


def configuration(retention: str, base_path: str, data: str = DATA, host: str = "0.0.0.0") -> dict[str, Any]:  # noqa: S104
    """Return Jaeger's configuration file as plain data (Jaeger: "Configuration"; OpenTelemetry: "Collector")."""
    storage = {
        "ephemeral": False,
        "directories": {"keys": f"{data}/key", "values": f"{data}/data/"},
        "ttl": {"spans": retention},
    }

    def on(port: int) -> dict[str, str]:
        return {"endpoint": f"{host}:{port}"}

    return {
        "service": {
            "extensions": ["jaeger_storage", "jaeger_query", "healthcheckv2"],
            "pipelines": {
                "traces": {
                    "receivers": ["otlp", "jaeger", "zipkin"],
                    "processors": ["batch"],
                    "exporters": ["jaeger_storage_exporter"],
                }
            },
            "telemetry": {
                "resource": {"service.name": "jaeger"},
                "metrics": {
                    "level": "detailed",
                    "readers": [{"pull": {"exporter": {"prometheus": {"host": host, "port": METRICS}}}}],
                },
                "logs": {"level": "info"},
            },
        },
        "extensions": {
            "jaeger_query": {
                "base_path": base_path,
                "storage": {"traces": "badger_storage"},
                "http": on(QUERY_HTTP),
                "grpc": on(QUERY_GRPC),
            },
            "jaeger_storage": {"backends": {"badger_storage": {"badger": storage}}},
            "healthcheckv2": {"use_v2": True, "http": on(HEALTH)},
        },
        "receivers": {
            "otlp": {"protocols": {"grpc": on(OTLP_GRPC), "http": on(OTLP_HTTP)}},
            "jaeger": {"protocols": {"grpc": on(JAEGER_GRPC), "thrift_http": on(JAEGER_HTTP)}},
            "zipkin": on(ZIPKIN),
        },
        "processors": {"batch": None},
        "exporters": {"jaeger_storage_exporter": {"trace_storage": "badger_storage"}},
    }


def _host(service: Sequence[str]) -> str:
    name, namespace = service
    return f"{name}.{namespace}.svc.cluster.local"
