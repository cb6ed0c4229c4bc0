"""The memory of a process that moves a rollout with gates: `python -m benchmarks.runner_memory --sandbox NAME`.

The rollout is one of a stack of its own, under load, with a Prometheus of its own that scrapes each second: fifteen
times as many blocks as the default makes in the same time.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.load import requests
from benchmarks.rollout_peers import CANARY
from benchmarks.rollouts import PROGRAM, SERVICE, STACK, STILL, Route, Stack
from sandbox.layout import DEFAULT_NAME, Layout, layout

LIMIT = 100
"""MiB that a runner may need."""

CALLER = "front"
ECHO = {"image": "istio-canary/echo:1.0.0", "port": 8080, "preStopSeconds": 0, "terminationGracePeriodSeconds": 1}
MOVING: Route = [{"to": CANARY, "timeout": "3s", "rollout": "measured"}]
STEPS = [{"weight": 30, "for": "1m"}, {"weight": 50, "for": "1h"}, {"weight": 100}]
RATE = 50
"""Requests a second."""

SECONDS = 180.0


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Of one process in MiB: the most that it had in memory, what it has now, and after how many seconds."""

    peak: float
    now: float
    seconds: float


def memory_of(pid: int) -> tuple[float, float]:
    """Return the peak and the present resident memory of a process in MiB; raises OSError if it has ended."""
    lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    kib = {words[0]: int(words[1]) for words in lines if words[0] in ("VmHWM:", "VmRSS:")}
    if len(kib) < 2:
        raise ProcessLookupError(f"process {pid} has ended")
    return kib["VmHWM:"] / 1024, kib["VmRSS:"] / 1024


def measure(sandbox: Layout, prefix: str, seconds: float) -> Memory:
    """Return the memory of `canary rollout start` after so many seconds of a rollout with gates."""
    with Stack.create(sandbox, f"{prefix}-runner-memory") as stack:
        for route in (STILL, MOVING):
            stack.save(settings(stack, route))
            stack.canary("up", "--yes")
        words = [*PROGRAM, "rollout", "start", SERVICE, "--stack", STACK]
        quiet = subprocess.DEVNULL
        with (
            requests(f"{sandbox.gateway_url}/chain", RATE, stack.host(CALLER)),
            subprocess.Popen(words, cwd=stack.folder, env=stack.environment, stdout=quiet, stderr=quiet) as runner,
        ):
            try:
                return _watch(runner, seconds)
            finally:
                runner.terminate()
                runner.wait()
                stack.canary("rollout", "abort", SERVICE, "measured", codes=(0, 1, 2))


def settings(stack: Stack, route: Route) -> dict[str, Any]:
    """Return the settings of a stack whose rollouts have gates: the caller's sidecar counts, and is scraped."""
    caller = {
        "namespace": stack.namespace,
        "hosts": [stack.host(CALLER)],
        "versions": {"only": {**ECHO, "args": ["-service=front", f"-next=http://{SERVICE}.{stack.namespace}/chain"]}},
    }
    called = {**stack.service(SERVICE, route), "gateways": ["mesh"]}
    return {
        "rollouts": {"measured": {"steps": STEPS, "gates": {"tolerance": "5%"}, "keepPrevious": "1s"}},
        "telemetry": {
            "namespace": f"{stack.namespace}-telemetry",
            "metrics": "envoy",
            "scrapeInterval": "1s",
            "prometheus": {"enabled": True, "storage": None},
        },
        "services": {SERVICE: called, CALLER: caller},
    }


def _watch(runner: subprocess.Popen[bytes], seconds: float) -> Memory:
    """Wait, and read the memory; a runner that ends before has nothing to tell."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        if runner.poll() is not None:
            raise SystemExit(f"canary rollout start has ended with {runner.returncode} after less than {seconds:.0f} s")
        time.sleep(1)
    peak, now = memory_of(runner.pid)
    return Memory(peak=peak, now=now, seconds=time.monotonic() - began)


def main() -> int:
    """Measure, and print a line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.runner_memory", description=__doc__.splitlines()[0])
    parser.add_argument("--sandbox", default=DEFAULT_NAME, help="name of a sandbox that is up and has a mesh")
    parser.add_argument("--prefix", default="benchmark", help="how the names of its namespaces begin")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    asked = parser.parse_args()
    found = measure(layout(asked.sandbox), asked.prefix, asked.seconds)
    print(f"canary rollout start, {found.seconds:.0f} s: peak {found.peak:.0f} MiB, now {found.now:.0f} MiB ({LIMIT})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
