"""Which images the pods of a service's versions run, by digest: a tag may be moved, and tells nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rollout.record import Record
from traffic.model import version_label

if TYPE_CHECKING:
    from lightkube import Client


def image_ids(client: Client, namespace: str, service: str, versions: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the imageIDs of the service's own container, by version, sorted. Raises httpx2's errors."""
    from lightkube.resources.core_v1 import Pod

    pods: list[Any] = list(client.list(Pod, namespace=namespace, labels={"app": service}))
    return {version: _of(pods, service, version_label(service, version)) for version in versions}


def moved_tags(record: Record, now: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return in words which version of a rollout runs another image `now` than when its record was written."""
    return [
        f"{one.version}: its pods run {', '.join(new)}, and ran {', '.join(one.image_ids)} when the rollout began: "
        "its image's tag was moved"
        for one in (record.from_, record.target)
        if one.image_ids and (new := [image for image in now.get(one.version, ()) if image not in one.image_ids])
    ]


def _of(pods: Iterable[Any], service: str, label: str) -> tuple[str, ...]:
    found = {
        status.imageID
        for pod in pods
        if (pod.metadata.labels or {}).get("version") == label
        for status in (pod.status.containerStatuses if pod.status else None) or ()
        if status.name == service and status.imageID
    }
    return tuple(sorted(found))
