"""The HTTP server of the gate service: small requests, few at a time, each answered or refused at once."""

from __future__ import annotations

import json
import logging
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from rollout.gate_service.answers import Reply, reply
from rollout.gate_service.watching import Canaries

logger = logging.getLogger(__name__)

MOST_AT_ONCE = 32
"""Requests that are answered at the same time; more are told to come back."""
MOST_BYTES = 65_536
"""Bytes of a request's body."""
SECONDS = 5.0
"""Within which a request must have been sent."""


class GateServer(ThreadingHTTPServer):
    """Serves the answers of `canaries` at an address. Port 0 takes a free one."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = MOST_AT_ONCE

    def __init__(self, address: tuple[str, int], canaries: Canaries) -> None:
        self.canaries = canaries
        self.free = threading.BoundedSemaphore(MOST_AT_ONCE)
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, if there are not too many."""
        if not self.free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """As inherited; then there is room for another one."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that goes away is no news."""
        logger.debug("a request of %s failed", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: GateServer
    timeout = SECONDS
    server_version, sys_version = "istio-canary-gate", ""

    def do_GET(self) -> None:
        self._send(self._reply(""))

    def do_POST(self) -> None:
        text = self.headers.get("Content-Length", "0")
        if not text.isdecimal() or int(text) > MOST_BYTES:
            self._send(Reply(413, {"error": f"the body may have {MOST_BYTES} bytes", "given": text[:20]}))
            return
        self._send(self._reply(self.rfile.read(int(text)).decode("utf-8", "replace")))

    def _reply(self, form: str) -> Reply:
        canaries = self.server.canaries
        return reply(self.command, self.path, form, canaries.answer, canaries.healthy)

    def _send(self, found: Reply) -> None:
        content = (json.dumps(found.body) + "\n").encode()
        self.send_response(found.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged: there is one every few seconds."""
        logger.debug(format, *args)
