"""The rules as policies of Pulumi's engine (Pulumi: "Policy as Code", pulumi_policy).

A rule is a stack policy, which the engine runs once all resources are known. One with a remediation is a resource
policy, so that the engine can change the resource before it is created or updated.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyConfigSchema,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy import Severity as PulumiSeverity

from policies.configuration import LEVEL
from policies.engine import findings_of
from policies.policy_error import PolicyError
from policies.resource import Resources, from_analyzed, from_state, plain
from policies.rule import Enforcement, Rule
from policies.rules import RULES

NAME = "istio-canary"
BEFORE = "ISTIO_CANARY_BEFORE"
"""Environment variable with the path of the state before the change (`pulumi stack export`), which the engine does not
give to policies."""


def policies(before: Resources | None, rules: Sequence[Rule] = RULES) -> list[Policy]:
    """Return the rules as Pulumi's policies; `before` are the resources before the change, None if not known."""
    seen = _LastSeen()
    return [_resource_policy(rule) if rule.remediation else _stack_policy(rule, before, seen) for rule in rules]


def initial_config(values: Mapping[str, Any]) -> dict[str, EnforcementLevel | dict[str, Any]]:
    """Return the configuration file's values as the pack's own, over which Pulumi lays those of --policy-pack-config.

    The values are valid (`configuration.parse`).
    """
    blocks = {name: {LEVEL: value} if isinstance(value, str) else dict(value) for name, value in values.items()}
    return {
        name: {**block, LEVEL: EnforcementLevel(block[LEVEL])} if LEVEL in block else block
        for name, block in blocks.items()
    }


def state_before() -> Resources | None:
    """Return the resources in the file that $ISTIO_CANARY_BEFORE names, None if it names none.

    Raises PolicyError if it is no exported state.
    """
    path = os.environ.get(BEFORE)
    if not path:
        return None
    try:
        return Resources(from_state(json.loads(Path(path).read_text(encoding="utf-8"))))
    except (OSError, ValueError) as error:
        raise PolicyError(
            f"${BEFORE}: {path} cannot be read: {error}",
            "a file that `pulumi stack export` wrote",
            f"pulumi stack export --file {path}",
        ) from None


class _LastSeen:
    """The resources that the policies were last given: the engine gives all of them the same list."""

    def __init__(self) -> None:
        self._given: Any = None
        self._resources = Resources(())

    def resources(self, given: Any) -> Resources:
        if given is not self._given:
            self._given, self._resources = given, Resources(from_analyzed(given))
        return self._resources


def _stack_policy(rule: Rule, before: Resources | None, seen: _LastSeen) -> Policy:
    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        if rule.needs_before and before is None:
            args.not_applicable(f"the resources before the change are not known; fix: ${BEFORE}")
        _report(rule, args.get_config(), seen.resources(args.resources), before, report)

    return StackValidationPolicy(validate=validate, **_words(rule))


def _resource_policy(rule: Rule) -> Policy:
    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        _report(rule, args.get_config(), Resources(from_analyzed([args])), None, report)

    def remediate(args: ResourceValidationArgs) -> Any:
        parameters = _parameters(rule, args.get_config())
        (resource,) = from_analyzed([args])
        broken = findings_of(rule, Enforcement.REMEDIATE, parameters, Resources([resource]), None)
        return rule.remediation(resource) if broken and rule.remediation and resource.is_known else None

    return ResourceValidationPolicy(validate=validate, remediate=remediate, **_words(rule))


def _report(
    rule: Rule, config: Mapping[str, Any], resources: Resources, before: Resources | None, report: ReportViolation
) -> None:
    for found in findings_of(rule, rule.enforcement, _parameters(rule, config), resources, before):
        report(f"{found.message}\n  fix: {found.fix}", found.urn)


def _parameters(rule: Rule, config: Mapping[str, Any]) -> dict[str, Any]:
    """The rule's settings; Pulumi hands over what is configured, and the schema's defaults, with numbers as floats."""
    return {**{key: setting.default for key, setting in rule.settings.items()}, **plain(config)}


def _words(rule: Rule) -> dict[str, Any]:
    return {
        "name": rule.name,
        "description": rule.description,
        "enforcement_level": EnforcementLevel(rule.enforcement.value),
        "severity": PulumiSeverity(rule.severity.value),
        "config_schema": PolicyConfigSchema({key: setting.as_schema() for key, setting in rule.settings.items()}),
        **({"remediation_steps": rule.remediation_words} if rule.remediation_words else {}),
    }
