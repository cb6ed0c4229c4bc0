"""Races of a plain `pulumi up`, an abort, and a runner that was stopped between the record and the routes of a step.

An aborted version must never get a request again, whoever comes last. Each round has one `up`, which renders the routes
of many services from their records, as it has read them; each service has a runner that is stopped with a step in its
hands, and is aborted and set going again at random moments of the `up`. So each service is one race.
"""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kube import kubeconfig
from rollout.acting import act
from rollout.record import Phase
from rollout.runner import finish
from rollout.verbs import abort
from tests.e2e.load import load
from tests.e2e.rollouts import laws
from tests.e2e.rollouts.checkouts import Checkout, link_environment
from tests.e2e.rollouts.journal import Journal, RouteWrite, journal
from tests.e2e.rollouts.killing import REFUSED
from tests.e2e.rollouts.stack import Ramp, RampStack, hosts
from tests.e2e.rollouts.stopped import StoppedRunner
from tests.e2e.tools import LONG, Access, Project

pytestmark = pytest.mark.under_load

SERVICES = 10
RACES = 500 if LONG else 20
SEED, RATE = 4711, 100
STACK, NAMESPACE = "races", "proofs-races"
STRATEGY = {"steps": [{"weight": 10}, {"weight": 50, "for": "10m"}, {"weight": 100}]}
"""A runner is stopped in one of the first two steps, and does not come to the third one."""


@dataclass(repr=False)  # a failed test would print the whole journal
class Races:
    """The stack, and what was seen in all rounds."""

    project: Project
    checkout: Checkout
    names: Sequence[str]
    access: Access
    journal: Journal
    folder: Path
    dice: random.Random
    up_seconds: float
    """How long the last `up` took: it reads the records after about half of it, and writes until its end."""
    ups: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    races: int = 0

    def round(self, number: int) -> None:
        """Stop runners with a step in their hands, then let all go at once, under load."""
        if number:
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(self._retry, self.names))
        runners = {
            name: StoppedRunner.start(self.access, NAMESPACE, name, self.dice.randrange(2)) for name in self.names
        }
        url = self.project.cluster.layout.gateway_url
        moments = {name: [self.dice.uniform(0.2, 1.0) * self.up_seconds for _ in range(2)] for name in self.names}
        for runner in runners.values():
            runner.wait_until_stopped()
        with load(url, self.folder, rate=RATE, hosts=hosts(NAMESPACE, self.names)) as done:
            with ThreadPoolExecutor(2 * SERVICES + 1) as pool:
                pool.submit(self._up)
                for name in self.names:
                    pool.submit(self._abort, name, moments[name][0])
                    pool.submit(self._go_on, runners[name], moments[name][1])
            for name in self.names:
                problem = runners[name].ended()
                if problem:
                    self.faults.append(f"{name}: {problem}")
                if self.journal.wait_for(name, lambda record: record.phase is Phase.ABORTED, 30) is None:
                    self.faults.append(f"{name}: not Aborted in the end: {self._last(name)}")
            time.sleep(0.5)  # of requests after the end
        self.races += len(self.names)
        for name in self.names:
            answers = [answer for answer in done.answers if answer.target == name]
            self.faults += laws.served_after_the_end(self.journal.of(name), answers)
        self.faults += laws.not_of_a_version(done.answers, {})

    def _last(self, name: str) -> str:
        last = self.journal.last(name)
        return f"{last.phase} {last.held}, {[entry.text for entry in last.history[-4:]]}" if last else "no record"

    def _retry(self, name: str) -> None:
        done = self.checkout.rollout("retry", name, "the next race")
        assert done.returncode == 0, done.stdout + done.stderr
        assert self.journal.wait_for(name, lambda record: record.phase is Phase.PENDING, 30)

    def _up(self) -> None:
        began = time.monotonic()
        try:
            done = self.project.pulumi("up", "--stack", STACK, "--yes", "--skip-preview")
        except (AssertionError, subprocess.TimeoutExpired) as error:
            if REFUSED.search(str(error)):
                self.ups["refused"] += 1
            else:
                self.faults.append(str(error))
        else:
            self.ups["succeeded" if done.returncode == 0 else "failed"] += 1
        self.up_seconds = time.monotonic() - began

    def _abort(self, name: str, seconds: float) -> None:
        time.sleep(seconds)
        try:
            # A client of its own, as each person has: threads that share one break its TLS once in a while.
            with kubeconfig.client(kubeconfig.choose(self.access)) as client:
                act(client, NAMESPACE, name, lambda record, now: abort(record, "a race", "test", now), by="test")
            finish(self.access, NAMESPACE, name, "test")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a fault
            self.faults.append(f"{name}: the abort failed: {error!r}")

    def _go_on(self, runner: StoppedRunner, seconds: float) -> None:
        time.sleep(seconds)
        runner.go_on()


@pytest.fixture(scope="module")
def races(mesh: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Races]:
    """All rounds, from services whose rollout waits for its start."""
    project = Project.create(tmp_path_factory.mktemp("races"), mesh.cluster)
    link_environment(project)
    names = [f"shop-{number}" for number in range(SERVICES)]
    stack = RampStack(project=project, stack=STACK, namespace=NAMESPACE, strategy=STRATEGY)
    access = Access(str(mesh.cluster.layout.kubeconfig))
    dice = random.Random(SEED)  # noqa: S311 - no secret
    print(f"seed {SEED}")
    with journal(lambda: kubeconfig.client(kubeconfig.choose(access)), NAMESPACE) as written:
        folder = tmp_path_factory.mktemp("load")
        try:
            stack.write([Ramp(name=name) for name in names])
            project.up(STACK)
            stack.write([Ramp(name=name).next("v2", stable="v1") for name in names])
            project.up(STACK)
            began = time.monotonic()
            project.pulumi("up", "--stack", STACK, "--yes", "--skip-preview")
            usual = time.monotonic() - began
            made = Races(project, Checkout(project, STACK), names, access, written, folder, dice, usual)
            for number in range(RACES // SERVICES):
                made.round(number)
            yield made
        finally:
            project.leave(STACK, NAMESPACE)


def test_an_aborted_version_never_gets_a_request_again(races: Races) -> None:
    print(f"{races.races} races; ups: {dict(races.ups)}")
    written = [fault for name in races.names for fault in laws.came_back(races.journal.of(name))]
    assert not written, "\n".join(written[:20])
    assert not races.faults, "\n".join([f"{len(races.faults)} faults:", *races.faults[:20]])
    assert races.races == RACES


def test_the_races_were_races(races: Races) -> None:
    """Ups met routes that were not as they had read them, aborts came while a runner had a step in its hands."""
    assert races.ups.total() == RACES // SERVICES
    assert races.ups["refused"], "no up came after an abort with a step that it had read before"
    late = 0
    for name in races.names:
        writes = [write for write in races.journal.of(name) if isinstance(write, RouteWrite)]
        late += len({write.annotation for write in writes})
    assert late >= RACES, "each race has the routes of its abort at least"


def test_the_route_was_always_as_the_record_wanted_it_or_as_before(races: Races) -> None:
    faults = [fault for name in races.names for fault in laws.strayed(races.journal.of(name))]
    assert not faults, "\n".join(faults[:20])
