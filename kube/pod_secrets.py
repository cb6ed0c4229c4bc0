"""What is in the Secrets that a pod reads, so that no line about the pod shows it.

A program that fails may print its own password, and a container runtime the name of a program that it cannot start.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightkube import Client

MASK = "[secret]"
SHORTEST = 3
"""Texts of fewer characters are in every other word, as the engine of Pulumi has it for its own masks."""


class SecretsUnreadableError(Exception):
    """The Secrets that a pod reads may not be read here, so that what they hold is not known."""

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__(", ".join(names))


def secret_names(pod: Any) -> list[str]:
    """Return the names of the Secrets that the containers of a pod get variables or files from."""
    spec = pod.spec
    containers = [*(spec.initContainers or ()), *(spec.containers or ())] if spec else []
    names = [*_of_containers(containers), *_of_volumes(spec.volumes or () if spec else ())]
    return list(dict.fromkeys(name for name in names if name))


def secret_texts(client: Client, pod: Any) -> list[str]:
    """Return the texts in the Secrets of a pod, the longest first; one that does not exist has none.

    Raises SecretsUnreadableError if this user may not read them.
    """
    from lightkube import ApiError
    from lightkube.resources.core_v1 import Secret

    names = secret_names(pod)
    found: list[str] = []
    for name in names:
        try:
            secret: Any = client.get(Secret, name, namespace=pod.metadata.namespace)
        except ApiError as error:
            if error.status.code == 404:
                continue
            raise SecretsUnreadableError(names) from None
        found += (base64.b64decode(value).decode(errors="replace") for value in (secret.data or {}).values())
    lines = (line.strip() for text in found for line in (text, *text.splitlines()))
    return sorted({line for line in lines if len(line) >= SHORTEST}, key=len, reverse=True)


def masked(line: str, texts: Iterable[str]) -> str:
    """Return a line with `[secret]` in place of each of the texts."""
    for text in texts:
        line = line.replace(text, MASK)
    return line


def _of_containers(containers: Iterable[Any]) -> Iterator[str | None]:
    for container in containers:
        for variable in container.env or ():
            source = variable.valueFrom and variable.valueFrom.secretKeyRef
            yield source.name if source else None
        for every in container.envFrom or ():
            yield every.secretRef.name if every.secretRef else None


def _of_volumes(volumes: Iterable[Any]) -> Iterator[str | None]:
    for volume in volumes:
        yield volume.secret.secretName if volume.secret else None
        for source in (volume.projected.sources or ()) if volume.projected else ():
            yield source.secret.name if source.secret else None
