"""What telemetry costs, and how soon a person sees a change: `python -m benchmarks watch telemetry-memory`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

CANARY = Path(sys.executable).parent / "canary"
RATE = 100
"""Requests a second while the figures are measured."""
SERVERS = ("prometheus", "jaeger-linux")
"""Names of the processes, cut to 15 characters by the kernel."""


def seconds_until_seen(
    folder: Path, environment: Mapping[str, str], canary: int, change: Callable[[], subprocess.Popen[bytes]]
) -> float:
    """Seconds from the new weight in `canary status --watch` to an observed share beyond half of the way to it.

    `change` starts a run that gives version-2 `canary` percent of the requests instead of the rest.
    """
    words = [str(CANARY), "status", "--stack", "dev", "--watch", "--interval", "0.5", "--json"]
    run, changed = None, None
    with subprocess.Popen(
        words, cwd=folder, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True
    ) as watch:
        assert watch.stdout is not None
        try:
            for line in watch.stdout:
                version = _second_version(json.loads(line))
                run = run or change()
                if changed is None and version["weight_percent"] == canary:
                    changed = time.monotonic()
                share = version["share_percent"]
                if changed is not None and share is not None and (share > 50) is (canary > 50):
                    return time.monotonic() - changed
            raise SystemExit("canary status --watch ended by itself")
        finally:
            watch.send_signal(signal.SIGINT)
            if run is not None:
                run.wait()


def memory_mib() -> float:
    """Memory of the processes of Prometheus and Jaeger on this machine, shared pages counted once, in MiB."""
    kib = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "comm").read_text().strip() in SERVERS:
                lines = (process / "smaps_rollup").read_text().splitlines()
                kib += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except (OSError, StopIteration):  # it has just ended
            continue
    return kib / 1024


def _second_version(document: dict[str, Any]) -> dict[str, Any]:
    (service,) = document["services"]
    return next(version for version in service["versions"] if version["name"] == "version-2")
