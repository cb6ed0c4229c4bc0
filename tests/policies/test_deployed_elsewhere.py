"""Versions that a stack does not make are no mistake to the policies."""

from __future__ import annotations

from typing import Any

import pytest

from tests.policies.registered import changed, found, registered

KINDS: list[dict[str, Any]] = [{"labels": {"version": "v1"}}, {"service": "old.bar"}, {"host": "old.example.net"}]


def resources_with(old: dict[str, Any]) -> Any:
    versions = {"new": {"image": "shop:1", "port": 8080}, "old": old}
    shop = {"hosts": ["shop.example.com"], "versions": versions, "route": [{"to": {"new": 10, "old": 90}}]}
    return registered({"mesh": {"install": False}, "services": {"shop": shop}})


@pytest.mark.parametrize("rule", ["versions-exist", "versions-have-pods"])
@pytest.mark.parametrize("old", KINDS, ids=lambda old: next(iter(old)))
def test_a_version_that_runs_elsewhere_is_no_mistake(rule: str, old: dict[str, Any]) -> None:
    assert found(rule, resources_with(old)) == []


def test_a_subset_of_which_nothing_is_said_still_needs_a_deployment() -> None:
    resources = resources_with(KINDS[0])
    unsaid = changed(resources, "DestinationRule shop/shop", lambda props: props["metadata"].pop("annotations"))

    (finding,) = found("versions-exist", unsaid)
    assert "no Deployment has pods with its labels" in finding.message
