"""Which counters gates compare, and where the requests of a version are not those of the weights alone."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.planned import PlannedCounters
from stacks.rollout_plans import rollout_plan
from stacks.settings.loading import load
from stacks.settings.model import Settings
from tests.unit.stacks.rollout_stacks import COHORT, EVERYBODY, NEW, OLD, STEPS, TESTERS, at, stack, version

STICKY = {**EVERYBODY, "sticky": {"cookie": "v", "ttl": "1h"}}


def counters(settings: Settings, now: Any = None) -> PlannedCounters:
    planned = rollout_plan(settings, "shop", at(0) if now is None else now)
    assert planned is not None
    plan = planned.plan()
    assert plan.counters is not None
    return plan.counters


@pytest.mark.parametrize(
    ("rules", "judged"),
    [
        ([EVERYBODY], True),
        ([TESTERS, EVERYBODY], False),
        ([COHORT, EVERYBODY], False),
        ([STICKY], False),
        ([{**EVERYBODY, "mirrors": [{"to": NEW, "percentage": {"value": 10}}]}], False),
    ],
    ids=["one rule", "testers", "a cohort", "sticky", "a mirror"],
)
def test_the_split_is_judged_where_the_weights_alone_lead_to_the_versions(rules: list[Any], judged: bool) -> None:
    now = {**at(0), **at(0, "match-0")}
    settings = stack(*rules)
    keys = {key: weights for key, weights in now.items() if key == "default"}
    assert counters(settings, keys).split_judged is judged


def test_another_service_that_leads_to_a_version_mixes_its_requests_in() -> None:
    shop = {"hosts": ["shop.example.com"], "versions": {OLD: version(1), NEW: version(2)}, "route": [EVERYBODY]}
    front = {
        "hosts": ["f.example.com"],
        "versions": {"v1": version(3)},
        "route": [{"to": {f"shop/{OLD}": 50, "v1": 50}}],
    }
    given = {"rollouts": {"careful": {"steps": STEPS}}, "services": {"shop": shop, "front": front}}
    assert not counters(load(given)).split_judged


def test_the_counters_are_those_of_the_telemetry() -> None:
    settings = stack()
    telemetry = settings.telemetry.model_copy(update={"scrape_interval": "5s"})
    found = counters(settings.model_copy(update={"telemetry": telemetry}))
    assert (found.source, found.scrape_seconds) == ("istio", 5.0)
