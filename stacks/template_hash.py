"""What makes a version a release of its own: a hash of its pod template as the stack's settings have it."""

from __future__ import annotations

from stacks.settings.model import Settings


def template_hash(settings: Settings, service: str, version: str) -> str:
    """Return the hash of what the pods of a version of loaded settings are: image, arguments, files, variables, …

    Neither numbers of pods (replicas, autoscaling, disruption budget) nor how pods are replaced count, and nothing that
    the mesh or telemetry adds to all pods. Secrets count by what is encrypted, and by their names. Raises KeyError if
    the stack does not deploy the version.
    """
    raise NotImplementedError
