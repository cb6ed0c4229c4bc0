"""The configuration file: what it may say, and what is said about a mistake in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from policies import configuration
from policies.policy_error import PolicyError
from policies.rule import Enforcement
from policies.rules import RULES


def _rule(values: Any, name: str) -> configuration.ConfiguredRule:
    (one,) = [rule for rule in configuration.parse(values, "test").rules if rule.rule.name == name]
    return one


def test_without_a_file_every_rule_is_as_it_is_by_default() -> None:
    for rule in configuration.default().rules:
        assert rule.enforcement is rule.rule.enforcement
        assert rule.parameters == {name: setting.default for name, setting in rule.rule.settings.items()}


def test_the_level_may_stand_alone_or_beside_settings() -> None:
    assert _rule({"weight-step": "advisory"}, "weight-step").enforcement is Enforcement.ADVISORY
    given = _rule({"weight-step": {"enforcementLevel": "advisory", "largestStep": 10}}, "weight-step")
    assert (given.enforcement, given.parameters["largestStep"]) == (Enforcement.ADVISORY, 10)
    assert given.parameters["stacks"] == ["prod", "prod-*", "*-prod", "production"], "what is not given stays"


def test_all_is_the_level_of_the_rules_that_have_none() -> None:
    values = {"all": "advisory", "probes": "mandatory", "weight-step": {"largestStep": 5}}

    assert _rule(values, "probes").enforcement is Enforcement.MANDATORY
    assert _rule(values, "weight-step").enforcement is Enforcement.ADVISORY
    assert _rule(values, "hosts-not-open").enforcement is Enforcement.ADVISORY


def test_only_rules_with_a_remediation_can_remediate() -> None:
    for rule in RULES:
        if rule.remediation:
            assert _rule({rule.name: "remediate"}, rule.name).enforcement is Enforcement.REMEDIATE
        else:
            with pytest.raises(PolicyError, match="this rule has no remediation"):
                configuration.parse({rule.name: "remediate"}, "test")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"hosts-not-opne": "advisory"}, ("c.json: hosts-not-opne: no such rule", "rename it to hosts-not-open")),
        ({"zzz": "advisory"}, ("c.json: zzz: no such rule", "weights-sum-to-100", "remove it")),
        (
            {"weight-step": {"largestSteps": 5}},
            ("weight-step.largestSteps: no such setting", "rename it to largestStep"),
        ),
        ({"all": {"stacks": ["dev"]}}, ("all.stacks: no such setting", "enforcementLevel")),
        ({"weight-step": "warn"}, ("weight-step.enforcementLevel: 'warn'", "mandatory, advisory, remediate, disabled")),
        ({"weight-step": {"largestStep": 0}}, ("weight-step.largestStep: 0", "less than the minimum", "write 25")),
        ({"weight-step": {"largestStep": "25"}}, ("weight-step.largestStep: '25'", "not of type 'number'")),
        ({"weight-step": {"stacks": []}}, ("weight-step.stacks: []",)),
        ({"weight-step": 5}, ("weight-step: 5", "an enforcement level or a mapping")),
        ({"all": "strict"}, ("all.enforcementLevel: 'strict'",)),
        ([], ("c.json: [] is not allowed", "a mapping")),
    ],
)
def test_a_mistake_is_said_with_its_place_what_is_allowed_and_the_fix(values: Any, words: tuple[str, ...]) -> None:
    with pytest.raises(PolicyError) as caught:
        configuration.parse(values, "c.json")

    for word in (*words, "allowed:", "fix:"):
        assert word in str(caught.value)


def test_the_file_may_be_json_or_yaml(tmp_path: Path) -> None:
    for name, text in (("c.json", json.dumps({"probes": "disabled"})), ("c.yaml", "probes: disabled\n")):
        (tmp_path / name).write_text(text)
        levels = {rule.rule.name: rule.enforcement for rule in configuration.read(tmp_path / name).rules}
        assert levels["probes"] is Enforcement.DISABLED


@pytest.mark.parametrize(("text", "words"), [(None, "No such file"), ("{", "neither JSON nor YAML")])
def test_a_file_that_cannot_be_read_is_said(tmp_path: Path, text: str | None, words: str) -> None:
    file = tmp_path / "c.json"
    if text is not None:
        file.write_text(text)

    with pytest.raises(PolicyError, match=words):
        configuration.read(file)


def test_the_committed_configuration_is_valid() -> None:
    assert configuration.FILE.exists()
    configuration.read()
