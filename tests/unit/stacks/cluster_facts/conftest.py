"""What the tests of a cluster's facts share: a kubeconfig, and an API server that serves given objects."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.stacks.cluster_facts.clusters import Kubeconfig, Objects


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kubeconfig:
    """Write a kubeconfig with the contexts `here` (current) and `there` for a server."""
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "*")

    def write(server: str, user: dict[str, Any] | None = None, cluster: dict[str, Any] | None = None) -> Path:
        path = tmp_path / "kubeconfig"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": server, **(cluster or {})}}],
            "users": [{"name": "u", "user": user or {"token": "t"}}],
            "contexts": [{"name": name, "context": {"cluster": "c", "user": "u"}} for name in ("here", "there")],
            "current-context": "here",
        }
        path.write_text(yaml.safe_dump(content))
        return path

    return write


@pytest.fixture
def requests() -> list[str]:
    """The paths requested from the API server, in order."""
    return []


@pytest.fixture
def api_server(requests: list[str]) -> Iterator[Callable[[Objects], str]]:
    """Serve objects by their path, and 404 for all others; an object with `code` is an error of that code."""
    servers: list[ThreadingHTTPServer] = []

    def serve(objects: Objects) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                requests.append(self.path)
                found = objects.get(self.path, {"kind": "Status", "code": 404, "message": f"{self.path} not found"})
                body = json.dumps(found).encode()
                self.send_response(found.get("code", 200))
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Do not log requests."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()
