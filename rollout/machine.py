"""The state machine of a rollout: from the record and the facts to the next decision, without a clock or a cluster.

A decision writes the record first, then the routes. Whoever carries it out reads the VirtualServices, then the record,
then decides: only then does the precondition on resourceVersion keep a holder that was stopped in between from bringing
an aborted version back. Only the Lease's holder moves forward; anybody moves back. `verbs` has what persons ask for.
"""

from __future__ import annotations

from collections.abc import Callable

from rollout.beginning import begin
from rollout.decision import Decision, Facts, HookResult, LimitResult, RefusedError, RoutesSeen, deciding
from rollout.forward import (
    after_step,
    complete,
    deadline,
    drift,
    end_of_pause,
    hold,
    only_the_holder,
    pause_at_harm,
    rise,
    start,
    take_over,
    write,
)
from rollout.gating import fix
from rollout.going_back import after_abort, back, close, hand_back, must_go_back, stale_step, void, way_back
from rollout.holding import LOOK, needed_pods
from rollout.record import NOT_STARTED, Phase, Record
from rollout.verbs import (
    abort,
    approve,
    change_routes,
    handed_back,
    pause,
    promote,
    release_holder,
    resume,
    retry,
    supersede,
    undo,
)

__all__ = [
    "Decision",
    "Facts",
    "HookResult",
    "LimitResult",
    "RefusedError",
    "RoutesSeen",
    "abort",
    "advance",
    "approve",
    "begin",
    "change_routes",
    "deciding",
    "handed_back",
    "needed_pods",
    "pause",
    "pins",
    "promote",
    "release_holder",
    "resume",
    "retry",
    "supersede",
    "undo",
]

Rule = Callable[[Record, Facts], Decision | None]

_RUNNING: tuple[Rule, ...] = (
    must_go_back, only_the_holder, start, take_over, fix, end_of_pause, deadline, pause_at_harm, drift, write,
    after_step, hold, complete, rise,
)  # fmt: skip

_RULES: dict[Phase, tuple[Rule, ...]] = {
    Phase.PENDING: _RUNNING,
    Phase.PROGRESSING: _RUNNING,
    Phase.COMPLETED: (must_go_back, close, drift, pause_at_harm, way_back),
    Phase.CLOSED: (hand_back,),
    Phase.ABORTING: (back,),
    Phase.UNDOING: (back,),
    Phase.ABORTED: (stale_step, after_abort, hand_back),
    Phase.UNDONE: (stale_step, hand_back),
}


def advance(record: Record, facts: Facts) -> Decision:
    """Return the next decision: the same for everybody who sees the same record and the same facts."""
    nothing = void(record, facts)
    if nothing is not None:
        return nothing
    for rule in _RULES[record.phase]:
        decision = rule(record, facts)
        if decision is not None:
            return decision
    return Decision(why=f"{record.id} is {record.phase.value}", wait_seconds=LOOK if record.phase.active else None)


def pins(record: Record) -> dict[str, int]:
    """Return, by version, the number of pods that nothing may go below while the record wants them."""
    if not record.phase.active or record.void_since is not None:
        return {}
    found = {record.from_.version: record.from_.ready_pods}
    if record.step != NOT_STARTED and not record.phase.goes_back:
        found[record.target.version] = needed_pods(record, record.step)
    return found
