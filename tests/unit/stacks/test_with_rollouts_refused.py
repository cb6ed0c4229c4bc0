"""What an `up` refuses while a service is rolled out, and what may change beside a rollout."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from stacks.rollout_asks import AskKind
from stacks.rollout_states import RolloutState
from stacks.with_rollouts import refuse_force
from tests.unit.stacks.effective_rollouts import (
    CHANGED_NEW,
    CHANGED_OLD,
    FROZEN,
    THIRD,
    THREE,
    effective,
    everybody,
    kinds,
    refusal,
)
from tests.unit.stacks.rollout_stacks import (
    EVERYBODY,
    FILE,
    NEW,
    OLD,
    PLAIN,
    TESTERS,
    aborting,
    at,
    closed,
    completed,
    progressing,
    stack,
    state,
    version,
)

GONE = {NEW: version(2)}


@pytest.mark.parametrize("record", [progressing, completed, aborting])
@pytest.mark.parametrize(
    ("versions", "named"),
    [(GONE, OLD), (CHANGED_OLD, OLD), (CHANGED_NEW, NEW)],
    ids=["from removed", "from changed", "to changed"],
)
def test_neither_version_of_a_rollout_is_removed_or_changed_before_it_is_closed(
    record: Any, versions: dict[str, Any], named: str
) -> None:
    settings = stack(EVERYBODY, versions={**THREE})
    file = stack(
        {**EVERYBODY, "from": OLD} if OLD in versions else EVERYBODY, versions={**versions, "version-3": version(3)}
    )
    text = refusal(effective(file, state(settings, record(settings))))
    assert f"restore {named}" in text


def test_numbers_of_pods_may_change_during_a_rollout() -> None:
    settings = stack()
    file = stack(
        versions={
            OLD: version(1, replicas=7),
            NEW: version(2, autoscaling={"minReplicas": 1, "maxReplicas": 9, "cpu": 50}, resources={}),
        }
    )
    found = effective(file, state(settings, progressing(settings)))
    assert found.problems == ()


ELSEWHERE = {
    "weights by hand": stack({"to": {OLD: 80, NEW: 20}, "timeout": "5s"}),
    "to without its rollout": stack({"to": {OLD: 0, NEW: 100}, "timeout": "5s"}),
}


@pytest.mark.parametrize("change", FROZEN)
@pytest.mark.parametrize("step", [0, 1])
def test_the_route_is_frozen_during_a_rollout(change: str, step: int) -> None:
    settings = stack()
    text = refusal(effective(FROZEN[change], state(settings, progressing(settings, step))))
    assert f"step {step + 1} of 3" in text
    assert "canary up --during-rollout shop" in text


@pytest.mark.parametrize("change", ELSEWHERE)
@pytest.mark.parametrize("during", [frozenset[str](), frozenset({"shop"})])
def test_weights_by_hand_are_refused_during_a_rollout_with_what_ends_it(change: str, during: frozenset[str]) -> None:
    settings = stack()
    text = refusal(effective(ELSEWHERE[change], state(settings, progressing(settings)), during=during))
    assert "its rules lead elsewhere" in text
    assert "canary rollout promote shop --full" in text
    assert "--during-rollout" not in text


def test_a_rule_without_a_rollout_is_frozen_in_a_service_with_one() -> None:
    rule = {**TESTERS, "to": {OLD: 50, NEW: 50}}
    settings, file = stack(rule, EVERYBODY), stack({**rule, "to": {OLD: 40, NEW: 60}}, EVERYBODY)
    assert refusal(effective(file, state(settings, progressing(settings))))
    assert effective(settings, state(settings, progressing(settings))).problems == ()


def test_the_route_may_change_during_a_rollout_if_a_person_says_so() -> None:
    settings, file = stack(), FROZEN["a timeout"]
    found = effective(file, state(settings, progressing(settings)), during={"shop"})
    assert (everybody(found), kinds(found)) == ({OLD: 50, NEW: 50}, [AskKind.NEW_ROUTES])
    planned = found.asks[0].planned
    assert planned is not None
    assert planned.routes["1"]["shop"][0]["timeout"] == "6s"
    assert [step.weights for step in planned.schedule.steps] == [
        step.weights for step in progressing(settings).plan.steps
    ]


def test_a_live_version_is_not_changed_in_place() -> None:
    settings, file = stack(), stack(versions={OLD: version(1), NEW: version(22)})
    text = refusal(effective(file, state(settings, closed(settings))))
    assert "add a new version" in text


@pytest.mark.parametrize(
    ("image", "refused"), [("shop:1", False), ("shop:0", True), ("shop@sha256:ab", False)], ids=str
)
def test_the_image_of_a_live_version_tells_of_a_change_if_there_is_no_record(image: str, refused: bool) -> None:
    settings = stack()
    given = replace(state(settings, None), images={OLD: image, NEW: "shop:0"})
    assert bool(effective(settings, given).problems) is refused


def test_a_version_that_the_requests_come_from_must_stay() -> None:
    file = stack(THIRD, versions={NEW: version(2), "version-3": version(3)})
    text = refusal(effective(file, state(stack(), None, at(0))))
    assert "restore version-1" in text


def test_requests_at_a_third_version_cannot_be_rolled_out() -> None:
    file = stack(versions=THREE)
    now = {"default": {OLD: 50.0, "version-3": 50.0}}
    assert "one version to one other" in refusal(effective(file, state(file, None, now)))


def test_what_cannot_be_read_is_refused() -> None:
    settings = stack()
    given = RolloutState(unreadable="the record may not be read\n    fix:     grant the right", now=at(0))
    problem = effective(settings, given).problems[0]
    assert problem.fix == "grant the right"
    # Without any trace of a rollout there is nothing to protect.
    assert effective(stack(PLAIN), given).problems == ()


def test_routes_by_a_rollout_whose_record_cannot_be_read_are_refused_without_a_rollout_in_the_file() -> None:
    settings = stack()
    routes = state(settings, progressing(settings)).routes
    given = RolloutState(unreadable="no\n    fix:     yes", routes=routes)
    assert refusal(effective(stack(PLAIN), given))


@pytest.mark.parametrize(("given", "refused"), [("true", True), ("1", True), ("false", False), ("", False)])
def test_no_stack_with_a_rollout_runs_with_forced_patches(given: str, refused: bool) -> None:
    environment = {"PULUMI_K8S_ENABLE_PATCH_FORCE": given}
    assert (refuse_force(stack(), {}, FILE, environment) is not None) is refused
    assert refuse_force(stack(PLAIN), {}, FILE, environment) is None
