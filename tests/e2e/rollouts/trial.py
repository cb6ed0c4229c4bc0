"""Rollouts that are left to their gates under load, and what became of each: how it ended, when, on what evidence."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kube import kubeconfig
from rollout.record import EventType, Phase, Record, Stage
from tests.e2e.load import Load, load
from tests.e2e.rollouts.checkouts import Checkout, Runner
from tests.e2e.rollouts.front import front
from tests.e2e.rollouts.journal import Journal, RecordWrite, journal
from tests.e2e.rollouts.judged import JudgedStack, host_of
from tests.e2e.tools import Access, Project

END_SECONDS = 300.0
"""Within which a rollout that is left to its gates ends, on a machine with little time to spare."""
KEPT = os.environ.get("ISTIO_CANARY_DECISIONS")
"""A folder in which the decisions of each rollout are kept, by its kind: for whoever wants to judge them otherwise."""
PAST_SECONDS = 8.0
"""Of load before a rollout, from which the gates know how often the old version fails."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One rollout: how its runner ended, its last record, and all that was written of it.

    `decided` is the time from the first weight, as every Envoy had it, to the decision to go back; None if there was
    none. `planned` is the planner's time for a fivefold error rate in the first step, at the rate of the load.
    """

    service: str
    code: int | None
    said: str
    record: Record | None
    seconds: float
    decided: float | None
    planned: float | None
    peak_megabytes: float
    load: Load
    gates: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reason(self) -> str:
        """Why it ended; empty if it was not taken back."""
        ended = None if self.record is None else self.record.ended
        return ended.reason if ended is not None else ""

    @property
    def events(self) -> list[EventType]:
        """Its events; the history has those of the service's earlier rollouts, too."""
        return [] if self.record is None else [one.type for one in self.record.history if one.id == self.record.id]

    def metric(self, name: str) -> Mapping[str, Any]:
        """The last evidence of a metric; empty if there is none."""
        return next((one for one in self.gates.get("metrics", ()) if one["name"] == name), {})

    def __str__(self) -> str:
        phase = self.record.phase.value if self.record else "no record"
        steps = [one.value for one in self.events if one in TOLD]
        times = f"{self.seconds:.1f} s"
        if self.decided is not None:
            times += f", decided after {self.decided:.1f} s"
        if self.planned is not None:
            times += f", planned {self.planned:.1f} s"
        numbers = {
            one["name"]: f"{one['new']['failures']:g}/{one['new']['requests']:g} against "
            f"{one['old']['failures']:g}/{one['old']['requests']:g}, e {one['e']:g}"
            for one in self.gates.get("metrics", ())
        }
        return (
            f"{self.service}: {phase} ({self.code}) in {times}, {self.peak_megabytes:.0f} MB; {' '.join(steps)} "
            f"{self.reason}; {numbers}; answers {dict(self.load.statuses)}, by version {dict(self.load.versions)}"
        )


TOLD = (
    EventType.SUSPECT,
    EventType.SPLIT_WRONG,
    EventType.NO_DATA,
    EventType.DRIFT,
    EventType.NO_CAPACITY,
    EventType.HARM_FOUND,
)
"""Events that say something of a rollout that should have none of them."""


@dataclass(frozen=True, kw_only=True)
class Court:
    """Where rollouts are tried: the load goes to a gateway, and the journal has what is written."""

    url: str
    namespace: str
    checkout: Checkout
    journal: Journal
    folder: Path

    @contextmanager
    def under_load(self, service: str, rate: int, method: str = "") -> Iterator[Load]:
        """Send requests to a service while the block runs, or calls of a `method` of gRPC, by its path."""
        headers = {"Host": host_of(self.namespace, service), **({"content-type": "application/grpc"} if method else {})}
        with load(f"{self.url}{method}", self.folder, rate=rate, headers=headers) as done:
            yield done

    def trial(
        self,
        service: str,
        rate: int,
        *,
        plans: bool = False,
        meanwhile: Callable[[Runner], None] | None = None,
        kind: str = "",
        method: str = "",
    ) -> Trial:
        """Roll a service out under load, to its end; `meanwhile` is called once every Envoy has the first weight.

        With a `method` of gRPC, the load are calls of it.
        """
        with self.under_load(service, rate, method) as done:
            time.sleep(PAST_SECONDS)  # what the old version was like before
            planned = self.planned(service, rate) if plans else None
            began = time.monotonic()
            with self.started(service) as runner:
                memory = _Memory(runner.process.pid)
                if meanwhile is not None:
                    self.observing(runner, service)
                    meanwhile(runner)
                code = runner.ended(END_SECONDS)
                seconds = time.monotonic() - began
        if KEPT and kind:
            self.keep(service, Path(KEPT) / kind)
        return Trial(
            service=service,
            code=code,
            said=runner.said,
            record=self.journal.last(service),
            seconds=seconds,
            decided=self._decided(service),
            planned=planned,
            peak_megabytes=memory.peak(),
            load=_numbers_of(done),
            gates=self.checkout.status(service)["gates"] or {},
        )

    def started(self, service: str) -> AbstractContextManager[Runner]:
        """Start a rollout, though it would take hours with the traffic of the last one, when there was hardly any."""
        return self.checkout.started(service, "--anyway")

    def keep(self, service: str, folder: Path) -> Path:
        """Write the decisions of a service's last rollout into a folder, and return the file."""
        folder.mkdir(parents=True, exist_ok=True)
        last = self.journal.last(service)
        file = folder / f"{last.id if last else service}.json"
        done = self.checkout.rollout("report", service, "--decisions", str(file))
        assert done.returncode == 0, done.stdout + done.stderr
        return file

    def observing(self, runner: Runner, service: str) -> None:
        """Wait until every Envoy has the first weight; fail if the runner ends before that."""

        def observes(record: Record) -> bool:
            return record.step >= 0 and record.stage is Stage.OBSERVING

        deadline = time.monotonic() + END_SECONDS
        while not self.journal.wait_for(service, observes, 1.0):
            given_up = runner.ended(0) is not None or time.monotonic() > deadline
            assert not given_up, f"{service} has not started: {runner.said}"

    def planned(self, service: str, rate: int) -> float:
        """The planner's seconds for a fivefold error rate in the first step, at `rate`.

        It plans for the traffic of the last hour, in which there was not always load.
        """
        done = self.checkout.rollout("plan", service, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        gates = json.loads(done.stdout)["gates"]
        assert not gates["missing"], gates["missing"]
        minutes: float = gates["steps"][0]["found"]["x5"]
        per_second: float = gates["requestsPerSecond"]
        return minutes * 60 * per_second / rate

    def _decided(self, service: str) -> float | None:
        """Of the last rollout of a service."""
        last = self.journal.last(service)
        writes = [
            one
            for one in self.journal.of(service)
            if isinstance(one, RecordWrite) and last and one.record.id == last.id
        ]
        settled = next((one.at for one in writes if one.record.stage is Stage.OBSERVING), None)
        back = next((one.at for one in writes if one.record.phase in (Phase.ABORTING, Phase.ABORTED)), None)
        return None if settled is None or back is None else (back - settled).total_seconds()


@contextmanager
def court_of(project: Project, stack: str, namespace: str, place: str) -> Iterator[tuple[JudgedStack, Court]]:
    """A stack and its court, with a gateway and a Prometheus in the namespace `place`; all is destroyed at the end."""
    cluster = project.cluster
    config = kubeconfig.choose(Access(str(cluster.layout.kubeconfig)))
    with front(cluster, place, namespace) as before, journal(lambda: kubeconfig.client(config), namespace) as written:
        judged = JudgedStack(project=project, stack=stack, namespace=namespace, front=before)
        court = Court(
            url=before.url,
            namespace=namespace,
            checkout=Checkout(project, stack),
            journal=written,
            folder=project.folder,
        )
        try:
            yield judged, court
        finally:
            project.leave(stack, namespace)


def side_by_side(trials: Sequence[Callable[[], Trial]], at_once: int) -> list[Trial]:
    """Return the results of all trials, in their order; `at_once` of them run at any time."""
    with ThreadPoolExecutor(at_once) as pool:
        found = [pool.submit(one) for one in trials]
        results = [one.result() for one in found]
    for one in results:
        print(one)
    return results


def _numbers_of(done: Load) -> Load:
    """A load without its single requests, of which there are many."""
    done.answers.clear()
    done.answered.clear()
    done.failed.clear()
    return done


class _Memory:
    """The largest memory of a process, as long as it runs: asked again and again, since it is gone at the end."""

    def __init__(self, process: int) -> None:
        self._status = Path(f"/proc/{process}/status")
        self._peak = 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def peak(self) -> float:
        """Return it in megabytes."""
        return self._peak

    def _watch(self) -> None:
        while True:
            try:
                lines = self._status.read_text().splitlines()
            except OSError:
                return
            found = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
            if not found:
                return
            self._peak = int(found[0]) / 1024
            time.sleep(0.5)
