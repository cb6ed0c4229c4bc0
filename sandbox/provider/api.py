"""Requests to the Kubernetes API server.

Follows "The Kubernetes API" and "Kubernetes API Concepts" of the Kubernetes documentation: paths of resources, dry
runs, field managers, server-side apply, and the Status object that every failure carries.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox.provider.kubeconfig import Connection

if TYPE_CHECKING:
    import httpx

CONNECT_SECONDS = 5.0
REPLY_SECONDS = 60.0
USER_AGENT = "istio-canary-sandbox-provider"

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"


class ApiError(Exception):
    """What the API server refused: HTTP ``code``, ``reason`` and ``causes`` of its Status object."""

    def __init__(self, code: int, reason: str, message: str, causes: list[dict[str, Any]] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.causes = causes or []

    @property
    def not_found(self) -> bool:
        """The object, its namespace or its kind is not there."""
        return self.code == 404

    @property
    def already_exists(self) -> bool:
        """An object of this name exists."""
        return self.reason == "AlreadyExists"

    @property
    def conflict(self) -> bool:
        """Another field manager owns a field, or the object changed meanwhile."""
        return self.code == 409 and self.reason == "Conflict"


class UnreachableError(Exception):
    """The API server does not answer; the message names the context and the server."""


class Api:
    """The API server of one kubeconfig context; safe to use from many threads."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None
        self._token: str | None = None

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """GET ``path``. Raises ``ApiError`` and ``UnreachableError``, as all of these methods do."""
        return self.request("GET", path, query=query)

    def post(self, path: str, body: Mapping[str, Any], **query: str) -> dict[str, Any]:
        """POST an object."""
        return self.request("POST", path, body, query)

    def put(self, path: str, body: Mapping[str, Any], **query: str) -> dict[str, Any]:
        """Replace an object."""
        return self.request("PUT", path, body, query)

    def patch(self, path: str, body: object, content_type: str, **query: str) -> dict[str, Any]:
        """PATCH an object; ``content_type`` is one of this module's constants."""
        return self.request("PATCH", path, body, query, content_type)

    def delete(self, path: str, propagation: str) -> dict[str, Any]:
        """DELETE an object, with Foreground, Background or Orphan ``propagation``."""
        return self.request("DELETE", path, {"propagationPolicy": propagation})

    def text(self, path: str, **query: str) -> str:
        """GET plain text, such as a container's log."""
        return self._send("GET", path, None, query, "").text

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        """Send one request and return the object that comes back."""
        reply = self._send(method, path, body, query or {}, content_type).json()
        return reply if isinstance(reply, dict) else {}

    def _send(
        self, method: str, path: str, body: object, query: Mapping[str, str], content_type: str
    ) -> httpx.Response:
        import httpx

        headers = {"Content-Type": content_type} if body is not None else {}
        content = json.dumps(body).encode() if body is not None else None
        for attempt in (1, 2):
            try:
                reply = self._session().request(
                    method, path, content=content, params=dict(query), headers={**headers, **self._authorization()}
                )
            except (httpx.TransportError, ssl.SSLError) as error:
                raise UnreachableError(self._unreachable(error)) from error
            if reply.status_code == 401 and attempt == 1 and self.connection.exec:
                self._token = None
                continue
            break
        if reply.status_code >= 400:
            raise _error(reply)
        return reply

    def _unreachable(self, error: Exception) -> str:
        c = self.connection
        reason = str(error) or type(error).__name__
        return f"the API server {c.server} of context {c.context!r} does not answer: {reason}"

    def _session(self) -> httpx.Client:
        with self._lock:
            if self._client is None:
                import httpx

                c = self.connection
                self._client = httpx.Client(
                    base_url=c.server,
                    verify=_tls(c) if c.server.startswith("https:") else True,
                    auth=c.basic,
                    proxy=c.proxy,
                    trust_env=False,  # the sandbox's cluster is on this machine: no proxy stands before it
                    headers={"User-Agent": USER_AGENT, "Accept": "application/json"},
                    timeout=httpx.Timeout(REPLY_SECONDS, connect=CONNECT_SECONDS),
                    limits=httpx.Limits(max_connections=64, max_keepalive_connections=32),
                    event_hooks={"request": [self._name_server]} if c.tls_server_name else {},
                )
            return self._client

    def _name_server(self, request: httpx.Request) -> None:
        request.extensions["sni_hostname"] = self.connection.tls_server_name

    def _authorization(self) -> dict[str, str]:
        c = self.connection
        if c.token_file:
            return {"Authorization": f"Bearer {Path(c.token_file).read_text().strip()}"}
        if c.token:
            return {"Authorization": f"Bearer {c.token}"}
        if c.exec:
            with self._lock:
                self._token = self._token or _exec_token(c.exec)
                return {"Authorization": f"Bearer {self._token}"}
        return {}


def _tls(connection: Connection) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=connection.ca.decode() if connection.ca else None)
    if connection.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if connection.client_certificate and connection.client_key:
        with _in_memory(connection.client_certificate) as certificate, _in_memory(connection.client_key) as key:
            context.load_cert_chain(certificate.name, key.name)
    return context


class _in_memory:  # noqa: N801 - used as a function, like open()
    """A file that never touches a disk, for an ssl module that takes keys from files only."""

    def __init__(self, content: bytes) -> None:
        self._fd = os.memfd_create("key")
        os.write(self._fd, content)
        self.name = f"/proc/self/fd/{self._fd}"

    def __enter__(self) -> _in_memory:
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self._fd)


def _exec_token(plugin: Mapping[str, Any]) -> str:
    """Run a credential plugin and return its token ("client-go credential plugins" of the Kubernetes documentation)."""
    version = plugin.get("apiVersion", "client.authentication.k8s.io/v1")
    info = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
    env = {e["name"]: e["value"] for e in plugin.get("env") or []}
    result = subprocess.run(
        [plugin["command"], *(plugin.get("args") or [])],
        env={**os.environ, **env, "KUBERNETES_EXEC_INFO": json.dumps(info)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise UnreachableError(f"the credential plugin {plugin['command']!r} failed: {result.stderr.strip()}")
    token = json.loads(result.stdout).get("status", {}).get("token")
    if not token:
        raise UnreachableError(f"the credential plugin {plugin['command']!r} gave no token")
    return str(token)


def _error(reply: httpx.Response) -> ApiError:
    try:
        status = reply.json()
    except ValueError:
        status = {}
    if not isinstance(status, dict) or status.get("kind") != "Status":
        return ApiError(reply.status_code, reply.reason_phrase, reply.text.strip() or reply.reason_phrase)
    details = status.get("details") or {}
    return ApiError(
        int(status.get("code") or reply.status_code),
        str(status.get("reason") or ""),
        str(status.get("message") or reply.reason_phrase),
        details.get("causes"),
    )
