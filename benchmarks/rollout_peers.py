"""How soon a step of a rollout, and its abort, reach the gateway: one way to measure for every tool.

One request follows the other on one connection to the gateway, 2 ms apart. Each answer tells the version that gave it,
and is kept with its time. A figure is the time from the start of a command, as a person types it, to an answer: of a
step, the canary's first one; of an abort, the canary's last one.
"""

from __future__ import annotations

import http.client
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Protocol
from urllib.parse import urlsplit

from rich.table import Table

STABLE, CANARY = "stable", "canary"
"""The versions that the peers' pods report: apps/echo with `-version=stable` and `-version=canary`."""
WEIGHT = 50
"""The step that is measured, in percent: every second request tells which weight is in force."""
RUNS = 15
_PAUSE = 0.002  # seconds between an answer and the next request
_TIMEOUT = 30.0
_ENOUGH = 100  # answers that show which weight is in force
_QUIET = 1.0  # seconds in which the stable version alone answers, after which an abort is over


class Peer(Protocol):
    """A tool that moves the requests of one service from a stable version to a canary.

    Its service answers at the gateway for `host`, with apps/echo of the versions STABLE and CANARY.
    """

    @property
    def name(self) -> str:
        """The tool's name in the table."""

    @property
    def host(self) -> str:
        """The Host of requests to its service."""

    def prepare(self) -> None:
        """Come to the start of a rollout, from nothing or after an abort.

        When it returns, STABLE gets all requests, the canary's pods are ready, and `step` can follow.
        """

    def step(self, weight: int) -> None:
        """Run the command after which CANARY gets `weight` percent; it may return before or after that is so."""

    def abort(self) -> None:
        """Run the command after which STABLE gets all requests again."""

    def clean(self) -> None:
        """Delete everything that `prepare` made; it may be called when nothing is there."""


@dataclass(frozen=True)
class Answer:
    """An answer of the gateway: when it arrived (time.monotonic), and from which version; None for a failure."""

    at: float
    version: str | None


@dataclass(frozen=True)
class Figures:
    """The seconds of each run, and how many of the requests meanwhile failed."""

    peer: str
    steps: tuple[float, ...]
    aborts: tuple[float, ...]
    requests: int
    failed: int


class PeerError(RuntimeError):
    """A peer did not do what was asked of it."""


@dataclass
class Answers:
    """The answers to requests of `host`, sent one after the other while `requests` runs; oldest first."""

    url: str
    host: str
    seen: list[Answer] = field(default_factory=list)

    def of_canary(self, since: float) -> list[Answer]:
        """The canary's answers that arrived at `since` or later."""
        return [answer for answer in self.after(since) if answer.version == CANARY]

    def after(self, since: float) -> list[Answer]:
        """The answers that arrived at `since` or later."""
        found = []
        for answer in reversed(self.seen[:]):
            if answer.at < since:
                break
            found.append(answer)
        return found[::-1]

    def share(self, since: float) -> float:
        """The canary's share of the answers since then, in percent."""
        answers = self.after(since)
        return 100 * sum(answer.version == CANARY for answer in answers) / max(1, len(answers))

    def are_stable(self, since: float) -> bool:
        """Whether enough answers in a row, up to the newest, are the stable version's, all since then."""
        in_a_row = list(takewhile(lambda answer: answer.version == STABLE, reversed(self.after(since))))
        return len(in_a_row) >= _ENOUGH and in_a_row[0].at - in_a_row[-1].at >= _QUIET

    @contextmanager
    def requests(self) -> Iterator[None]:
        """Send requests while the block runs."""
        ended = threading.Event()
        thread = threading.Thread(target=self._send, args=(ended,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(_TIMEOUT)

    def _send(self, ended: threading.Event) -> None:
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=5)
        while not ended.wait(_PAUSE):
            try:
                connection.request("GET", "/", headers={"Host": self.host})
                answer = connection.getresponse()
                body = answer.read()
                version = json.loads(body)["version"] if answer.status == http.HTTPStatus.OK else None
            except (OSError, http.client.HTTPException, ValueError, KeyError):
                connection.close()  # the next request opens it again
                version = None
            self.seen.append(Answer(time.monotonic(), version))
        connection.close()


def measure(peers: Sequence[Peer], url: str, runs: int = RUNS) -> tuple[Figures, ...]:
    """Measure a step to WEIGHT percent and its abort at the gateway `url`, `runs` times by each peer, and clean up.

    The peers take turns, so that what else the machine does meanwhile burdens all of them. Raises PeerError when the
    gateway does not show the weight, or the abort, in time.
    """
    found: list[list[_Run]] = [[] for _ in peers]
    with ExitStack() as at_the_end:
        for peer in peers:
            at_the_end.callback(peer.clean)
        for number in range(1, runs + 1):
            for peer, done in zip(peers, found, strict=True):
                print(f"measuring: {peer.name}, {number} of {runs}", file=sys.stderr, flush=True)
                peer.prepare()
                done.append(_measure(peer, Answers(url, peer.host)))
    return tuple(
        Figures(
            peer=peer.name,
            steps=tuple(run.step for run in done),
            aborts=tuple(run.abort for run in done),
            requests=sum(len(run.answers) for run in done),
            failed=sum(answer.version is None for run in done for answer in run.answers),
        )
        for peer, done in zip(peers, found, strict=True)
    )


def table(found: Iterable[Figures]) -> Table:
    """The figures beside each other, in seconds."""
    shown = Table("command", "of", "minimum", "median", "worst", "runs", "failed requests")
    for figures in found:
        for command, seconds in ((f"step to {WEIGHT} %", figures.steps), ("abort", figures.aborts)):
            numbers = [f"{value:.3f}" for value in (min(seconds), statistics.median(seconds), max(seconds))]
            failed = f"{figures.failed} of {figures.requests}"
            shown.add_row(command, figures.peer, *numbers, str(len(seconds)), failed)
    return shown


@dataclass(frozen=True)
class _Run:
    """Seconds of step and abort, and the answers from the step's command on."""

    step: float
    abort: float
    answers: list[Answer]


def _measure(peer: Peer, answers: Answers) -> _Run:
    with answers.requests():
        _wait_for_stable(peer, answers)
        began = time.monotonic()
        step = _step(peer, answers)
        abort = _abort(peer, answers)
    return _Run(step, abort, answers.after(began))


def _wait_for_stable(peer: Peer, answers: Answers) -> None:
    """Wait until the gateway has the routes and pods of the start."""
    began = time.monotonic()
    _wait(lambda: answers.are_stable(began), f"{peer.name}: not all requests are answered by {STABLE} before the step")


def _step(peer: Peer, answers: Answers) -> float:
    """Seconds from the start of the step's command to the canary's first answer."""
    began = time.monotonic()
    peer.step(WEIGHT)
    _wait(lambda: bool(answers.of_canary(began)), f"{peer.name}: no answer of {CANARY} after the step")
    first = answers.of_canary(began)[0].at
    settled = time.monotonic()
    _wait(lambda: len(answers.after(settled)) >= _ENOUGH, f"{peer.name}: fewer than {_ENOUGH} answers after the step")
    if not WEIGHT / 2 < answers.share(settled) < WEIGHT * 1.5:
        raise PeerError(f"{peer.name}: {CANARY} gets {answers.share(settled):.0f} % after a step to {WEIGHT} %")
    return first - began


def _abort(peer: Peer, answers: Answers) -> float:
    """Seconds from the start of the abort's command to the canary's last answer."""
    began = time.monotonic()
    peer.abort()
    ended = time.monotonic()

    _wait(lambda: answers.are_stable(ended), f"{peer.name}: not all requests are answered by {STABLE} after the abort")
    last = answers.of_canary(began)
    return last[-1].at - began if last else 0.0


def _wait(happened: Callable[[], bool], otherwise: str) -> None:
    limit = time.monotonic() + _TIMEOUT
    while not happened():
        if time.monotonic() > limit:
            raise PeerError(f"{otherwise} (within {_TIMEOUT:.0f} s)")
        time.sleep(0.02)
