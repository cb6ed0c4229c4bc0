"""The CPU of pods as an autoscaler asks for it: an API service `metrics.k8s.io` that answers what a test wants.

The sandbox has no metrics-server. An autoscaler without metrics does not scale down, and would prove nothing.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.e2e.certificates import Authority
from tests.e2e.tools import Cluster

GROUP, VERSION = "metrics.k8s.io", "v1beta1"
ROOT = f"/apis/{GROUP}/{VERSION}"
NAME = f"{VERSION}.{GROUP}"


@dataclass
class PodsMetrics:
    """What every pod uses; `asked` counts the looks of autoscalers."""

    cluster: Cluster
    millicores: int = 0
    asked: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, path: str) -> Any:
        """Return the answer to a GET; None: there is nothing."""
        parts = urlsplit(path)
        if parts.path == ROOT:
            pods = {"name": "pods", "singularName": "", "namespaced": True, "kind": "PodMetrics", "verbs": ["list"]}
            return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{GROUP}/{VERSION}",
                    "resources": [pods]}  # fmt: skip
        words = parts.path.removeprefix(f"{ROOT}/namespaces/").split("/")
        if len(words) != 2 or words[1] != "pods":
            return None
        with self._lock:
            self.asked += 1
        selector = parse_qs(parts.query).get("labelSelector", [""])[0]
        found = self.cluster.get("pods", f"--namespace={words[0]}", f"--selector={selector}")["items"]
        return {"kind": "PodMetricsList", "apiVersion": f"{GROUP}/{VERSION}", "metadata": {},
                "items": [self._of(pod) for pod in found]}  # fmt: skip

    def _of(self, pod: Any) -> dict[str, Any]:
        containers = [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]
        usage = {"cpu": f"{self.millicores}m", "memory": "10Mi"}
        return {
            "metadata": {key: pod["metadata"][key] for key in ("name", "namespace", "labels")},
            # An autoscaler does not count what was measured before a pod was ready, and a window more.
            "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
            "window": "1s",
            "containers": [{"name": one["name"], "usage": usage} for one in containers],
        }


@contextmanager
def pods_metrics(cluster: Cluster, namespace: str, folder: Path) -> Iterator[PodsMetrics]:
    """Serve the metrics of the cluster's pods while the block runs; `namespace` gets the Service of the API."""
    metrics = PodsMetrics(cluster)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found = metrics.answer(self.path)
            body = json.dumps(found).encode()
            self.send_response(200 if found is not None else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Do not log requests."""

    address = cluster.layout.host_link_ip
    with ThreadingHTTPServer((address, 0), Handler) as server:
        server.socket = _tls(folder).wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=[0.05], daemon=True)
        thread.start()
        try:
            for manifest in _manifests(namespace, address, server.server_port):
                cluster.kubectl("apply", "--filename=-", stdin=json.dumps(manifest))
            cluster.kubectl("wait", "--for=condition=Available", f"apiservice/{NAME}", "--timeout=30s")
            yield metrics
        finally:
            cluster.kubectl("delete", "apiservice", NAME, "--ignore-not-found")
            cluster.kubectl("delete", "service", "pods-metrics", f"--namespace={namespace}", "--ignore-not-found")
            server.shutdown()
            thread.join()


def _tls(folder: Path) -> ssl.SSLContext:
    pair = Authority("metrics").certificate("pods-metrics")
    file = folder / "metrics.pem"
    file.write_bytes(pair["tls.key"] + pair["tls.crt"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def _manifests(namespace: str, address: str, port: int) -> list[dict[str, Any]]:
    metadata = {"name": "pods-metrics", "namespace": namespace}
    labels = {"kubernetes.io/service-name": "pods-metrics"}
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata,
         "spec": {"ports": [{"name": "https", "port": 443, "targetPort": port}]}},
        {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {**metadata, "labels": labels},
         "addressType": "IPv4", "ports": [{"name": "https", "port": port}],
         "endpoints": [{"addresses": [address], "conditions": {"ready": True}}]},
        {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": NAME},
         "spec": {"group": GROUP, "version": VERSION, "groupPriorityMinimum": 100, "versionPriority": 100,
                  "insecureSkipTLSVerify": True, "service": {"name": "pods-metrics", "namespace": namespace}}},
    ]  # fmt: skip
