"""Builds the Kubernetes arguments of a workload from plain fields.

Values equal to Kubernetes' default are omitted: the API server drops empty and zero values, so every update would show
a diff.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import pulumi_kubernetes as k8s

T = TypeVar("T")


def args_of(args: Callable[..., T], fields: Mapping[str, Any]) -> T | None:
    """Return `args(**fields)`, with field names as in the Python SDK; None if there are no fields."""
    return args(**fields) if fields else None


def security_context(
    *, add: Sequence[str], drop: Sequence[str], seccomp_profile: str, **fields: Any
) -> k8s.core.v1.SecurityContextArgs:
    """Return a container's security context with all fields set, since the defaults here differ from Kubernetes'.

    These fields are pointers in Kubernetes' API, so the API server keeps 0 and false, and drops only empty lists.
    """
    capabilities = k8s.core.v1.CapabilitiesArgs(add=list(add) or None, drop=list(drop) or None)
    return k8s.core.v1.SecurityContextArgs(
        capabilities=capabilities if add or drop else None,
        seccomp_profile=k8s.core.v1.SeccompProfileArgs(type=seccomp_profile),
        **fields,
    )


def deployment_strategy(
    type_: str, max_surge: int | str | None = None, max_unavailable: int | str | None = None
) -> k8s.apps.v1.DeploymentStrategyArgs:
    """Return a Deployment's strategy; the limits apply only to the type RollingUpdate."""
    if type_ != "RollingUpdate":
        return k8s.apps.v1.DeploymentStrategyArgs(type=type_)
    rolling_update = k8s.apps.v1.RollingUpdateDeploymentArgs(max_surge=max_surge, max_unavailable=max_unavailable)
    return k8s.apps.v1.DeploymentStrategyArgs(type=type_, rolling_update=rolling_update)
