"""A gateway and a Prometheus of a test's own, in a namespace of their own: it may restart the one and stop the other.

The gateway is a Deployment with Istio's template `gateway` (Istio: "Installing Gateways"), beside the mesh's; its Envoy
keeps the statistics of versions. The Prometheus scrapes nothing but the pods of this namespace.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import yaml

from components.istio_mesh import proxy_config_annotation
from components.telemetry.mesh_telemetry import proxy_config
from components.telemetry.scrape_jobs import scrape_jobs
from tests.e2e.by_hand import Manifest, apply, namespace
from tests.e2e.tools import Cluster, wait_until

GATEWAY, PROMETHEUS = "gateway", "prometheus"
HTTP, METRICS = 8080, 9090
SCRAPED = {"prometheus.io/scrape": "true", "prometheus.io/port": "15020", "prometheus.io/path": "/stats/prometheus"}
"""As the chart of Istio's gateways annotates its pods."""


@dataclass(frozen=True)
class Front:
    """What stands before the services of a stack: `place` is its namespace, `services` the namespace of theirs."""

    cluster: Cluster
    place: str
    services: str
    scrape: str = "1s"

    @property
    def url(self) -> str:
        """Where the gateway is reached from this machine."""
        service = self.cluster.get("service", GATEWAY, f"--namespace={self.place}")
        return f"http://{self.cluster.layout.node_ip}:{service['spec']['ports'][0]['nodePort']}"

    @property
    def shared_gateway(self) -> dict[str, Any]:
        """The entry below `gateways` in a stack's file."""
        return {
            "namespace": self.place,
            "selector": {"istio": self.place},
            "servers": [{"port": 80, "hosts": [f"*.{self.services}.example"]}],
        }

    @property
    def telemetry(self) -> dict[str, Any]:
        """The telemetry in a stack's file."""
        return {
            "metrics": "envoy",
            "scrapeInterval": self.scrape,
            "prometheus": {"url": f"http://{PROMETHEUS}.{self.place}:{METRICS}"},
        }

    def pods(self, name: str) -> list[str]:
        """The pods of the gateway, or of Prometheus, that do not end."""
        found = self.cluster.get("pods", f"--namespace={self.place}", f"--selector=app={name}")["items"]
        return [pod["metadata"]["name"] for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def replace(self, name: str) -> None:
        """Kill the pod of the gateway, or of Prometheus, and wait for the next one."""
        before = self.pods(name)
        self.cluster.kubectl("delete", "pod", *before, f"--namespace={self.place}", "--grace-period=0", "--force")
        wait_until(lambda: bool(self._ready(name) - set(before)), f"another pod of {name}", 90)

    def stop(self, name: str) -> None:
        """End the pod of the gateway, or of Prometheus, and let no other take its place."""
        before = self.pods(name)
        self._scale(name, 0)
        self.cluster.kubectl("delete", "pod", *before, f"--namespace={self.place}", "--grace-period=0", "--force")

    def go_on(self, name: str) -> None:
        """Start what `stop` has ended, and wait until it is ready."""
        self._scale(name, 1)
        wait_until(lambda: bool(self._ready(name)), f"a pod of {name}", 90)

    def _scale(self, name: str, number: int) -> None:
        self.cluster.kubectl("scale", "deployment", name, f"--namespace={self.place}", f"--replicas={number}")

    def _ready(self, name: str) -> set[str]:
        found = self.cluster.get("pods", f"--namespace={self.place}", f"--selector=app={name}")["items"]
        return {
            pod["metadata"]["name"]
            for pod in found
            for one in pod["status"].get("conditions", ())
            if (one["type"], one["status"]) == ("Ready", "True") and "deletionTimestamp" not in pod["metadata"]
        }


@contextmanager
def front(cluster: Cluster, place: str, services: str) -> Iterator[Front]:
    """Create both, and let them be deleted at the end."""
    try:
        apply(cluster, namespace(place, sidecars=False), *_gateway(place, services), *_prometheus(place))
        yield Front(cluster, place, services)
    finally:
        cluster.kubectl("delete", "namespace", place, "--ignore-not-found", "--wait=false")


def _gateway(place: str, services: str) -> list[Manifest]:
    labels = {"app": GATEWAY, "istio": place}
    annotations = {
        **SCRAPED,
        **proxy_config_annotation(json.dumps(proxy_config([services]))),
        "inject.istio.io/templates": "gateway",
    }
    container = {
        "name": "istio-proxy",
        "image": "auto",
        "imagePullPolicy": "IfNotPresent",
        "ports": [{"containerPort": HTTP}, {"containerPort": 15090, "name": "http-envoy-prom"}],
        "resources": {"requests": {"cpu": "10m", "memory": "40Mi"}},
    }
    pods = {"containers": [container], "terminationGracePeriodSeconds": 5}
    ports = [{"name": "http2", "port": 80, "targetPort": HTTP}]
    return [
        _deployment(place, GATEWAY, labels, pods, {**labels, "sidecar.istio.io/inject": "true"}, annotations),
        _service(place, GATEWAY, {"type": "NodePort", "selector": labels, "ports": ports}),
    ]


def _prometheus(place: str) -> list[Manifest]:
    (pods,) = (job for job in scrape_jobs(METRICS) if job["job_name"] == "kubernetes-pods")
    here = [{**one, "namespaces": {"names": [place]}} for one in pods["kubernetes_sd_configs"]]
    config = {"global": {"scrape_interval": "1s"}, "scrape_configs": [{**pods, "kubernetes_sd_configs": here}]}
    container = {
        "name": PROMETHEUS,
        "image": "docker.io/prom/prometheus:v3.14.0",
        "imagePullPolicy": "IfNotPresent",
        "args": ["--config.file=/config/prometheus.yml", "--storage.tsdb.path=/tmp/data"],
        "ports": [{"containerPort": METRICS}],
        "readinessProbe": {"httpGet": {"path": "/-/ready", "port": METRICS}, "periodSeconds": 1},
        "volumeMounts": [{"name": "config", "mountPath": "/config"}, {"name": "data", "mountPath": "/tmp"}],
    }
    volumes = [{"name": "config", "configMap": {"name": PROMETHEUS}}, {"name": "data", "emptyDir": {}}]
    spec = {"containers": [container], "volumes": volumes, "serviceAccountName": PROMETHEUS}
    labels = {"app": PROMETHEUS}
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]
    group = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": PROMETHEUS, "namespace": place}
    return [
        _named("v1", "ServiceAccount", place, PROMETHEUS),
        _named(f"{group}/v1", "Role", place, PROMETHEUS, rules=rules),
        _named(
            f"{group}/v1", "RoleBinding", place, PROMETHEUS,
            roleRef={"apiGroup": group, "kind": "Role", "name": PROMETHEUS}, subjects=[subject],
        ),
        _named("v1", "ConfigMap", place, PROMETHEUS, data={"prometheus.yml": yaml.safe_dump(config)}),
        _deployment(place, PROMETHEUS, labels, spec, {**labels, "sidecar.istio.io/inject": "false"}, {}),
        _service(place, PROMETHEUS, {"selector": labels, "ports": [{"port": METRICS, "targetPort": METRICS}]}),
    ]  # fmt: skip


def _deployment(
    place: str,
    name: str,
    selector: Mapping[str, str],
    pods: Mapping[str, Any],
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
) -> Manifest:
    template = {"metadata": {"labels": dict(labels), "annotations": dict(annotations)}, "spec": dict(pods)}
    spec = {"replicas": 1, "selector": {"matchLabels": dict(selector)}, "template": template}
    return _named("apps/v1", "Deployment", place, name, spec=spec)


def _service(place: str, name: str, spec: Mapping[str, Any]) -> Manifest:
    return _named("v1", "Service", place, name, spec=dict(spec))


def _named(api_version: str, kind: str, place: str, name: str, **rest: Any) -> Manifest:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": place}, **rest}
