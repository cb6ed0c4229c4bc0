"""`canary rollout plan`: the steps from where the requests go now, and the pods that each needs; nothing is written."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from rollout.record import Phase
from tests.unit.canary.rollouts import STACK, World, run, run_json


def rows(text: str) -> list[str]:
    return [re.sub(" +", " ", line).strip() for line in text.splitlines()]


@pytest.mark.usefixtures("pods")
def test_the_plan_has_steps_times_and_pods(deployed: World) -> None:
    writes = deployed.server.writes
    text = run("plan", "website", "--stack", "dev").stdout

    assert rows(text)[0] == "website: version-1 -> version-2, 3 steps, at least 30 min"
    assert [row for row in rows(text) if row[:2] in ("1 ", "2 ", "3 ")] == [
        "1 10 % 10 min 1",
        "2 50 % 20 min, then an approval 2",
        "3 100 % - 4",
    ]
    assert "ready:    1 of version-2, 4 of version-1; pods that lack are added before each step\n" in text
    assert "way back: version-1 stays for 1h after the end\n" in text
    assert "in the cluster: website-1: version-1 -> version-2, not started\n" in text
    assert deployed.server.writes == writes


@pytest.mark.usefixtures("pods")
def test_the_document_of_the_plan_has_the_weights_of_each_step(deployed: World) -> None:
    document = run_json("plan", "website", "--stack", "dev")

    assert (document["from"], document["target"], document["holdSeconds"]) == ("version-1", "version-2", 1800)
    assert [(one["weight"], one["pods"], one["approve"]) for one in document["steps"]] == [
        (10, 1, False),
        (50, 2, True),
        (100, 4, False),
    ]
    assert document["rollout"] == {"id": "website-1", "phase": "Pending", "step": 0}


@pytest.mark.usefixtures("pods")
def test_hooks_windows_and_limits_are_named_without_paths_of_urls(deployed: World) -> None:
    more = (
        "limits: {errors: 2%}, windows: [{days: [mon, tue], from: '09:00', to: '16:00', zone: Europe/Berlin}], "
        "hooks: [{at: beforeStep, url: https://gate.example.com/secret}], deadline: {then: abort}, "
        "capacity: {scale: false}, promote: hand"
    )
    deployed.file.write_text(STACK.replace("{weight: 100}]}", f"{{weight: 100}}], {more}}}"))
    text = run("plan", "website", "--stack", "dev").stdout

    assert "as long as a person decides at each step" in text
    assert "limits:   at most 2% of the new version's requests fail, else it aborts\n" in text
    assert "window:   mon, tue, 09:00 to 16:00 Europe/Berlin\n" in text
    assert "hook:     beforeStep asks https://gate.example.com; if it says no: hold\n" in text
    assert "secret" not in text
    assert "then it aborts\n" in text
    assert "no pods are added by itself\n" in text


def test_before_the_first_up_there_is_nothing_to_move(world: World) -> None:
    text = run("plan", "website", "--stack", "dev").stdout

    assert "website: nothing to move: its requests are where the rollout ends, or there is no route yet\n" in text
    assert "`canary up --stack dev` makes the cluster what the file says" in text
    assert run_json("plan", "website", "--stack", "dev")["steps"] == []


TOGETHER = """\
config:
  istio-canary:samples: [website]
  istio-canary:services:
    website:
      route:
        - match: [{headers: {x-plan: {exact: beta}}}]
          to: version-2
          rollout: &both {together: true, steps: [{weight: 10, for: 10m}, {weight: 100}]}
        - to: version-2
          rollout: *both
"""


@pytest.mark.usefixtures("pods")
def test_rules_that_rise_together_are_not_told_as_one(deployed: World) -> None:
    deployed.file.write_text(TOGETHER)
    text = run("plan", "website", "--stack", "dev").stdout

    steps = [row for row in rows(text) if row[:2] in ("1 ", "2 ")]
    assert steps == ["1 all rules 10 % 10 min 1", "2 all rules 100 % - 4"]


COHORT_NEXT = """\
config:
  istio-canary:samples: [website]
  istio-canary:services:
    website:
      route:
        - match: [{headers: {x-plan: {exact: beta}}}]
          to: version-1
          timeout: 5s
          rollout: {steps: [{weight: 10, for: 10m}, {weight: 100}]}
        - to: version-2
"""


@pytest.fixture
def over(deployed: World) -> World:
    """A rollout that is completed, and whose time of the way back has passed."""
    deployed.set(phase=Phase.COMPLETED, step=2, wanted=deployed.record.plan.steps[-1].weights, ended_at=deployed.at())
    deployed.write_routes("2")
    deployed.server.now += timedelta(hours=2)
    return deployed


@pytest.mark.usefixtures("pods")
def test_the_next_rollout_is_planned_after_the_time_of_the_way_back(over: World) -> None:
    """`up` closes the one before, and begins where the requests are."""
    over.file.write_text(COHORT_NEXT)
    document = run_json("plan", "website", "--stack", "dev")

    assert (document["from"], document["target"]) == ("version-2", "version-1")


@pytest.mark.usefixtures("pods")
def test_nothing_is_planned_of_a_rollout_that_is_over(over: World) -> None:
    assert "website: nothing to move" in run("plan", "website", "--stack", "dev").stdout
