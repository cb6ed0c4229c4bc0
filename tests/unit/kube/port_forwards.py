"""An API server for tests that has Services and pods, and forwards ports as the kubelet does."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, RejectConnection, Request

from kube.port_forward import PROTOCOL
from tests.unit.kube.clusters import Access, kubeconfig

NAMESPACE, SERVICE, PORT = "istio-system", "prometheus", 9090
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


def pod(name: str, *, ready: bool = True, ends: bool = False, port: int = 0, waiting: str = "") -> dict[str, Any]:
    """A pod whose container has the port `http`; `waiting` is the reason why its container does not run."""
    container: dict[str, Any] = {"name": "prometheus", "ready": ready, "restartCount": 0, "image": "", "imageID": ""}
    container["state"] = {"waiting": {"reason": waiting}} if waiting else {"running": {}}
    times = {"deletionTimestamp": "2026-01-01T00:00:00Z"} if ends else {}
    return {
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": name, **times},
        "spec": {"containers": [{"name": "prometheus", "ports": [{"name": "http", "containerPort": port or PORT}]}]},
        "status": {
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [container],
        },
    }


@dataclass
class FakeCluster:
    """What the API server has, which a test may change at any time.

    `programs` are the ports on 127.0.0.1 where each pod's program listens, by pod. `refused` are the HTTP statuses of
    requests, by what their path contains.
    """

    pods: list[dict[str, Any]] = field(default_factory=list)
    programs: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    service: dict[str, Any] | None = None
    """The spec of the Service `service_name` in `namespace`."""
    service_name: str = SERVICE
    namespace: str = NAMESPACE
    asked: list[str] = field(default_factory=list)
    """The port-forwards that were asked for: `<pod>:<port>`."""
    cut: asyncio.Event = field(default_factory=asyncio.Event)
    """Cuts the websockets when it is set, without a close."""

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        """The answer to a GET."""
        base = f"/api/v1/namespaces/{self.namespace}"
        for part, status in self.refused.items():
            if part in path:
                return status, {"kind": "Status", "code": status, "message": f"{part} is refused"}
        if path == f"{base}/services/{self.service_name}" and self.service is not None:
            return 200, {"metadata": {"name": self.service_name, "namespace": self.namespace}, "spec": self.service}
        if path == f"{base}/pods":
            return 200, {"metadata": {}, "items": self.pods}
        if path == f"{base}/events":
            return 200, {"metadata": {}, "items": []}
        return 404, {"kind": "Status", "code": 404, "message": f"{path} not found"}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            target = urlsplit(head.split(b" ")[1].decode())
            if target.path.endswith("/portforward"):
                return await self._port_forward(head, target.path.split("/")[-2], target.query, reader, writer)
            status, document = self.answer(target.path)
            body = json.dumps(document).encode()
            start = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(start.encode() + body)
            await writer.drain()

    async def _port_forward(
        self, head: bytes, name: str, query: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        port = int(parse_qs(query)["ports"][0])
        self.asked.append(f"{name}:{port}")
        websocket = WSConnection(ConnectionType.SERVER)
        websocket.receive_data(head)
        request = next(websocket.events())
        assert isinstance(request, Request)
        assert request.subprotocols == [PROTOCOL]
        known = any(entry["metadata"]["name"] == name for entry in self.pods)
        status = next((status for part, status in self.refused.items() if part == "portforward"), 0 if known else 404)
        if status:
            writer.write(websocket.send(RejectConnection(status_code=status)))
            return
        writer.write(websocket.send(AcceptConnection(subprotocol=PROTOCOL)))
        for channel in (0, 1):
            writer.write(websocket.send(BytesMessage(bytes([channel]) + port.to_bytes(2, "little"))))
        try:
            of_pod, to_pod = await asyncio.open_connection("127.0.0.1", self.programs[name])
        except OSError:
            text = f"error forwarding port {port} to pod {name}: connection refused"
            writer.write(websocket.send(BytesMessage(b"\x01" + text.encode())))
            writer.write(websocket.send(CloseConnection(1000)))
            return
        await self._copy(websocket, (reader, writer), (of_pod, to_pod))

    async def _copy(
        self,
        websocket: WSConnection,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        program: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        tasks = [
            asyncio.create_task(_from_client(websocket, client, program[1])),
            asyncio.create_task(_from_program(websocket, program[0], client[1])),
            asyncio.create_task(self.cut.wait()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            program[1].close()
            for task in tasks:
                task.cancel()


async def _from_client(
    websocket: WSConnection,
    client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    program: asyncio.StreamWriter,
) -> None:
    reader, writer = client
    unfinished = b""
    while data := await reader.read(65536):
        websocket.receive_data(data)
        for event in websocket.events():
            if isinstance(event, BytesMessage):
                unfinished += event.data
                if event.message_finished:
                    assert unfinished[0] == 0, "clients send on the data channel only"
                    program.write(unfinished[1:])
                    await program.drain()
                    unfinished = b""
            elif isinstance(event, Ping | CloseConnection):
                writer.write(websocket.send(event.response()))


async def _from_program(websocket: WSConnection, program: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await program.read(32768):
            writer.write(websocket.send(BytesMessage(b"\x00" + data)))
            await writer.drain()
    writer.write(websocket.send(CloseConnection(1000)))


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A program that sends back what it gets."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


class Servers:
    """Servers on 127.0.0.1, in an event loop of their own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.servers: list[asyncio.Server] = []
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def start(self, handler: Handler) -> int:
        """Start a server with the handler, and return its port."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await handler(reader, writer)
            writer.close()

        starting = asyncio.run_coroutine_threadsafe(asyncio.start_server(serve, "127.0.0.1", 0), self.loop)
        self.servers.append(starting.result())
        return int(starting.result().sockets[0].getsockname()[1])

    def call(self, function: Callable[[], None]) -> None:
        """Call a function in the servers' thread."""

        async def call() -> None:
            function()

        asyncio.run_coroutine_threadsafe(call(), self.loop).result()

    def stop(self) -> None:
        """Cancel what runs and stop."""

        async def cancel() -> None:
            for server in self.servers:
                server.close()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(0)  # the loop closes the connections

        asyncio.run_coroutine_threadsafe(cancel(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@contextmanager
def cluster_with(path: Path, *names: str, program: Handler = echo) -> Iterator[tuple[FakeCluster, Access, Servers]]:
    """A cluster with a Service and ready pods of these names, each with a program of its own."""
    servers = Servers()
    cluster = FakeCluster(
        pods=[pod(name) for name in names],
        programs={name: servers.start(program) for name in names},
        service={"selector": {"app": "prometheus"}, "ports": [{"port": PORT, "targetPort": "http"}]},
    )
    address = f"http://127.0.0.1:{servers.start(cluster.serve)}"
    try:
        yield cluster, kubeconfig(path / "kubeconfig", {"token": "t"}, address), servers
    finally:
        servers.stop()
