"""What the measurement of a rollout's step and abort takes from the answers of a gateway."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from rich.console import Console

from benchmarks import rollout_peers
from benchmarks.rollout_peers import CANARY, STABLE, Answer, Answers, Figures, PeerError, measure, table


@dataclass
class Gateway:
    """A server whose canary answers as many of the requests as its weight says; it keeps the Hosts it was asked for."""

    url: str = ""
    weight: int = 0
    requests: int = 0
    hosts: set[str] = field(default_factory=set)
    fails: bool = False


@dataclass
class Tool:
    """A peer whose commands take effect at once, or not at all."""

    gateway: Gateway
    without_effect: str = ""
    when_without_effect: Callable[[], None] = lambda: None
    called: list[str] = field(default_factory=list)
    name: str = "tool"
    host: str = "shop.example.com"

    def prepare(self) -> None:
        self.called.append(f"{self.name}: prepare")
        self.gateway.weight = 0

    def step(self, weight: int) -> None:
        self.called.append(f"{self.name}: step {weight}")
        self._now("step", weight)

    def abort(self) -> None:
        self.called.append(f"{self.name}: abort")
        self._now("abort", 0)

    def _now(self, command: str, weight: int) -> None:
        if self.without_effect == command:
            self.when_without_effect()
        else:
            self.gateway.weight = weight

    def clean(self) -> None:
        self.called.append(f"{self.name}: clean")


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    state = Gateway()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # headers and body in one packet

        def do_GET(self) -> None:
            state.requests += 1
            state.hosts.add(self.headers["Host"])
            canary = state.requests * state.weight // 100 > (state.requests - 1) * state.weight // 100
            body = json.dumps({"version": CANARY if canary else STABLE}).encode()
            self.send_response(503 if state.fails else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout_peers, "_ENOUGH", 20)
    monkeypatch.setattr(rollout_peers, "_QUIET", 0.02)
    monkeypatch.setattr(rollout_peers, "_PAUSE", 0.0)


def test_each_run_is_prepared_stepped_and_aborted_and_the_peer_cleans_up_at_the_end(gateway: Gateway) -> None:
    tool = Tool(gateway)
    (figures,) = measure([tool], gateway.url, runs=2)
    assert tool.called == [*["tool: prepare", "tool: step 50", "tool: abort"] * 2, "tool: clean"]
    assert gateway.hosts == {"shop.example.com"}
    assert (len(figures.steps), len(figures.aborts), figures.failed) == (2, 2, 0)


def test_peers_take_turns_and_the_last_one_cleans_up_first(gateway: Gateway) -> None:
    called: list[str] = []
    peers = [Tool(gateway, called=called, name=name) for name in ("a", "b")]
    assert [figures.peer for figures in measure(peers, gateway.url, runs=2)] == ["a", "b"]
    assert [call for call in called if call.endswith(("prepare", "clean"))] == [
        *["a: prepare", "b: prepare"] * 2,
        *["b: clean", "a: clean"],
    ]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("step", "no answer of canary after the step"),
        ("abort", "not all requests are answered by stable after the abort"),
    ],
)
def test_a_command_without_effect_ends_the_measurement_and_the_peer_cleans_up(
    gateway: Gateway, command: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def soon() -> None:
        monkeypatch.setattr(rollout_peers, "_TIMEOUT", 0.5)

    peer = Tool(gateway, without_effect=command, when_without_effect=soon)
    with pytest.raises(PeerError, match=said):
        measure([peer], gateway.url, runs=1)
    assert peer.called[-1] == "tool: clean"


def test_a_step_to_another_weight_is_no_step(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    peer = Tool(gateway)
    monkeypatch.setattr(peer, "step", lambda weight: setattr(gateway, "weight", 100))
    with pytest.raises(PeerError, match="canary gets 100 % after a step to 50 %"):
        measure([peer], gateway.url, runs=1)


def test_a_service_that_fails_before_the_step_is_not_measured(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout_peers, "_TIMEOUT", 0.5)
    gateway.fails = True
    with pytest.raises(PeerError, match="not all requests are answered by stable"):
        measure([Tool(gateway)], gateway.url, runs=1)


@pytest.mark.parametrize(
    ("versions", "stable"),
    [
        ([CANARY, *[STABLE] * 20], True),
        ([CANARY, *[STABLE] * 19], False),
        ([*[STABLE] * 20, CANARY], False),
        ([*[STABLE] * 20, None], False),
    ],
)
def test_requests_are_stable_after_enough_answers_in_a_row(versions: list[str | None], stable: bool) -> None:
    assert Answers("", "", [Answer(float(at), each) for at, each in enumerate(versions)]).are_stable(0.0) is stable


def test_a_burst_of_answers_says_nothing_yet() -> None:
    assert not Answers("", "", [Answer(1.0, STABLE)] * 20).are_stable(0.0)


def test_the_canarys_share_counts_the_answers_since_a_moment() -> None:
    versions = [CANARY, CANARY, STABLE, CANARY, None, STABLE]
    answers = Answers("", "", [Answer(float(at), version) for at, version in enumerate(versions)])
    assert answers.share(2.0) == 25
    assert [answer.at for answer in answers.of_canary(1.0)] == [1, 3]


def test_the_table_has_median_and_worst_of_each_command() -> None:
    shown = io.StringIO()
    figures = Figures("tool", steps=(0.1, 0.3, 0.2), aborts=(0.5, 0.4, 0.9), requests=900, failed=1)
    Console(file=shown, width=120).print(table([figures]))
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.getvalue().splitlines() if "│" in line]
    assert rows == [
        ["step to 50 %", "tool", "0.100", "0.200", "0.300", "3", "1 of 900"],
        ["abort", "tool", "0.400", "0.500", "0.900", "3", "1 of 900"],
    ]
