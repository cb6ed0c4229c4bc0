"""Prometheus' scrape jobs: what is found by Kubernetes' API and by the annotations prometheus.io/*."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Job = dict[str, Any]
Relabeling = dict[str, Any]

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
SLOW = {"scrape_interval": "5m", "scrape_timeout": "30s"}
IPV6 = r"(\d+);(([A-Fa-f0-9]{1,4}::?){1,7}[A-Fa-f0-9]{1,4})"
IPV4 = r"(\d+);((([0-9]+?)(\.|$)){4})"


def scrape_jobs(own_port: int) -> list[Job]:
    """Return the scrape jobs, with names and labels as in Istio's addon, which dashboards and Kiali rely on.

    Pods and Services are scraped if they have the annotation prometheus.io/scrape, every five minutes if it is
    scrape-slow. Sidecars are among them: injection annotates their pods (Istio: "Prometheus", metrics merging).
    """
    return [
        {"job_name": "prometheus", "static_configs": [{"targets": [f"localhost:{own_port}"]}]},
        _api_servers(),
        _nodes("kubernetes-nodes"),
        _nodes("kubernetes-nodes-cadvisor", "/metrics/cadvisor"),
        _discovery("kubernetes-pods", "pod", [_keep(_pod("scrape")), _drop(_pod("scrape_slow")), *_of_pods()]),
        _discovery("kubernetes-pods-slow", "pod", [_keep(_pod("scrape_slow")), *_of_pods()]) | SLOW,
        _discovery(
            "kubernetes-service-endpoints",
            "endpoints",
            [_keep(_service("scrape")), _drop(_service("scrape_slow")), *_of_endpoints()],
        ),
        _discovery("kubernetes-service-endpoints-slow", "endpoints", [_keep(_service("scrape_slow")), *_of_endpoints()])
        | SLOW,
    ]


def _api_servers() -> Job:
    port = ("namespace", "service_name", "endpoint_port_name")
    keep = {
        "action": "keep",
        "regex": "default;kubernetes;https",
        "source_labels": [f"__meta_kubernetes_{label}" for label in port],
    }
    return _authenticated("kubernetes-api-servers", "endpoints", [keep])


def _nodes(name: str, path: str | None = None) -> Job:
    """Kubelets often have self-signed certificates, which the cluster's CA does not verify (Kubernetes: "Kubelet")."""
    relabelings: list[Relabeling] = [_labels("node_label")]
    if path is not None:
        relabelings.append({"source_labels": ["__metrics_path__"], "target_label": "metrics_path"})
    job = _authenticated(name, "node", relabelings)
    job["tls_config"]["insecure_skip_verify"] = True
    return job | ({"metrics_path": path} if path is not None else {})


def _authenticated(name: str, role: str, relabelings: Sequence[Relabeling]) -> Job:
    return {
        "job_name": name,
        "scheme": "https",
        "bearer_token_file": f"{ACCOUNT}/token",
        "tls_config": {"ca_file": f"{ACCOUNT}/ca.crt"},
        "kubernetes_sd_configs": [{"role": role}],
        "relabel_configs": list(relabelings),
    }


def _discovery(name: str, role: str, relabelings: Sequence[Relabeling]) -> Job:
    """With honor_labels, the labels of the target itself win over those of the discovery."""
    return {
        "job_name": name,
        "honor_labels": True,
        "kubernetes_sd_configs": [{"role": role}],
        "relabel_configs": list(relabelings),
    }


def _of_pods() -> list[Relabeling]:
    """The address is the pod's IP with the annotated port; every label of the pod becomes one of the series."""
    return [
        _replace("__scheme__", _pod("scheme"), regex="(https?)"),
        _replace("__metrics_path__", _pod("path"), regex="(.+)"),
        _replace("__address__", _pod("port"), _meta("pod_ip"), regex=IPV6, replacement="[$2]:$1"),
        _replace("__address__", _pod("port"), _meta("pod_ip"), regex=IPV4, replacement="$2:$1"),
        _labels("pod_annotation_prometheus_io_param", to="__param_$1"),
        _labels("pod_label"),
        _replace("namespace", _meta("namespace")),
        _replace("pod", _meta("pod_name")),
        _drop(_meta("pod_phase"), regex="Pending|Succeeded|Failed|Completed"),
        _replace("node", _meta("pod_node_name")),
    ]


def _of_endpoints() -> list[Relabeling]:
    return [
        _replace("__scheme__", _service("scheme"), regex="(https?)"),
        _replace("__metrics_path__", _service("path"), regex="(.+)"),
        _replace("__address__", "__address__", _service("port"), regex=r"(.+?)(?::\d+)?;(\d+)", replacement="$1:$2"),
        _labels("service_annotation_prometheus_io_param", to="__param_$1"),
        _labels("service_label"),
        _replace("namespace", _meta("namespace")),
        _replace("service", _meta("service_name")),
        _replace("node", _meta("pod_node_name")),
    ]


def _meta(label: str) -> str:
    return f"__meta_kubernetes_{label}"


def _pod(annotation: str) -> str:
    return _meta(f"pod_annotation_prometheus_io_{annotation}")


def _service(annotation: str) -> str:
    return _meta(f"service_annotation_prometheus_io_{annotation}")


def _keep(label: str) -> Relabeling:
    """Keep the targets with the value `true`; a plain true of YAML is a regular expression for Prometheus."""
    return {"action": "keep", "regex": True, "source_labels": [label]}


def _drop(label: str, regex: str | bool = True) -> Relabeling:
    return {"action": "drop", "regex": regex, "source_labels": [label]}


def _labels(prefix: str, to: str | None = None) -> Relabeling:
    """Copy every discovered label with this prefix, to a label named by the rest."""
    relabeling = {"action": "labelmap", "regex": f"{_meta(prefix)}_(.+)"}
    return relabeling | ({"replacement": to} if to is not None else {})


def _replace(target: str, *sources: str, **fields: str) -> Relabeling:
    return {"action": "replace", "source_labels": list(sources), "target_label": target, **fields}
