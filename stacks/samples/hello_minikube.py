"""hello-minikube: one service that answers with the request that it received, and with the name of its pod.

It shows what a Deployment alone lacks, and the mesh has: retries, timeouts, circuit breaking, blue/green, canary.
"""

from __future__ import annotations

from typing import Any

IMAGE = "istio-canary/hello-minikube:1.0.0"
PORT = 8080

SETTINGS: dict[str, Any] = {
    "services": {
        "hello-minikube": {
            "namespace": "hello",
            "hosts": ["hello.localhost"],
            "port": PORT,
            "versions": {"version-1": {"name": "hello-minikube", "image": IMAGE, "port": PORT, "replicas": 1}},
            "route": [{"to": "version-1"}],
        }
    }
}
