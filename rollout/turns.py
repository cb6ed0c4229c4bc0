"""One turn of a run: look, decide, carry out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kube.conflicts import ConflictError
from rollout.acting import carry_out, handed_over
from rollout.collecting import Collector
from rollout.decision import Decision
from rollout.look import StoredRoutesByName, look
from rollout.machine import advance
from rollout.record import Record
from rollout.store import RolloutStore

if TYPE_CHECKING:
    from lightkube import Client

OnLook = Callable[[Record, Decision], None]


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One look and what was done: `acted` if another look is useful at once."""

    record: Record
    decision: Decision
    acted: bool

    @property
    def wait_seconds(self) -> float | None:
        """How long nothing is due; None if only the cluster can change that."""
        return self.decision.wait_seconds


class Runner:
    """Takes one turn after the other. `holds` says whether the Lease is held, at any moment."""

    def __init__(
        self,
        client: Client,
        store: RolloutStore,
        collector: Collector,
        holds: Callable[[], bool],
        holder: str,
        on_look: OnLook,
    ) -> None:
        self._client = client
        self._store = store
        self._collector = collector
        self._holds = holds
        self._holder = holder
        self._on_look = on_look
        self._known: StoredRoutesByName = {}
        self._names: tuple[str, ...] = ()

    def turn(self) -> Turn:
        """Look, decide, and carry out. Raises ConflictError if others were faster, and all that `carry_out` raises."""
        held = self._holds()
        seen = look(self._client, self._store, self._known, self._names)
        stored = seen.record_or_raise(self._store.service)
        self._names = tuple(stored.record.vs_uids)
        sent = self._collector.delivered(stored.record) if held else None
        if sent is not None:
            stored = self._store.write(sent, stored.resource_version)
            seen = replace(seen, stored=stored)
            self._collector.noted()
        facts = self._collector.facts(seen, stored, lease_held=held)
        decision = advance(stored.record, facts)
        self._on_look(stored.record, decision)
        if held and decision.write_routes != "back" and not self._holds():
            raise ConflictError("the Lease has run out meanwhile")
        moves = decision.record is not None or decision.write_routes is not None
        if moves:
            before, stored = (
                stored,
                carry_out(self._client, self._store, seen, decision, goes_on=lambda: not held or self._holds()),
            )
            self._collector.log(before.record, facts, decision)
        elif decision.hand_over:
            handed_over(self._client, self._store, seen, self._holder)
        self._collector.scale(decision)
        self._collector.beside(seen, stored, decision, lease_held=held)
        return Turn(record=stored.record, decision=decision, acted=moves or decision.hand_over)
