"""Kubeconfigs and API servers for tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from kube.late_kubeconfig import LateKubeconfig


@dataclass(frozen=True)
class Access:
    """A kubeconfig and a context, as the settings name them."""

    kubeconfig: str | None
    context: str | None = None
    late: LateKubeconfig | None = None


def kubeconfig(
    path: Path, user: dict[str, Any], server: str = "http://127.0.0.1:1", cluster: dict[str, Any] | None = None
) -> Access:
    """Write a kubeconfig with one context, `here`."""
    content = {
        "clusters": [{"name": "c", "cluster": {"server": server, **(cluster or {})}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "here",
    }
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return Access(str(path))


@contextmanager
def api_server(code: int, body: str, tokens: list[str] | None = None) -> Iterator[str]:
    """Serve `body` with the status `code` for every path, and note each request's token."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if tokens is not None:
                tokens.append(self.headers.get("Authorization", ""))
            self.send_response(code)
            self.send_header("Content-Type", "application/json" if body.startswith("{") else "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: Any) -> None:
            """Do not log requests."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
