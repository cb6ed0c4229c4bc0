"""The gate service over HTTP: it answers at once, refuses what is too much, and listens where it is told to."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest

from rollout.engines.target import KEY, LABEL, EngineTarget
from rollout.gate_reader import GateReading
from rollout.gate_service import serving
from rollout.gate_service.following import Seen
from rollout.gate_service.serving import GateServer
from rollout.gate_service.watching import HEALTHY, Canaries, _read
from rollout.record import Record
from tests.unit.rollout.api_server import ApiServer
from tests.unit.rollout.gate_service.targets import START, at, target, virtual_service


def nothing(record: Record, now: str) -> GateReading | None:
    """Nobody needs the gates here."""
    return None


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def canaries(found: list[tuple[EngineTarget, Seen]], clock: Clock | None = None) -> Canaries:
    return Canaries(("shop",), lambda namespaces: found, lambda: nothing, clock or Clock())


@pytest.fixture
def server() -> Iterator[GateServer]:
    """A server that has looked once, at a service without a canary."""
    watched = canaries([(target(), Seen(at=START, weight=0.0))])
    watched.look()
    with GateServer(("127.0.0.1", 0), watched) as made:
        threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield made
        made.shutdown()


def test_a_verdict_is_read_by_http(server: GateServer) -> None:
    found = httpx.get(f"http://127.0.0.1:{server.port}/shop/website", trust_env=False)
    assert found.status_code == 200
    assert found.headers["Content-Type"] == "application/json"
    assert (found.json()["answer"], found.json()["pass"], found.json()["weight"]) == ("Hold", False, 0)


def test_a_webhook_is_answered_by_its_status(server: GateServer) -> None:
    url = f"http://127.0.0.1:{server.port}/shop/website"
    asked = {
        hook: httpx.post(f"{url}/{hook}", json={"name": "website"}, trust_env=False).status_code
        for hook in ("confirm-traffic-increase", "confirm-promotion", "rollback")
    }
    assert asked == {"confirm-traffic-increase": 200, "confirm-promotion": 409, "rollback": 409}


@pytest.mark.parametrize("length", ["65537", "-1", "many"])
def test_a_body_that_is_too_long_or_has_no_length_is_refused_unread(server: GateServer, length: str) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sent:
        sent.sendall(f"POST /shop/website/rollback HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode())
        assert sent.recv(100).startswith(b"HTTP/1.0 413")


def test_more_requests_than_there_is_room_for_are_closed(server: GateServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "free", threading.BoundedSemaphore(1))
    server.free.acquire()
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{server.port}/shop/website", trust_env=False)
    server.free.release()
    assert httpx.get(f"http://127.0.0.1:{server.port}/livez", trust_env=False).status_code == 200


def test_a_caller_that_sends_nothing_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving._Handler, "timeout", 0.05)
    with GateServer(("127.0.0.1", 0), canaries([])) as made:
        threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        with socket.create_connection(("127.0.0.1", made.port), timeout=5) as sent:
            assert sent.recv(100) == b""
        made.shutdown()


def test_it_listens_by_ipv6_where_the_address_says_so() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with GateServer(("::1", 0), canaries([])) as made:
        assert made.socket.family is socket.AF_INET6


def test_a_cluster_that_does_not_answer_makes_the_gate_unhealthy_and_its_answers_old() -> None:
    clock, broken = Clock(), [False]

    def looks(namespaces: Sequence[str]) -> list[tuple[EngineTarget, Seen]]:
        if broken[0]:
            raise TimeoutError("no answer")
        return [(target(), Seen(at=START, weight=0.0))]

    watched = Canaries(("shop",), looks, lambda: nothing, clock)
    assert not watched.healthy
    watched.look()
    assert watched.healthy
    broken[0], clock.now = True, HEALTHY + 1
    watched.look()
    assert not watched.healthy
    answer = watched.answer("shop", "website")
    assert answer is not None
    assert (answer.answer.value, answer.is_idle) == ("NoData", False)


def test_a_service_whose_config_is_gone_is_known_no_more_and_a_changed_one_begins_anew() -> None:
    found = [(target(), Seen(at=START, weight=10.0, written=START))]
    watched = canaries(found)
    watched.look()
    before = watched._gates["shop", "website"]
    found[0] = (target(virtual_services=("website", "website-mesh")), found[0][1])
    watched.look()
    assert watched._gates["shop", "website"] is not before
    found.clear()
    watched.look()
    assert watched.answer("shop", "website") is None


def config_map(name: str, text: str) -> dict[str, Any]:
    labels = {LABEL: "website"}
    return {"metadata": {"name": name, "namespace": "shop", "labels": labels}, "data": {KEY: text}}


def test_targets_and_weights_are_read_from_the_cluster_and_damaged_ones_left_out() -> None:
    server = ApiServer()
    server.objects["configmaps", "shop", "good"] = config_map("good", target().to_json())
    server.objects["configmaps", "shop", "damaged"] = config_map("damaged", "{")
    server.objects["configmaps", "shop", "newer"] = config_map(
        "newer", json.dumps({**json.loads(target().to_json()), "schema": 2})
    )
    server.objects["configmaps", "shop", "other"] = {"metadata": {"name": "other", "namespace": "shop"}}
    server.objects["virtualservices", "shop", "website"] = virtual_service({"version-1": 90, "version-2": 10}, at(7))

    ((found, seen),) = _read(server.client, ("shop",))
    assert found == target()
    assert (seen.weight, seen.written) == (10.0, at(7))
    assert server.writes == 0
