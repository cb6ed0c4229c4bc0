"""The record of a rollout, read and written without this project's types and libraries, whose imports take longer.

For the first write of a person's verb (`lean_verbs`). What is not simple is left to `acting.act`, which all commands
come to afterwards.
"""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

SECONDS = 4.0
"""For one answer of the API server."""

SCHEMA = 1
LONGEST_OUTBOX, LONGEST_HISTORY = 200, 50
MANAGER = "istio-canary-rollout"
LABEL = "istio-canary/rollout"

KNOWN_USER = frozenset(
    {"client-certificate", "client-certificate-data", "client-key", "client-key-data", "token"}
)  # fmt: skip
KNOWN_CLUSTER = frozenset({"server", "certificate-authority", "certificate-authority-data"})
PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


class NotSimpleError(Exception):
    """Something that the way with all libraries knows how to do."""


class Found(NamedTuple):
    """A record as JSON, where it is, and the resourceVersion that the next write must find."""

    path: str
    record: dict[str, Any]
    resource_version: str


def read(api: Api, namespace: str, service: str) -> Found:
    """Return a service's record. Raises NotSimpleError if there is none, or if it is not one of this version."""
    path = f"/api/v1/namespaces/{namespace}/configmaps/istio-canary-rollout-{service}"
    found = api.get(path)
    if found is None:
        raise NotSimpleError
    record = json.loads(found["data"]["record"])
    if record["schema"] != SCHEMA or (record["service"], record["namespace"]) != (service, namespace):
        raise NotSimpleError
    return Found(path, record, found["metadata"]["resourceVersion"])


def write(api: Api, found: Found, after: Mapping[str, Any]) -> bool:
    """Write a record over the one that was found, and return whether it was still there: `RolloutStore.write`."""
    text = json.dumps(after, separators=(",", ":"), ensure_ascii=False)
    data = {"record": text, "phase": after["phase"], "barred": ",".join(barred_in(after))}
    metadata = {"resourceVersion": found.resource_version, "labels": {LABEL: after["service"]}}
    body = {"metadata": metadata, "data": data}
    return api.patch(f"{found.path}?fieldManager={MANAGER}", "merge-patch+json", body)


def next_record(
    record: Mapping[str, Any],
    changes: Mapping[str, Any],
    *,
    at: str,
    by: str,
    event: str,
    text: str,
    data: Mapping[str, Any] | None = None,
    routes: bool = False,
) -> dict[str, Any]:
    """Return the record after one more write, as `decision.next_record` does. A field that is None is emptied."""
    after = {key: value for key, value in {**record, **changes}.items() if value is not None}
    generation = after["generation"] = record["generation"] + 1
    if routes:
        after["routeGeneration"] = generation
    told = {"service": record["service"], "phase": after["phase"], "step": after["step"], **(data or {})}
    sent = {"id": f"{record['id']}/{generation}/0", "type": event, "at": at, "text": text, "data": told}
    entry = {"generation": generation, "id": record["id"], "at": at, "by": by, "type": event, "step": after["step"]}
    after["outbox"] = [*record["outbox"], {**sent, "delivered": []}][-LONGEST_OUTBOX:]
    after["history"] = [*record["history"], {**entry, "text": text}][-LONGEST_HISTORY:]
    return after


def barred_in(record: Mapping[str, Any]) -> list[str]:
    """Return the versions that must get no requests, as `store.barred_versions` does."""
    current = {record[key]["version"]: record[key]["hash"] for key in ("from", "target")}
    bars = record["bars"]
    return sorted({bar["version"] for bar in bars if current.get(bar["version"], bar["hash"]) == bar["hash"]})


class Api:
    """One connection to the API server of a kubeconfig with certificates or a token; else it raises NotSimpleError."""

    def __init__(self, kubeconfig: str | None, context: str | None) -> None:
        path, cluster, user = _chosen(kubeconfig, context)
        parts = urlsplit(cluster["server"])
        if parts.scheme != "https" or parts.path.strip("/") or any(os.environ.get(name) for name in PROXIES):
            raise NotSimpleError
        security = ssl.create_default_context(
            cafile=_file(path, cluster.get("certificate-authority")),
            cadata=_text(cluster.get("certificate-authority-data")),
        )
        _load_certificate(security, path, user)
        self._headers = {"Authorization": f"Bearer {user['token']}"} if user.get("token") else {}
        self._connection: HTTPConnection = HTTPSConnection(
            str(parts.hostname), parts.port or 443, timeout=SECONDS, context=security
        )
        self.server_time = ""
        """The API server's clock at its last answer."""

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, path: str) -> Any:
        """Return an object, None if it does not exist. Raises NotSimpleError for any other answer."""
        status, answer = self._ask("GET", path, None, {})
        if status == 404:
            return None
        if status != 200:
            raise NotSimpleError
        return json.loads(answer)

    def patch(self, path: str, kind: str, body: Mapping[str, Any]) -> bool:
        """Return whether a patch was taken."""
        text = json.dumps(body, ensure_ascii=False).encode()
        return self._ask("PATCH", path, text, {"Content-Type": f"application/{kind}"})[0] == 200

    def _ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
        self._connection.request(method, path, body=body, headers={**self._headers, **headers})
        response = self._connection.getresponse()
        date = response.headers.get("Date")
        if date is None:
            raise NotSimpleError
        self.server_time = parsedate_to_datetime(date).isoformat(timespec="seconds")
        return response.status, response.read()


def _chosen(kubeconfig: str | None, context: str | None) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """The file, the cluster and the user of a context."""
    import yaml

    given = kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
    if os.pathsep in given:
        raise NotSimpleError
    path = Path(given).expanduser()
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast
        content = yaml.load(path.read_text(encoding="utf-8"), loader)  # noqa: S506 - both are safe
    except yaml.YAMLError as error:
        raise NotSimpleError from error
    entry = _named(content["contexts"], context or content["current-context"])["context"]
    cluster = _named(content["clusters"], entry["cluster"])["cluster"]
    user = _named(content["users"], entry["user"])["user"]
    if not (cluster.keys() <= KNOWN_CLUSTER and user.keys() <= KNOWN_USER):
        raise NotSimpleError
    return path, cluster, user


def _named(entries: Any, name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = [one for one in entries if one["name"] == name]
    if len(found) != 1:
        raise NotSimpleError
    return found[0]


def _load_certificate(security: ssl.SSLContext, path: Path, user: Mapping[str, Any]) -> None:
    files: list[str] = []
    opened: list[int] = []
    try:
        for name in ("client-certificate", "client-key"):
            text = _text(user.get(f"{name}-data"))
            if text is not None:
                # ssl takes no text; a file in memory is nobody else's, and needs no import.
                if not hasattr(os, "memfd_create"):
                    raise NotSimpleError
                opened.append(os.memfd_create(name))
                os.write(opened[-1], text.encode())
                files.append(f"/proc/self/fd/{opened[-1]}")
            elif user.get(name):
                files.append(str(_file(path, user[name])))
        if len(files) == 2:
            security.load_cert_chain(*files)
        elif files:
            raise NotSimpleError
    finally:
        for number in opened:
            os.close(number)


def _file(path: Path, name: str | None) -> str | None:
    """A file's path; kubeconfigs name them from their own folder."""
    return None if name is None else str(path.parent / name)


def _text(data: str | None) -> str | None:
    import base64

    return None if data is None else base64.b64decode(data).decode()
