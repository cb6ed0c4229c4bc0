"""Which findings of the policies a change brings, and which it takes away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from canary.check.rules import PolicyProblem
    from stacks.settings.model import Settings


@dataclass(frozen=True)
class PolicyChanges:
    """The findings that only the side after has, and those that only the side before has."""

    new: tuple[PolicyProblem, ...] = ()
    gone: tuple[PolicyProblem, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.new or self.gone)


def policy_changes(before: Settings | None, after: Settings | None, stack: str) -> PolicyChanges:
    """Return the findings that differ; None for a side that does not have the stack.

    The program and the policies of both sides are today's.
    """
    from canary.check.rules import recorded_findings
    from stacks.recording import record

    old = None if before is None else record(before, stack)
    new = None if after is None else record(after, stack)
    earlier = [] if old is None else recorded_findings(old)
    later = [] if new is None else recorded_findings(new, before=old)
    return PolicyChanges(
        tuple(one for one in later if one not in earlier), tuple(one for one in earlier if one not in later)
    )
