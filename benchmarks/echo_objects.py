"""The Kubernetes and Istio objects that the peers' services consist of, and kubectl for them.

Each peer has a namespace of its own with a Gateway, a VirtualService with one named route and two weights, and a
DestinationRule with the subsets stable and canary. The pods are those of apps/echo, with sidecars.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.builder.images import APPS_HUB, APPS_VERSION
from sandbox.layout import TOOLS, Layout

APP = "website"
"""The name of the Service, VirtualService, DestinationRule and Gateway."""
ROUTE = "primary"
"""The name of the VirtualService's route."""
_PORT = 8080
Object = dict[str, Any]


def namespace(name: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"istio-injection": "enabled"}},
    }


def pod_template(version: str, labels: Mapping[str, str]) -> Object:
    """The pods of a version: answers say `version`."""
    container = {
        "name": "echo",
        "image": f"{APPS_HUB}/echo:{APPS_VERSION}",
        "imagePullPolicy": "IfNotPresent",
        "args": arguments(version),
        "ports": [{"containerPort": _PORT}],
        "readinessProbe": {"httpGet": {"path": "/_health", "port": _PORT}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "10m", "memory": "20Mi"}},
    }
    return {
        "metadata": {"labels": {"app": APP, **labels}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
    }


def arguments(version: str) -> list[str]:
    """The container's arguments."""
    return [f"-version={version}"]


def routing(where: str, host: str, subsets: Mapping[str, Mapping[str, str]]) -> list[Object]:
    """Service, Gateway, DestinationRule and VirtualService: the first subset gets all requests."""
    stable, canary = subsets
    return [
        _object("v1", "Service", where, {"selector": {"app": APP}, "ports": [{"name": "http", "port": _PORT}]}),
        _object(
            "networking.istio.io/v1",
            "Gateway",
            where,
            {
                "selector": {"istio": "ingressgateway"},
                "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": [host]}],
            },
        ),
        _object(
            "networking.istio.io/v1",
            "DestinationRule",
            where,
            {"host": APP, "subsets": [{"name": name, "labels": dict(labels)} for name, labels in subsets.items()]},
        ),
        _object(
            "networking.istio.io/v1",
            "VirtualService",
            where,
            {
                "hosts": [host],
                "gateways": [APP],
                "http": [
                    {
                        "name": ROUTE,
                        "route": [
                            {"destination": {"host": APP, "subset": stable}, "weight": 100},
                            {"destination": {"host": APP, "subset": canary}, "weight": 0},
                        ],
                    }
                ],
            },
        ),
    ]


def _object(version: str, kind: str, where: str, spec: Object) -> Object:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": APP, "namespace": where}, "spec": spec}


@dataclass(frozen=True)
class Kubectl:
    """kubectl, or a plugin of it, for a sandbox and in one namespace; `path` is searched for plugins first."""

    sandbox: Layout
    namespace: str
    command: tuple[str, ...] = (str(TOOLS / "kubectl"),)
    path: Path | None = None

    def apply(self, objects: Sequence[Object]) -> None:
        """Create or change the objects."""
        document = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self("apply", "--server-side", "--force-conflicts", "--filename=-", given=json.dumps(document))

    def read(self, kind: str, name: str) -> Object:
        """One object."""
        found: Object = json.loads(self("get", kind, name, "--output=json"))
        return found

    def __call__(self, *words: str, given: str | None = None) -> str:
        """Run the command and return its output; raises RuntimeError with the errors when it fails."""
        command = [*self.command, *words, f"--namespace={self.namespace}"]
        environment = {**os.environ, "KUBECONFIG": str(self.sandbox.kubeconfig)}
        if self.path is not None:
            environment["PATH"] = f"{self.path}{os.pathsep}{environment['PATH']}"
        done = subprocess.run(command, env=environment, input=given, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed with exit code {done.returncode}:\n{done.stderr}")
        return done.stdout
