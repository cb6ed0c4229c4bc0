"""The stacks of the end-to-end tests of gates are without mistakes, and their faults are what the echo understands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.layout import layout
from stacks.settings.loading import load
from tests.e2e import test_rollout_faults as faults
from tests.e2e import test_rollout_warm_up as warm_up
from tests.e2e.rollouts.front import Front
from tests.e2e.rollouts.judged import STEPS, Judged, JudgedStack
from tests.e2e.tools import Cluster, Project
from traffic.model import RolloutStrategy


@pytest.fixture
def stack(tmp_path: Path) -> JudgedStack:
    cluster = Cluster(layout("none"))
    front = Front(cluster, faults.PLACE, faults.NAMESPACE)
    return JudgedStack(project=Project(tmp_path, cluster), stack="test", namespace=faults.NAMESPACE, front=front)


@pytest.mark.parametrize(
    ("first", "changed"),
    [(faults.services(), faults.with_fault), (warm_up.services(), warm_up.with_new_pods)],
    ids=["faults", "warm-up"],
)
def test_a_stack_is_accepted_with_one_version_of_each_service_and_with_two(
    stack: JudgedStack, first: list[Judged], changed: Callable[[Judged], Judged]
) -> None:
    before, after = (load(stack.config(found)) for found in (first, [changed(one) for one in first]))
    assert all(list(one.versions) == ["v1"] for one in before.services.values())
    assert all(list(one.versions) == ["v1", "v2"] for one in after.services.values())


def test_each_release_takes_the_place_of_the_last_one_with_all_requests(stack: JudgedStack) -> None:
    one = Judged(name="shop", seed=3)
    for version in ("v2", "v3"):
        one = one.next(version)
    settings = load(stack.config([one])).services["shop"]
    (rule,) = settings.route
    assert list(settings.versions) == ["v2", "v3"]
    assert isinstance(rule.rollout, RolloutStrategy)
    assert [step.weight for step in rule.rollout.steps] == [step["weight"] for step in STEPS]


def test_flags_of_every_version_come_before_its_own_so_that_these_hold(stack: JudgedStack) -> None:
    one = Judged(name="shop", seed=3, always=("-delay=200ms", "-slow-percent=5")).next("v2", "-slow-percent=100")
    versions = load(stack.config([one])).services["shop"].deployed
    args = {name: [word for word in version.args if "-slow" in word] for name, version in versions.items()}
    assert args == {"v1": ["-slow-percent=5"], "v2": ["-slow-percent=5", "-slow-percent=100"]}


def test_the_version_that_is_cold_is_the_same_with_a_warm_up_and_without(stack: JudgedStack) -> None:
    settings = load(stack.config([warm_up.with_new_pods(one) for one in warm_up.services()])).services
    cold = {name: [word for word in one.deployed["v2"].args if "-fail" not in word] for name, one in settings.items()}
    assert cold[warm_up.COLD] == cold[warm_up.UNPROTECTED] != cold[warm_up.SLOW]
    seconds = {}
    for name, one in settings.items():
        assert [version.replicas for version in one.deployed.values()] == [2, 1], "one pod more is needed later"
        rollout = one.route[0].rollout
        assert isinstance(rollout, RolloutStrategy)
        assert rollout.gates is not None
        seconds[name] = rollout.gates.latency.warmup_seconds if rollout.gates.latency.enabled else None
    assert seconds == {"cold": 30, "unprotected": 0, "slow": 30}


def test_no_two_versions_fail_in_the_same_requests() -> None:
    seeds = [one.usual(version)[-1] for one in faults.services() for version in ("v1", "v2", "v3")]
    assert len(set(seeds)) == len(seeds)
