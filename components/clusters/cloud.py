"""What the clusters of all clouds are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

WEBHOOK_PORT = 15017
"""The port of istiod's pods at which its webhooks are served (Istio: "Application Requirements")."""


@dataclass(frozen=True, kw_only=True)
class CloudArgs:
    """A cluster's name, the networks whose callers may ask its API server, the least and greatest number of nodes,
    their machine (None for one with 4 CPUs and 16 GiB) and disk in GB, whether the cloud refuses to delete it, and the
    labels of everything that bills show.
    """

    cluster_name: str
    authorized_networks: Sequence[str]
    min_nodes: int = 1
    max_nodes: int = 3
    machine_type: str | None = None
    disk_size: int = 100
    deletion_protection: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)
