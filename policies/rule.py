"""What a rule is: a plain function on a stack's resources, and what is said about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from policies.resource import Resource, Resources


class Severity(StrEnum):
    """How bad it is (Pulumi's severities of a policy)."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Enforcement(StrEnum):
    """What a finding does (Pulumi's enforcement levels)."""

    MANDATORY = "mandatory"
    """Pulumi and `canary check` fail."""
    ADVISORY = "advisory"
    """A warning."""
    REMEDIATE = "remediate"
    """Pulumi changes the resource before it is created or updated; only of rules that have a remediation."""
    DISABLED = "disabled"
    """The rule does not run."""


PROD = ("prod", "prod-*", "*-prod", "production")
"""Names of the stacks that rules for production are for."""
EVERYWHERE = ("*",)


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A setting of a rule: its JSON schema, default and description."""

    schema: Mapping[str, Any]
    default: Any
    description: str

    def as_schema(self) -> dict[str, Any]:
        """Return the JSON schema of the setting, with description and default."""
        return {**self.schema, "default": self.default, "description": self.description}


TEXTS = {"type": "array", "items": {"type": "string", "minLength": 1}}


@dataclass(frozen=True)
class Context:
    """What a rule looks at.

    `before` are the resources before the change, None if they are not known; `parameters` are the rule's settings.
    """

    resources: Resources
    before: Resources | None
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Problem:
    """A resource that breaks a rule: what is wrong, with the value, and the fix."""

    resource: Resource
    message: str
    fix: str


Check = Callable[[Context], Iterator[Problem]]
Remediation = Callable[[Resource], Mapping[str, Any] | None]
"""Returns a resource's properties without the problem, None if there is none or no safe way."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule; `stacks` are patterns of the names of the stacks that it is for, unless configured otherwise.

    With `needs_before` it says nothing where the resources before the change are not known. A rule with a
    `remediation` decides by each resource alone.
    """

    name: str
    check: Check
    severity: Severity
    description: str
    enforcement: Enforcement = Enforcement.MANDATORY
    stacks: tuple[str, ...] = EVERYWHERE
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    needs_before: bool = False
    remediation: Remediation | None = None
    remediation_words: str = ""

    @property
    def settings(self) -> dict[str, Parameter]:
        """All settings of the rule by name: its own, and those that every rule has."""
        return {
            "stacks": Parameter(
                schema={**TEXTS, "minItems": 1},
                default=list(self.stacks),
                description="Patterns of the names of the stacks that the rule is for; !pattern excludes.",
            ),
            "except": Parameter(
                schema=TEXTS,
                default=[],
                description="Patterns of the objects that the rule does not look at, as namespace/name.",
            ),
            **dict(self.parameters),
        }
