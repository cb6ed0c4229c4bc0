"""Retries of one destination that hashes go to the pod of the hash, as istiod programs them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.route_tables import table
from traffic.simulate import Forwarded, Request, RetryPolicy, Simulator

HASH = {"traffic_policy": {"loadBalancer": {"consistentHash": {"useSourceIp": True}}}}
SIMPLE = {"traffic_policy": {"loadBalancer": {"simple": "RANDOM"}}}
TWO = {"version-1": 80, "version-2": 20}

CASES: list[tuple[str, dict[str, Any], dict[str, Any], bool]] = [
    ("no hash", {}, {"to": "version-1"}, True),
    ("a hash and one destination", HASH, {"to": "version-1"}, False),
    ("a hash and weights", HASH, {"to": TWO}, True),
    ("a hash and a weight of 0", HASH, {"to": {"version-1": 100, "version-2": 0}}, False),
    ("retries of one's own", HASH, {"to": "version-1", "retries": {"attempts": 1}}, False),
    (
        "retries that avoid pods that were tried",
        HASH,
        {"to": "version-1", "retries": {"attempts": 1, "retryIgnorePreviousHosts": True}},
        True,
    ),
    (
        "retries to any pod",
        {},
        {"to": "version-1", "retries": {"attempts": 1, "retryIgnorePreviousHosts": False}},
        False,
    ),
    ("the hash of a version", {"versions": {"version-1": HASH, "version-2": {}}}, {"to": "version-1"}, False),
    ("the hash of another version", {"versions": {"version-1": {}, "version-2": HASH}}, {"to": "version-1"}, True),
    (
        "a version without a hash keeps that of the service",
        {**HASH, "versions": {"version-1": SIMPLE, "version-2": {}}},
        {"to": "version-1"},
        False,
    ),
]


def retries(service: dict[str, Any], rule: dict[str, Any], headers: dict[str, str] | None = None) -> RetryPolicy:
    """The retries of a request that meets the rule of `shop`."""
    outcome = Simulator(table(shop={**service, "route": [rule]})).decide(Request(headers=headers or {})).outcome
    assert isinstance(outcome, Forwarded)
    assert outcome.retries is not None
    return outcome.retries


@pytest.mark.parametrize(("says", "service", "rule", "to_others"), CASES, ids=[entry[0] for entry in CASES])
def test_retries_of_one_destination_that_hashes_may_go_to_the_same_pod(
    says: str, service: dict[str, Any], rule: dict[str, Any], to_others: bool
) -> None:
    assert retries(service, rule).to_other_hosts is to_others, says


def test_a_user_who_is_kept_on_a_version_has_one_destination() -> None:
    rule = {"to": TWO, "sticky": {"cookie": "c", "ttl": "1h"}}

    assert retries(HASH, rule).to_other_hosts is True
    assert retries(HASH, rule, {"cookie": "c=version-2"}).to_other_hosts is False


def test_the_hash_of_another_service_counts_for_its_own_versions() -> None:
    routes = table(shop={"route": [{"to": "search/version-1"}]}, search={**HASH, "hosts": ["search.example.com"]})
    outcome = Simulator(routes).decide(Request()).outcome
    assert isinstance(outcome, Forwarded)
    assert outcome.retries is not None
    assert outcome.retries.to_other_hosts is False
