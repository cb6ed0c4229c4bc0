"""The planned steps of a service's rollout, and the routes of each."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.planned import Plan
from rollout.routes_of_steps import BACK, differing_steps, http_routes, routes_of_steps
from rollout.schedule import Schedule, ScheduleError, at_weights, route_at, rule_key, schedule
from tests.unit.route_tables import service, table
from traffic.model import RolloutStrategy, Rule

CAREFUL = RolloutStrategy.model_validate(
    {"steps": [{"weight": 10, "for": "10m"}, {"weight": 50, "for": "5m", "approve": True}, {"weight": 100}]}
)
COHORT = {
    "match": [{"headers": {"x-plan": {"exact": "beta"}}}],
    "to": "version-2",
    "rollout": {"steps": [{"weight": 50, "for": "30m"}, {"weight": 100}]},
}
TESTERS = {"match": [{"headers": {"qa": {"exact": "canary-test"}}}], "to": "version-2"}
EVERYBODY = {"to": "version-2", "rollout": "careful"}
OLD = {"version-1": 100.0}
KEY = rule_key(Rule.model_validate(COHORT))


def planned(
    *rules: dict[str, Any], now: dict[str, Any] | None = None, named: RolloutStrategy = CAREFUL, **keys: Any
) -> Schedule:
    """The rollout of a service with these rules, whose requests all go to version-1 unless `now` says otherwise."""
    shop = service("shop", route=list(rules), **keys)
    starts = {rule_key(rule): OLD for rule in shop.route} if now is None else now
    found = schedule("shop", shop, {"careful": named}, starts)
    assert found is not None
    return found


def weights_of(found: Schedule) -> list[dict[str, float]]:
    """The weight of version-2 at each step, by rule key."""
    return [{key: one.get("version-2", 0.0) for key, one in step.weights.items()} for step in found.steps]


def test_a_service_without_a_rollout_has_no_plan() -> None:
    shop = service("shop", route=[TESTERS, {"to": "version-1"}])
    assert schedule("shop", shop, {}, {}) is None


def test_each_step_has_the_weights_of_both_versions_how_long_it_is_kept_and_who_must_approve() -> None:
    found = planned(EVERYBODY)
    assert (found.origin, found.target) == ("version-1", "version-2")
    assert [(one.weight, one.hold_seconds, one.approve) for one in found.steps] == [
        (10, 600, False), (50, 300, True), (100, 0, False)
    ]  # fmt: skip
    assert [one.weights["default"] for one in found.steps] == [
        {"version-1": 90, "version-2": 10}, {"version-1": 50, "version-2": 50}, {"version-1": 0, "version-2": 100}
    ]  # fmt: skip
    assert found.start == found.back == {"default": {"version-1": 100, "version-2": 0}}


def test_rules_rise_one_after_the_other_the_cohort_first() -> None:
    found = planned(TESTERS, COHORT, EVERYBODY)
    assert [(one.rule, one.weight) for one in found.steps] == [(0, 50), (0, 100), (1, 10), (1, 50), (1, 100)]
    assert weights_of(found)[1:3] == [{KEY: 100, "default": 0}, {KEY: 100, "default": 10}]
    assert [one.text for one in found.rules] == ["x-plan = beta", "default"]


def test_with_together_all_rules_rise_at_once() -> None:
    named = CAREFUL.model_copy(update={"together": True})
    found = planned({**COHORT, "rollout": "careful"}, EVERYBODY, named=named)
    assert weights_of(found) == [{KEY: one, "default": one} for one in (10, 50, 100)]


def test_a_last_step_below_100_is_a_lasting_split() -> None:
    found = planned({"to": "version-2", "rollout": {"steps": [{"weight": 5, "for": "1m"}, {"weight": 20}]}})
    assert found.steps[-1].weights["default"] == {"version-1": 80, "version-2": 20}


@pytest.mark.parametrize(("now", "expected"), [(40, [50, 100]), (50, [50, 100]), (60, [100]), (100, [])])
def test_steps_that_the_rule_is_beyond_are_left_out_and_one_that_it_is_at_is_kept(
    now: int, expected: list[int]
) -> None:
    found = planned(EVERYBODY, now={"default": {"version-1": 100 - now, "version-2": now}})
    assert [one.weight for one in found.steps] == expected


def test_a_rule_in_the_middle_keeps_its_weight_for_the_steps_time_and_approval() -> None:
    found = planned(EVERYBODY, now={"default": {"version-1": 50, "version-2": 50}})
    assert (found.steps[0].weights, found.steps[0].approve) == (found.start, CAREFUL.steps[1].approve)
    assert found.steps[0].hold_seconds == CAREFUL.steps[1].hold_seconds
    assert found.start == {"default": {"version-1": 50, "version-2": 50}}
    assert found.back == {"default": {"version-1": 100, "version-2": 0}}


def test_whole_numbers_and_floats_make_the_same_plan() -> None:
    """The cluster's weights are whole numbers; a record, whose plan is compared with the file's, keeps floats."""
    seen = planned(EVERYBODY, now={"default": {"version-1": 50, "version-2": 50}}).plan("routes")
    kept = planned(EVERYBODY, now=Plan.model_validate_json(seen.model_dump_json(by_alias=True)).start).plan("routes")
    assert kept.digest == seen.digest


def test_a_rule_that_has_arrived_goes_back_with_the_others() -> None:
    found = planned(COHORT, EVERYBODY, now={KEY: {"version-2": 100}, "default": OLD})
    assert [one.rule for one in found.steps] == [1, 1, 1]
    assert found.start[KEY] == {"version-1": 0, "version-2": 100}
    assert found.back[KEY] == {"version-1": 100, "version-2": 0}


def test_before_the_first_up_of_all_a_rule_begins_with_its_end() -> None:
    found = planned(EVERYBODY, now={})
    assert (found.origin, found.steps) == (None, ())
    assert found.start == found.back == {"default": {"version-2": 100}}


def test_a_rule_that_says_where_it_comes_from_begins_there_if_nothing_is_seen() -> None:
    found = planned({**EVERYBODY, "from": "version-1"}, now={})
    assert (found.origin, len(found.steps)) == ("version-1", 3)


def test_a_new_cohort_begins_where_the_default_rule_sends_its_requests() -> None:
    found = planned(COHORT, {"to": "version-1"}, now={"default": OLD})
    assert found.start == {KEY: {"version-1": 100, "version-2": 0}}
    half = {"default": {"version-1": 50.0, "version-2": 50.0}}
    assert [one.weight for one in planned(COHORT, {"to": "version-1"}, now=half).steps] == [50, 100]


def test_a_new_rule_whose_requests_are_not_known_asks_for_their_version() -> None:
    with pytest.raises(ScheduleError, match="write `from` with the version"):
        planned(COHORT, now={"match-0": OLD})
    assert planned({**COHORT, "from": "version-1"}, now={"match-0": OLD}).origin == "version-1"


THREE: dict[str, Any] = {"versions": {"version-1": {}, "version-2": {}, "version-3": {}}}


@pytest.mark.parametrize(
    ("rules", "now", "words"),
    [
        ([EVERYBODY], {"default": {"version-1": 60, "version-2": 10, "version-3": 30}}, "version-3 30 %"),
        ([{**EVERYBODY, "from": "version-1"}], {"default": {"version-3": 100}}, "from version-1 to version-2"),
        ([COHORT, EVERYBODY], {KEY: {"version-3": 100}, "default": OLD}, "x-plan = beta: from version-3"),
    ],
)  # fmt: skip
def test_a_third_version_is_refused_with_where_the_requests_go(
    rules: list[dict[str, Any]], now: dict[str, Any], words: str
) -> None:
    with pytest.raises(ScheduleError) as caught:
        planned(*rules, now=now, **THREE)
    for part in (words, "shop", "allowed:", "fix:"):
        assert part in str(caught.value)


def test_the_key_of_a_rule_is_that_of_its_matches_alone() -> None:
    renamed = {**COHORT, "name": "beta", "timeout": "5s", "to": "version-1", "rollout": None}
    assert rule_key(Rule.model_validate(renamed)) == KEY
    assert rule_key(Rule.model_validate(TESTERS)) != KEY
    assert rule_key(Rule.model_validate(EVERYBODY)) == "default"


def test_the_key_of_a_rule_does_not_depend_on_the_order_of_its_matches() -> None:
    matches = [{"headers": {"a": {"exact": "1"}}}, {"headers": {"b": {"exact": "2"}}}]
    one, other = (Rule.model_validate({"match": given, "to": "version-1"}) for given in (matches, matches[::-1]))
    assert rule_key(one) == rule_key(other)


def test_the_plan_of_a_record_survives_json_and_its_digest_changes_with_a_step() -> None:
    plan = planned(COHORT, EVERYBODY).plan("istio-canary-rollout-shop-routes-1")
    assert Plan.model_validate_json(plan.model_dump_json(exclude_none=True)) == plan
    faster = CAREFUL.model_copy(update={"steps": CAREFUL.steps[1:]})
    assert planned(COHORT, EVERYBODY, named=faster).plan("r").digest != plan.digest
    assert planned(COHORT, EVERYBODY).plan("r").digest == plan.digest


def test_a_rule_at_weights_keeps_all_its_other_actions() -> None:
    rule = Rule.model_validate({**COHORT, "timeout": "5s", "name": "beta"})
    moved = at_weights(rule, {"version-1": 99.5, "version-2": 0.5})
    assert (moved.weights, moved.rollout, moved.timeout) == ({"version-1": 99.5, "version-2": 0.5}, None, "5s")
    assert moved.match == rule.match


@given(
    steps=st.lists(st.integers(1, 1_000_000), min_size=1, max_size=8, unique=True).map(sorted),
    reached=st.integers(0, 1_000_000),
    cohort=st.booleans(),
)
def test_weights_of_a_rule_never_fall_and_always_sum_to_100(steps: list[int], reached: int, cohort: bool) -> None:
    named = RolloutStrategy.model_validate({"steps": [{"weight": one / 10_000} for one in steps]})
    start = {"version-1": (1_000_000 - reached) / 10_000, "version-2": reached / 10_000}
    rules = [COHORT, EVERYBODY] if cohort else [EVERYBODY]
    found = planned(*rules, named=named, now={KEY: OLD, "default": start})
    for key in found.start:
        along = [found.start[key], *(step.weights[key] for step in found.steps)]
        assert all(sum(one.values()) == pytest.approx(100, abs=1e-9) for one in along)
        rising = [one["version-2"] for one in along]
        assert rising == sorted(rising)
        assert found.back[key].get("version-1", 0) in (100, 0)


def routes(**keys: Any) -> dict[str, Any]:
    """The routes of all steps of a service with testers, a cohort and everybody."""
    shops = table(shop={"route": [TESTERS, COHORT, EVERYBODY], **keys})
    return routes_of_steps(shops, "shop", planned(TESTERS, COHORT, EVERYBODY), gateway_namespace="istio-ingress")


def shares(http: list[dict[str, Any]]) -> list[dict[str, int]]:
    """The weights of each http route by subset, 100 for the only one."""
    return [{one["destination"]["subset"]: one.get("weight", 100) for one in entry["route"]} for entry in http]


def test_each_step_and_the_way_back_have_all_rules_of_the_virtual_service() -> None:
    found = routes()
    assert list(found) == ["0", "1", "2", "3", "4", BACK]
    assert shares(found["2"]["shop"]) == [{"version-2": 100}, {"version-2": 100}, {"version-1": 90, "version-2": 10}]
    assert shares(found[BACK]["shop"]) == [{"version-2": 100}, {"version-1": 100}, {"version-1": 100}]


def test_the_virtual_service_for_callers_inside_the_mesh_has_the_same_steps() -> None:
    found = routes(gateways=["shop-gateway", "mesh"])
    assert set(found["2"]) == {"shop", "shop-mesh"}
    assert shares(found["2"]["shop-mesh"]) == shares(found["2"]["shop"])


def test_a_step_is_rendered_as_the_same_weights_by_hand() -> None:
    by_hand = table(shop={"route": [TESTERS, {**COHORT, "to": {"version-1": 50, "version-2": 50}, "rollout": None},
                                    {"to": "version-1"}]})  # fmt: skip
    assert routes()["0"] == http_routes(by_hand, "shop", {}, gateway_namespace="istio-ingress")


def test_a_sticky_rule_keeps_the_users_of_both_versions_at_each_step() -> None:
    rule = {**EVERYBODY, "sticky": {"cookie": "v", "ttl": "1h"}}
    shops = table(shop={"route": [rule]})
    found = routes_of_steps(shops, "shop", planned(rule), gateway_namespace="g")
    assert shares(found["0"]["shop"]) == [{"version-1": 100}, {"version-2": 100}, {"version-1": 90, "version-2": 10}]
    assert shares(found["2"]["shop"]) == [{"version-2": 100}, {"version-2": 100}]


def test_steps_whose_routes_differ_are_named() -> None:
    one, other = routes(), routes()
    assert differing_steps(one, other) == []
    other["3"]["shop"][0]["timeout"] = "1s"
    assert differing_steps(one, other) == ["3"]
    assert differing_steps(one, other, ["0"]) == []


def test_rules_that_are_not_rolled_out_stay_as_they_are() -> None:
    shop = service("shop", route=[TESTERS, COHORT, EVERYBODY])
    assert route_at(shop, {"default": {"version-1": 90, "version-2": 10}})[:2] == shop.route[:2]
