"""All interleavings and kills of a group's protocol, explored with the real machines (group_model).

The scenario with most states is explored without kills, and whole with ISTIO_CANARY_LONG=1.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from rollout import group_machine, machine
from rollout.group_machine import Member
from rollout.group_record import GroupRecord
from rollout.group_verbs import GroupDecision
from rollout.record import Phase, Stage
from tests.unit.rollout.group_model import Scenario, State, explore
from tests.unit.rollout.state_search import Explored

LONG = os.environ.get("ISTIO_CANARY_LONG") == "1"
SCENARIOS = {
    "one runner": (Scenario(), "Completed"),
    "a runner and a late one": (Scenario(late=1, steps=(10,)), "Completed"),
    "one runner and an abort": (Scenario(aborts=1), "Completed Aborted"),
    "a runner, a late one and an abort": (
        Scenario(late=1, aborts=1, steps=(10,), kills=LONG),
        "Completed Aborted",
    ),
    "three services and an abort": (Scenario(members=3, aborts=1, steps=(10,)), "Completed Aborted"),
    "a callee that is harmful": (Scenario(harmful=0), "Completed Aborted"),
    "a caller that is harmful": (Scenario(harmful=1, steps=(10,)), "Completed Aborted"),
    "a callee that gates find to be harmful": (Scenario(harmful=0, gates=True, steps=(10,)), "Completed Aborted"),
    "the service in the middle is harmful": (Scenario(members=3, harmful=1, steps=(10,)), "Completed Aborted"),
    "somebody aborts the callee alone": (Scenario(alone=0, steps=(10,)), "Completed Aborted"),
    "somebody aborts the caller alone": (Scenario(alone=1, steps=(10,)), "Completed Aborted"),
    "a pause of the caller": (Scenario(pauses=1), "Completed"),
    "a pause of the caller beside an abort": (Scenario(pauses=1, aborts=1, steps=(10,)), "Completed Aborted"),
}


@pytest.fixture(autouse=True)
def without_the_garbage_collector() -> Iterator[None]:
    """The states have no cycles, and the collector would search hundreds of thousands of them again and again."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize(("scenario", "ends"), SCENARIOS.values(), ids=SCENARIOS)
def test_a_caller_is_never_ahead_of_its_callee_and_all_members_end_alike(scenario: Scenario, ends: str) -> None:
    explored = explore(scenario)

    assert explored.violation is None, _told(explored)
    assert not explored.stuck, f"{len(explored.stuck)} states from which no right end is reached: {explored.stuck[0]}"
    assert explored.ends == set(ends.split())


def callers_first(group: GroupRecord, members: Sequence[Member], **keys: Any) -> GroupDecision:
    """A group whose members go forward in the wrong order."""
    if group.phase.goes_back:
        return group_machine.advance(group, members, **keys)
    return group_machine.advance(group, members[::-1], **keys)


def callees_back_first(group: GroupRecord, members: Sequence[Member], **keys: Any) -> GroupDecision:
    """A group whose members go back in the wrong order."""
    if not group.phase.goes_back:
        return group_machine.advance(group, members, **keys)
    return group_machine.advance(group, members[::-1], **keys)


def test_a_group_that_goes_forward_or_back_in_the_wrong_order_is_found() -> None:
    forward, back = explore(Scenario(), callers_first), explore(Scenario(aborts=1), callees_back_first)

    assert "a caller is ahead" in str(forward.violation)
    assert "a caller is ahead" in str(back.violation)


def test_a_member_that_goes_forward_without_the_groups_step_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rollout.forward.until_the_group", lambda record, facts, step: None)

    assert "alone" in str(explore(Scenario()).violation)


def test_a_group_that_does_not_wait_for_the_envoys_between_members_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def written(record: Any) -> int:
        return len(record.plan.steps) if record.phase is Phase.COMPLETED else int(record.step)

    monkeypatch.setattr(group_machine, "settled_step", written)

    assert "envoys: a caller is ahead" in str(explore(Scenario(members=3, steps=(10,))).violation)


def test_a_group_that_goes_back_without_waiting_for_the_callers_envoys_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(group_machine, "BACK_SECONDS", 0.0)

    assert "a caller is ahead" in str(explore(Scenario(aborts=1)).violation)


def test_a_member_that_goes_back_without_its_group_is_found() -> None:
    def alone(group: GroupRecord, members: Sequence[Member], **keys: Any) -> GroupDecision:
        decided = group_machine.advance(group, members, **keys)
        if decided.group is None or not decided.group.phase.goes_back or group.phase.goes_back:
            return decided
        own = tuple((one.service, machine.advance(one.record, one.facts)) for one in members if one.record)
        return GroupDecision(why="each by itself", members=own)

    explored = explore(Scenario(harmful=0, steps=(10,)), alone)

    assert explored.violation is not None or explored.stuck


def test_the_stage_that_says_that_every_envoy_follows_is_observing() -> None:
    assert Stage.OBSERVING.value == "Observing"


def _told(explored: Explored[State]) -> str:
    return "\n".join([str(explored.violation), *map(str, explored.way)])
