"""The committed stacks have no mandatory finding, and the configuration decides which rules are for which stack."""

from __future__ import annotations

from typing import Any

import pytest

from policies import configuration
from policies.engine import findings, is_for
from policies.resource import Resource
from policies.rule import PROD, Enforcement
from tests.policies.registered import ROOT, committed, found

STACKS = sorted(path.stem.removeprefix("Pulumi.") for path in ROOT.glob("Pulumi.*.yaml"))


@pytest.mark.parametrize("stack", STACKS)
def test_a_committed_stack_has_no_mandatory_finding(stack: str) -> None:
    found = findings(committed(stack), configuration.read())

    assert [finding for finding in found if finding.enforcement is Enforcement.MANDATORY] == []


def test_the_placeholders_of_prod_are_advised_to_be_named_by_digest() -> None:
    advisory = findings(committed("prod"), configuration.read())

    assert {(finding.rule, finding.enforcement) for finding in advisory} == {("image-digest", Enforcement.ADVISORY)}


def test_rules_for_production_are_not_for_dev() -> None:
    assert found("hosts-not-open", committed("dev")) == []
    assert found("hosts-not-open", committed("dev"), stacks=["*"]), "dev has a service with the host *"


@pytest.mark.parametrize("stack", ["prod", "prod-eu", "shop-prod", "production"])
def test_names_of_production(stack: str) -> None:
    assert is_for(PROD, stack)


@pytest.mark.parametrize("stack", ["dev", "staging", "product", "preprod", "nonprod"])
def test_names_of_other_environments(stack: str) -> None:
    assert not is_for(PROD, stack)


def test_a_pattern_with_an_exclamation_mark_excludes() -> None:
    assert is_for(["*", "!dev*"], "staging")
    assert not is_for(["*", "!dev*"], "dev-anna")


def test_an_object_can_be_excepted() -> None:
    settings: dict[str, Any] = {"stacks": ["*"], "except": ["website-istio-ns/*"]}
    assert found("hosts-not-open", committed("dev"), None, **settings) == []


def test_a_disabled_rule_does_not_run_and_an_advisory_one_does_not_fail() -> None:
    dev: tuple[Resource, ...] = committed("dev")
    for level in ("advisory", "disabled"):
        config = configuration.parse(
            {"all": "disabled", "hosts-not-open": {"enforcementLevel": level, "stacks": ["dev"]}}, "test"
        )
        levels = {finding.enforcement.value for finding in findings(dev, config)}
        assert levels == {"advisory": {"advisory"}, "disabled": set()}[level]
