"""An API server in memory, for lightkube's own client: resourceVersions and the owners of fields as the real one has.

It knows ConfigMaps, Leases and Istio's objects, of which every list is owned as a whole. What it does was seen on an
API server 1.36 with Istio's CRDs; tests/e2e/test_route_ownership.py has the same sequences on a real one.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import httpx2
from lightkube import Client, KubeConfig
from lightkube.config.models import Cluster, User

from tests.unit.rollout.managed_fields import AppliedFields, applied, updated

LIMIT = 1024 * 1024
Key = tuple[str, str, str]
"""Plural, namespace, name."""


class RefusedError(Exception):
    """An answer other than 200."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        self.code, self.reason, self.message = code, reason, message
        super().__init__(message)


class ApiServer:
    """`client` speaks to it. A test may set what it says: its clock, and admission webhooks.

    `denies` returns why a write of an object (before, after) is denied, None if it is not; `mutates` changes objects
    before they are stored; `before` is called once, at the next write, before it is served: somebody who is faster.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.objects: dict[Key, dict[str, Any]] = {}
        self.now = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)
        self.has_date = True
        self.denies: Callable[[Mapping[str, Any] | None, Mapping[str, Any]], str | None] = lambda before, after: None
        self.mutates: Callable[[dict[str, Any]], None] = lambda item: None
        self.before: Callable[[], None] | None = None
        self.forbidden: set[str] = set()
        """Verbs that the client has no right to: `list`, or of one kind alone `get leases`."""
        self.writes = 0
        self._versions = 100
        self.client = self.connect()

    def connect(self) -> Client:
        """Another client of this API server: requests are served one at a time."""
        config = KubeConfig.from_one(cluster=Cluster(server="http://api.invalid"), user=User()).get()
        return Client(config=config, transport=httpx2.MockTransport(self._answer), trust_env=False)

    def get(self, plural: str, namespace: str, name: str) -> dict[str, Any]:
        """Return a copy of an object."""
        return copy.deepcopy(self.objects[plural, namespace, name])

    def update(self, plural: str, namespace: str, name: str, manager: str, change: Callable[[Any], None]) -> None:
        """Change an object as `kubectl edit` does."""
        live = self.objects[plural, namespace, name]
        item = copy.deepcopy(live)
        change(item)
        self._store((plural, namespace, name), live, updated(live, item, manager))

    def apply(self, plural: str, body: dict[str, Any], manager: str, *, force: bool = False) -> None:
        """Apply as `kubectl apply --server-side` does; raises RefusedError."""
        metadata = body["metadata"]
        self._apply((plural, metadata["namespace"], metadata["name"]), body, manager, force)

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        headers = {"Date": format_datetime(self.now, usegmt=True)} if self.has_date else {}
        try:
            with self._lock:
                return httpx2.Response(200, json=self._serve(request), headers=headers)
        except RefusedError as error:
            status = {"kind": "Status", "code": error.code, "reason": error.reason, "message": error.message}
            return httpx2.Response(error.code, json=status, headers=headers)

    def _serve(self, request: httpx2.Request) -> Any:
        namespace, plural, name = _place(request.url.path)
        verb = {"GET": "get", "POST": "create", "PATCH": "patch", "DELETE": "delete"}[request.method]
        if self.forbidden & {verb, f"{verb} {plural}"}:
            raise RefusedError(403, "Forbidden", _no_right(verb, plural, namespace, name))
        key = (plural, namespace, name)
        if verb == "get":
            return self._found(key) if name else {"items": list(self._listed(plural, namespace, request))}
        if self.before is not None:
            faster, self.before = self.before, None
            faster()
        if verb == "delete":
            self._found(key)
            del self.objects[key]
            return {}
        body, manager = json.loads(request.content), request.url.params.get("fieldManager", "unknown")
        if verb == "create":
            return self._create((plural, namespace, body["metadata"]["name"]), body, manager)
        return self._patch(key, request, body, manager)

    def _patch(self, key: Key, request: httpx2.Request, body: Any, manager: str) -> dict[str, Any]:
        kind = request.headers["Content-Type"]
        if kind == "application/apply-patch+yaml":
            return self._apply(key, body, manager, request.url.params.get("force") == "true")
        live = self._found(key)
        item = copy.deepcopy(live)
        if kind == "application/merge-patch+json":
            _merge(item, body)
        else:
            for operation in body:
                _replace(item, operation)
        self._require_version(key, live, item["metadata"]["resourceVersion"])
        return self._store(key, live, updated(live, item, manager))

    def _apply(self, key: Key, body: dict[str, Any], manager: str, force: bool) -> dict[str, Any]:
        live, metadata = self.objects.get(key), body["metadata"]
        if live is None:
            if "uid" in metadata:
                raise self._conflict(key, f"uid mismatch: the provided object specified uid {metadata['uid']}")
        else:
            if metadata.get("uid") not in (None, live["metadata"]["uid"]):
                raise RefusedError(422, "Invalid", "metadata.uid: Invalid value: field is immutable")
            self._require_version(key, live, metadata.get("resourceVersion", live["metadata"]["resourceVersion"]))
        result: AppliedFields = applied(live, body, manager)
        if result.conflicts and not force:
            raise RefusedError(
                409, "Conflict", f"Apply failed with {len(result.conflicts)} conflict: {result.conflicts[0]}"
            )
        return self._store(key, live, result.item)

    def _create(self, key: Key, body: dict[str, Any], manager: str) -> dict[str, Any]:
        if key in self.objects:
            raise RefusedError(409, "AlreadyExists", f'{key[0]} "{key[2]}" already exists')
        return self._store(key, None, updated(None, body, manager))

    def _store(self, key: Key, live: dict[str, Any] | None, item: dict[str, Any]) -> dict[str, Any]:
        self.mutates(item)
        denied = self.denies(live, item)
        if denied is not None:
            raise RefusedError(403, "Forbidden", f'admission webhook "guard.example.com" denied the request: {denied}')
        self._validate(key, live, item)
        self.writes += 1
        if item == live:
            return item  # a write of what is there already changes nothing
        self._versions += 1
        metadata = item["metadata"]
        metadata["resourceVersion"] = str(self._versions)
        if live is None:
            metadata |= {"uid": f"uid-{self._versions}", "generation": 1}
        elif live.get("spec") != item.get("spec"):
            metadata["generation"] += 1
        self.objects[key] = item
        return copy.deepcopy(item)

    def _validate(self, key: Key, live: Mapping[str, Any] | None, item: Mapping[str, Any]) -> None:
        contents = [item.get(part) or {} for part in ("data", "binaryData")]
        if (
            live is not None
            and live.get("immutable")
            and contents != [live.get(p) or {} for p in ("data", "binaryData")]
        ):
            raise RefusedError(422, "Invalid", "data: Forbidden: field is immutable when `immutable` is set")
        size = sum(len(text) for text in contents[0].values()) + sum(len(b64) * 3 // 4 for b64 in contents[1].values())
        if key[0] == "configmaps" and size > LIMIT:
            raise RefusedError(422, "Invalid", f"Too long: may not be more than {LIMIT} bytes")
        for field in ("renewTime", "acquireTime"):
            text = (item.get("spec") or {}).get(field)
            if text is not None:
                datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ")

    def _found(self, key: Key) -> dict[str, Any]:
        if key not in self.objects:
            raise RefusedError(404, "NotFound", f'{key[0]} "{key[2]}" not found')
        return copy.deepcopy(self.objects[key])

    def _listed(self, plural: str, namespace: str, request: httpx2.Request) -> Iterator[dict[str, Any]]:
        selector = request.url.params.get("labelSelector", "")
        wanted = [tuple(pair.split("=")) for pair in selector.split(",") if pair]  # without a value: any one
        for (kind, place, _), item in sorted(self.objects.items()):
            labels = item["metadata"].get("labels") or {}
            if (kind, place) == (plural, namespace) and all(
                labels.get(pair[0]) == pair[1] if pair[1:] else pair[0] in labels for pair in wanted
            ):
                yield copy.deepcopy(item)

    def _require_version(self, key: Key, live: Mapping[str, Any], version: str) -> None:
        if version != live["metadata"]["resourceVersion"]:
            raise self._conflict(key, "the object has been modified; please apply your changes to the latest version")

    def _conflict(self, key: Key, why: str) -> RefusedError:
        return RefusedError(409, "Conflict", f'Operation cannot be fulfilled on {key[0]} "{key[2]}": {why}')


def _place(path: str) -> tuple[str, str, str]:
    """Namespace, plural and name, which is empty for the whole kind; a namespace itself is in none."""
    namespace, *rest = path.partition("/namespaces/")[2].split("/")
    if not rest:
        return "", "namespaces", namespace
    plural, *name = rest
    return namespace, plural, "".join(name)


def _no_right(verb: str, plural: str, namespace: str, name: str) -> str:
    what = f'cannot {verb} resource "{plural}" in API group "networking.istio.io" in the namespace "{namespace}"'
    return f'{plural} "{name}" is forbidden: User "somebody" {what}'


def _merge(item: dict[str, Any], patch: Mapping[str, Any]) -> None:
    """RFC 7386."""
    for key, value in patch.items():
        if value is None:
            item.pop(key, None)
        elif isinstance(value, dict):
            _merge(item.setdefault(key, {}), value)
        else:
            item[key] = value


def _replace(item: dict[str, Any], operation: Mapping[str, Any]) -> None:
    """The only operation of RFC 6902 that is needed here."""
    assert operation["op"] == "replace"
    *parents, last = operation["path"].strip("/").split("/")
    for parent in parents:
        item = item[parent]
    item[last] = operation["value"]
