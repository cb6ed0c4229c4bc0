"""Settings of a stack for each kind of cluster, and what they register."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from stacks.clusters import MODULES
from stacks.recording import Recorded, record
from stacks.settings.cluster import MODELS
from stacks.settings.loading import load

NETWORKS = ["198.51.100.0/24"]
GROUP = "11111111-2222-3333-4444-555555555555"
CLUSTERS: dict[str, dict[str, Any]] = {
    "existing": {"kubeconfig": "/etc/kubeconfig", "context": "staging"},
    "sandbox": {"kind": "sandbox"},
    "stackReference": {"stackReference": "organization/istio-canary/prod-cluster"},
    "minikube": {"kind": "minikube", "kubernetesVersion": "1.34.1", "driver": "docker"},
    "kind": {"kind": "kind", "kubernetesVersion": "1.34.0", "workers": 1},
    "gke": {
        "kind": "gke",
        "project": "my-project-1",
        "location": "europe-west1",
        "authorizedNetworks": NETWORKS,
        "nodes": {"min": 2, "max": 5},
        "labels": {"cost-center": "shop"},
    },
    "eks": {
        "kind": "eks",
        "region": "eu-central-1",
        "version": "1.34",
        "authorizedNetworks": NETWORKS,
        "nodes": {"min": 2, "max": 5},
        "labels": {"cost-center": "shop"},
    },
    "aks": {
        "kind": "aks",
        "location": "westeurope",
        "version": "1.34",
        "adminGroups": [GROUP],
        "authorizedNetworks": NETWORKS,
        "nodes": {"min": 2, "max": 5},
        "labels": {"cost-center": "shop"},
    },
}
assert CLUSTERS.keys() == MODELS.keys()
NODE_PORT = {"gateway": {"serviceType": "NodePort", "nodePort": 30080}}
NO_MESH = {"install": False}


def needs(kind: str) -> str:
    """The SDK that a kind needs, empty if none."""
    return MODULES.get(MODELS[kind], ("", ""))[0]


def buildable(*kinds: str) -> list[Any]:
    """Parameters for these kinds; those whose SDK is not installed are skipped."""
    return [
        pytest.param(kind, marks=pytest.mark.skipif(is_missing(kind), reason=f"{needs(kind)} is not installed"))
        for kind in kinds
    ]


def is_missing(kind: str) -> bool:
    """Whether the SDK of a kind is not installed."""
    return bool(needs(kind)) and importlib.util.find_spec(needs(kind)) is None


def registered(
    kind: str, *, preview: bool = False, stack: str = "prod", mesh: Any = NO_MESH, **changed: Any
) -> tuple[Recorded, ...]:
    """What a stack with a cluster of this kind registers, with some settings of it changed."""
    settings = load({"cluster": {**CLUSTERS[kind], **changed}, "mesh": mesh})
    return record(settings, stack, preview=preview)


def one(resources: tuple[Recorded, ...], end: str) -> Recorded:
    """The only resource whose type token ends so."""
    (found,) = [resource for resource in resources if resource.type.endswith(end)]
    return found
