"""Helm's records of a release: one Secret per revision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightkube import Client

HELM_LABELS = {"owner": "helm"}
UNFINISHED = ("pending-install", "pending-upgrade", "pending-rollback")


def is_deployed(client: Client, namespace: str, name: str) -> bool:
    """Return whether a release is deployed, after removing revisions that a killed Helm left unfinished.

    Helm refuses to install or upgrade a release whose last revision is pending ("another operation is in progress").
    Without the Secret of that revision, it adopts what is in the cluster and continues.
    """
    from lightkube.resources.core_v1 import Secret

    found = list(client.list(Secret, namespace=namespace, labels={**HELM_LABELS, "name": name}))
    revisions = sorted(found, key=lambda secret: int(_labels(secret).get("version", "0")))
    while revisions:
        status = _labels(revisions[-1]).get("status")
        if status not in UNFINISHED and not (status == "failed" and len(revisions) == 1):
            return True
        metadata = revisions.pop().metadata
        assert metadata is not None  # the API server gives every object its metadata
        client.delete(Secret, str(metadata.name), namespace=namespace)
    return False


def _labels(resource: Any) -> dict[str, str]:
    return resource.metadata.labels or {}
