"""Prometheus, which collects the mesh's metrics and evaluates the stack's rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pulumi
import pulumi_kubernetes as k8s
import yaml

from components.base import Component
from components.telemetry import workload
from components.telemetry.scrape_jobs import scrape_jobs

NAME = "prometheus"
PORT = 9090
CONFIG = "/etc/config"
DATA = "/data"
NOBODY = 65534
CLIENTS = (NAME, "grafana", "kiali")
"""The servers whose pods may query Prometheus."""

MOST_SAMPLES = 10_000_000
"""That a query may hold in memory, 16 bytes each; Prometheus' default is five times as many."""
READS = ("get", "list", "watch")


@dataclass(frozen=True, kw_only=True)
class PrometheusArgs:
    """Prometheus 3.13 or newer, whose flag --config.auto-reload is used.

    `scrape_interval` and `retention` are durations as Prometheus writes them; rules are evaluated at the scrape
    interval. `rules` are rule files by name (with the suffix .yml or .yaml). `alertmanagers` are URLs, which may have a
    path. Without `storage` the data is lost with the pod. Pods of `allowed_namespaces` may query it, as Grafana's and
    Kiali's do, and the pods of the servers `further_clients` in its own namespace. `ready_within` is in seconds.
    """

    namespace: pulumi.Input[str]
    image: pulumi.Input[str]
    scrape_interval: str = "15s"
    retention: str = "15d"
    rules: Mapping[str, str] = field(default_factory=dict)
    alertmanagers: Sequence[str] = ()
    storage: workload.StorageArgs | None = None
    resources: pulumi.Input[k8s.core.v1.ResourceRequirementsArgs] | None = None
    allowed_namespaces: Sequence[str] = ()
    further_clients: Sequence[str] = ()
    ready_within: int = 300


class Prometheus(Component):
    """Prometheus' Deployment, Service `prometheus` on port 9090, ConfigMap, rights and NetworkPolicy.

    Prometheus watches its configuration and reloads it, so a changed rule or scrape interval replaces no pod and loses
    no data; it takes effect within about a minute, when the kubelet has updated the files. A configuration that
    Prometheus refuses is logged, and the former one stays (Prometheus: "Configuration").

    It may read pods, nodes, Services and Endpoints of the whole cluster, and the metrics of nodes and of Kubernetes'
    API, as in Istio's addon. Queries are not authenticated, so only Grafana's and Kiali's pods in the same namespace
    reach the port; a port-forward does too, because it comes from the pod's own node. The NetworkPolicy has no effect
    where the cluster's network plugin implements none (Kubernetes: "Network Policies").
    """

    url: pulumi.Output[str]
    """URL of Prometheus inside the cluster."""

    def __init__(self, name: str, args: PrometheusArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("istio-canary:index:Prometheus", name, opts)
        account = workload.service_account(f"{name}-account", NAME, args.namespace, self._child())
        workload.cluster_role(name, NAME, args.namespace, permissions(), self._child())
        service = workload.cluster_ip_service(
            f"{name}-service", NAME, NAME, args.namespace, [workload.service_port("http", PORT)], self._child()
        )
        self._deployment(name, args, account)
        rules = workload.allow([PORT], (*CLIENTS, *args.further_clients), args.allowed_namespaces)
        workload.network_policy(f"{name}-policy", NAME, args.namespace, rules, self._child())

        self.url = pulumi.Output.concat("http://", service.metadata.name, ".", args.namespace, f":{PORT}")
        self.register_outputs({"url": self.url})

    def _deployment(self, name: str, args: PrometheusArgs, account: k8s.core.v1.ServiceAccount) -> None:
        """The files are mounted as a folder, which the kubelet updates, unlike a mounted subPath."""
        files = {"prometheus.yml": _yaml(configuration(args)), **args.rules}
        config_map = workload.config_map(f"{name}-config", NAME, args.namespace, files, self._child())
        data = workload.storage_mount(f"{name}-storage", NAME, args.namespace, DATA, args.storage, self._child())
        workload.deployment(
            f"{name}-server",
            workload.ServerArgs(
                name=NAME,
                namespace=args.namespace,
                image=args.image,
                user=NOBODY,
                ports={"http": PORT},
                args=[
                    f"--config.file={CONFIG}/prometheus.yml",
                    "--config.auto-reload",
                    "--config.auto-reload-interval=5s",
                    f"--query.max-samples={MOST_SAMPLES}",
                    f"--storage.tsdb.path={DATA}",
                    f"--web.listen-address=0.0.0.0:{PORT}",
                ],
                mounts=[workload.config_mount("config", config_map.metadata.name, CONFIG), data],
                readiness_probe=workload.probe("/-/ready", "http", period_seconds=5, timeout_seconds=4),
                liveness_probe=workload.probe(
                    "/-/healthy", "http", initial_delay_seconds=30, period_seconds=15, timeout_seconds=10
                ),
                service_account=account.metadata.name,
                resources=args.resources,
                termination_grace_period_seconds=300,
                ready_within=args.ready_within,
            ),
            self._child(),
        )


def configuration(args: PrometheusArgs) -> dict[str, Any]:
    """Return prometheus.yml as plain data (Prometheus: "Configuration")."""
    config: dict[str, Any] = {
        "global": {"scrape_interval": args.scrape_interval, "evaluation_interval": args.scrape_interval},
        "storage": {"tsdb": {"retention": {"time": args.retention}}},
        "rule_files": [f"{CONFIG}/{name}" for name in args.rules],
        "scrape_configs": scrape_jobs(PORT),
    }
    if args.alertmanagers:
        config["alerting"] = {"alertmanagers": [_alertmanager(url) for url in args.alertmanagers]}
    return config


def permissions() -> list[k8s.rbac.v1.PolicyRuleArgs]:
    """Return the rules for service discovery, and for the metrics of the kubelets and the API server."""
    return [
        k8s.rbac.v1.PolicyRuleArgs(
            api_groups=[""], resources=["nodes", "services", "endpoints", "pods"], verbs=list(READS)
        ),
        k8s.rbac.v1.PolicyRuleArgs(api_groups=[""], resources=["nodes/metrics"], verbs=["get"]),
        k8s.rbac.v1.PolicyRuleArgs(non_resource_urls=["/metrics"], verbs=["get"]),
    ]


def _alertmanager(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    path = {"path_prefix": parts.path} if parts.path.strip("/") else {}
    return {"scheme": parts.scheme, **path, "static_configs": [{"targets": [parts.netloc]}]}


def _yaml(config: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(config), sort_keys=False)
