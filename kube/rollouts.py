"""Waits until a Deployment has rolled out, which `kubectl rollout status` decides by the same numbers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

from kube.client import query
from kube.kubeconfig import ClusterAccess, ClusterUnreachableError
from kube.objects import find
from kube.pods import reasons_of_unready

if TYPE_CHECKING:
    from lightkube import Client

PAUSE = 0.2
SILENT = 30.0
"""Seconds for which an API server may not answer any more: it is slow at times, and restarted when it is upgraded."""


class RolloutTimeoutError(Exception):
    """A Deployment has not rolled out in time. Names its pods, why they are not ready, and the fix."""


def until_rolled_out(cluster: ClusterAccess, namespace: str, name: str, seconds: float, since: int = 0) -> None:
    """Return once all pods of a Deployment are new and available, and the old ones are terminating.

    Returns at once if the Deployment still has the generation `since`: it has not changed. Raises RolloutTimeoutError
    after `seconds`, and ClusterUnreachableError: at once, but of an API server that has answered after `SILENT`.
    """
    missing: str | None = ""
    deadline, answered = time.monotonic() + seconds, -inf
    while True:
        try:
            missing = query(cluster, partial(_missing, namespace=namespace, name=name, since=since))
            answered = time.monotonic()
        except ClusterUnreachableError:
            if time.monotonic() - answered > SILENT:
                raise
        if missing is None:
            return
        if time.monotonic() > deadline:
            reasons = query(cluster, lambda client: list(_reasons(client, namespace, name)))
            raise RolloutTimeoutError(
                f"the Deployment {namespace}/{name} did not roll out within {seconds:g} s (readyWithin): {missing}\n"
                + "".join(f"    {line}\n" for line in reasons)
                + "    fix:  correct the version, or raise istio-canary:readyWithin; then run the same command again"
            )
        time.sleep(PAUSE)


def _missing(client: Client, namespace: str, name: str, since: int) -> str | None:
    from lightkube.resources.apps_v1 import Deployment

    deployment: Any = find(client, Deployment, name, namespace)
    if deployment is None:
        return "it does not exist"
    return None if deployment.metadata.generation == since else missing_of(deployment)


def missing_of(deployment: Any) -> str | None:
    """Return what a Deployment lacks to have rolled out, None if it has (kubectl: DeploymentStatusViewer)."""
    status, wanted = deployment.status, deployment.spec.replicas
    if status is None or (status.observedGeneration or 0) < deployment.metadata.generation:
        return "its controller has not seen the change yet"
    updated, replicas, available = status.updatedReplicas or 0, status.replicas or 0, status.availableReplicas or 0
    if updated < wanted:
        return f"{updated} of {wanted} pods are new"
    if replicas > updated:
        return f"{replicas - updated} of {replicas} pods are old"
    if available < updated:
        return f"{available} of {updated} new pods are available"
    return None


def _reasons(client: Client, namespace: str, name: str) -> Iterator[str]:
    from lightkube.resources.apps_v1 import Deployment
    from lightkube.resources.core_v1 import Pod

    deployment: Any = find(client, Deployment, name, namespace)
    if deployment is None:
        return
    labels = dict(deployment.spec.selector.matchLabels)
    yield from reasons_of_unready(client, client.list(Pod, namespace=namespace, labels=labels))
