"""The stacks of the end-to-end tests of gates are without mistakes, and their faults are what the echo understands."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.layout import layout
from stacks.settings.loading import load
from tests.e2e.rollouts.front import Front
from tests.e2e.rollouts.judged import STEPS, Judged, JudgedStack
from tests.e2e.test_rollout_faults import NAMESPACE, PLACE, services, with_fault
from tests.e2e.tools import Cluster, Project
from traffic.model import RolloutStrategy


@pytest.fixture
def stack(tmp_path: Path) -> JudgedStack:
    cluster = Cluster(layout("none"))
    front = Front(cluster, PLACE, NAMESPACE)
    return JudgedStack(project=Project(tmp_path, cluster), stack="test", namespace=NAMESPACE, front=front)


def test_the_stack_of_the_faults_is_accepted(stack: JudgedStack) -> None:
    first = services()
    before, after = (load(stack.config(found)) for found in (first, [with_fault(one) for one in first]))
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


def test_no_two_versions_fail_in_the_same_requests() -> None:
    seeds = [one.usual(version)[-1] for one in services() for version in ("v1", "v2", "v3")]
    assert len(set(seeds)) == len(seeds)
