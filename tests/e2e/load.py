"""A real load generator, at the gateway or inside the mesh: vegeta, at a constant rate, until it is told to end.

It keeps its rate whatever the answers are (an open model), so a pause shows as failed or late requests, not as fewer.
"""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from sandbox.build import go_modules
from sandbox.build.cache import Cache, default_root
from sandbox.build.go_modules import GoModule
from sandbox.progress import progress

VEGETA = GoModule(name="vegeta", programs=("vegeta",), disk_megabytes=300, main="github.com/tsenart/vegeta/v12")
VERSION_HEADER = "X-Served-Version"
LONGEST_SECONDS = 600
"""No load goes on for longer, whatever becomes of the test."""


@dataclass
class Load:
    """What became of the requests: answers by status (0: no answer) and by version, and what was no 2xx."""

    statuses: Counter[int] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def requests(self) -> int:
        """How many were sent."""
        return self.statuses.total()

    @property
    def rate(self) -> float:
        """Requests a second."""
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
) -> Iterator[Load]:
    """Send `rate` requests a second to `url` as long as the block runs; what became of them is complete after it.

    With `inside`, a process of a pod, they start in that pod's network, and its sidecar routes them.
    """
    results, program, result = folder / f"{uuid.uuid4()}.bin", vegeta(), Load()
    given = [f"-header={name}: {value}" for name, value in (headers or {}).items()]
    given += [] if keepalive else ["-keepalive=false"]
    network = [] if inside is None else ["nsenter", f"--target={inside}", "--net"]
    command = [
        *network, str(program), "attack", f"-rate={rate}/s", f"-duration={LONGEST_SECONDS}s", "-timeout=10s",
        "-workers=32", "-connections=64", "-max-connections=256", "-redirects=-1", f"-output={results}", *given,
    ]  # fmt: skip
    attack = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)
    assert attack.stdin is not None
    attack.stdin.write(f"GET {url}\n")
    attack.stdin.close()
    try:
        yield result
        assert attack.poll() is None, f"the load ended before the change did, after {LONGEST_SECONDS} s at the latest"
    finally:
        attack.send_signal(signal.SIGINT)  # sends no more, and waits for the answers that are due
        try:
            attack.wait(30)
        except subprocess.TimeoutExpired:
            attack.kill()
            attack.wait()
    _read(program, results, result)
    results.unlink()


def _read(program: Path, results: Path, result: Load) -> None:
    encoded = subprocess.run(
        [str(program), "encode", "--to=json", str(results)], check=True, capture_output=True, text=True
    )
    sent: list[datetime] = []
    for line in encoded.stdout.splitlines():
        one = json.loads(line)
        sent.append(datetime.fromisoformat(one["timestamp"]))
        result.statuses[one["code"]] += 1
        result.versions.update((one["headers"] or {}).get(VERSION_HEADER, ()))
        if not 200 <= one["code"] < 300:
            body = base64.b64decode(one["body"] or "")[:200].decode(errors="replace")  # Envoy says there why
            result.failures.append(f"{one['timestamp']}: {one['code']} {one['error']} {body}")
    result.seconds = (max(sent) - min(sent)).total_seconds() if sent else 0.0
