"""Kinds: their names in Pulumi, where their objects live in the API, and which of them have a namespace."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.provider.api import Api, ApiError

# The API groups that Kubernetes itself brings; any other is a custom resource's or an aggregated API's.
BUILT_IN_GROUPS = frozenset(
    {
        "",
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "apps",
        "auditregistration.k8s.io",
        "autoscaling",
        "batch",
        "certificates.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "events.k8s.io",
        "extensions",
        "flowcontrol.apiserver.k8s.io",
        "networking.k8s.io",
        "node.k8s.io",
        "policy",
        "rbac.authorization.k8s.io",
        "resource.k8s.io",
        "scheduling.k8s.io",
        "storage.k8s.io",
        "storagemigration.k8s.io",
    }
)
CLUSTER_SCOPED = frozenset(
    {
        "APIService",
        "CertificateSigningRequest",
        "ClusterRole",
        "ClusterRoleBinding",
        "ClusterTrustBundle",
        "ComponentStatus",
        "CSIDriver",
        "CSINode",
        "CustomResourceDefinition",
        "DeviceClass",
        "DeviceTaintRule",
        "FlowSchema",
        "IngressClass",
        "IPAddress",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
        "MutatingWebhookConfiguration",
        "Namespace",
        "Node",
        "PersistentVolume",
        "PriorityClass",
        "PriorityLevelConfiguration",
        "ResourceSlice",
        "RuntimeClass",
        "ServiceCIDR",
        "StorageClass",
        "StorageVersionMigration",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
        "VolumeAttachment",
        "VolumeAttributesClass",
    }
)


class NoSuchKindError(Exception):
    """The API server has no such kind: its CustomResourceDefinition is not there (yet)."""


class UnknownTypeError(Exception):
    """A resource type that is no kind of Kubernetes."""


@dataclass(frozen=True)
class Kind:
    """Group, version and name of a kind."""

    group: str
    version: str
    name: str

    @property
    def api_version(self) -> str:
        """The ``apiVersion`` of its objects."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def built_in(self) -> bool:
        """Kubernetes itself defines it."""
        return self.group in BUILT_IN_GROUPS

    def __str__(self) -> str:
        return f"{self.api_version}/{self.name}"


def kind_of(obj: Mapping[str, Any]) -> Kind:
    """Return the kind that ``obj`` says it is of."""
    group, _, version = str(obj.get("apiVersion") or "").rpartition("/")
    return Kind("" if group == "core" else group, version, str(obj.get("kind") or ""))


def kind_of_type(token: str) -> Kind:
    """Return the kind of a resource type such as ``kubernetes:apps/v1:Deployment``; raise ``UnknownTypeError``."""
    package, _, rest = token.partition(":")
    module, _, name = rest.rpartition(":")
    group, slash, version = module.rpartition("/")
    if package != "kubernetes" or not name or not slash:
        raise UnknownTypeError(f"the sandbox's provider has no resource type {token!r}")
    return Kind("" if group == "core" else group, version, name)


def type_of_urn(urn: str) -> str:
    """Return the resource's own type of a URN (without its parents' types)."""
    parts = urn.split("::")
    return parts[2].rsplit("$", 1)[-1] if len(parts) > 2 else ""


def name_of_urn(urn: str) -> str:
    """Return the resource's name of a URN."""
    return urn.split("::", 3)[-1]


def is_patch(urn: str, kind: str) -> bool:
    """Say whether the resource patches an object that somebody else made (NamespacePatch, ...)."""
    name = type_of_urn(urn).rpartition(":")[2]
    return bool(kind) and name == f"{kind}Patch"


def is_list(urn: str) -> bool:
    """Say whether the type is a list of built-in objects (ConfigMapList, ...)."""
    token = type_of_urn(urn)
    try:
        kind = kind_of_type(token)
    except UnknownTypeError:
        return False
    return kind.built_in and kind.name.endswith("List")


def is_custom_resource_definition(obj: Mapping[str, Any]) -> bool:
    """Say whether ``obj`` is a CustomResourceDefinition."""
    return obj.get("kind") == "CustomResourceDefinition" and kind_of(obj).group == "apiextensions.k8s.io"


class Discovery:
    """What the API server serves, asked once a group and version and kept; see "API Discovery" of Kubernetes."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._lock = threading.Lock()
        self._served: dict[str, dict[str, tuple[str, bool]]] = {}

    def forget(self) -> None:
        """Ask again for everything: a CustomResourceDefinition came."""
        with self._lock:
            self._served.clear()

    def namespaced(self, kind: Kind) -> bool:
        """Say whether objects of ``kind`` have a namespace; raise ``NoSuchKindError``."""
        if kind.built_in:
            return kind.name not in CLUSTER_SCOPED
        return self._resource(kind)[1]

    def exists(self, kind: Kind) -> bool:
        """Say whether the API server serves ``kind``."""
        try:
            self._resource(kind)
        except NoSuchKindError:
            return False
        return True

    def path(self, obj: Mapping[str, Any], with_name: bool = True) -> str:
        """Return the path of ``obj``, or of all of its kind in its namespace; raise ``NoSuchKindError``."""
        kind = kind_of(obj)
        plural, namespaced = self._resource(kind)
        metadata = obj.get("metadata") or {}
        root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
        scope = f"/namespaces/{metadata.get('namespace') or 'default'}" if namespaced else ""
        return f"{root}{scope}/{plural}" + (f"/{metadata['name']}" if with_name else "")

    def _resource(self, kind: Kind) -> tuple[str, bool]:
        with self._lock:
            served = self._served.get(kind.api_version)
        if served is None or kind.name not in served:
            served = self._ask(kind)
            with self._lock:
                self._served[kind.api_version] = served
        if kind.name not in served:
            raise NoSuchKindError(f"the API server has no kind {kind.name!r} in {kind.api_version!r}")
        return served[kind.name]

    def _ask(self, kind: Kind) -> dict[str, tuple[str, bool]]:
        root = "/apis" if kind.group else "/api"
        try:
            listing = self._api.get(f"{root}/{kind.api_version}")
        except ApiError as error:
            if error.not_found:
                return {}
            raise
        return {
            item["kind"]: (item["name"], bool(item.get("namespaced")))
            for item in listing.get("resources", [])
            if "/" not in item["name"]
        }
