"""Rollouts under faults, on real Envoys: what is wrong with a version takes it back, and nothing else does.

Each case has a service of its own. Those that harm nobody else run side by side; then the gateway is restarted in the
middle of a step, and Prometheus is stopped in another.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from rollout.record import EventType, Phase, Record
from tests.e2e.rollouts.checkouts import ABORTED, COMPLETED, HELD, Runner
from tests.e2e.rollouts.front import GATEWAY, PROMETHEUS, Front
from tests.e2e.rollouts.journal import RouteWrite
from tests.e2e.rollouts.judged import Judged, failing
from tests.e2e.rollouts.trial import Court, Trial, court_of, side_by_side
from tests.e2e.tools import LONG, Cluster, Project, wait_until

pytestmark = pytest.mark.under_load

STACK, NAMESPACE, PLACE = "faults", "proofs-faults", "proofs-faults-front"
RATE = 60
KILL_SECONDS = 20.0
STEPS = {"steps": [{"weight": 50, "for": "5s"}, {"weight": 100}]}
LONG_STEPS = {"steps": [{"weight": 50, "for": "20s"}, {"weight": 100}]}
SOON = 30.0
"""Within which a stopped Prometheus is noticed: two scrapes, at least 5 s, and a machine with little time to spare."""

HANGS, REFUSES, RETRIED = "hangs", "refuses", "retried"
CANARY_KILLED, STABLE_KILLED = "canary-killed", "stable-killed"
EDITED, RESTARTED, STOPPED = "edited", "restarted", "stopped"
OF_THE_VERSION = (HANGS, REFUSES, RETRIED)
SIDE_BY_SIDE = (*OF_THE_VERSION, CANARY_KILLED, STABLE_KILLED, EDITED) if LONG else OF_THE_VERSION
ALONE = (RESTARTED, STOPPED) if LONG else ()


def services() -> list[Judged]:
    """All services, each with its only version."""
    retries = {"retries": {"attempts": 5, "retryOn": "5xx", "backoff": "10ms"}}
    rules = {RETRIED: retries}
    long = (EDITED, RESTARTED, STOPPED)
    return [
        Judged(name=name, seed=seed, rule=rules.get(name, {}), strategy=LONG_STEPS if name in long else STEPS)
        for seed, name in enumerate((*SIDE_BY_SIDE, *ALONE), start=1)
    ]


def with_fault(one: Judged) -> Judged:
    """The service with a further version, which is as good as the former one unless it is what the case is about."""
    flags = {HANGS: ("-delay=1h",), REFUSES: ("-listen=:8081",), RETRIED: failing(40, 7)}
    return one.next("v2", *flags.get(one.name, ()))


@dataclass
class Faults:
    """The stack whose services have a further version each, which is not rolled out yet."""

    cluster: Cluster
    front: Front
    court: Court

    def kill(self, service: str, version: str) -> None:
        """Kill the pods of a version, which its Deployment replaces."""
        words = (f"--namespace={NAMESPACE}", f"--selector=app={service},version={service}-{version}")
        self.cluster.kubectl("delete", "pod", *words, "--grace-period=0", "--force", "--wait=false")

    def edit(self, service: str, weights: dict[str, int]) -> None:
        """Write other weights into a VirtualService, as somebody does by hand."""
        patch = []
        for index, one in enumerate(self.routes(service)):
            weight = weights[one["destination"]["subset"]]
            patch.append({"op": "add", "path": f"/spec/http/0/route/{index}/weight", "value": weight})
        words = (f"--namespace={NAMESPACE}", "--type=json", f"--patch={json.dumps(patch)}")
        self.cluster.kubectl("patch", "virtualservice", service, *words)

    def routes(self, service: str) -> list[dict[str, dict[str, str]]]:
        """The destinations of a service's only rule, as they are in the cluster."""
        found = self.cluster.get("virtualservice", service, f"--namespace={NAMESPACE}")
        return list(found["spec"]["http"][0]["route"])


@pytest.fixture(scope="module")
def faults(mesh: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faults]:
    """The stack, whose services have a further version each."""
    project = Project.create(tmp_path_factory.mktemp("faults"), mesh.cluster)
    with court_of(project, STACK, NAMESPACE, PLACE) as (stack, court):
        first = services()
        stack.up(first)
        stack.up([with_fault(one) for one in first])
        yield Faults(mesh.cluster, stack.front, court)


@pytest.fixture(scope="module")
def tried(faults: Faults) -> dict[str, Trial]:
    """The cases that harm nobody else, side by side."""
    doing: dict[str, Callable[[Runner], None]] = {
        CANARY_KILLED: partial(kill_until_it_ends, faults, CANARY_KILLED, "v2"),
        STABLE_KILLED: partial(kill_until_it_ends, faults, STABLE_KILLED, "v1"),
        EDITED: partial(edit_by_hand, faults),
    }
    trial = partial(faults.court.trial, rate=RATE, kind="faults")
    trials = [partial(trial, name, meanwhile=doing.get(name)) for name in SIDE_BY_SIDE]
    return {one.service: one for one in side_by_side(trials, len(trials))}


def kill_until_it_ends(faults: Faults, service: str, version: str, runner: Runner) -> None:
    """Kill a version's pod every 20 s."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        faults.kill(service, version)
        if runner.ended(KILL_SECONDS) is not None:
            return


def edit_by_hand(faults: Faults, runner: Runner) -> None:
    """Give the canary less than it should have: nothing may be concluded from what comes then."""
    faults.edit(EDITED, {"v1": 90, "v2": 10})
    assert runner.ended(60) == HELD, runner.said


def test_a_version_that_hangs_goes_back(tried: dict[str, Trial]) -> None:
    goes_back_on_evidence(tried[HANGS])
    assert_callers_saw_it(tried[HANGS])


def test_a_version_that_refuses_connections_goes_back(tried: dict[str, Trial]) -> None:
    goes_back_on_evidence(tried[REFUSES])
    assert_callers_saw_it(tried[REFUSES])


def test_a_version_whose_failures_are_hidden_by_retries_goes_back(tried: dict[str, Trial]) -> None:
    one = tried[RETRIED]
    goes_back_on_evidence(one)
    tries, answers = one.metric("attempts")["new"], one.metric("errors")["new"]
    assert tries["failures"] >= 0.3 * tries["requests"], "the version fails in 40 % of the tries"
    assert answers["failures"] <= 0.05 * answers["requests"], "and its callers hardly see it"
    assert ": attempts, " in one.reason, one


def assert_callers_saw_it(one: Trial) -> None:
    answers = one.metric("errors")["new"]
    assert answers["failures"] == answers["requests"] > 0, one
    assert one.metric("errors")["e"] > 20, f"the errors alone are evidence: {one}"


def goes_back_on_evidence(one: Trial) -> None:
    assert one.code == ABORTED, f"{one}\n{one.said}"
    assert "is worse" in one.reason, one
    assert one.record is not None
    assert (one.record.phase, one.record.step) == (Phase.ABORTED, 0), f"it had only the first weight: {one}"


@pytest.mark.long
def test_a_version_whose_pod_is_killed_every_20_seconds_goes_back(tried: dict[str, Trial]) -> None:
    one = tried[CANARY_KILLED]
    assert one.code == ABORTED, f"{one}\n{one.said}"
    assert one.record is not None
    assert one.record.step == 0, f"it had only the first weight: {one}"


@pytest.mark.long
def test_a_version_is_not_blamed_for_the_pod_of_the_old_one_that_is_killed_every_20_seconds(
    tried: dict[str, Trial],
) -> None:
    one = tried[STABLE_KILLED]
    assert one.code == COMPLETED, f"{one}\n{one.said}"
    assert EventType.SUSPECT not in one.events
    old, new = one.metric("errors")["old"], one.metric("errors")["new"]
    assert old["failures"] * new["requests"] > new["failures"] * old["requests"], "it was killed in vain"


@pytest.mark.long
def test_a_weight_that_is_edited_by_hand_proves_nothing(faults: Faults, tried: dict[str, Trial]) -> None:
    one = tried[EDITED]
    assert one.code == HELD, f"{one}\n{one.said}"
    assert one.record is not None
    assert one.record.paused is not None
    assert (one.record.paused.kind, one.record.step) == ("drift", 0)
    assert one.gates.get("answer") != "Rise"
    aborted = faults.court.checkout.rollout("abort", EDITED, "edited", "by", "hand")
    assert aborted.returncode == 0, aborted.stderr


@pytest.mark.long
def test_a_gateway_that_is_restarted_in_mid_step_is_no_fault_of_the_version(faults: Faults) -> None:
    one = faults.court.trial(RESTARTED, RATE, kind="faults", meanwhile=lambda runner: faults.front.replace(GATEWAY))
    print(one)
    assert one.code == COMPLETED, f"{one}\n{one.said}"
    assert not {EventType.SUSPECT, EventType.SPLIT_WRONG, EventType.DRIFT} & set(one.events), one


@pytest.mark.long
def test_a_prometheus_that_is_stopped_holds_the_rollout_and_an_abort_by_hand_works(faults: Faults) -> None:
    court = faults.court
    with court.under_load(STOPPED, RATE), court.started(STOPPED) as runner:
        court.observing(runner, STOPPED)
        # Without any numbers of a step, their first ones are awaited for a minute.
        wait_until(lambda: blocks(court, STOPPED) > 0, "the first numbers of the step")
        faults.front.stop(PROMETHEUS)
        stopped = time.monotonic()
        try:
            held = court.journal.wait_for(STOPPED, is_without_numbers, SOON)
            print(f"held {time.monotonic() - stopped:.1f} s after Prometheus was stopped")
            assert held, f"{court.journal.last(STOPPED)}\n{runner.said}"
            # Longer than the step, which would have risen with numbers.
            assert not court.journal.wait_for(STOPPED, lambda record: record.step > 0, 30), "it has risen"
            began = time.monotonic()
            aborted = court.checkout.without_file("abort", STOPPED, NAMESPACE, "nobody", "knows")
            print(f"aborted by hand in {time.monotonic() - began:.1f} s")
            assert aborted.returncode == 0, aborted.stderr
            assert runner.ended(60) == ABORTED, runner.said
        finally:
            faults.front.go_on(PROMETHEUS)
    written = [one for one in court.journal.of(STOPPED) if isinstance(one, RouteWrite)]
    assert dict(written[-1].weights) == {"v1": 100}


def blocks(court: Court, service: str) -> int:
    """How many blocks the gates have looked at."""
    return int((court.checkout.status(service)["gates"] or {}).get("blocks", 0))


def is_without_numbers(record: Record) -> bool:
    return record.held is not None and record.held.reason.value == EventType.NO_DATA.value
