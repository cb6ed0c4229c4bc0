"""Sends requests exactly as given: no path is cleaned, no header added, no redirect followed."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tests.differential.manifests import ADMIN_PORT
from tests.differential.place import HTTPS_PORT, UPSTREAMS
from tests.differential.wire import Answer, Upstream, WireRequest

KEY = "x-echo-key"
THREADS = 8
SECONDS = 20


def _tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


TLS = _tls_context()


class _Tls(http.client.HTTPSConnection):
    """Connects to an address with another name as the SNI."""

    def __init__(self, address: str, port: int, name: str) -> None:
        super().__init__(address, port, timeout=SECONDS, context=TLS)
        self._name = name

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        self.sock = TLS.wrap_socket(self.sock, server_hostname=self._name)


@dataclass
class Client:
    """Sends requests to the gateway and through the callers' pods; `addresses` are those of all pods, by name."""

    gateway: str
    addresses: Mapping[str, str]
    service_address: str
    _local: threading.local = field(default_factory=threading.local)

    def send_all(self, requests: Mapping[str, WireRequest]) -> dict[str, Answer]:
        """Send the requests, each under its key, several at a time."""
        with ThreadPoolExecutor(THREADS) as pool:
            return dict(zip(requests, pool.map(self.send, requests.values(), requests), strict=True))

    def send(self, request: WireRequest, key: str) -> Answer:
        headers = [*((name, value.replace("{key}", key)) for name, value in request.headers), (KEY, key)]
        began = time.monotonic()
        if request.caller is not None:
            return self._from_inside(request, headers, began)
        sent = [("Host", request.authority), *headers]
        try:
            response = self._exchange(self.gateway, request.port, request.method, request.path, sent, name=request.host)
        except (ssl.SSLError, ConnectionError) as error:
            return Answer(status=0, headers=(), body=str(error), seconds=time.monotonic() - began)
        return Answer(
            status=response.status,
            headers=response.headers,
            body=response.body.decode(errors="replace"),
            seconds=time.monotonic() - began,
        )

    def _from_inside(self, request: WireRequest, headers: Sequence[tuple[str, str]], began: float) -> Answer:
        assert request.caller is not None
        call = {
            "method": request.method,
            "address": f"{self.service_address}:{request.port}",
            "uri": request.path,
            "host": request.authority,
            "headers": headers,
        }
        pod = self.addresses[request.caller]
        response = self._exchange(pod, ADMIN_PORT, "POST", "/_call", [("Host", "call")], json.dumps(call).encode())
        if response.status != 200:
            return Answer(status=0, headers=(), body=response.body.decode(), seconds=time.monotonic() - began)
        content = json.loads(response.body)
        return Answer(
            status=content["status"],
            headers=tuple((name, value) for name, value in content["headers"]),
            body=content["body"],
            seconds=time.monotonic() - began,
        )

    def seen(self, prefix: str) -> dict[str, list[Upstream]]:
        """What the pods of all services received, by key, for the keys with this prefix."""
        found: dict[str, list[Upstream]] = {}
        for upstream in UPSTREAMS.values():
            for version in upstream.versions:
                pod = self.addresses[f"{upstream.name}-{version}"]
                response = self._exchange(pod, ADMIN_PORT, "GET", f"/_seen?prefix={prefix}", [("Host", "seen")])
                for key, requests in json.loads(response.body).items():
                    found.setdefault(key, []).extend(map(Upstream.from_json, requests))
        return found

    def _exchange(
        self,
        address: str,
        port: int,
        method: str,
        path: str,
        headers: Sequence[tuple[str, str]],
        body: bytes | None = None,
        name: str = "",
    ) -> _Response:
        """One request over a kept-alive connection, opened once more if it was closed meanwhile."""
        for last in (False, True):
            connection = self._connection(address, port, name if port == HTTPS_PORT else "")
            try:
                connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
                for header, value in headers:
                    connection.putheader(header, value.encode())
                if body is not None:
                    connection.putheader("content-length", str(len(body)))
                connection.endheaders(body)
                response = connection.getresponse()
                # Python decodes headers as Latin-1, but they are UTF-8.
                received = tuple(
                    (header.lower(), value.encode("latin-1").decode()) for header, value in response.getheaders()
                )
                return _Response(response.status, received, response.read())
            except (ConnectionError, http.client.HTTPException):
                connection.close()
                if last:
                    raise
        raise AssertionError("not reached")

    def _connection(self, address: str, port: int, name: str) -> http.client.HTTPConnection:
        kept: dict[tuple[str, int, str], http.client.HTTPConnection]
        kept = self._local.__dict__.setdefault("connections", {})
        place = (address, port, name)
        if place not in kept:
            kept[place] = _Tls(*place) if name else http.client.HTTPConnection(address, port, timeout=SECONDS)
        return kept[place]


@dataclass(frozen=True)
class _Response:
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
