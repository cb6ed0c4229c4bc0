"""An abort's two writes without this project's types and libraries: their imports take longer than all the rest.

It does what `acting.act` with `verbs.abort` does when nothing stands against it. In any other case it does nothing, or
what that then goes on with: another abort helps to the end. Tests compare the two.
"""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rollout.stored_routes import BACK, StoredRoutesError, decoded

SECONDS = 4.0
"""For one answer of the API server."""

SCHEMA = 1
RUNNING = ("Pending", "Progressing", "Completed")
"""The phases from which an abort begins."""

DROPPED = ("stage", "paused", "held", "promotion", "endedAt")
"""Fields of a record that an abort empties."""

LONGEST_OUTBOX, LONGEST_HISTORY = 200, 50
MANAGER = "istio-canary-rollout"
ANNOTATION, BARRED_ANNOTATION, LABEL = "istio-canary/rollout", "istio-canary/barred", "istio-canary/rollout"
ISTIO_API = "networking.istio.io/v1"

KNOWN_USER = frozenset(
    {"client-certificate", "client-certificate-data", "client-key", "client-key-data", "token"}
)  # fmt: skip
KNOWN_CLUSTER = frozenset({"server", "certificate-authority", "certificate-authority-data"})
PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


class NotSimpleError(Exception):
    """Something that the way with all libraries knows how to do."""


def abort_at_once(
    kubeconfig: str | None, context: str | None, namespace: str, service: str, reason: str, by: str
) -> bool:
    """Bring all requests of a service's rollout back, and return whether the record and all routes were written.

    `kubeconfig` and `context` are those of `kube.kubeconfig.ClusterAccess`. False: go on with `acting.act`, which says
    what is wrong.
    """
    try:
        with Api(kubeconfig, context) as api:
            return abort_by(api, namespace, service, reason, by)
    except (NotSimpleError, StoredRoutesError, HTTPException, OSError, ValueError, KeyError, TypeError):
        return False


def abort_by(api: Api, namespace: str, service: str, reason: str, by: str) -> bool:
    """As `abort_at_once`, with a connection. Raises NotSimpleError before anything is written."""
    base = f"/apis/{ISTIO_API}/namespaces/{namespace}/virtualservices"
    maps = f"/api/v1/namespaces/{namespace}/configmaps"
    name = f"istio-canary-rollout-{service}"
    # The VirtualServices first, the record after them: see `rollout.look`.
    seen = {one: api.get(f"{base}/{one}") for one in (service, f"{service}-mesh")}
    found = api.get(f"{maps}/{name}")
    if found is None:
        raise NotSimpleError
    record = json.loads(found["data"]["record"])
    uids = {one: item["metadata"]["uid"] for one, item in seen.items() if item is not None}
    if any(uids.get(one) != uid for one, uid in record["vsUids"].items()):
        raise NotSimpleError
    stored = api.get(f"{maps}/{record['plan']['routes']}") or {}
    routes = decoded(record["plan"]["routes"], stored.get("data") or {}, stored.get("binaryData") or {})[BACK]
    if routes.keys() != record["vsUids"].keys():
        raise NotSimpleError
    after = aborted(record, reason, by, api.server_time)
    barred = ",".join(barred_in(after))
    data = {"record": json.dumps(after, separators=(",", ":"), ensure_ascii=False), "phase": "Aborting"}
    version = found["metadata"]["resourceVersion"]
    metadata = {"resourceVersion": version, "labels": {LABEL: service}}
    body = {"metadata": metadata, "data": {**data, "barred": barred}}
    if not api.patch(f"{maps}/{name}?fieldManager={MANAGER}", "merge-patch+json", body):
        return False
    written = [
        api.patch(
            f"{base}/{one}?fieldManager={MANAGER}&force=true",
            "apply-patch+yaml",
            _applied(namespace, one, http, seen[one], after, barred),
        )
        for one, http in routes.items()
    ]
    return all(written)


def aborted(record: Mapping[str, Any], reason: str, by: str, at: str) -> dict[str, Any]:
    """Return the record as `verbs.abort` makes it of a person's abort. Raises NotSimpleError if it would refuse."""
    if record["schema"] != SCHEMA or record["phase"] not in RUNNING or "voidSince" in record:
        raise NotSimpleError
    target, generation = record["target"], record["generation"] + 1
    text = f"all requests go back to {record['from']['version']}: {reason}"
    known = {"id": record["id"], "at": at}
    data = {"service": record["service"], "phase": "Aborting", "step": record["step"]}
    event = {**known, "id": f"{record['id']}/{generation}/0", "type": "Aborting", "text": text, "data": data}
    entry = {**known, "generation": generation, "by": by, "type": "Aborting", "step": record["step"], "text": text}
    bar = {"version": target["version"], "hash": target["hash"], "reason": reason, "by": by, "at": at}
    return {
        **{key: value for key, value in record.items() if key not in DROPPED},
        "generation": generation,
        "routeGeneration": generation,
        "phase": "Aborting",
        "wanted": record["plan"]["back"],
        "ended": {"kind": "aborted", "reason": reason, "by": by, "at": at},
        "deadlines": {},
        "bars": [*(one for one in record["bars"] if one["hash"] != target["hash"]), bar],
        "outbox": [*record["outbox"], {**event, "delivered": []}][-LONGEST_OUTBOX:],
        "history": [*record["history"], entry][-LONGEST_HISTORY:],
    }


def barred_in(record: Mapping[str, Any]) -> list[str]:
    """Return the versions that must get no requests, as `store.barred_versions` does."""
    current = {record[key]["version"]: record[key]["hash"] for key in ("from", "target")}
    bars = record["bars"]
    return sorted({bar["version"] for bar in bars if current.get(bar["version"], bar["hash"]) == bar["hash"]})


def _applied(
    namespace: str, name: str, http: Any, seen: Mapping[str, Any] | None, record: Mapping[str, Any], barred: str
) -> dict[str, Any]:
    assert seen is not None
    metadata = {
        "name": name,
        "namespace": namespace,
        "uid": seen["metadata"]["uid"],
        "resourceVersion": seen["metadata"]["resourceVersion"],
        "annotations": {ANNOTATION: f"{record['id']}/{record['routeGeneration']}", BARRED_ANNOTATION: barred},
    }
    return {"apiVersion": ISTIO_API, "kind": "VirtualService", "metadata": metadata, "spec": {"http": http}}


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
