"""What an `up` has to do to the records of rollouts, beside rendering routes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rollout.record import Record, Release
from stacks.rollout_plans import PlannedRollout


class AskKind(StrEnum):
    """What an `up` has to do to a record."""

    BEGIN = "begin"
    """Write a Pending record, once the VirtualServices are written."""
    GO_BACK = "go back"
    """Bring all requests back to `from`, and wait for it, before any resource is registered."""
    SUPERSEDE = "supersede"
    """The same, because the file names a third version."""
    WITHDRAW = "withdraw"
    """End a rollout that has not started, and that the file does not ask for any more."""
    CLOSE = "close"
    """Note that keepPrevious is over."""
    NEW_ROUTES = "new routes"
    """Store the routes of all steps anew, and name them in the record: an `up` in the middle of a rollout."""


FIRST = (AskKind.GO_BACK, AskKind.SUPERSEDE, AskKind.WITHDRAW, AskKind.CLOSE)
"""Done before any resource is registered; then the states are read again."""


@dataclass(frozen=True, kw_only=True)
class RolloutAsk:
    """What a real `up` has to do to the record of a service; a preview says `text`.

    `record` is the one that was read. `planned`, `target` and `from_` are of the rollout that begins (BEGIN), and of
    the one that goes on with other routes (NEW_ROUTES).
    """

    kind: AskKind
    service: str
    namespace: str
    text: str
    record: Record | None = None
    planned: PlannedRollout | None = None
    target: Release | None = None
    from_: Release | None = None
