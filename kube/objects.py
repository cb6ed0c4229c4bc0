"""Reads objects of any kind from the API server."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightkube import Client

FEW_NAMESPACES = 20
"""Up to this many namespaces are read one by one, which needs no rights in others; more are read in one request."""
ANY_NAMESPACE = "*"


def kind_of(api_version: str, kind: str, *, namespaced: bool = True, plural: str | None = None) -> Any:
    """Return lightkube's resource class for a kind: its own for Kubernetes' kinds, else a generic one.

    A second class for a kind that lightkube has would be refused.
    """
    from lightkube.codecs import resource_registry
    from lightkube.core.exceptions import LoadResourceError

    try:
        return resource_registry.load(api_version, kind)
    except LoadResourceError:
        return _generic(api_version, kind, namespaced, plural or plural_of(kind))


def custom_resource_definitions() -> Any:
    """Return a generic resource class for CustomResourceDefinition, whose objects are mappings."""
    return _generic("apiextensions.k8s.io/v1", "CustomResourceDefinition", False, "customresourcedefinitions")


def _generic(api_version: str, kind: str, namespaced: bool, plural: str) -> Any:
    from lightkube.generic_resource import create_global_resource, create_namespaced_resource

    group, _, version = api_version.rpartition("/")
    create = create_namespaced_resource if namespaced else create_global_resource
    return create(group, version, kind, plural)


def find(client: Client, resource: Any, name: str, namespace: str | None = None) -> Any:
    """Return an object, or None if it or its kind does not exist."""
    import httpx2

    try:
        return client.get(resource, name, **({"namespace": namespace} if namespace else {}))
    except httpx2.HTTPStatusError as error:  # also ApiError; the 404 of an unknown kind has no Status object
        if error.response.status_code == 404:
            return None
        raise


def find_object(client: Client, api_version: str, kind: str, namespace: str, name: str) -> Mapping[str, Any] | None:
    """Return an object as a mapping, or None; `namespace` is empty for cluster-scoped kinds."""
    live = find(client, kind_of(api_version, kind, namespaced=bool(namespace)), name, namespace or None)
    return None if live is None else dict(live.to_dict())


def list_in(client: Client, resource: Any, namespaces: Set[str]) -> list[Any]:
    """Return the objects of a kind in `namespaces`; empty if the API server does not know the kind."""
    import httpx2

    queried = sorted(namespaces) if len(namespaces) <= FEW_NAMESPACES else [ANY_NAMESPACE]
    try:
        found = [item for namespace in queried for item in client.list(resource, namespace=namespace)]
    except httpx2.HTTPStatusError as error:
        if error.response.status_code == 404:
            return []
        raise
    return [item for item in found if item.metadata.namespace in namespaces]


def plural_of(kind: str) -> str:
    """Return the plural resource name of a kind, such as `virtualservices`."""
    word = kind.lower()
    if word.endswith(("s", "x")):
        return f"{word}es"
    if word.endswith("y") and word[-2] not in "aeiou":
        return f"{word[:-1]}ies"
    return f"{word}s"
