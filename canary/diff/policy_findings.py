"""Which findings of the policies a change brings, and which it takes away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stacks.settings.model import Settings


@dataclass(frozen=True)
class PolicyFinding:
    """A finding: the rule, how strict it is, the resource's type and name, what is wrong and the fix."""

    rule: str
    enforcement: str
    resource: str
    message: str
    fix: str


@dataclass(frozen=True)
class PolicyChanges:
    """The findings that only the side after has, and those that only the side before has."""

    new: tuple[PolicyFinding, ...] = ()
    gone: tuple[PolicyFinding, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.new or self.gone)


def policy_changes(before: Settings | None, after: Settings | None, stack: str) -> PolicyChanges:
    """Return the findings that differ; None for a side that does not have the stack.

    There are none where the policies are not installed. The program of both sides is today's.
    """
    if find_spec("policies") is None or find_spec("stacks.recording") is None:
        return PolicyChanges()
    recorded = import_module("stacks.recording")
    as_resources: Callable[[Any], Sequence[Any]] = import_module("policies.resource").from_recorded
    old = None if before is None else as_resources(recorded.record(before, stack))
    new = None if after is None else as_resources(recorded.record(after, stack))
    earlier, later = _findings(old, None), _findings(new, old)
    return PolicyChanges(
        tuple(one for one in later if one not in earlier), tuple(one for one in earlier if one not in later)
    )


def _findings(resources: Sequence[Any] | None, before: Sequence[Any] | None) -> list[PolicyFinding]:
    if resources is None:
        return []
    configuration = import_module("policies.configuration").read()
    found = import_module("policies.engine").findings(resources, configuration, before)
    return [PolicyFinding(one.rule, str(one.enforcement), _resource(one.urn), one.message, one.fix) for one in found]


def _resource(urn: str) -> str:
    """`Deployment web-v1` for a URN (Pulumi: "Resource names")."""
    kinds, _, name = urn.rpartition("::")
    return f"{kinds.rpartition('::')[2].rpartition('$')[2].rpartition(':')[2]} {name}"
