"""What makes a version a release of its own: a hash of its pod template as the stack's settings have it."""

from __future__ import annotations

import hashlib
import json

from stacks.settings.model import Settings

NOT_OF_PODS = {
    "name", "replicas", "autoscaling", "pod_disruption_budget", "strategy", "min_ready_seconds", "ports",
    "traffic_policy",
}  # fmt: skip
"""What a version has beside its pods: numbers of pods, how they are replaced, and how callers connect to them."""


def template_hash(settings: Settings, service: str, version: str) -> str:
    """Return the hash of what the pods of a version of loaded settings are: image, arguments, files, variables, …

    Neither numbers of pods (replicas, autoscaling, disruption budget) nor how pods are replaced count, and nothing that
    the mesh or telemetry adds to all pods: the release is the same then. Secrets count by what is encrypted, and by
    their names. Raises KeyError if the stack does not deploy the version.
    """
    of_service = settings.services[service]
    given = of_service.deployed[version]
    pods = {
        "template": given.model_dump(mode="json", by_alias=True, exclude=NOT_OF_PODS, exclude_defaults=True),
        "ports": of_service.container_ports(version),
        "account": of_service.service_account.name,
    }
    return hashlib.sha256(json.dumps(pods, sort_keys=True).encode()).hexdigest()[:16]
