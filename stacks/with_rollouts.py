"""What the rollouts of a stack make of its settings: the weights that the program renders, and what an `up` must do.

The stack's file says where a rule ends, the record in the cluster how far it is. This is the one place where both meet;
all that comes later (environment, render, verify, status, explain) sees effective weights and no rollouts.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum

from rollout.record import Record, Release
from stacks.rollout_plans import PlannedRollout
from stacks.rollout_states import RolloutState
from stacks.settings.model import Settings
from stacks.settings.problems import Problem
from traffic.model import Target


class AskKind(StrEnum):
    """What an `up` has to do to a record."""

    BEGIN = "begin"
    """Write a Pending record, once the VirtualServices are written."""
    GO_BACK = "go back"
    """Bring all requests back to `from`, and wait for it, before any resource is registered."""
    SUPERSEDE = "supersede"
    """The same, because the file names a third version."""
    CLOSE = "close"
    """Note that keepPrevious is over."""
    NEW_ROUTES = "new routes"
    """Store the routes of all steps anew, and name them in the record: an `up` in the middle of a rollout."""


@dataclass(frozen=True, kw_only=True)
class RolloutAsk:
    """What a real `up` has to do to the record of a service; a preview says `text`.

    `record` is the one that was read. `planned`, `target` and `from_` are of the rollout that begins (BEGIN, NEW_ROUTES).
    """

    kind: AskKind
    service: str
    namespace: str
    text: str
    record: Record | None = None
    planned: PlannedRollout | None = None
    target: Release | None = None
    from_: Release | None = None


@dataclass(frozen=True, kw_only=True)
class Effective:
    """A stack's settings with what the records say.

    `settings` have effective weights: no rule has a `rollout` any more. `problems` are refusals: nothing may be touched.
    `asks` is what a real `up` does to records. Nothing goes below the number of pods in `pinned`. Who decides about the
    number of pods of `replicas_left` is the rollout: as with `replicas: null`. `routes_left` are services whose http
    routes a preview must not compare, since the `up` first brings them back by the fast path.
    """

    settings: Settings
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    asks: tuple[RolloutAsk, ...] = ()
    pinned: Mapping[Target, int] = field(default_factory=dict)
    replicas_left: frozenset[Target] = frozenset()
    routes_left: frozenset[str] = frozenset()


def with_rollouts(
    settings: Settings,
    states: Mapping[str, RolloutState],
    file: str,
    *,
    during: AbstractSet[str] = frozenset(),
) -> Effective:
    """Return loaded settings as the rollouts in the cluster make them; `file` is the name of the stack's file.

    `states` are those of `read_rollout_states`; without any, as before the first `up`, each rule is where it ends.
    `during` are services whose route may be changed in the middle of a rollout (`canary up --during-rollout`).
    """
    raise NotImplementedError
