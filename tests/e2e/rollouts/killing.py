"""One rollout whose runner is killed again and again, each time to be taken up by another checkout."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rollout.record import Phase, Record
from tests.e2e.rollouts.checkouts import ABORTED, COMPLETED, Checkout, Runner
from tests.e2e.rollouts.journal import Journal
from tests.e2e.tools import ELSEWHERE, Project

TAKEN_OVER_SECONDS = 60.0
"""Within which the next runner must hold the Lease: 15 s of the dead one's, and a machine with little time to spare."""
END_SECONDS = 240.0
ENDED_ALREADY = 2
"""Exit code of an abort that finds the rollout closed."""
ENDED = (Phase.COMPLETED, Phase.CLOSED, Phase.ABORTED)


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What happens to one rollout, drawn from a seed.

    `kills`: when a runner is killed; "start" so many seconds after it was started, "hold" after it has taken the Lease,
    "write" so many seconds after its next write of the record, which is when the routes are on their way.
    `aborted`: in which step somebody aborts it, and so many seconds after that step has begun.
    """

    kills: tuple[tuple[str, float], ...]
    aborted: tuple[int, float] | None

    @classmethod
    def drawn(cls, dice: random.Random, kills: int, *, aborted: bool) -> Fate:
        longest = {"start": 1.5, "hold": 2.5, "write": 0.03}
        kinds = [dice.choice(("start", "hold", "write", "write")) for _ in range(kills)]
        moments = tuple((kind, round(dice.uniform(0, longest[kind]), 3)) for kind in kinds)
        # Not in the last steps: a command that takes long to start would come after the end.
        return cls(kills=moments, aborted=(dice.randrange(3), round(dice.uniform(0, 2.5), 2)) if aborted else None)


@dataclass
class KilledRollout:
    """A rollout, its fate, and what became of it."""

    service: str
    namespace: str
    fate: Fate
    checkouts: Sequence[Checkout]
    journal: Journal
    killed: int = 0
    too_late: bool = False
    """The abort found the rollout at its end."""
    ends: list[str] = field(default_factory=list)
    """What is wrong with how its commands ended."""

    def run(self) -> None:
        """Start it, kill its runners, and let the last one bring it to its end."""
        aborting = threading.Thread(target=self._abort)
        aborting.start()
        for number, (kind, seconds) in enumerate(self.fate.kills):
            with self._checkout(number).started(self.service) as runner:
                self._kill(runner, kind, seconds)
        with self._checkout(len(self.fate.kills)).started(self.service) as runner:
            code = runner.ended(END_SECONDS)
            self._judge("the last start", code, runner.said, self._exit_codes)
        aborting.join()

    @property
    def is_aborted(self) -> bool:
        """Whether somebody aborted it, and in time."""
        return self.fate.aborted is not None and not self.too_late

    @property
    def _exit_codes(self) -> Sequence[int]:
        """How a start may end: one that is to be aborted may be at its end before that."""
        return (COMPLETED,) if self.fate.aborted is None else (COMPLETED, ABORTED)

    def _checkout(self, number: int) -> Checkout:
        return self.checkouts[number % len(self.checkouts)]

    def _kill(self, runner: Runner, kind: str, seconds: float) -> None:
        if kind != "start":
            process = f"/{runner.process.pid}/"  # a holder is named <host>/<process>/<uuid>
            self.journal.wait_for(
                self.service,
                lambda record: process in (record.holder or "") or record.phase in ENDED,
                TAKEN_OVER_SECONDS,
            )
        if kind == "write":
            record = self.journal.last(self.service)
            before = record.generation if record else 0
            self.journal.wait_for(self.service, lambda record: record.generation > before, 5.0)
        if runner.ended(seconds) is None:
            runner.kill()
            self.killed += 1
        else:
            self._judge("a start", runner.process.returncode, runner.said, self._exit_codes)

    def _abort(self) -> None:
        """As from a machine that has nothing but a kubeconfig."""
        if self.fate.aborted is None:
            return
        step, seconds = self.fate.aborted
        begun = self.journal.wait_for(self.service, lambda record: record.step >= step, 300)
        time.sleep(seconds)
        done = self.checkouts[-1].without_file("abort", self.service, self.namespace, "a test")
        self.too_late = done.returncode == ENDED_ALREADY
        self._judge(f"abort after {begun and begun.step}", done.returncode, done.stderr, (0, ENDED_ALREADY))

    def deliver(self) -> None:
        """Killed runners, and an `up`, leave events to the next ones: start until none is left."""
        for _ in range(3):
            record = self.journal.last(self.service)
            if record is None or not record.outbox:
                return
            with self._checkout(0).started(self.service) as runner:
                code = ABORTED if self.is_aborted else COMPLETED
                self._judge("a start at the end", runner.ended(END_SECONDS), runner.said, (code,))

    def _judge(self, what: str, code: int | None, said: str, expected: Sequence[int]) -> None:
        if code not in expected or "Traceback" in said:
            self.ends.append(f"{self.service}: {what} ended with {code}, expected {expected}: {said[-1500:]}")

    def ended_rightly(self, record: Record | None) -> bool:
        """Whether the record's end is that of its fate."""
        wanted = (Phase.ABORTED,) if self.is_aborted else (Phase.COMPLETED, Phase.CLOSED)
        return record is not None and record.phase in wanted


@dataclass
class Ups:
    """How the `canary up`s ended that ran beside rollouts."""

    succeeded: int = 0
    refused: int = 0
    problems: list[str] = field(default_factory=list)


REFUSED = re.compile(
    'conflict with "istio-canary-rollout"|a rollout has written routes that are others|its rollout has ended meanwhile'
)
"""What an `up` says that met a step in between: it changes nothing of that route, and is to be run again."""


@contextmanager
def ups_beside(project: Project, stack: str, change: Callable[[], None]) -> Iterator[Ups]:
    """Run `canary up` again and again while the block runs and once after it, each after a `change` of the file."""
    over, found = threading.Event(), Ups()

    def up() -> None:
        change()
        done = project.canary("up", "--stack", stack, "--yes", before=ELSEWHERE)
        said = done.stdout + done.stderr
        if done.returncode == 0:
            found.succeeded += 1
        elif REFUSED.search(said) and "Traceback" not in said:
            found.refused += 1
        else:
            found.problems.append(f"up ended with {done.returncode}: {said[-3000:]}")

    def run() -> None:
        while not over.is_set():
            up()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
        up()
