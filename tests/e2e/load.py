"""A load generator, at the gateway or inside the mesh: vegeta at a constant rate.

The rate does not depend on the answers (open model), so a pause shows as failed or late requests, not as fewer.
"""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from sandbox.builder import go_modules
from sandbox.builder.cache import Cache, default_root
from sandbox.builder.go_modules import GoModule
from sandbox.progress import progress

VEGETA = GoModule(name="vegeta", programs=("vegeta",), disk_megabytes=300, main="github.com/tsenart/vegeta/v12")
VERSION_HEADER = "X-Served-Version"
LONGEST_SECONDS = 1800
"""Upper limit for the duration of a load: some last for all tests of a file."""
CALLED = "called"
"""The query parameter that names a request's target, which a result of vegeta has only in its URL."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One request: to which of the load's targets, when it was sent and answered, and by whom it was.

    `version` is what the route says of the request (`versionHeader`), on an Envoy's own error too; `said_by` is the
    version that the pod itself answered with in its body. Only if there is one was a failure the version's own.
    """

    target: str
    sent: datetime
    answered: datetime
    status: int
    version: str | None
    said_by: str | None
    error: str = ""

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


@dataclass
class Load:
    """The answers by status (0: no answer) and by version, and those other than 2xx."""

    answers: list[Answer] = field(default_factory=list)
    """All of them, in the order in which they were sent."""

    statuses: Counter[int] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    answered: list[datetime] = field(default_factory=list)
    """When the requests were sent that were answered with 2xx."""
    failed: list[datetime] = field(default_factory=list)
    """When the others were sent."""
    seconds: float = 0.0

    @property
    def requests(self) -> int:
        """Number of requests sent."""
        return self.statuses.total()

    @property
    def what_failed(self) -> str:
        """The failures, and what was answered while they were sent: for the message of a failed test."""
        first, last = min(self.failed), max(self.failed)
        between = sum(first <= sent <= last for sent in self.answered)
        return (
            f"{len(self.failures)} of {self.requests} failed, sent from {first:%H:%M:%S.%f} to {last:%H:%M:%S.%f}; "
            f"{between} sent in between were answered; the first and last: {self.failures[:3]} … {self.failures[-2:]}"
        )

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds if self.seconds else 0.0


def vegeta() -> Path:
    """The program, built from its module where the cache does not have it."""
    cache, go = Cache(default_root()), go_modules.find_go()
    assert go is not None, "the load generator is built with Go"
    name = go_modules.entry_name(VEGETA, go)
    report = progress()
    if not cache.has(name):
        with cache.locked(report):
            if not cache.has(name):
                log = cache.log(VEGETA.name)
                with report.step("building vegeta", log) as step, cache.fill(name) as folder:
                    go_modules.build(VEGETA, go, cache.root / "go-build-vegeta", folder, log, step)
    return cache.entry(name) / "vegeta"


@contextmanager
def load(
    url: str,
    folder: Path,
    *,
    rate: int,
    headers: Mapping[str, str] | None = None,
    keepalive: bool = True,
    inside: int | None = None,
    hosts: Mapping[str, str] | None = None,
) -> Iterator[Load]:
    """Send `rate` requests per second to `url` while the block runs; the result is complete after it.

    With `inside`, the process id of a pod, they are sent from that pod's network, and its sidecar routes them. With
    `hosts`, they go to these in turn, and `Answer.target` is the name of the host.
    """
    results, program, result = folder / f"{uuid.uuid4()}.bin", vegeta(), Load()
    given = [f"-header={name}: {value}" for name, value in (headers or {}).items()]
    given += [] if keepalive else ["-keepalive=false"]
    network = [] if inside is None else ["nsenter", f"--target={inside}", "--net"]
    command = [
        "setpriv", "--pdeathsig=KILL",  # it ends with this process, however that ends
        *network, str(program), "attack", f"-rate={rate}/s", f"-duration={LONGEST_SECONDS}s", "-timeout=10s",
        "-workers=32", "-connections=64", "-max-connections=256", "-redirects=-1", f"-output={results}", *given,
    ]  # fmt: skip
    attack = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)
    assert attack.stdin is not None
    attack.stdin.write(_targets(url, hosts))
    attack.stdin.close()
    try:
        yield result
        assert attack.poll() is None, f"the load ended before the changes did (limit: {LONGEST_SECONDS} s)"
    finally:
        attack.send_signal(signal.SIGINT)  # stops sending, and waits for outstanding answers
        try:
            attack.wait(30)
        except subprocess.TimeoutExpired:
            attack.kill()
            attack.wait()
    _read(program, results, result)
    results.unlink()


def _targets(url: str, hosts: Mapping[str, str] | None) -> str:
    if hosts is None:
        return f"GET {url}\n"
    return "\n".join(f"GET {url.rstrip('/')}/?{CALLED}={name}\nHost: {host}\n" for name, host in hosts.items())


def _read(program: Path, results: Path, result: Load) -> None:
    encoded = subprocess.run(
        [str(program), "encode", "--to=json", str(results)], check=True, capture_output=True, text=True
    )
    count(encoded.stdout.splitlines(), result)


def count(lines: Iterable[str], result: Load) -> None:
    """Add vegeta's results, one as JSON in each line, to `result`."""
    for line in lines:
        one = json.loads(line)
        answer = _answer(one)
        result.answers.append(answer)
        result.statuses[answer.status] += 1
        result.versions.update((one["headers"] or {}).get(VERSION_HEADER, ()))
        if answer.ok:
            result.answered.append(answer.sent)
        else:
            result.failed.append(answer.sent)
            result.failures.append(f"{one['timestamp']}: {one['code']} {answer.error}")
    result.answers.sort(key=lambda answer: answer.sent)
    sent_at = [answer.sent for answer in result.answers]
    result.seconds = (sent_at[-1] - sent_at[0]).total_seconds() if sent_at else 0.0


def _answer(one: Mapping[str, Any]) -> Answer:
    sent = datetime.fromisoformat(one["timestamp"])
    body = base64.b64decode(one["body"] or "")
    reason = "" if one["error"] == "" else body[:200].decode(errors="replace").strip()  # Envoy's, or the pod's
    return Answer(
        target=parse_qs(urlsplit(one["url"]).query).get(CALLED, [""])[0],
        sent=sent,
        answered=sent + timedelta(microseconds=one["latency"] / 1000),
        status=one["code"],
        version=((one["headers"] or {}).get(VERSION_HEADER) or [None])[0],
        said_by=_said_by(body),
        error=": ".join(filter(None, (one["error"], reason))),
    )


def _said_by(body: bytes) -> str | None:
    """The version in the body of an echo; None if an Envoy wrote it, or nobody."""
    try:
        said = json.loads(body)
    except ValueError:
        return None
    return str(said["version"]) if isinstance(said, dict) and "version" in said else None
