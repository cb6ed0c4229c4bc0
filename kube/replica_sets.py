"""What a Deployment ran before: its ReplicaSets, of which Kubernetes keeps the last ten (Kubernetes: "Deployments")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kube.objects import find

if TYPE_CHECKING:
    from lightkube import Client

REVISION = "deployment.kubernetes.io/revision"
"""Annotation of a ReplicaSet: the number of its Deployment's revision."""


@dataclass(frozen=True)
class Revision:
    """A revision of a Deployment, and the image that its container ran."""

    number: int
    image: str


def revisions(client: Client, namespace: str, deployment: str, container: str) -> tuple[Revision, ...]:
    """Return the revisions of a Deployment, the newest first; none if it does not exist."""
    from lightkube.resources.apps_v1 import Deployment, ReplicaSet

    found: Any = find(client, Deployment, deployment, namespace)
    if found is None:
        return ()
    labels = dict(found.spec.selector.matchLabels or {})
    sets: list[Any] = list(client.list(ReplicaSet, namespace=namespace, labels=labels))
    owned = [one for one in sets if _is_owned(one, found.metadata.uid)]
    numbered = [Revision(_number(one), _image(one, container)) for one in owned]
    return tuple(sorted(numbered, key=lambda revision: revision.number, reverse=True))


def _is_owned(replica_set: Any, uid: str) -> bool:
    return any(owner.uid == uid for owner in replica_set.metadata.ownerReferences or ())


def _number(replica_set: Any) -> int:
    return int((replica_set.metadata.annotations or {}).get(REVISION, 0))


def _image(replica_set: Any, container: str) -> str:
    containers = replica_set.spec.template.spec.containers
    return next((str(one.image) for one in containers if one.name == container), "")
