"""A local port that is forwarded to a pod: bytes, connections, pods that go, and clean ends."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from kube import pod_connection, port_forward
from kube.kubeconfig import ClusterUnreachableError
from kube.port_forward import LocalPortError, PortForward, listen
from kube.service_pods import PortForwardError
from tests.unit.kube.clusters import Access, kubeconfig
from tests.unit.kube.port_forwards import NAMESPACE, PORT, SERVICE, Handler, cluster_with, echo, pod

SECONDS = 10.0
"""How long a test waits for what comes in milliseconds."""


@contextmanager
def forwarding(access: Access, local_port: int = 0) -> Iterator[tuple[PortForward, list[str]]]:
    """A port-forward, and its notes."""
    notes: list[str] = []
    with PortForward(access, NAMESPACE, SERVICE, PORT, local_port=local_port, note=notes.append) as forward:
        yield forward, notes


def connect(forward: PortForward) -> socket.socket:
    return socket.create_connection(("127.0.0.1", forward.local_port), timeout=SECONDS)


def exchange(forward: PortForward, data: bytes) -> bytes:
    """Send data, and return as many bytes of the answer."""
    with connect(forward) as client, ThreadPoolExecutor(1) as pool:
        sending = pool.submit(client.sendall, data)
        answer = read(client, len(data))
        sending.result()
    return answer


def read(client: socket.socket, count: int) -> bytes:
    """Return `count` bytes, or fewer if the connection ends or is reset before."""
    answer = b""
    try:
        while len(answer) < count and (more := client.recv(2**16)):
            answer += more
    except ConnectionError:
        pass
    return answer


def naming(name: bytes) -> Handler:
    """A program that answers each line with its name."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            writer.write(name)

    return answer


@pytest.mark.parametrize("size", [1, 70_000, 2**20])
def test_bytes_go_both_ways_unchanged(size: int, tmp_path: Path) -> None:
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    with cluster_with(tmp_path, "a") as (cluster, access, _), forwarding(access) as (forward, notes):
        assert exchange(forward, data) == data
        assert forward.url == f"http://127.0.0.1:{forward.local_port}"
        assert set(cluster.asked) == {f"a:{PORT}"}
        assert notes == []


def test_connections_are_independent_of_each_other(tmp_path: Path) -> None:
    texts = [str(number).encode() * 20_000 for number in range(16)]
    with cluster_with(tmp_path, "a") as (_, access, _servers), forwarding(access) as (forward, notes):
        with connect(forward) as silent, ThreadPoolExecutor(len(texts)) as pool:
            assert list(pool.map(lambda text: exchange(forward, text), texts)) == texts
            silent.sendall(b"still open")
            assert read(silent, 10) == b"still open"
        assert notes == []


def test_a_connection_that_the_pod_closes_ends_after_its_last_byte(tmp_path: Path) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye" * 100_000)
        writer.close()

    with cluster_with(tmp_path, "a", program=greet) as (_, access, _servers), forwarding(access) as (forward, notes):
        with connect(forward) as client:
            assert read(client, 2**20) == b"bye" * 100_000
        assert notes == []


def test_a_client_that_sends_no_more_still_gets_the_answer(tmp_path: Path) -> None:
    half_closed = asyncio.Event()

    async def answer_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        await half_closed.wait()
        writer.write(b"late answer")
        writer.close()

    with (
        cluster_with(tmp_path, "a", program=answer_late) as (_, access, servers),
        forwarding(access) as (forward, _notes),
        connect(forward) as client,
    ):
        client.sendall(b"question\n")
        client.shutdown(socket.SHUT_WR)
        servers.call(half_closed.set)
        assert read(client, 100) == b"late answer"


@pytest.mark.parametrize("reset", [False, True])
def test_the_pods_connection_ends_when_the_client_closes_its_own(
    reset: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pod_connection, "REST_SECONDS", 0.01)
    ended = threading.Event()

    async def wait_for_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.readline():  # the first connection is the trial
            writer.write(b"!")
            await reader.read()
            ended.set()

    with (
        cluster_with(tmp_path, "a", program=wait_for_end) as (_, access, _servers),
        forwarding(access) as (forward, notes),
    ):
        client = connect(forward)
        client.sendall(b"question\n")
        assert read(client, 1) == b"!"
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        assert ended.wait(SECONDS)
        assert notes == []


def test_when_the_pod_is_replaced_connections_go_to_the_new_one(tmp_path: Path) -> None:
    with (
        cluster_with(tmp_path, "old", program=naming(b"old")) as (cluster, access, servers),
        forwarding(access) as (forward, notes),
    ):
        with connect(forward) as client:
            client.sendall(b"\n")
            assert read(client, 3) == b"old"
            cluster.programs["new"] = servers.start(naming(b"new"))
            cluster.pods = [pod("new")]
            servers.call(cluster.cut.set)
            assert read(client, 1) == b"", "its connection is gone with the pod"
        servers.call(cluster.cut.clear)
        with connect(forward) as client:
            client.sendall(b"\n")
            assert read(client, 3) == b"new"
        assert notes[-1] == "forwarding to pod new now"


def test_a_pod_that_was_deleted_costs_no_connection(tmp_path: Path) -> None:
    with cluster_with(tmp_path, "old") as (cluster, access, servers), forwarding(access) as (forward, notes):
        cluster.programs["new"] = servers.start(echo)
        cluster.pods = [pod("new")]
        assert exchange(forward, b"hello") == b"hello"
        assert notes == ["the port-forward to pod old failed: HTTP 404", "forwarding to pod new now"]


def test_a_pod_that_refuses_connections_is_said_and_the_next_connection_goes_to_another(tmp_path: Path) -> None:
    with cluster_with(tmp_path, "a", "b") as (cluster, access, _), forwarding(access) as (forward, notes):
        cluster.programs["a"] = 1  # nothing listens there
        assert exchange(forward, b"hello") == b""
        assert exchange(forward, b"hello") == b"hello"
        assert notes == [
            "the port-forward to pod a failed: error forwarding port 9090 to pod a: connection refused",
            "forwarding to pod b now",
        ]


def test_while_no_pod_is_ready_connections_fail_with_the_reason_said_once(tmp_path: Path) -> None:
    with cluster_with(tmp_path, "a") as (cluster, access, _), forwarding(access) as (forward, notes):
        cluster.pods = [pod("b", ready=False, waiting="ErrImagePull")]
        assert exchange(forward, b"hello") == b""
        assert exchange(forward, b"hello") == b""
        assert notes == [
            "the port-forward to pod a failed: HTTP 404",
            "no pod of the Service istio-system/prometheus is ready: pod b: container prometheus: ErrImagePull",
        ]
        cluster.pods = [pod("a")]
        assert exchange(forward, b"hello") == b"hello", "it goes on by itself"


def test_a_missing_right_to_forward_ports_is_an_error_at_once(tmp_path: Path) -> None:
    with cluster_with(tmp_path, "a") as (cluster, access, _):
        cluster.refused["portforward"] = 403
        with pytest.raises(PortForwardError) as error, forwarding(access):
            pass
        assert "the right to get and create pods/portforward in the namespace istio-system" in error.value.message
        assert "--verb=get,create --resource=pods/portforward" in error.value.fix


def test_pods_that_accept_no_port_forward_are_an_error_with_the_status(tmp_path: Path) -> None:
    with cluster_with(tmp_path, "a", "b") as (cluster, access, _):
        cluster.refused["portforward"] = 500
        said = r"no pod of the Service istio-system/prometheus accepts a port-forward \(HTTP 500\)"
        with pytest.raises(PortForwardError, match=said), forwarding(access):
            pass
        assert {entry.partition(":")[0] for entry in cluster.asked} == {"a", "b"}, "each was tried"


def test_a_missing_service_is_an_error_at_once(tmp_path: Path) -> None:
    with cluster_with(tmp_path, "a") as (cluster, access, _):
        cluster.service = None
        with pytest.raises(PortForwardError, match="there is no Service prometheus"), forwarding(access):
            pass


def test_a_cluster_that_cannot_be_reached_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(ClusterUnreachableError), forwarding(kubeconfig(tmp_path / "kubeconfig", {"token": "t"})):
        pass


def _any_v4() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def _any_v6() -> socket.socket:
    try:
        return socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("the machine has no IPv6")


@pytest.mark.parametrize("occupy", [_any_v4, _any_v6], ids=["on 127.0.0.1", "on ::1"])
def test_a_taken_local_port_is_replaced_by_the_next_free_one(
    occupy: Callable[[], socket.socket], tmp_path: Path
) -> None:
    with cluster_with(tmp_path, "a") as (_, access, _servers), occupy() as taken:
        port = int(taken.getsockname()[1])
        with forwarding(access, port) as (forward, notes):
            assert forward.local_port > port
            assert notes == [f"local port {port} is taken; using {forward.local_port}"]
            assert exchange(forward, b"hello") == b"hello"


def test_when_all_ports_that_are_tried_are_taken_the_error_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(port_forward, "PORTS_TRIED", 1)
    with cluster_with(tmp_path, "a") as (_, access, _servers), _any_v4() as taken:
        port = int(taken.getsockname()[1])
        with pytest.raises(LocalPortError, match=f"local port {port} is taken"):
            listen(port)
        with pytest.raises(LocalPortError), forwarding(access, port):
            pass


def test_a_local_port_that_was_just_used_is_used_again(tmp_path: Path) -> None:
    with cluster_with(tmp_path, "a") as (_, access, _servers):
        with forwarding(access) as (forward, _notes):
            port = forward.local_port
            assert exchange(forward, b"hello") == b"hello"
        with forwarding(access, port) as (again, notes):
            assert again.local_port == port
            assert notes == []


def test_the_end_closes_connections_and_port_and_leaves_no_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(port_forward, "STOP_SECONDS", SECONDS)
    with cluster_with(tmp_path, "a") as (_, access, _servers):
        before = set(threading.enumerate())
        with forwarding(access) as (forward, notes):
            client = connect(forward)
            client.sendall(b"hello")
            assert read(client, 5) == b"hello"
        with client:
            assert read(client, 1) == b""
        assert {thread.name for thread in set(threading.enumerate()) - before} == set()
        with pytest.raises(ConnectionRefusedError):
            connect(forward)
        assert notes == []
