"""A receiver of events on this machine, which keeps what it gets and may answer with errors."""

from __future__ import annotations

import json
import threading
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

OK, SERVER_ERROR = 204, 500


@dataclass(frozen=True)
class ReceivedRequest:
    """One POST: its path, headers in lower case, and JSON body; `status` is what it was answered."""

    path: str
    headers: Mapping[str, str]
    body: Any
    status: int


@dataclass
class EventSink:
    """`url` is where to send to. `answers` are the statuses of the next requests, with the text of `says`; then 204.

    A status of 0 closes the connection without an answer. With `loses_answers`, the requests are kept, and the
    connection is closed: what a sender sees whose network fails at the wrong moment.
    """

    url: str = ""
    answers: deque[int] = field(default_factory=deque)
    says: str = ""
    loses_answers: int = 0
    requests: list[ReceivedRequest] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def accepted(self) -> list[ReceivedRequest]:
        """The requests that were taken, in the order in which they came."""
        with self._lock:
            return [one for one in self.requests if 200 <= one.status < 300]

    @property
    def events(self) -> list[Mapping[str, Any]]:
        """The events of the format `cloudevents` that were taken, each id once: what a receiver makes of them."""
        by_id: dict[str, Mapping[str, Any]] = {}
        for one in self.accepted:
            if isinstance(one.body, dict) and "specversion" in one.body:
                by_id.setdefault(one.body["id"], one.body)
        return list(by_id.values())

    @property
    def types(self) -> list[str]:
        """The kinds of `events`, such as `StepWritten`, in their order."""
        return [str(event["type"]).rpartition(".")[2] for event in self.events]

    @property
    def deliveries(self) -> Counter[str]:
        """How often each event was taken, by idempotency key: more than once is allowed, never is not."""
        return Counter(one.headers.get("idempotency-key", "") for one in self.accepted)

    def under_two_ids(self) -> list[str]:
        """Return the ids of events that say the same as another one with another id: one exit, told twice."""
        ids: dict[str, set[str]] = {}
        for event in self.events:
            said = json.dumps({key: event.get(key) for key in ("source", "type", "time", "data")}, sort_keys=True)
            ids.setdefault(said, set()).add(str(event["id"]))
        return sorted(one for several in ids.values() if len(several) > 1 for one in several)

    def answer(self, path: str, headers: Mapping[str, str], raw: bytes) -> int:
        """Keep a request and return the status that it gets."""
        try:
            body = json.loads(raw)
        except ValueError:
            body = raw
        with self._lock:
            status = self.answers.popleft() if self.answers else OK
            self.requests.append(ReceivedRequest(path, {k.lower(): v for k, v in headers.items()}, body, status))
            if self.loses_answers and status:
                self.loses_answers -= 1
                return 0
        return status


@contextmanager
def event_sink(host: str = "127.0.0.1") -> Iterator[EventSink]:
    """Serve an EventSink on a free port of `host`."""
    sink = EventSink()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status = sink.answer(self.path, dict(self.headers.items()), raw)
            if not status:
                self.close_connection = True
                return
            text = b"" if status == OK else sink.says.encode()
            self.send_response(status)
            if status in (301, 302, 307, 308):
                self.send_header("Location", f"{sink.url}/elsewhere")
            if status != OK:
                self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: Any) -> None:
            """Do not log requests."""

    with ThreadingHTTPServer((host, 0), Handler) as server:
        sink.url = f"http://{host}:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=[0.01], daemon=True)
        thread.start()
        try:
            yield sink
        finally:
            server.shutdown()
            thread.join()
