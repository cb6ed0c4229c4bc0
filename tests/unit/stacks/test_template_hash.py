"""What makes a version a release of its own."""

from __future__ import annotations

from typing import Any

import pytest

from stacks.template_hash import template_hash
from tests.unit.stacks.rollout_stacks import NEW, OLD, stack, version

SCALED = {"autoscaling": {"minReplicas": 2, "maxReplicas": 9, "cpu": 50}}


def hash_of(**keys: Any) -> str:
    """The hash of a version with these keys beside its image and port."""
    return template_hash(stack(versions={OLD: version(1), NEW: version(2, **keys)}), "shop", NEW)


@pytest.mark.parametrize(
    "keys",
    [
        {"image": "shop:3"},
        {"args": ["-v"]},
        {"env": {"LEVEL": "debug"}},
        {"configFiles": {"/etc/shop": {"shop.conf": "a=1"}}},
        {"resources": {"limits": {"memory": "1Gi"}}},
        {"podTemplate": {"spec": {"nodeSelector": {"disktype": "ssd"}}}},
        {"env": {"PASSWORD": {"valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}}},
        {"terminationGracePeriodSeconds": 60},
    ],
    ids=str,
)
def test_what_changes_the_pods_is_another_release(keys: dict[str, Any]) -> None:
    assert hash_of(**keys) != hash_of()


@pytest.mark.parametrize(
    "keys",
    [
        {"replicas": 7},
        {"replicas": None},
        {"podDisruptionBudget": {"maxUnavailable": 1}},
        {"strategy": {"type": "Recreate"}},
        {"minReadySeconds": 5},
        {"name": "another"},
        {"trafficPolicy": {"connectionPool": {"http": {"maxRetries": 3}}}},
    ],
    ids=str,
)
def test_numbers_of_pods_and_how_they_are_replaced_and_called_are_no_release(keys: dict[str, Any]) -> None:
    assert hash_of(**keys) == hash_of()


def test_autoscaling_is_no_release() -> None:
    requests = {"resources": {"requests": {"cpu": "1"}}}
    assert hash_of(**requests, **SCALED) == hash_of(**requests)


def test_two_versions_of_one_template_are_one_release() -> None:
    settings = stack(versions={OLD: version(1), NEW: version(1)})
    assert template_hash(settings, "shop", OLD) == template_hash(settings, "shop", NEW)
