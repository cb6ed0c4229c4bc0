"""What an `up` renders, refuses and does to records, by what the file says and what the record says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from rollout.observed_routes import ObservedRoutes
from rollout.record import Phase
from rollout.routes_of_steps import http_routes
from rollout.schedule import rule_key
from stacks.cluster_facts import refuse_removal_in_use
from stacks.rollout_asks import AskKind
from stacks.rollout_plans import rendered_routes
from stacks.rollout_states import RolloutState
from stacks.settings.model import Settings
from stacks.settings.problems import SettingsError
from stacks.with_rollouts import Effective, refuse_force, with_rollouts
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
    aborting,
    at,
    closed,
    completed,
    pending,
    progressing,
    stack,
    state,
    version,
)
from traffic.model import Rule, Target

THREE = {OLD: version(1), NEW: version(2), "version-3": version(3)}
THIRD = {**EVERYBODY, "to": "version-3"}
BACK = {**EVERYBODY, "to": OLD}


def effective(settings: Settings, given: RolloutState | None = None, **keys: Any) -> Effective:
    return with_rollouts(settings, {} if given is None else {"shop": given}, FILE, **keys)


def weights(found: Effective) -> dict[str, Mapping[str, float]]:
    """The weights above 0 of each rule, by its key."""
    route = found.settings.services["shop"].route
    return {rule_key(rule): {name: one for name, one in rule.weights.items() if one > 0} for rule in route}


def everybody(found: Effective) -> Mapping[str, float]:
    return weights(found)["default"]


def kinds(found: Effective) -> list[AskKind]:
    return [ask.kind for ask in found.asks]


def refusal(found: Effective) -> str:
    """The only refusal."""
    assert found.problems, "nothing is refused"
    (problem,) = found.problems
    assert problem.file == FILE
    assert problem.fix
    return str(problem)


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


@pytest.mark.parametrize(
    "file",
    [
        stack(BACK),
        stack(PLAIN),
        stack(ONLY_OLD, versions={OLD: version(1)}),
    ],
    ids=["from again", "without rollout", "the new version removed"],
)
def test_a_file_that_leads_to_from_again_goes_back_first_and_says_what_it_takes_back_and_whose_it_was(
    file: Settings,
) -> None:
    settings = stack()
    found = effective(file, state(settings, progressing(settings)))
    assert (everybody(found), kinds(found), found.problems) == ({OLD: 100}, [AskKind.GO_BACK], ())
    assert found.comes_first == found.asks
    assert found.routes_left == {"shop"}
    assert found.leaving == {Target("shop", NEW)}
    (warning,) = found.warnings
    assert "50 % of the requests are at version-2" in warning.what
    assert "begun by ann" in warning.what


def test_the_new_version_may_be_removed_by_the_up_that_goes_back_and_by_no_other() -> None:
    settings, file = stack(), stack(ONLY_OLD, versions={OLD: version(1)})
    found = effective(file, state(settings, progressing(settings)))
    used = Target("shop", NEW)
    both = frozenset({used, Target("shop", OLD)})
    observed = ObservedRoutes(subsets=both, shares={used: "50 % in VirtualService shop/shop, rule 1"})
    refuse_removal_in_use(found.settings, observed, FILE, found.leaving)
    with pytest.raises(SettingsError, match="version-2 is removed"):
        refuse_removal_in_use(found.settings, observed, FILE)


def test_a_file_without_the_cohort_goes_back_as_well() -> None:
    settings = stack(COHORT, EVERYBODY)
    found = effective(stack(PLAIN), state(settings, progressing(settings)))
    assert kinds(found) == [AskKind.GO_BACK]


def test_a_third_version_is_refused_while_a_rollout_is_under_way() -> None:
    settings, file = stack(), stack(THIRD, versions=THREE)
    text = refusal(effective(file, state(settings, progressing(settings))))
    assert "in a rollout from version-1 to version-2" in text
    assert "onSupersede: abort" in text


def test_a_third_version_supersedes_if_the_strategy_says_so() -> None:
    settings, file = stack(onSupersede="abort"), stack(THIRD, versions=THREE)
    found = effective(file, state(settings, progressing(settings)))
    assert kinds(found) == [AskKind.SUPERSEDE, AskKind.BEGIN]
    assert everybody(found) == {OLD: 100}
    assert found.routes_left == {"shop"}


def test_the_next_rollout_waits_until_the_last_one_is_back() -> None:
    settings, file = stack(), stack(THIRD, versions=THREE)
    assert "goes back" in refusal(effective(file, state(settings, aborting(settings))))


def test_an_up_ends_an_abort() -> None:
    settings = stack()
    found = effective(settings, state(settings, aborting(settings)))
    assert (everybody(found), kinds(found)) == ({OLD: 100}, [AskKind.GO_BACK])


@pytest.mark.parametrize("phase", [Phase.ABORTED, Phase.UNDONE])
def test_an_aborted_release_gets_nothing_and_the_warning_has_the_reason_and_retry(phase: Phase) -> None:
    settings = stack()
    found = effective(settings, state(settings, aborted(settings, phase=phase)))
    assert (everybody(found), kinds(found), found.problems) == ({OLD: 100}, [], ())
    (warning,) = found.warnings
    assert "it fails" in warning.what
    assert "by ann" in warning.what
    assert "canary rollout retry shop" in warning.fix


def test_an_aborted_release_stays_away_although_somebody_brought_it_back() -> None:
    settings = stack()
    assert everybody(effective(settings, state(settings, aborted(settings), at(50)))) == {OLD: 100}


def test_another_template_of_the_same_name_is_a_new_release() -> None:
    settings, file = stack(), stack(versions={OLD: version(1), NEW: version(22)})
    found = effective(file, state(settings, aborted(settings)))
    assert (everybody(found), kinds(found), found.warnings) == ({OLD: 100}, [AskKind.BEGIN], ())


def test_an_aborted_release_is_not_brought_back_by_weights() -> None:
    settings, file = stack(), stack({"to": {OLD: 90, NEW: 10}, "timeout": "5s"})
    assert "canary rollout retry shop" in refusal(effective(file, state(settings, aborted(settings))))


def test_testers_keep_an_aborted_release_and_no_others_get_it() -> None:
    settings = stack(TESTERS, EVERYBODY)
    key = rule_key(Rule.model_validate(TESTERS))
    now = {**at(0), key: {NEW: 100.0}}
    assert effective(settings, state(settings, aborted(settings), now)).problems == ()
    assert refusal(effective(settings, state(settings, aborted(settings), at(0))))


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


GONE = {NEW: version(2)}
CHANGED_OLD, CHANGED_NEW = {OLD: version(11), NEW: version(2)}, {OLD: version(1), NEW: version(22)}


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


FROZEN = {
    "a timeout": stack({**EVERYBODY, "timeout": "6s"}),
    "a new rule": stack(TESTERS, EVERYBODY),
    "a new cohort": stack(COHORT, EVERYBODY),
}
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


@pytest.mark.parametrize("versions", [{OLD: version(1)}, {OLD: version(1), NEW: version(2)}], ids=["gone", "changed"])
def test_a_rollout_that_has_not_started_ends_if_an_up_takes_or_changes_its_pods(versions: dict[str, Any]) -> None:
    settings = stack(versions=CHANGED_NEW)
    to = {"to": {name: 100 if name == OLD else 0 for name in versions}}
    found = effective(stack(to, versions=versions), state(settings, pending(settings)))
    assert (everybody(found), kinds(found), found.problems) == ({OLD: 100}, [AskKind.WITHDRAW], ())
    assert found.comes_first
    assert "it ends, and no requests move" in found.warnings[0].what


def test_a_rollout_that_has_not_started_ends_if_its_version_becomes_a_barred_release_again() -> None:
    settings, changed = stack(), stack(versions=CHANGED_NEW)
    record = pending(changed).model_copy(update={"bars": aborted(settings).bars})
    found = effective(settings, state(changed, record))
    assert (everybody(found), kinds(found)) == ({OLD: 100}, [AskKind.WITHDRAW])


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
    file = (
        stack(versions={NEW: version(2)})
        if False
        else stack({**EVERYBODY, "to": "version-3"}, versions={NEW: version(2), "version-3": version(3)})
    )
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


@pytest.mark.parametrize(("given", "refused"), [("true", True), ("1", True), ("false", False), ("", False)])
def test_no_stack_with_a_rollout_runs_with_forced_patches(given: str, refused: bool) -> None:
    environment = {"PULUMI_K8S_ENABLE_PATCH_FORCE": given}
    assert (refuse_force(stack(), {}, FILE, environment) is not None) is refused
    assert refuse_force(stack(PLAIN), {}, FILE, environment) is None


def test_other_services_stay_as_they_are() -> None:
    settings = stack(PLAIN)
    assert with_rollouts(settings, {}, FILE).settings is settings
