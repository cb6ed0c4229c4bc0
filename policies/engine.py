"""Runs the rules on a stack's resources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from policies.configuration import Configuration
from policies.resource import Resource, Resources
from policies.rule import Context, Enforcement, Rule, Severity


@dataclass(frozen=True)
class Finding:
    """A resource that breaks a rule. `message` says what is wrong with the value, `fix` what to write instead."""

    rule: str
    severity: Severity
    enforcement: Enforcement
    urn: str
    message: str
    fix: str


def findings(
    resources: Sequence[Resource], configuration: Configuration, before: Sequence[Resource] | None = None
) -> list[Finding]:
    """Return what breaks the rules, in the order of the rules and of the resources.

    `before` are the resources of the stack before the change, None if they are not known: then rules about a change
    say nothing. The stack's name is that in the URNs.
    """
    now, earlier = Resources(resources), None if before is None else Resources(before)
    return [
        finding
        for configured in configuration.rules
        if configured.enforcement is not Enforcement.DISABLED
        for finding in findings_of(configured.rule, configured.enforcement, configured.parameters, now, earlier)
    ]


def findings_of(
    rule: Rule,
    enforcement: Enforcement,
    parameters: Mapping[str, Any],
    resources: Resources,
    before: Resources | None,
) -> list[Finding]:
    """Return what breaks one rule, which has all its `parameters`."""
    if not is_for(parameters["stacks"], resources.stack) or (rule.needs_before and before is None):
        return []
    excepted = parameters["except"]
    return [
        Finding(rule.name, rule.severity, enforcement, problem.resource.urn, problem.message, problem.fix)
        for problem in rule.check(Context(resources, before, parameters))
        if not any(fnmatchcase(problem.resource.path, pattern) for pattern in excepted)
    ]


def is_for(patterns: Sequence[str], stack: str) -> bool:
    """Whether a stack's name fits the patterns: one of them, and none that begins with `!`."""
    excluded = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    included = [pattern for pattern in patterns if not pattern.startswith("!")]
    return any(fnmatchcase(stack, pattern) for pattern in included) and not any(
        fnmatchcase(stack, pattern) for pattern in excluded
    )
