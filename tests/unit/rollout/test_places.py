"""Which http routes have a rule's weights, and reading them back from VirtualServices without a stack file."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.places import places
from rollout.record import Record, Release
from rollout.routes import RouteInCluster
from rollout.routes_of_steps import BACK, routes_of_steps
from rollout.schedule import rule_key, schedule
from rollout.seen_weights import weights_seen
from tests.unit.route_tables import table
from traffic.model import RolloutStrategy, Rule

CAREFUL = RolloutStrategy.model_validate({"steps": [{"weight": 10, "for": "10m"}, {"weight": 50}, {"weight": 100}]})
TESTERS = {"match": [{"headers": {"qa": {"exact": "canary-test"}}}], "to": "version-2"}
COHORT = {"match": [{"headers": {"x-plan": {"exact": "beta"}}}], "to": "version-2", "rollout": "careful"}
EVERYBODY = {"to": "version-2", "rollout": "careful"}
STICKY = {**COHORT, "sticky": {"cookie": "v", "ttl": "1h"}}
AT_GATEWAY = {**COHORT, "match": [{"headers": {"x-plan": {"exact": "beta"}}, "gateways": ["shop-gateway"]}]}
BOTH = {"gateways": ["shop-gateway", "mesh"]}


def key_of(rule: dict[str, Any]) -> str:
    return rule_key(Rule.model_validate(rule))


def planned(*rules: dict[str, Any], **keys: Any) -> tuple[Record, dict[str, Any]]:
    """A record of a service with these rules, and the stored routes of its steps."""
    shops = table(shop={"route": list(rules), **keys})
    names = [key_of(rule) for rule in rules]
    found = schedule("shop", shops["shop"], {"careful": CAREFUL}, {key: {"version-1": 100.0} for key in names})
    assert found is not None
    where = places(shops, "shop", [one.key for one in found.rules], ("version-1", "version-2"), gateway_namespace="g")
    steps = routes_of_steps(shops, "shop", found, gateway_namespace="g")
    old: dict[str, Any] = {"from": Release(version="version-1", hash="h1")}
    record = Record(
        service="shop",
        namespace="shop",
        id="shop-1",
        vs_uids={name: f"uid-of-{name}" for name in steps[BACK]},
        target=Release(version="version-2", hash="h2"),
        **old,
        plan=found.plan("routes", where),
        wanted=found.start,
        created_at="2026-01-05T10:00:00+00:00",
    )
    return record, steps


def in_cluster(http: dict[str, Any]) -> dict[str, RouteInCluster]:
    """VirtualServices with these routes."""
    return {
        name: RouteInCluster(
            name=name, uid=f"uid-of-{name}", resource_version="1", http=one, owner=None, annotation=None, found={}
        )
        for name, one in http.items()
    }


@pytest.mark.parametrize(
    ("rules", "keys", "expected"),
    [
        ([EVERYBODY], {}, {"default": {"shop": (0,)}}),
        ([TESTERS, COHORT, EVERYBODY], {}, {key_of(COHORT): {"shop": (1,)}, "default": {"shop": (2,)}}),
        ([STICKY, EVERYBODY], {}, {key_of(COHORT): {"shop": (2,)}, "default": {"shop": (3,)}}),
        ([TESTERS, EVERYBODY], BOTH, {"default": {"shop": (1,), "shop-mesh": (1,)}}),
        (
            [AT_GATEWAY, EVERYBODY],
            BOTH,
            {key_of(AT_GATEWAY): {"shop": (0,)}, "default": {"shop": (1,), "shop-mesh": (0,)}},
        ),
    ],
)
def test_a_rules_places_are_the_http_routes_with_its_weights(rules: Any, keys: Any, expected: Any) -> None:
    record, _ = planned(*rules, **keys)

    assert record.plan.places == expected


@pytest.mark.parametrize("with_steps", [True, False], ids=["with stored routes", "without"])
@pytest.mark.parametrize(
    ("rules", "keys"),
    [([EVERYBODY], {}), ([TESTERS, COHORT, EVERYBODY], BOTH), ([AT_GATEWAY, EVERYBODY], BOTH)],
)
def test_what_a_step_writes_is_read_as_its_weights(rules: Any, keys: Any, with_steps: bool) -> None:
    record, steps = planned(*rules, **keys)
    for index, step in enumerate(record.plan.steps):
        at_step = record.model_copy(update={"step": index, "wanted": step.weights})
        for one in weights_seen(at_step, in_cluster(steps[str(index)]), steps if with_steps else None):
            assert at_step.stands(one.weights), (index, one.weights)


def test_the_steps_of_a_sticky_rule_are_read_although_the_number_of_routes_changes() -> None:
    record, steps = planned(STICKY, EVERYBODY)
    for index, step in enumerate(record.plan.steps):
        at_step = record.model_copy(update={"step": index, "wanted": step.weights})
        (seen,) = weights_seen(at_step, in_cluster(steps[str(index)]), steps)
        assert at_step.stands(seen.weights), (index, seen.weights)


def test_a_step_is_not_taken_for_another() -> None:
    record, steps = planned(COHORT, EVERYBODY, **BOTH)
    at_first = record.model_copy(update={"step": 0, "wanted": record.plan.steps[0].weights})

    for key in ("1", "5", BACK):
        assert not any(at_first.stands(one.weights) for one in weights_seen(at_first, in_cluster(steps[key]), steps))


def test_weights_by_hand_are_read_at_their_places() -> None:
    record, steps = planned(TESTERS, EVERYBODY)
    by_hand = [dict(one) for one in steps["0"]["shop"]]
    first, second = by_hand[1]["route"]
    by_hand[1]["route"] = [{**first, "weight": 70}, {**second, "weight": 30}]

    (seen,) = weights_seen(record, in_cluster({"shop": by_hand}), steps)

    assert seen.weights == {"default": {"version-1": 70, "version-2": 30}}


def test_a_rule_that_is_not_there_any_more_has_no_weights() -> None:
    record, steps = planned(TESTERS, EVERYBODY)

    for known in (steps, None):
        (seen,) = weights_seen(record, in_cluster({"shop": steps["0"]["shop"][:1]}), known)
        assert seen.weights == {}
        assert not record.stands(seen.weights)


def test_added_rules_make_the_places_unknown() -> None:
    record, steps = planned(TESTERS, EVERYBODY)

    (seen,) = weights_seen(record, in_cluster({"shop": [*steps["0"]["shop"], steps["0"]["shop"][0]]}), steps)

    assert seen.weights == {}


def test_a_virtual_service_that_is_gone_is_not_seen() -> None:
    record, steps = planned(EVERYBODY, **BOTH)

    assert len(weights_seen(record, in_cluster({"shop": steps["0"]["shop"]}), steps)) == 1
