"""What persons, and `up`, make of a rollout: each verb is a pure function from the record to a decision.

Going back needs nothing but the record; whoever asks for it may be anybody. A verb that the state does not allow
raises `RefusedError`, with the fix.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

from rollout.beginning import fresh, gives_way, next_id
from rollout.decision import Decision, Event, RefusedError, next_record, phase_text
from rollout.periods import ended
from rollout.planned import Plan
from rollout.record import (
    NOT_STARTED,
    Approval,
    Bar,
    Deadlines,
    Ended,
    EventType,
    HoldReason,
    Paused,
    Phase,
    Promotion,
    Record,
    Stage,
    seconds_between,
)
from traffic.fields import seconds
from traffic.model.rollout import AUTO_FACTOR
from traffic.model.rollout_fields import AUTO

SHORTEST_STEP_DEADLINE = 600.0
"""Seconds; the automatic deadline of a step without `for` must leave time for pods to start."""

RUNNING = (Phase.PENDING, Phase.PROGRESSING)


def abort(
    record: Record,
    reason: str,
    by: str,
    at: str,
    *,
    cause: Event | None = None,
    kind: Literal["aborted", "superseded"] = "aborted",
) -> Decision:
    """Return the decision that brings all requests back to `from` and bars the release.

    A rollout that goes back already is helped to its end, without a write of the record: two aborts would chase each
    other. `cause` is an event that tells why, if it was not a person. Raises `RefusedError` after the rollout's end.
    """
    if record.phase.goes_back:
        return _help(record)
    _refuse_void(record)
    if record.phase is Phase.CLOSED:
        raise RefusedError(
            f"the rollout {record.id} is closed: the previous version may be gone",
            f"name {record.from_.version} in the stack's file and run `canary up`",
        )
    text = f"all requests go back to {record.from_.version}: {reason}"
    events = (*(() if cause is None else (cause,)), Event(type=EventType.ABORTING, text=text))
    return _go_back(record, Phase.ABORTING, Ended(kind=kind, reason=reason, by=by, at=at), *events)


def undo(record: Record, reason: str, by: str, at: str) -> Decision:
    """Return the decision that brings all requests back after the rollout's end, while the previous version stays.

    The routes follow once the pods of `from` are ready (`machine.advance`). Raises `RefusedError` in any other phase.
    """
    if record.phase.goes_back:
        return _help(record)
    _refuse_void(record)
    if record.phase in RUNNING:
        raise RefusedError(
            f"the rollout {record.id} has not ended ({phase_text(record)}): undo is for afterwards",
            "use `canary rollout abort`",
        )
    if record.phase is Phase.CLOSED:
        raise RefusedError(
            f"the rollout {record.id} is closed: the previous version may be gone",
            f"name {record.from_.version} in the stack's file and run `canary up`",
        )
    text = f"all requests go back to {record.from_.version}: {reason}"
    ended = Ended(kind="undone", reason=reason, by=by, at=at)
    return _go_back(record, Phase.UNDOING, ended, Event(type=EventType.UNDOING, text=text), write=False)


def supersede(record: Record, version: str, by: str, at: str) -> Decision:
    """Return the decision that aborts a rollout because the stack's file names a third version.

    Before the first look at it and after its end there is nothing to abort: `begin` follows at once. Raises
    `RefusedError` unless the strategy says `onSupersede: abort`.
    """
    if record.phase.goes_back:
        return _help(record)
    if record.phase is Phase.CLOSED or gives_way(record):
        return Decision(why=f"{record.id} is {record.phase.value}: the next rollout may follow", wait_seconds=None)
    if record.strategy.on_supersede == "refuse":
        raise RefusedError(
            f"{record.service} is in a rollout to {record.target.version} ({phase_text(record)}), "
            f"and the stack's file names {version}",
            "wait for its end, promote or abort it; or set `onSupersede: abort`",
        )
    reason = f"superseded by {version}"
    cause = Event(type=EventType.SUPERSEDED, text=reason, data={"by": version})
    return abort(record, reason, by, at, cause=cause, kind="superseded")


def pause(record: Record, reason: str, by: str, at: str, *, seconds_long: float | None = None) -> Decision:
    """Return the decision that keeps the weight, for `seconds_long` or until `resume`; harm still aborts."""
    _refuse_unless_running(record, "pause")
    until = None
    if seconds_long is not None:
        until = (datetime.fromisoformat(at) + timedelta(seconds=seconds_long)).isoformat()
    text = f"paused by {by}: {reason}" if reason else f"paused by {by}"
    paused = Paused(by=by, reason=reason, at=at, until=until)
    return Decision(
        why=text, record=next_record(record, at, by, Event(type=EventType.PAUSED, text=text), paused=paused)
    )


def resume(record: Record, by: str, at: str) -> Decision:
    """Return the decision that lets the rollout go on; deadlines that have passed begin again.

    After a drift, the routes are written again as the record wants them, whoever owns them.
    """
    _refuse_unless_running(record, "resume")
    if record.paused is None:
        raise RefusedError(f"the rollout {record.id} is not paused", "see `canary rollout status`")
    drifted = record.held is not None and record.held.reason is HoldReason.DRIFT and record.step != NOT_STARTED
    changes: dict[str, Any] = {"paused": None, "deadlines": _renewed(record, at)}
    if drifted:
        changes |= {"stage": Stage.WRITING, "settled_at": None, "periods": ended(record, at)}
    else:
        changes |= {"held": None}
    event = Event(type=EventType.RESUMED, text=f"resumed by {by}")
    return Decision(why=event.text, record=next_record(record, at, by, event, routes=drifted, **changes))


def promote(
    record: Record, reason: str, by: str, at: str, *, full: bool = False, despite_harm: bool = False, unproved: str = ""
) -> Decision:
    """Return the decision that ends the current hold; with `full` the last step is next.

    Capacity, windows and hooks still count. `unproved` says why the gates do not let it rise. Raises `RefusedError`
    when that is so and no reason is given, and when paused: somebody wants the weight to stay.
    """
    _refuse_unless_running(record, "promote")
    if unproved and not reason.strip():
        raise RefusedError(
            f"the gates do not let {phase_text(record)} rise: {unproved}",
            "wait; or give the reason why it may: `canary rollout promote` takes it after the service",
        )
    waits_for_gates = record.strategy.gates is not None and record.plan.gates is None
    if record.step == NOT_STARTED and not full and not (waits_for_gates and record.started_at is not None):
        raise RefusedError(f"the rollout {record.id} has not written its first step", "use `canary rollout start`")
    by_harm = record.paused is not None and record.paused.kind == "harm"
    if record.paused is not None and not (by_harm and despite_harm):
        fix = "use --despite-harm, with a reason" if by_harm else "use `canary rollout resume` first"
        raise RefusedError(f"the rollout {record.id} is paused by {record.paused.by}: {record.paused.reason}", fix)
    promotion = Promotion(step=record.step, by=by, at=at, reason=reason, full=full, despite_harm=despite_harm)
    text = f"promoted by {by} at {phase_text(record)}" + (f": {reason}" if reason else "")
    event = Event(type=EventType.PROMOTED, text=text, data={"full": full, "despiteHarm": despite_harm})
    written = next_record(record, at, by, event, promotion=promotion, paused=None, held=None)
    return Decision(why=text, record=written)


def approve(record: Record, by: str, at: str) -> Decision:
    """Return the decision that a person allows to go on after the current step."""
    _refuse_unless_running(record, "approve")
    if record.step == NOT_STARTED or not record.plan.steps[record.step].approve:
        where = "before its first step, a rollout" if record.step == NOT_STARTED else phase_text(record)
        raise RefusedError(f"{where} needs no approval", "see `canary rollout plan`")
    if any(approval.step == record.step for approval in record.approvals):
        return Decision(why=f"{phase_text(record)} is approved already")
    text = f"{phase_text(record)} approved by {by}"
    approvals = (*record.approvals, Approval(step=record.step, by=by, at=at))
    event = Event(type=EventType.APPROVED, text=text)
    return Decision(why=text, record=next_record(record, at, by, event, approvals=approvals, held=None))


def retry(record: Record, reason: str, by: str, at: str, *, plan: Plan | None = None) -> Decision:
    """Return the decision that lifts the bar and begins again from step 0, under a new id.

    Raises `RefusedError` without a reason, and unless the rollout was aborted or undone.
    """
    if record.phase not in (Phase.ABORTED, Phase.UNDONE):
        raise RefusedError(
            f"the rollout {record.id} was not taken back ({phase_text(record)}): there is nothing to retry",
            "use `canary rollout start`; retry is for one that was aborted or undone",
        )
    if not reason.strip():
        raise RefusedError("no reason is given", "say what has changed since the abort")
    _refuse_void(record)
    text = f"retried by {by}: {reason}"
    # The requests are there now, and the old version is compared as it is by now.
    same = record.plan.with_gates(None).model_copy(update={"start": record.plan.back})
    anew = {
        **fresh(same if plan is None else plan),
        "id": next_id(record),
        "bars": tuple(bar for bar in record.bars if bar.hash != record.target.hash),
        "created_at": at,
    }
    event = Event(type=EventType.RETRIED, text=text)
    return Decision(why=text, record=next_record(record, at, by, event, routes=True, **anew))


def withdraw(record: Record, by: str, at: str) -> Decision:
    """Return the decision that ends a rollout that has not started, since the stack's file asks for it no more.

    Nothing has moved, so nothing goes back, and the release is not barred. Raises `RefusedError` once it has started.
    """
    if record.phase is not Phase.PENDING or record.started_at is not None:
        raise RefusedError(f"the rollout {record.id} is at {phase_text(record)} meanwhile", "run `canary up` again")
    text = "the stack's file does not ask for it any more"
    ended = Ended(kind="superseded", reason=text, by=by, at=at)
    event = Event(type=EventType.SUPERSEDED, text=text)
    written = next_record(record, at, by, event, phase=Phase.ABORTED, ended=ended, ended_at=at, paused=None, held=None)
    return Decision(why=text, record=written)


def change_routes(record: Record, plan: Plan, by: str, at: str) -> Decision:
    """Return the decision that goes on with the stored routes of `plan`: a person has changed the route meanwhile.

    Steps and weights stay. Raises `RefusedError` after the rollout's end.
    """
    _refuse_void(record)
    if not record.phase.active:
        raise RefusedError(f"the rollout {record.id} has ended meanwhile", "run `canary up` again")
    same = record.plan.model_copy(update={"routes": plan.routes, "places": plan.places, "envoys": plan.envoys})
    event = Event(type=EventType.ROUTES_CHANGED, text=f"{by} has changed the route; its steps stay")
    return Decision(why=event.text, record=next_record(record, at, by, event, plan=same))


def release_holder(record: Record, by: str, at: str) -> Decision:
    """Return the decision that tells that its holder has stopped; the next one goes on."""
    if record.holder != by or not record.phase.active:
        return Decision(why="somebody else holds the rollout, or nobody")
    event = Event(type=EventType.HOLDER_LOST, text=f"{by} has stopped; the next holder goes on")
    return Decision(why=event.text, record=next_record(record, at, by, event, holder=None))


def handed_back(record: Record, by: str, at: str) -> Decision:
    """Return the decision that notes that spec.http is Pulumi's again, after the rollout's end."""
    if record.phase.active or record.handed_back_at is not None:
        return Decision(why="nothing to note")
    event = Event(type=EventType.HANDED_BACK, text="the routes are Pulumi's again")
    return Decision(why=event.text, record=next_record(record, at, by, event, handed_back_at=at))


def deadlines_from(record: Record, at: str, step: int, *, total: bool, plan: Plan | None = None) -> Deadlines:
    """Return the deadlines of `step` when it begins at `at`; with `total` also that of the whole rollout.

    `plan` is by default that of the record.
    """
    plan = plan or record.plan
    planned = plan.steps[max(step, 0)]
    limit = plan.rules[planned.rule].strategy.deadline
    hold = planned.hold_seconds if step >= 0 else 0.0
    proof = plan.deadline_seconds[step] if 0 <= step < len(plan.deadline_seconds) else 0.0
    long = max(AUTO_FACTOR * hold, proof, SHORTEST_STEP_DEADLINE) if limit.step == AUTO else seconds(limit.step)
    began = datetime.fromisoformat(at)
    return Deadlines(
        step_at=(began + timedelta(seconds=long)).isoformat(),
        total_at=(began + timedelta(seconds=seconds(limit.total))).isoformat() if total else record.deadlines.total_at,
    )


def _renewed(record: Record, at: str) -> Deadlines:
    if record.started_at is None:
        return record.deadlines
    over = record.deadlines.total_at is not None and seconds_between(record.deadlines.total_at, at) >= 0
    return deadlines_from(record, at, record.step, total=over)


def _go_back(record: Record, phase: Phase, ended: Ended, *events: Event, write: bool = True) -> Decision:
    bar = Bar(version=record.target.version, hash=record.target.hash, reason=ended.reason, by=ended.by, at=ended.at)
    written = next_record(
        record,
        ended.at,
        ended.by,
        *events,
        routes=True,
        phase=phase,
        stage=None,
        wanted=record.plan.back,
        ended=ended,
        paused=None,
        held=None,
        promotion=None,
        deadlines=Deadlines(),
        ended_at=None,
        bars=(*(one for one in record.bars if one.hash != bar.hash), bar),
    )
    if not write:
        return Decision(why=ended.reason, record=written)
    return Decision(
        why=ended.reason, record=written, write_routes="back", annotation=written.annotation, barrier=True
    )  # fmt: skip


def _help(record: Record) -> Decision:
    """Go on with what goes back already; after its end there is nothing to do."""
    if record.phase in (Phase.ABORTED, Phase.UNDONE) or record.void_since is not None:
        reason = record.ended.reason if record.ended else ""
        return Decision(why=f"{record.id} is {record.phase.value} already: {reason}", wait_seconds=None)
    return Decision(
        why=f"{record.id} goes back already", write_routes="back", annotation=record.annotation, barrier=True
    )  # fmt: skip


def _refuse_void(record: Record) -> None:
    if record.void_since is not None:
        raise RefusedError(
            f"the record of {record.id} is void: its VirtualServices were deleted or made anew",
            "run `canary up`, which begins a new rollout",
        )


def _refuse_unless_running(record: Record, verb: str) -> None:
    _refuse_void(record)
    if record.phase not in RUNNING:
        raise RefusedError(
            f"the rollout {record.id} is {record.phase.value}: nothing to {verb}", "see `canary rollout status`"
        )
