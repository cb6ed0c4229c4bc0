"""An API server in a dictionary, for the unit tests of the sandbox's provider."""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping
from typing import Any

from sandbox.provider import crud
from sandbox.provider.api import Api, ApiError
from sandbox.provider.cluster import Cluster
from sandbox.provider.engine import Engine
from sandbox.provider.kinds import Discovery
from sandbox.provider.kubeconfig import Connection
from sandbox.provider.settings import Settings

_KINDS = {
    "/api/v1": [("ConfigMap", "configmaps", True), ("Namespace", "namespaces", False), ("Secret", "secrets", True)],
    "/apis/ex.io/v1": [("Widget", "widgets", True), ("Planet", "planets", False)],
}


class FakeApi(Api):
    """Keeps objects by path; ``refusals`` raises instead of answering to a method."""

    def __init__(self) -> None:
        super().__init__(Connection("test", "https://test", "default"))
        self.objects: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.refusals: dict[str, Exception] = {}

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        query = dict(query or {})
        if path in _KINDS:
            return {"resources": [{"kind": k, "name": n, "namespaced": s} for k, n, s in _KINDS[path]]}
        if path == "/version":
            return {}
        self.requests.append((method, path, query))
        if method in self.refusals:
            raise self.refusals[method]
        return copy.deepcopy(self._answer(method, path, body, query))

    def _answer(self, method: str, path: str, body: Any, query: dict[str, str]) -> dict[str, Any]:
        if method == "POST":
            path = f"{path}/{body['metadata']['name']}"
            if path in self.objects:
                raise ApiError(409, "AlreadyExists", "it already exists")
            made: dict[str, Any] = copy.deepcopy(body)
            made["metadata"] |= {
                "uid": "u1",
                "managedFields": [
                    {"manager": query["fieldManager"], "operation": "Update", "fieldsV1": {"f:data": {}}}
                ],
            }
            if "dryRun" not in query:
                self.objects[path] = made
            return made
        if path not in self.objects:
            raise ApiError(404, "NotFound", "not found")
        if method == "PATCH" and isinstance(body, list):
            self.objects[path]["metadata"]["managedFields"] = body[0]["value"]
        elif method in ("PATCH", "PUT"):
            kept = self.objects[path]["metadata"]
            self.objects[path] = {**copy.deepcopy(body), "metadata": {**kept, **body["metadata"]}}
        elif method == "DELETE":
            return self.objects.pop(path)
        found: dict[str, Any] = self.objects[path]
        return found


def fake_cluster(api: FakeApi, **given: Any) -> Cluster:
    """Return a cluster with that API server and these settings."""
    cluster = Cluster(Settings(connection=api.connection, **given), Engine(None), threading.Event())
    cluster._api = api
    cluster._discovery = Discovery(api)
    return cluster


def made(cluster: Cluster, given: dict[str, Any], of: str | None = None) -> dict[str, Any]:
    """Create a resource and return its state."""
    return crud.create(cluster, of or CONFIG_MAP, given, 0, preview=False).properties


def urn(kind: str, name: str = "thing") -> str:
    """Return the URN of a resource of this kind inside a component."""
    return f"urn:pulumi:dev::p::istio-canary:x:Component$kubernetes:{kind}::{name}"


CONFIG_MAP = urn("core/v1:ConfigMap")


def config_map(**more: Any) -> dict[str, Any]:
    """Return a ConfigMap's inputs."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "named", "namespace": "ns"}, **more}
