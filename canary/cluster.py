"""What the commands ask the cluster for, beside the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightkube import Client

HELM_LABELS = {"owner": "helm"}
UNFINISHED = ("pending-install", "pending-upgrade", "pending-rollback")


@dataclass(frozen=True)
class LiveCluster:
    """The cluster behind a client; raises lightkube's errors."""

    client: Client

    def find(self, api_version: str, kind: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        """Return an object as the API server has it, or None where there is none, or no such kind."""
        import httpx2
        from lightkube.generic_resource import create_global_resource, create_namespaced_resource

        group, _, version = api_version.rpartition("/")
        make = create_namespaced_resource if namespace else create_global_resource
        resource: Any = make(group, version, kind, plural(kind))
        try:
            live: Any = self.client.get(resource, name, **({"namespace": namespace} if namespace else {}))
        except httpx2.HTTPStatusError as error:  # ApiError is one; an unknown kind's 404 has no status of Kubernetes'
            if error.response.status_code == 404:
                return None
            raise
        return dict(live.to_dict())

    def release_is_deployed(self, namespace: str, name: str) -> bool:
        """Whether a Helm release is there and whole; revisions that a killed helm left half done are removed.

        Helm refuses to install or upgrade a release whose last revision is pending ("another operation is in
        progress"); without that revision's Secret it takes what is in the cluster as its own and goes on.
        """
        from lightkube.resources.core_v1 import Secret

        found = list(self.client.list(Secret, namespace=namespace, labels={**HELM_LABELS, "name": name}))
        revisions = sorted(found, key=lambda secret: int(_labels(secret).get("version", "0")))
        while revisions:
            status = _labels(revisions[-1]).get("status")
            if status not in UNFINISHED and not (status == "failed" and len(revisions) == 1):
                return True
            metadata = revisions.pop().metadata
            assert metadata is not None  # the API server gives every object its metadata
            self.client.delete(Secret, str(metadata.name), namespace=namespace)
        return False


def plural(kind: str) -> str:
    """Return the resource name of a kind, as Kubernetes and Istio form it: `virtualservices`, `gateways`."""
    word = kind.lower()
    if word.endswith(("s", "x")):
        return f"{word}es"
    if word.endswith("y") and word[-2] not in "aeiou":
        return f"{word[:-1]}ies"
    return f"{word}s"


def _labels(resource: Any) -> dict[str, str]:
    return resource.metadata.labels or {}
