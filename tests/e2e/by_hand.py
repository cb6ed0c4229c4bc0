"""A canary that was written by hand: what a stack takes over, or sends a share to."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.tools import Cluster

ECHO = "istio-canary/echo:1.0.0"
PORT = 8080
Manifest = dict[str, Any]


def namespace(name: str, *, sidecars: bool = True) -> Manifest:
    """A namespace, with the label for sidecars or without."""
    labels = {"istio-injection": "enabled"} if sidecars else {}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def deployment(place: str, name: str, labels: dict[str, str]) -> Manifest:
    """Two pods that answer with the Deployment's name as their version; their port has no name."""
    container = {
        "name": "echo",
        "image": ECHO,
        "imagePullPolicy": "IfNotPresent",
        "args": [f"-listen=:{PORT}", f"-version={name}"],
        "ports": [{"containerPort": PORT}],
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
    }
    spec = {
        "replicas": 2,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
    }
    return _object("apps/v1", "Deployment", place, name, spec)


def service(place: str, name: str, selector: dict[str, str], port: int = 80) -> Manifest:
    """A Service whose port has a name of its own."""
    ports = [{"name": "http-web", "port": port, "targetPort": PORT}]
    return _object("v1", "Service", place, name, {"selector": selector, "ports": ports})


def routing(place: str, name: str, host: str, weights: dict[str, int]) -> list[Manifest]:
    """DestinationRule, Gateway and VirtualService with short names, as people write them."""
    subsets = [{"name": version, "labels": {"version": version}} for version in weights]
    server = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": [host]}
    routes = [
        {"destination": {"host": name, "subset": version}, "weight": weight} for version, weight in weights.items()
    ]
    return [
        _object("networking.istio.io/v1", "DestinationRule", place, name, {"host": name, "subsets": subsets}),
        _object("networking.istio.io/v1", "Gateway", place, "by-hand",
                {"selector": {"istio": "ingressgateway"}, "servers": [server]}),
        _object("networking.istio.io/v1", "VirtualService", place, name,
                {"hosts": [host], "gateways": ["by-hand"], "http": [{"route": routes}]}),
    ]  # fmt: skip


def apply(cluster: Cluster, *manifests: Manifest) -> None:
    """kubectl apply, until the Deployments have rolled out."""
    for manifest in manifests:
        cluster.kubectl("apply", "--filename=-", stdin=json.dumps(manifest))
    for manifest in manifests:
        if manifest["kind"] == "Deployment":
            metadata = manifest["metadata"]
            place = f"--namespace={metadata['namespace']}"
            cluster.kubectl("rollout", "status", f"deployment/{metadata['name']}", place, "--timeout=90s")


def _object(api_version: str, kind: str, place: str, name: str, spec: dict[str, Any]) -> Manifest:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": place}, "spec": spec}
