"""What an `up` renders and does to records, by what the file says and how far the rollout is."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.routes_of_steps import http_routes
from stacks.rollout_asks import AskKind
from stacks.rollout_plans import rendered_routes
from stacks.rollout_states import RolloutState
from stacks.settings.model import Settings
from stacks.with_rollouts import with_rollouts
from tests.unit.stacks.effective_rollouts import CHANGED_NEW, FROZEN, THIRD, THREE, effective, everybody, kinds, weights
from tests.unit.stacks.rollout_stacks import (
    COHORT,
    EVERYBODY,
    FILE,
    NEW,
    OLD,
    ONLY_OLD,
    PLAIN,
    STEPS,
    TESTERS,
    aborted,
    at,
    closed,
    completed,
    pending,
    progressing,
    stack,
    state,
    version,
)
from traffic.model import Target


def test_no_rule_has_a_rollout_in_what_is_rendered() -> None:
    settings = stack(COHORT, TESTERS, EVERYBODY)
    for given in (state(settings, None), state(settings, progressing(settings)), state(settings, aborted(settings))):
        route = effective(settings, given).settings.services["shop"].route
        assert [rule.rollout for rule in route] == [None, None, None]


def test_the_first_up_of_all_leads_to_the_end_at_once() -> None:
    found = effective(stack())
    assert (everybody(found), kinds(found)) == ({NEW: 100}, [])


def test_the_first_up_of_all_begins_at_from_if_the_file_names_it() -> None:
    found = effective(stack({**EVERYBODY, "from": OLD}))
    assert (everybody(found), kinds(found)) == ({OLD: 100}, [AskKind.BEGIN])


def test_a_new_version_keeps_the_weights_of_now_and_waits_for_its_start() -> None:
    settings = stack()
    found = effective(settings, state(settings, None))
    assert everybody(found) == {OLD: 100}
    (ask,) = found.asks
    assert (ask.kind, ask.namespace) == (AskKind.BEGIN, "shop")
    assert ask.target is not None
    assert ask.from_ is not None
    assert (ask.from_.version, ask.target.version) == (OLD, NEW)
    assert ask.from_.hash != ask.target.hash
    assert "canary rollout start shop" in ask.text
    assert ask.planned is not None
    assert [step.weight for step in ask.planned.schedule.steps] == [10, 50, 100]


def test_a_rule_where_all_has_arrived_begins_nothing() -> None:
    settings = stack()
    found = effective(settings, state(settings, None, at(100)))
    assert (everybody(found), kinds(found)) == ({NEW: 100}, [])


def test_a_lasting_split_that_has_arrived_stays() -> None:
    settings = stack(steps=[{"weight": 20, "for": "1m"}, {"weight": 50}])
    found = effective(settings, state(settings, closed(settings), at(50)))
    assert (everybody(found), kinds(found)) == ({OLD: 50, NEW: 50}, [])


def test_a_new_cohort_begins_where_its_requests_are_now() -> None:
    settings = stack(COHORT, EVERYBODY)
    found = effective(settings, state(settings, None, at(0)))
    assert list(weights(found).values()) == [{OLD: 100}, {OLD: 100}]
    assert kinds(found) == [AskKind.BEGIN]


def test_testers_go_to_the_new_version_at_once() -> None:
    settings = stack(TESTERS, EVERYBODY)
    found = effective(settings, state(settings, None, at(0)))
    assert list(weights(found).values()) == [{NEW: 100}, {OLD: 100}]


@pytest.mark.parametrize("step", [0, 1, 2])
def test_in_a_step_the_program_renders_what_the_record_wants_and_no_byte_else(step: int) -> None:
    settings = stack(TESTERS, COHORT, {**EVERYBODY, "sticky": {"cookie": "v", "ttl": "1h"}})
    record = progressing(settings, step)
    found = effective(settings, state(settings, record))
    assert (found.problems, found.asks) == ((), ())
    gateway = settings.mesh.gateway.namespace
    rendered = http_routes(found.settings.services, "shop", {}, gateway_namespace=gateway)
    stored = rendered_routes(settings, "shop", record.plan)
    assert rendered == stored[str(step)]
    assert repr(rendered) == repr(stored[str(step)])


def test_a_pause_changes_nothing_of_what_is_rendered() -> None:
    settings = stack()
    paused = {"by": "ann", "reason": "", "at": "2026-01-05T10:00:00+00:00"}
    record = progressing(settings)
    given = record.model_validate({**record.model_dump(by_alias=True), "paused": paused}, strict=False)
    assert everybody(effective(settings, state(settings, given))) == {OLD: 50, NEW: 50}


def test_after_the_last_step_the_end_stays() -> None:
    settings = stack()
    found = effective(settings, state(settings, completed(settings)))
    assert (everybody(found), kinds(found), found.problems) == ({NEW: 100}, [], ())


def test_after_the_last_step_a_third_version_begins_from_the_second() -> None:
    settings, file = stack(), stack(THIRD, versions=THREE)
    found = effective(file, state(settings, completed(settings)))
    assert everybody(found) == {NEW: 100}
    (ask,) = found.asks
    assert ask.from_ is not None
    assert (ask.kind, ask.from_.version) == (AskKind.BEGIN, NEW)


def test_after_closed_a_second_rollout_begins_and_the_first_version_may_go() -> None:
    settings, file = stack(), stack(THIRD, versions={name: THREE[name] for name in (NEW, "version-3")})
    found = effective(file, state(settings, closed(settings)))
    assert (everybody(found), kinds(found), found.problems) == ({NEW: 100}, [AskKind.BEGIN], ())


def test_a_way_back_whose_time_is_over_is_closed_by_the_up() -> None:
    settings = stack()
    given = state(settings, completed(settings), time="2026-01-05T11:00:01+00:00")
    found = effective(stack(ONLY_OLD | {"to": NEW}, versions={NEW: version(2)}), given)
    assert (kinds(found), found.problems) == ([AskKind.CLOSE], ())


def test_other_steps_in_the_file_are_for_the_next_rollout() -> None:
    settings, file = stack(), stack(steps=[*STEPS[:1], {"weight": 100}])
    found = effective(file, state(settings, progressing(settings)))
    assert (everybody(found), found.problems) == ({OLD: 50, NEW: 50}, ())
    (warning,) = found.warnings
    assert "the steps that it began with" in warning.what


def test_a_rollout_that_has_not_started_is_kept_as_it_is() -> None:
    settings = stack()
    found = effective(settings, state(settings, pending(settings)))
    assert (everybody(found), kinds(found), found.problems) == ({OLD: 100}, [], ())


@pytest.mark.parametrize(
    "file",
    [
        stack(steps=[{"weight": 20, "for": "1m"}, {"weight": 100}]),
        FROZEN["a timeout"],
        FROZEN["a new cohort"],
        stack(THIRD, versions=THREE),
        stack(versions=CHANGED_NEW),
    ],
    ids=["other steps", "another route", "a new cohort", "a third version", "another template"],
)
def test_a_rollout_that_has_not_started_gives_way_to_what_the_file_asks_for(file: Settings) -> None:
    settings = stack()
    found = effective(file, state(settings, pending(settings), at(0)))
    assert (everybody(found), kinds(found), found.problems) == ({OLD: 100}, [AskKind.BEGIN], ())


def test_an_old_checkout_lets_a_rollout_wait_that_has_not_started() -> None:
    settings = stack()
    found = effective(stack(PLAIN), state(settings, pending(settings)))
    assert (everybody(found), kinds(found), found.problems) == ({OLD: 100}, [], ())
    assert "canary rollout abort shop" in found.warnings[0].fix


def test_a_record_of_other_virtual_services_says_nothing() -> None:
    settings = stack()
    found = effective(settings, state(settings, progressing(settings), at(0), uid="uid-2"))
    assert (everybody(found), kinds(found)) == ({OLD: 100}, [AskKind.BEGIN])


def test_a_deleted_route_in_the_middle_of_a_rollout_does_not_bring_all_requests_to_the_new_version() -> None:
    settings = stack()
    given = state(settings, progressing(settings))
    found = effective(settings, RolloutState(stored=given.stored))
    assert (everybody(found), kinds(found)) == ({OLD: 100}, [AskKind.BEGIN])


def test_nothing_goes_below_the_way_back() -> None:
    scaled = {"autoscaling": {"minReplicas": 2, "maxReplicas": 10, "cpu": 50}, "resources": {"requests": {"cpu": "1"}}}
    settings = stack(versions={OLD: version(1, **scaled), NEW: version(2, replicas=3)})
    found = effective(settings, state(settings, progressing(settings)))
    old, new = (found.settings.services["shop"].deployed[name] for name in (OLD, NEW))
    assert old.autoscaling is not None
    assert old.autoscaling.min_replicas == 4
    assert found.pinned[Target("shop", OLD)] == 4
    assert found.replicas_left == {Target("shop", NEW)}
    assert new.replicas is None


@pytest.mark.parametrize("record", [pending, closed, aborted])
def test_the_file_decides_about_pods_when_no_rollout_runs(record: Any) -> None:
    settings = stack(versions={OLD: version(1, replicas=3), NEW: version(2, replicas=3)})
    found = effective(settings, state(settings, record(settings)))
    assert (found.pinned, found.replicas_left) == ({}, frozenset())


def test_other_services_stay_as_they_are() -> None:
    settings = stack(PLAIN)
    assert with_rollouts(settings, {}, FILE).settings is settings
