"""Rollouts that nobody watches, on real Envoys: good versions are never taken back, and bad ones always, in time.

Every version of every service fails in 0.5 % of its requests, at random. First each is replaced by one that is the
same, then by one that fails five times as often. Several services are rolled out at a time, each under a load of its
own of 250 requests a second.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import log
from statistics import median, quantiles

import pytest

from rollout.gates.planner import OVERHEAD, harm_growth
from rollout.record import EventType, Phase
from tests.e2e.rollouts.checkouts import ABORTED, COMPLETED
from tests.e2e.rollouts.judged import FAILS, STEPS, STRATEGY, Judged, JudgedStack, failing
from tests.e2e.rollouts.trial import Court, Trial, court_of, side_by_side
from tests.e2e.tools import LONG, Project

pytestmark = pytest.mark.under_load

SERVICES, ROUNDS = 17, 3 if LONG else 1
AT_ONCE, RATE = 3, 250
TOLERANCE = "1%" if LONG else "1.5%"
"""The smaller it is, the longer a good version is looked at before it is proved; a worse one must be beyond it."""
WORSE = 5
"""Times as many failures of the versions that must go back."""
WITHIN = 1.5
"""Between the median of the times and what the planner says, either way."""
STACK, NAMESPACE, PLACE = "proofs", "proofs", "proofs-front"


@dataclass
class Proofs:
    """The stack, and what became of the rollouts of each kind."""

    stack: JudgedStack
    court: Court
    services: list[Judged]
    same: list[Trial] = field(default_factory=list)
    worse: list[Trial] = field(default_factory=list)

    def round(self, number: int) -> None:
        """Replace each version by the same, which stays, and by a worse one, which does not."""
        same = [one.next(f"v{2 * number + 2}") for one in self.services]
        self.stack.up(same)
        self.same += self._judged(same, "same")
        self.services = same
        version = f"v{2 * number + 3}"
        worse = [one.next(version, *failing(WORSE * FAILS, one.seed * 100 + 50 + number)) for one in same]
        self.stack.up(worse)
        self.worse += self._judged(worse, "worse")

    def _judged(self, services: Sequence[Judged], kind: str) -> list[Trial]:
        trial = partial(self.court.trial, rate=RATE, plans=kind == "worse", kind=kind)
        return side_by_side([partial(trial, one.name) for one in services], AT_ONCE)


@pytest.fixture(scope="module")
def proofs(mesh: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proofs]:
    """All rollouts."""
    project = Project.create(tmp_path_factory.mktemp("proofs"), mesh.cluster)
    with court_of(project, STACK, NAMESPACE, PLACE) as (stack, court):
        # With the traffic of the last hour, when there was hardly any, the proof would take long.
        strategy = {"gates": {**STRATEGY["gates"], "tolerance": TOLERANCE}, "deadline": {"total": "6h"}}
        services = [Judged(name=f"shop-{one}", seed=one + 1, strategy=strategy) for one in range(SERVICES)]
        made = Proofs(stack, court, services)
        stack.up(made.services)
        for number in range(ROUNDS):
            made.round(number)
        yield made


def lines(trials: Sequence[Trial]) -> str:
    return "\n".join(map(str, trials))


def test_a_version_that_is_the_same_is_never_taken_back(proofs: Proofs) -> None:
    wrong = [one for one in proofs.same if one.code != COMPLETED]
    times = [one.seconds for one in proofs.same]
    suspected = sum(EventType.SUSPECT in one.events for one in proofs.same)
    print(f"{len(proofs.same)} completed in a median of {median(times):.1f} s, at most {max(times):.1f} s")
    print(f"{suspected} were suspected; the largest e was {max(one.gates['e'] for one in proofs.same):.3g}")
    assert not wrong, lines(wrong)


def test_no_split_of_real_envoys_is_called_wrong(proofs: Proofs) -> None:
    wrong = [one for one in (*proofs.same, *proofs.worse) if EventType.SPLIT_WRONG in one.events]
    assert not wrong, lines(wrong)


def test_a_version_that_fails_five_times_as_often_always_goes_back_on_evidence(proofs: Proofs) -> None:
    wrong = [one for one in proofs.worse if one.code != ABORTED or "is worse" not in one.reason]
    assert not wrong, lines(wrong)
    for one in proofs.worse:
        assert one.record is not None
        assert one.record.phase is Phase.ABORTED
        assert one.record.step + 1 < len(STEPS), f"it had everything: {one}"


def test_it_goes_back_in_the_time_that_the_planner_says(proofs: Proofs) -> None:
    """The planner's time is that within which nine of ten are found; half of them by the time without that margin."""
    found = [one.decided for one in proofs.worse if one.decided is not None]
    planned = median(one.planned for one in proofs.worse if one.planned is not None)
    nine_of_ten = quantiles(found, n=10)[-1]
    share, rate = float(str(STEPS[0]["weight"])) / 100, FAILS / 100
    half = (log(1 / (2 / 3 * 0.01)) + OVERHEAD) / harm_growth(rate, share, WORSE).g / RATE
    print(
        f"{len(found)} found in a median of {median(found):.1f} s, from {min(found):.1f} to {max(found):.1f} s, "
        f"nine of ten within {nine_of_ten:.1f} s; planned: {planned:.1f} s for nine of ten, {half:.1f} s for half"
    )
    print(f"median / planned: {median(found) / planned:.2f}; nine of ten / planned: {nine_of_ten / planned:.2f}")
    assert median(found) <= WITHIN * planned
    assert median(found) >= half / WITHIN


def test_what_was_decided_of_real_samples_is_decided_again(proofs: Proofs) -> None:
    """Of the last rollout of a service, which went back: the file needs neither cluster nor stack."""
    file = proofs.court.keep(proofs.services[0].name, proofs.court.folder)
    again = proofs.court.checkout.rollout("report", proofs.services[0].name, "--replay", str(file), "--json")
    assert again.returncode == 0, again.stdout + again.stderr
    answers = [one["answer"] for run in json.loads(again.stdout)["runs"] for one in run]
    assert answers[-1] == "Harm"


def test_a_runner_needs_little_memory(proofs: Proofs) -> None:
    peaks = [one.peak_megabytes for one in (*proofs.same, *proofs.worse)]
    print(f"runners: {median(peaks):.0f} MB at the median, at most {max(peaks):.0f} MB")
    assert max(peaks) <= 100


def test_the_load_was_what_it_was_meant_to_be(proofs: Proofs) -> None:
    for one in (*proofs.same, *proofs.worse):
        assert one.load.rate >= RATE * 0.9, f"only {one.load.rate:.0f} requests per second: {one}"
