"""A local port forwarded to a pod through the API server, without kubectl.

Each local connection is a websocket to the pod's subresource `portforward` (Kubernetes API reference, "connect GET
requests to portforward of Pod") with the subprotocol v4.channel.k8s.io: a message is the number of a channel (one byte)
and data. Channel 0 has the connection's bytes, channel 1 an error text of the kubelet; the first message of each is the
port's number. (See `handleWebSocketStreams` in Kubernetes' package k8s.io/cri-streaming.)
"""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from kube.kubeconfig import REQUEST_TIMEOUT, ClusterAccess, ClusterUnreachableError
from kube.pod_connection import PodConnectionError, copy
from kube.service_pods import PodPort, PortForwardError, forbidden, ready_pod

if TYPE_CHECKING:
    from httpx2 import AsyncClient
    from httpx2.websockets import AsyncWebSocketSession

PROTOCOL = "v4.channel.k8s.io"
LARGEST_MESSAGE = 2**20
"""In bytes; container runtimes send up to 32 KiB at once."""
TRIES = 3
"""Pods that are tried for one connection."""
PORTS_TRIED = 100
STOP_SECONDS = 2.0

Note = Callable[[str], None]


class LocalPortError(PortForwardError):
    """No local port can be used."""


class PortForward:
    """Forwards a local port to a ready pod behind a Service while the context is entered.

    The port is `local_port` on this machine's loopback addresses, the next free one if it is taken, or any free one if
    it is 0. When the pod is gone, the next connections go to another ready pod. `note` is called with
    what the user should know (another port, another pod, a connection that failed), from any thread.

    Entering raises PortForwardError (Service, port, ready pod or right is missing; LocalPortError) or
    ClusterUnreachableError.
    """

    local_port: int
    """The local port, once entered."""

    def __init__(
        self,
        cluster: ClusterAccess,
        namespace: str,
        service: str,
        port: int,
        *,
        local_port: int = 0,
        note: Note = lambda text: None,
    ) -> None:
        self._cluster = cluster
        self._namespace, self._service, self._port = namespace, service, port
        self.local_port = local_port
        self._note = note
        self._said = ""
        self._pod: PodPort | None = None
        self._failed: list[str] = []
        """Pods whose port-forward failed, the most recent last."""
        self._started: Future[None] = Future()
        self._stopping: Future[None] = Future()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="port-forward", daemon=True)

    @property
    def url(self) -> str:
        """The URL of the forwarded port, for programs on this machine."""
        return f"http://127.0.0.1:{self.local_port}"

    @property
    def pod(self) -> str:
        """Name of the pod that the next connection goes to; empty if it is yet to be chosen."""
        pod = self._pod
        return pod.pod if pod else ""

    def __enter__(self) -> Self:
        self._pod = self._find_pod()
        self._sockets = listen(self.local_port)
        bound = int(self._sockets[0].getsockname()[1])
        if self.local_port not in (0, bound):
            self._say(f"local port {self.local_port} is taken; using {bound}")
        self.local_port = bound
        self._thread.start()
        try:
            self._started.result()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def wait(self) -> None:
        """Return only when forwarding has ended by itself, which raises its error."""
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _stop(self) -> None:
        with suppress(InvalidStateError):  # it has ended by itself
            self._stopping.set_result(None)
        self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        """The thread: an event loop for all connections."""
        try:
            asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001 - raised by `__enter__` or `wait`, in the caller's thread
            self._failure = error
        finally:
            for listening in self._sockets:
                listening.close()
        if not self._started.done():
            self._started.set_exception(self._failure or PortForwardError("stopped", "start it again"))

    async def _serve(self) -> None:
        """Forward connections until `_stopping` is set."""
        self._choosing = asyncio.Lock()
        async with self._new_client() as self._client:
            async with AsyncExitStack() as trial:
                await self._connect(trial)  # so that a missing right is an error now, not at the first connection
            connections: set[asyncio.Task[None]] = set()

            def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                task = asyncio.create_task(self._forward(reader, writer))
                connections.add(task)
                task.add_done_callback(connections.discard)

            servers = [await asyncio.start_server(accept, sock=listening) for listening in self._sockets]
            self._started.set_result(None)
            await asyncio.wrap_future(self._stopping)
            for server in servers:
                server.close()
            for task in connections:
                task.cancel()
            await asyncio.gather(*connections, return_exceptions=True)

    def _new_client(self) -> AsyncClient:
        """An HTTP client of the API server, as lightkube makes it, for any number of connections."""
        import httpx2
        from lightkube.config.client_adapter import ConnectionParams

        from kube import credential_plugin, kubeconfig

        config = credential_plugin.supported(kubeconfig.choose(self._cluster))
        given = ConnectionParams(timeout=httpx2.Timeout(REQUEST_TIMEOUT)).httpx_params(config)
        return httpx2.AsyncClient(**given, limits=httpx2.Limits(max_connections=None))

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Copy one local connection to and from a pod, until either closes it."""
        try:
            async with AsyncExitStack() as stack:
                pod, websocket = await self._connect(stack)
                try:
                    await copy(reader, writer, websocket)
                except PodConnectionError as error:
                    writer.transport.abort()
                    if error.is_of_pod:
                        self._give_up(pod, str(error))
        except PortForwardError as error:
            self._say(" ".join((f"{error.message}:", *(line.strip() for line in error.details))).rstrip(":"))
            writer.transport.abort()
        except ClusterUnreachableError as error:
            self._say(f"cannot reach the cluster: {error.reason}")
            writer.transport.abort()
        except Exception as error:  # noqa: BLE001 - a connection that breaks must not end the others
            self._say(f"a connection broke: {reason_of(error)}")
            writer.transport.abort()
        finally:
            writer.close()

    async def _connect(self, stack: AsyncExitStack) -> tuple[PodPort, AsyncWebSocketSession]:
        """Open a websocket to the current pod, or to another one if that does not answer, and leave it to `stack`."""
        import httpx2
        from httpx2.websockets import WebSocketUpgradeError

        reason = ""
        for _ in range(TRIES):
            pod = await self._current_pod()
            try:
                return pod, await stack.enter_async_context(self._websocket(pod))
            except WebSocketUpgradeError as error:
                if error.response.status_code == 403:
                    raise forbidden(self._namespace, "get and create pods/portforward") from None
                reason = f"HTTP {error.response.status_code}"
            except httpx2.HTTPError as error:
                reason = reason_of(error)
            self._give_up(pod, reason)
        raise PortForwardError(
            f"no pod of the Service {self._namespace}/{self._service} accepts a port-forward ({reason})",
            f"check the pods and their nodes: kubectl get pods,nodes --namespace={self._namespace} --output=wide",
        )

    def _websocket(self, pod: PodPort) -> AbstractAsyncContextManager[AsyncWebSocketSession]:
        return self._client.websocket(
            f"api/v1/namespaces/{self._namespace}/pods/{pod.pod}/portforward",
            params={"ports": pod.port},
            subprotocols=[PROTOCOL],
            max_message_size_bytes=LARGEST_MESSAGE,
            keepalive_ping_timeout_seconds=None,  # the answer waits behind data that a slow client has not read
        )

    async def _current_pod(self) -> PodPort:
        async with self._choosing:
            if self._pod is None:
                self._pod = await asyncio.to_thread(self._find_pod)
                if self._failed and self._pod.pod != self._failed[-1]:
                    self._say(f"forwarding to pod {self._pod.pod} now")
            return self._pod

    def _find_pod(self) -> PodPort:
        from kube.client import query

        return query(
            self._cluster,
            lambda client: ready_pod(client, self._namespace, self._service, self._port, tuple(self._failed)),
        )

    def _give_up(self, pod: PodPort, reason: str) -> None:
        """Let the next connection choose a pod again, another one if there is one."""
        self._say(f"the port-forward to pod {pod.pod} failed: {reason}")
        if pod.pod in self._failed:
            self._failed.remove(pod.pod)
        self._failed.append(pod.pod)
        if self._pod == pod:
            self._pod = None

    def _say(self, text: str) -> None:
        """Call `note`, unless it was just told the same: a browser tries again and again."""
        if text != self._said:
            self._said = text
            self._note(text)


def listen(port: int) -> list[socket.socket]:
    """Return sockets that listen on `port` or the next free one, on 127.0.0.1 and, if the machine has it, ::1.

    With port 0, one socket on any free port of 127.0.0.1. Raises LocalPortError.
    """
    candidates = range(port, min(port + PORTS_TRIED, 2**16)) if port else (0,)
    for candidate in candidates:
        try:
            return _listen_at(candidate)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise LocalPortError(
                    f"cannot listen on local port {candidate}: {error.strerror}", "choose another with --port"
                ) from None
    taken = f"local port {port} is" if len(candidates) == 1 else f"the local ports {port} to {candidates[-1]} are"
    raise LocalPortError(f"{taken} taken", "choose another with --port")


def _listen_at(port: int) -> list[socket.socket]:
    """Browsers ask ::1 first for `localhost`, where another program may listen: the port must be free on both."""
    first = socket.create_server(("127.0.0.1", port))
    if port == 0:
        return [first]
    try:
        return [first, socket.create_server(("::1", port), family=socket.AF_INET6)]
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            first.close()
            raise
        return [first]  # the machine has no IPv6


def reason_of(error: BaseException) -> str:
    """Return an error in words, of a group its first one."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or type(error).__name__
