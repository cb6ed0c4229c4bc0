"""Rollouts of versions whose failures no status 5xx shows, on real Envoys: calls of gRPC, answers 4xx, lost requests.

A call that fails is an answer 200 with a status of its own. A request whose route leads to a cluster that no
Envoy has is in no version's statistics, but in those of the listener.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial

import pytest

from rollout.record import EventType, Phase
from tests.e2e.rollouts.checkouts import ABORTED, COMPLETED, Runner
from tests.e2e.rollouts.judged import Judged
from tests.e2e.rollouts.trial import Court, Trial, court_of, side_by_side
from tests.e2e.tools import Cluster, Project

pytestmark = pytest.mark.under_load

STACK, NAMESPACE, PLACE = "statuses", "proofs-statuses", "proofs-statuses-front"
RATE = 60
CALLS, HIDDEN, GOOD_CALLS, REJECTS, LOST = "calls", "hidden", "good-calls", "rejects", "lost"
METHOD = "/cart.v1.Cart/Add"
STEPS = [{"weight": 50, "for": "5s"}, {"weight": 100}]


def services() -> list[Judged]:
    """All services, each with its only version."""
    calls, once = {"protocol": "GRPC"}, {"retries": {"attempts": 0}}
    rejecting = {"tolerance": "1%", "latency": {"enabled": False}, "clientErrors": {"enabled": True}}
    return [
        Judged(name=CALLS, seed=1, service=calls, rule=once, strategy={"steps": STEPS}),
        Judged(name=HIDDEN, seed=5, service=calls, strategy={"steps": STEPS}),
        Judged(name=GOOD_CALLS, seed=2, service=calls, rule=once, strategy={"steps": STEPS}),
        Judged(name=REJECTS, seed=3, strategy={"steps": STEPS, "gates": rejecting}),
        Judged(name=LOST, seed=4, strategy={"steps": [{"weight": 50, "for": "60s"}, {"weight": 100}]}),
    ]


def with_fault(one: Judged) -> Judged:
    """The service with a further version."""
    fails = ("-fail-percent=10",)
    flags = {CALLS: fails, HIDDEN: fails, REJECTS: (*fails, "-fail-status=404")}
    return one.next("v2", *flags.get(one.name, ()))


@pytest.fixture(scope="module")
def court(mesh: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Court]:
    """The stack, whose services have a further version each."""
    project = Project.create(tmp_path_factory.mktemp("statuses"), mesh.cluster)
    with court_of(project, STACK, NAMESPACE, PLACE) as (stack, found):
        first = services()
        stack.up(first)
        stack.up([with_fault(one) for one in first])
        yield found


@pytest.fixture(scope="module")
def tried(court: Court) -> dict[str, Trial]:
    """All but the lost requests, which the gateway counts for all services together."""
    methods = {CALLS: METHOD, HIDDEN: METHOD, GOOD_CALLS: METHOD, REJECTS: ""}
    trials = [partial(court.trial, name, RATE, kind="statuses", method=method) for name, method in methods.items()]
    return {one.service: one for one in side_by_side(trials, len(trials))}


def test_a_version_whose_calls_fail_goes_back_though_http_says_200(tried: dict[str, Trial]) -> None:
    one = tried[CALLS]
    goes_back(one)
    assert set(one.load.statuses) == {200}, one.load.statuses
    assert one.metric("errors")["new"]["failures"] >= 3, one


def test_a_version_whose_failed_calls_are_tried_again_by_default_goes_back(tried: dict[str, Trial]) -> None:
    """Istio's own retries take a call that is UNAVAILABLE, so that its callers hardly see it."""
    one = tried[HIDDEN]
    goes_back(one)
    tries, answers = one.metric("attempts")["new"], one.metric("errors")["new"]
    assert tries["failures"] >= 0.03 * tries["requests"], one
    assert answers["failures"] <= 0.02 * answers["requests"], one


def test_a_version_whose_calls_fail_as_often_as_before_is_promoted(tried: dict[str, Trial]) -> None:
    one = tried[GOOD_CALLS]
    assert one.code == COMPLETED, f"{one}\n{one.said}"
    assert one.record is not None
    assert one.record.phase in (Phase.COMPLETED, Phase.CLOSED)
    assert set(one.load.statuses) == {200}, one.load.statuses


def test_a_version_that_rejects_good_requests_goes_back_if_client_errors_are_compared(tried: dict[str, Trial]) -> None:
    one = tried[REJECTS]
    goes_back(one)
    assert "clientErrors" in one.reason, one.reason
    assert "were answered 4xx" in one.reason, one.reason


def test_requests_without_a_cluster_take_the_rollout_back_at_once(court: Court, tried: dict[str, Trial]) -> None:
    one = court.trial(LOST, RATE, meanwhile=partial(_lose, tried[CALLS], court.checkout.project.cluster))
    goes_back(one)
    assert "requests found no cluster (NC)" in one.reason, one.reason
    assert one.load.statuses[503], one.load.statuses


def _lose(done: Trial, cluster: Cluster, runner: Runner) -> None:
    """Take the canary's subset away, as somebody does by hand; by then the others have ended, as `done` says."""
    assert done.code is not None
    assert runner.ended(0) is None, runner.said
    name = (LOST, f"--namespace={NAMESPACE}")
    subsets = cluster.get("destinationrule", *name)["spec"]["subsets"]
    kept = [one for one in subsets if one["name"] != "v2"]
    assert len(kept) == len(subsets) - 1
    patch = [{"op": "replace", "path": "/spec/subsets", "value": kept}]
    cluster.kubectl("patch", "destinationrule", *name, "--type=json", f"--patch={json.dumps(patch)}")


def goes_back(one: Trial) -> None:
    """Check that a rollout was taken back by its gates."""
    assert one.code == ABORTED, f"{one}\n{one.said}"
    assert one.record is not None
    assert one.record.phase is Phase.ABORTED
    assert EventType.HARM_FOUND in one.events, one
