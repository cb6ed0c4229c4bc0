"""What hours of gates need in memory, without a cluster: `python -m benchmarks.gate_memory`.

One process that has imported what `canary rollout start` imports runs the loop's own parts: `GateFacts` reads, judges
and keeps in threads, as a runner does, by a Prometheus that makes its answers up. Printed as JSON, in MiB and ms.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import statistics
import sys
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from benchmarks.runner_memory import memory_of

if TYPE_CHECKING:
    from metrics.prometheus import Prometheus
    from rollout.record import Record
    from rollout.store import RolloutStore

IMPORTED = (
    "canary.command_line",
    "canary.commands.rollout_start",
    "canary.rollout.group_place",
    "canary.rollout.starting",
    "canary.rollout.progress",
    "canary.rollout.prometheus_readings",
    "canary.engine.session",
    "canary.telemetry",
    "kube.client",
    "lightkube",
    "lightkube.resources.apps_v1",
    "lightkube.resources.core_v1",
    "rollout.runner",
    "rollout.acting",
    "rollout.gating_facts",
    "rollout.gate_reader",
    "rollout.gate_file",
    "rollout.gate_packing",
    "metrics.prometheus",
    "httpx",
    "httpx2",
)
"""What `canary rollout start` has imported once its gates are judged."""

STACK = Path(__file__).resolve().parent.parent / "Pulumi.prod.yaml"
HOURS, HOUR = 8.0, 3600.0
BLOCK = 15.0
"""Seconds of a block, and between two scrapes."""
CALLERS = 3
BEGAN = 1_800_000_000.0
WEIGHT = 30.0
PER_SECOND = 50.0
"""Requests of each caller."""
SERVICE, NAMESPACE, RULE = "website", "shop", "rule-1"
VERSIONS = ("version-1", "version-2")
SHARES = tuple(zip(VERSIONS, (1 - WEIGHT / 100, WEIGHT / 100), strict=True))
BOUND = 50.0


def main() -> int:
    """Run the hours, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate_memory", description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=HOURS)
    parser.add_argument("--block", type=float, default=BLOCK, help="seconds between two scrapes")
    parser.add_argument("--at-once", action="store_true", help="all hours in one reading, as after a kill")
    parser.add_argument("--kept", type=Path, metavar="FILE", help="what an earlier run has kept, and this one keeps")
    parser.add_argument("--traced", action="store_true", help="also print who allocated what is there at the end")
    asked = parser.parse_args()
    for name in IMPORTED:
        import_module(name)
    from stacks.settings.loading import load_stack

    loaded = load_stack(STACK)
    found: dict[str, Any] = {"block": asked.block, "hours": asked.hours, "imports": mib()["peak"]}
    if asked.traced:
        tracemalloc.start()
    from rollout import gate_reader

    gate_reader.BOUNDS_EVERY = HOUR  # the bounds for reports need much time, and no memory that stays
    run = Run(asked.block)
    if asked.kept is not None and asked.kept.exists():
        run.store.write_gates({"rollout": f"{SERVICE}-1"}, asked.kept.read_bytes())
    found["past"] = run.fix()
    run.go(asked.hours, at_once=asked.at_once)
    found |= {
        "blocks": run.blocks,
        "answer": run.answer,
        **mib(),
        "keep_median": statistics.median(run.kept),
        "keep_last": run.kept[-1],
        "packed_kib": len(run.store.verdicts) / 1024,
    }
    print(json.dumps({name: round(one, 1) if isinstance(one, float) else one for name, one in found.items()}))
    if asked.kept is not None:
        asked.kept.write_bytes(run.store.verdicts)
    if asked.traced:
        _show(tracemalloc.take_snapshot())
    return 0 if loaded.settings else 1


def mib() -> dict[str, float]:
    """Return the peak and the present memory of this process in MiB."""
    peak, now = memory_of(os.getpid())
    return {"peak": peak, "now": now}


class Store:
    """A store that writes nowhere, but makes the same documents."""

    def __init__(self) -> None:
        self.evidence: Mapping[str, Any] | None = None
        self.verdicts = b""
        self.writes = 0

    def write_gates(self, evidence: Mapping[str, Any], verdicts: bytes) -> None:
        """Make the body of the request as `RolloutStore` and its client do."""
        text = json.dumps(evidence, separators=(",", ":"))
        content = {"data": {"evidence": text}, "binaryData": {"verdicts": base64.b64encode(verdicts).decode()}}
        json.dumps(content).encode()
        self.evidence, self.verdicts = evidence, verdicts
        self.writes += 1

    def read_gates(self) -> tuple[Mapping[str, Any], bytes] | None:
        """Return what was kept."""
        return None if self.evidence is None else (self.evidence, self.verdicts)


class Counted:
    """A Prometheus whose counters grow steadily, with some chance; it answers as JSON, which is read as usual."""

    def __init__(self, every: float) -> None:
        from metrics.prometheus import Prometheus

        self.every = every
        self.now = BEGAN
        counted = self

        class Answering(Prometheus):
            def _ask(self, endpoint: str, form: Mapping[str, str], kinds: tuple[str, ...]) -> tuple[str, Any]:
                return kinds[0], json.loads(counted.answer(form).encode())

        self.client: Prometheus = Answering("http://localhost:9090")

    def answer(self, form: Mapping[str, str]) -> str:
        """Return the result of a query as JSON."""
        query, now = form["query"], float(form.get("time", self.now))
        over = re.search(r"\[([0-9]+)s\]$", query)
        if over is None:
            rows = [({"version": VERSIONS[0], "le": le}, [(now, one)]) for le, one in _DURATIONS]
            return (
                "[" + ",".join(f'{{"metric":{json.dumps(own)},"value":[{at},"{v}"]}}' for own, ((at, v),) in rows) + "]"
            )
        return "[" + ",".join(self._series(query, now, float(over[1]))) + "]"

    def _series(self, query: str, now: float, over: float) -> Iterator[str]:
        from metrics import series_names

        for caller in range(CALLERS):
            offset = caller * self.every / CALLERS
            first, last = (int((at - BEGAN - offset) // self.every) for at in (now - over, now))
            times = [(number, BEGAN + offset + number * self.every) for number in range(first + 1, last + 1)]
            if query.startswith("envoy_server_uptime"):
                yield _text(_labels(caller, "envoy_server_uptime"), ((at, int(at - BEGAN + 1e6)) for _, at in times))
            elif query.startswith(series_names.NO_CLUSTER):
                name = series_names.NO_CLUSTER
                listener = {"http_conn_manager_prefix": "outbound_0.0.0.0_80"}
                yield _text(_labels(caller, name) | listener, ((at, 0) for _, at in times))
            elif query.startswith("up"):
                yield _text(_labels(caller, "up"), ((at, 1) for _, at in times))
            elif series_names.TIME in query and "__name__" not in query:
                for version, share in SHARES:
                    for le, part in ((f"{BOUND:g}", 0.95), ("+Inf", 1.0)):
                        labels = {**_labels(caller, f"{series_names.ENVOY}{series_names.TIME}", version), "le": le}
                        yield _text(labels, ((at, self._count(share * part, n, caller)) for n, at in times))
            else:
                for version, share in SHARES:
                    for name, part, more in _statistics():
                        labels = {**_labels(caller, f"{series_names.ENVOY}{name}", version), **more}
                        yield _text(labels, ((at, self._count(share * part, n, caller)) for n, at in times))

    def _count(self, part: float, number: int, caller: int) -> int:
        """What a counter is at its scrape: part of the requests so far, which are never the same in two intervals."""
        some = zlib.crc32(f"{number} {caller} {part:g}".encode()) / 2**32
        return int((number + 10**6 + some) * self.every * PER_SECOND * part)


_DURATIONS = (("25", 30.0), ("50", 95.0), ("100", 99.0), ("+Inf", 100.0))


def _statistics() -> tuple[tuple[str, float, dict[str, str]], ...]:
    from metrics import series_names

    tries = (series_names.CONNECTED, series_names.CANCELLED, series_names.REFUSED)
    named = (*tries, series_names.RESET, series_names.CLOSED, series_names.RETRIED)
    none = (series_names.NO_HEALTHY_POD, *series_names.LIMITS)
    return (
        (series_names.COMPLETED, 1.0, {}),
        (series_names.BY_CODE, 0.995, {"response_code_class": "2xx"}),
        (series_names.BY_CODE, 0.005, {"response_code_class": "5xx"}),
        (series_names.ACTIVE, 0.0, {}),
        *((name, 1.0 if name == series_names.CONNECTED else 0.0, {}) for name in named),
        *((name, 0.0, {}) for name in none),
    )


def _labels(caller: int, name: str, version: str = "") -> dict[str, str]:
    labels = {
        "__name__": name,
        "instance": f"10.42.0.{caller}:15020",
        "job": "istio-proxies",
        "namespace": NAMESPACE,
        "pod": f"caller-{caller}-6c9f7d5b8-x2x7k",
        "app": f"caller-{caller}",
        "service_istio_io_canonical_name": f"caller-{caller}",
        "service_istio_io_canonical_revision": "version-1",
        "security_istio_io_tlsMode": "istio",
    }
    return {**labels, "cluster_name": f"outbound|80|{version}|{SERVICE}.{NAMESPACE}"} if version else labels


def _text(labels: Mapping[str, str], points: Iterator[tuple[float, int]]) -> str:
    values = ",".join(f'[{at:.3f},"{value}"]' for at, value in points)
    return f'{{"metric":{json.dumps(labels)},"values":[{values}]}}'


class Run:
    """The gates of one rollout in one step, from its start on."""

    def __init__(self, every: float) -> None:
        from rollout.background import Background
        from rollout.gate_reader import GateReader
        from rollout.gating_facts import GateFacts

        self.every = every
        self.store = Store()
        self.kept: list[float] = []
        """Milliseconds of CPU that each time took."""
        self.answer = ""
        self._prometheus = Counted(every)
        self._record = record(every)
        self._wake = threading.Event()
        self._now = 0.0
        self._background = Background(self._wake, lambda: self._now)
        self._reader = GateReader()
        self._facts = GateFacts(
            lambda one, now: self._reader.read(one, now, self._prometheus.client), self._background, lambda: self._now
        )

    def fix(self) -> float:
        """Read the past as a rollout's start does, and return the peak in MiB after it."""
        found = self._look(0.0)
        if found.fixed is None:
            raise SystemExit(f"nothing is fixed: {found.text}")
        plan = self._record.plan.model_copy(
            update={"gates": found.fixed.plan, "deadline_seconds": found.fixed.deadline_seconds}
        )
        self._record = _settled(self._record.model_copy(update={"plan": plan}))
        return mib()["peak"]

    def go(self, hours: float, *, at_once: bool) -> None:
        """Read, judge and keep after each block."""
        number = round(hours * HOUR / self.every)
        for block in range(number, number + 1) if at_once else range(1, number + 1):
            found = self._look(block * self.every + 2.0)
            self._keep()
        self.answer = found.verdict.answer.value

    @property
    def blocks(self) -> int:
        """How many blocks the last evidence was made from."""
        return 0 if self.store.evidence is None else int(self.store.evidence["blocks"])

    def _look(self, seconds: float) -> Any:
        self._now, self._prometheus.now = seconds, BEGAN + seconds
        self._facts.look(self._record, _at(seconds))
        self._ended("gates")
        return self._facts.look(self._record, _at(seconds))

    def _keep(self) -> None:
        began, writes = time.process_time(), self.store.writes
        self._facts.keep(lambda: cast("RolloutStore", self.store))
        self._ended("gates kept")
        if self.store.writes > writes:
            self.kept.append(1000 * (time.process_time() - began))

    def _ended(self, name: str) -> None:
        while self._background.runs(name):
            self._wake.wait(10)
            self._wake.clear()


def record(every: float) -> Record:
    """Return a record that has not begun, with all of the gates' metrics, and one step that lasts a day."""
    from rollout.planned import Plan, PlannedCounters, PlannedRule, PlannedStep
    from rollout.record import Record, Release
    from traffic.model.rollout import RolloutStep, RolloutStrategy
    from traffic.model.rollout_gates import RolloutGates

    steps = (WEIGHT, 60.0, 100.0)
    strategy = RolloutStrategy(steps=tuple(RolloutStep(weight=one) for one in steps), gates=RolloutGates())
    weights = {one: {RULE: {VERSIONS[0]: 100.0 - one, VERSIONS[1]: one}} for one in (0.0, *steps)}
    planned = tuple(PlannedStep(rule=0, weight=one, weights=weights[one], hold_seconds=86_400.0) for one in steps)
    plan = Plan(
        digest="d",
        routes=f"istio-canary-rollout-{SERVICE}-routes-1",
        rules=(PlannedRule(key=RULE, text="all requests", strategy=strategy),),
        steps=planned,
        start=weights[0.0],
        back=weights[0.0],
        counters=PlannedCounters(source="envoy", scrape_seconds=every),
    )
    old: dict[str, Any] = {"from": Release(version=VERSIONS[0], hash="1", ready_pods=4)}  # a word of Python's
    return Record(
        service=SERVICE,
        namespace=NAMESPACE,
        id=f"{SERVICE}-1",
        vs_uids={SERVICE: "uid"},
        target=Release(version=VERSIONS[1], hash="2"),
        **old,
        plan=plan,
        wanted=weights[0.0],
        created_at=_at(0.0),
        started_at=_at(0.0),
    )


def _settled(one: Record) -> Record:
    """The record in its first step, which every Envoy has since the start."""
    from rollout.record import Phase, Stage, StepPeriod

    settled = _at(0.0)
    return one.model_copy(
        update={
            "phase": Phase.PROGRESSING,
            "stage": Stage.OBSERVING,
            "step": 0,
            "settled_at": settled,
            "periods": (StepPeriod(step=0, settled_at=settled),),
        }
    )


def _at(seconds: float) -> str:
    return datetime.fromtimestamp(BEGAN + seconds, UTC).isoformat()


def _show(snapshot: tracemalloc.Snapshot) -> None:
    for one in snapshot.statistics("lineno")[:25]:
        print(one, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
