"""Rollouts under load whose runners are killed at random moments: no request is lost, and each ends as it should.

Several services of one stack are rolled out at a time, each to a new version, round after round: every round names a
further one, as a team does that ships. In every other round, `canary up` changes the stack beside them all the time.
The load is 250 requests per second through the gateway, in turn to all services of the round.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kube import kubeconfig
from rollout.record import Record
from tests.e2e.event_sink import EventSink, event_sink
from tests.e2e.load import Load, load
from tests.e2e.rollouts import laws
from tests.e2e.rollouts.checkouts import Checkout
from tests.e2e.rollouts.journal import Journal, journal
from tests.e2e.rollouts.killing import Fate, KilledRollout, Ups, ups_beside
from tests.e2e.rollouts.stack import Ramp, RampStack, hosts, ramp_strategy
from tests.e2e.tools import LONG, Access, Project

pytestmark = pytest.mark.under_load

SERVICES = 10 if LONG else 7
ROUNDS = 10 if LONG else 3
RATE, HOLD = 250, "3s"
SEED = 2026
STACK, NAMESPACE = "kills", "proofs-kills"
BAD_PERCENT = 20
"""Of the answers of a version that is aborted, which fails by itself."""


def kills_of(number: int) -> int:
    """How many runners of each rollout of a round are killed; the next one waits for the Lease of the dead one."""
    return 3 if LONG or _has_ups(number) else 2


def _has_ups(number: int) -> bool:
    return number % 2 == 1


@dataclass(repr=False)  # a failed test would print all answers
class Proof:
    """The stack that is rolled out, and what was seen of it in all rounds."""

    stack: RampStack
    checkouts: Sequence[Checkout]
    """Where runners are started: neither has the stack's state, which is where `up` runs."""
    journal: Journal
    sink: EventSink
    folder: Path
    dice: random.Random
    stable: dict[str, str]
    """The version that has all requests, by service."""
    rollouts: list[KilledRollout] = field(default_factory=list)
    ends: dict[tuple[str, str], Record | None] = field(default_factory=dict)
    """The last record of each rollout, by service and target."""
    loads: list[Load] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    ups: list[Ups] = field(default_factory=list)

    def up(self, ramps: Sequence[Ramp]) -> None:
        """Write the stack's file, into all checkouts too, and run `canary up`."""
        self.stack.write(ramps, bystander=50, projects=[one.project for one in self.checkouts])
        self.stack.project.up(STACK)

    def round(self, number: int) -> None:
        """Roll out the next version of every service, and kill."""
        names, version = sorted(self.stable), f"v{number + 2}"
        fates = {
            name: Fate.drawn(self.dice, kills_of(number), aborted=index % 3 == number % 3)
            for index, name in enumerate(names)
        }
        print(f"round {number}:", *(f"  {name}: {fate}" for name, fate in fates.items()), sep="\n")
        ramps = [
            Ramp(name=name).next(version, stable=self.stable[name], fails=BAD_PERCENT if fates[name].aborted else 0)
            for name in names
        ]
        self.up(ramps)
        rollouts = [KilledRollout(name, NAMESPACE, fates[name], self.checkouts, self.journal) for name in names]
        url = self.stack.project.cluster.layout.gateway_url
        with ExitStack() as beside:
            done = beside.enter_context(load(url, self.folder, rate=RATE, hosts=hosts(NAMESPACE, names)))
            if _has_ups(number):
                weights = itertools.cycle([60, 40])

                def change() -> None:
                    self.stack.write(ramps, bystander=next(weights))

                self.ups.append(beside.enter_context(ups_beside(self.stack.project, STACK, change)))
            with ThreadPoolExecutor(SERVICES) as pool:
                list(pool.map(KilledRollout.run, rollouts))
        for rollout in rollouts:
            rollout.deliver()
        self.loads.append(done)
        bad = {rollout.service: version for rollout in rollouts if rollout.fate.aborted}
        self.lost += laws.not_of_a_version(done.answers, bad)
        for rollout in rollouts:
            self.rollouts.append(rollout)
            self.ends[rollout.service, version] = self.journal.last(rollout.service)
            if not rollout.is_aborted:
                self.stable[rollout.service] = version


@pytest.fixture(scope="module")
def proof(mesh: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proof]:
    """All rounds, from the first version of each service."""
    folder = tmp_path_factory.mktemp("kills")
    project = Project.create(tmp_path_factory.mktemp("state"), mesh.cluster)
    checkouts = [Checkout.create(folder / name, project, STACK) for name in ("first", "second")]
    access = Access(str(mesh.cluster.layout.kubeconfig))
    print(f"seed {SEED}")
    with event_sink() as sink, journal(lambda: kubeconfig.client(kubeconfig.choose(access)), NAMESPACE) as written:
        strategy = ramp_strategy(HOLD, sink.url)
        stack = RampStack(project=project, stack=STACK, namespace=NAMESPACE, strategy=strategy)
        stable = {f"shop-{number}": "v1" for number in range(SERVICES)}
        dice = random.Random(SEED)  # noqa: S311 - no secret
        made = Proof(stack, checkouts, written, sink, folder, dice, stable)
        try:
            made.up([Ramp(name=name) for name in stable])
            for number in range(ROUNDS):
                made.round(number)
            yield made
        finally:
            project.leave(STACK, NAMESPACE)


def shown(faults: Sequence[str]) -> str:
    return "\n".join([f"{len(faults)} faults:", *faults[:15], "…", *faults[15:][-5:]])


def test_as_many_runners_were_killed_as_were_to_be(proof: Proof) -> None:
    """Some rollouts are aborted before the last kill: those count as far as they went."""
    killed = sum(rollout.killed for rollout in proof.rollouts)
    print(f"{len(proof.rollouts)} rollouts, {killed} runners killed, ups {proof.ups}")
    completed = [rollout for rollout in proof.rollouts if rollout.fate.aborted is None]
    assert all(rollout.killed >= 1 for rollout in completed)
    assert killed >= 0.8 * sum(len(rollout.fate.kills) for rollout in completed)


def test_no_request_failed_that_the_version_did_not_fail_itself(proof: Proof) -> None:
    assert not proof.lost, shown(proof.lost)
    for done in proof.loads:
        assert done.rate >= RATE * 0.8, f"only {done.rate:.0f} requests per second were sent"


def test_each_rollout_ended_as_it_was_to(proof: Proof) -> None:
    wrong = [problem for rollout in proof.rollouts for problem in rollout.ends]
    for rollout, record in zip(proof.rollouts, proof.ends.values(), strict=True):
        if not rollout.ended_rightly(record):
            wrong.append(f"{rollout.service}: {record and record.phase} at the end, {rollout.fate}")
    assert not wrong, shown(wrong)
    late = sum(rollout.too_late for rollout in proof.rollouts)
    assert late <= len(proof.rollouts) / 10, "aborts that come too late try nothing"
    print(Counter(record.phase.value for record in proof.ends.values() if record))


def test_the_route_was_always_as_the_record_wanted_it_or_as_before(proof: Proof) -> None:
    faults = [fault for service in proof.stable for fault in laws.strayed(proof.journal.of(service))]
    faults += [fault for service in proof.stable for fault in laws.skipped(proof.journal.records(service))]
    assert not faults, shown(faults)


def test_an_aborted_version_got_no_request_again(proof: Proof) -> None:
    faults = [fault for service in proof.stable for fault in laws.came_back(proof.journal.of(service))]
    for done in proof.loads:
        for service in proof.stable:
            answers = [answer for answer in done.answers if answer.target == service]
            faults += laws.served_after_the_end(proof.journal.of(service), answers)
    assert not faults, shown(faults)


def test_no_event_is_missing_and_none_came_under_two_ids(proof: Proof) -> None:
    def faults() -> list[str]:
        records = {service: proof.journal.records(service) for service in proof.stable}
        return [fault for found in records.values() for fault in laws.untold(found, proof.sink)]

    silent = [one for service in proof.stable for one in laws.without_an_event(proof.journal.records(service))]
    assert not silent, shown(silent)
    assert not faults(), shown(faults())


def test_the_ups_beside_them_changed_the_stack_or_were_refused_with_a_reason(proof: Proof) -> None:
    assert proof.ups
    for ups in proof.ups:
        assert not ups.problems, shown(ups.problems)
        assert ups.succeeded
