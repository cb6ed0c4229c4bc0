"""How many pods a version has at least, as given: by `replicas`, or by `autoscaling`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stacks.checks.view import block, default_of, is_count
from stacks.settings.autoscaling import Autoscaling
from stacks.settings.model import VersionSettings


def least_pods(given: Mapping[str, Any]) -> int | None:
    """Return the least number of pods of a version; None if somebody else decides about it, or if it is malformed."""
    if given.get("autoscaling") is not None:
        pods = block(given["autoscaling"]).get("minReplicas", default_of(Autoscaling, "minReplicas"))
    else:
        pods = given.get("replicas", default_of(VersionSettings, "replicas"))
    return pods if is_count(pods) else None


def key_of_count(given: Mapping[str, Any]) -> str:
    """Return the key that says the least number of pods."""
    return "minReplicas" if given.get("autoscaling") is not None else "replicas"
