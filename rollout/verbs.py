"""What persons, and `up`, make of a rollout: each verb is a pure function from the record to a decision.

Going back needs nothing but the record; whoever asks for it may be anybody. A verb that the state does not allow
raises `RefusedError`, with the fix.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

from rollout.decision import Decision, Event, RefusedError, next_record, phase_text
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
    Plan,
    Promotion,
    Record,
    Release,
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
    if record.phase is Phase.CLOSED or _gives_way(record):
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
        changes |= {"stage": Stage.WRITING, "settled_at": None}
    else:
        changes |= {"held": None}
    event = Event(type=EventType.RESUMED, text=f"resumed by {by}")
    return Decision(why=event.text, record=next_record(record, at, by, event, routes=drifted, **changes))


def promote(
    record: Record, reason: str, by: str, at: str, *, full: bool = False, despite_harm: bool = False
) -> Decision:
    """Return the decision that ends the current hold; with `full` the last step is next.

    Capacity, windows and hooks still count. Raises `RefusedError` when paused: somebody wants the weight to stay.
    """
    _refuse_unless_running(record, "promote")
    if record.step == NOT_STARTED and not full:
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
    same = record.plan.model_copy(update={"start": record.plan.back})  # the requests are there now
    fresh = {
        **_fresh(same if plan is None else plan),
        "id": _next_id(record),
        "bars": tuple(bar for bar in record.bars if bar.hash != record.target.hash),
        "created_at": at,
    }
    event = Event(type=EventType.RETRIED, text=text)
    return Decision(why=text, record=next_record(record, at, by, event, routes=True, **fresh))


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


def begin(
    previous: Record | None,
    *,
    service: str,
    namespace: str,
    vs_uids: dict[str, str],
    target: Release,
    from_: Release,
    plan: Plan,
    by: str,
    at: str,
    annotation: str | None = None,
) -> Decision:
    """Return the decision that writes the record of a new rollout, Pending; bars of earlier ones stay.

    `annotation` is that of the VirtualServices: if a record was lost, ids and generations go on after it, so that no
    event and no write of the routes has the name of an earlier one.
    Raises `RefusedError` if the release is barred, or another rollout is still under way.
    """
    bar = previous.bar_of(target.hash) if previous else None
    if bar is not None:
        raise RefusedError(
            f"{target.version} of {service} was aborted at {bar.at} by {bar.by}: {bar.reason}",
            f"name another version, or lift the bar: `canary rollout retry {service}`",
        )
    steps = "1 step" if len(plan.steps) == 1 else f"{len(plan.steps)} steps"
    text = f"rollout from {from_.version} to {target.version}: {steps}"
    event = Event(type=EventType.PENDING, text=text)
    changes = {
        **_fresh(plan), "vs_uids": vs_uids, "target": target, "from_": from_, "created_at": at, "handed_back_at": None,
    }  # fmt: skip
    if previous is None:
        number, generation = _numbers(annotation)
        given: dict[str, Any] = {
            "service": service, "namespace": namespace, "id": f"{service}-{number + 1}", "generation": generation,
            "vs_uids": vs_uids, "target": target, "from_": from_, "plan": plan, "wanted": plan.start, "created_at": at,
        }  # fmt: skip
        first = Record(**given)
        return Decision(why=text, record=next_record(first, at, by, event, routes=True))
    if previous.phase.active and previous.void_since is None and not _gives_way(previous):
        raise RefusedError(
            f"{service} is in a rollout to {previous.target.version} ({phase_text(previous)})",
            "wait for its end, promote or abort it",
        )
    events = [event]
    if previous.phase is Phase.COMPLETED:
        closed = f"{previous.from_.version} is given up as the way back: {target.version} comes next"
        events.insert(0, Event(type=EventType.CLOSED, text=closed))
    elif previous.phase is Phase.PENDING:
        by_what = target.version if target.hash != previous.target.hash else "another plan"
        events.insert(0, Event(type=EventType.SUPERSEDED, text=f"superseded by {by_what} before it started"))
    written = next_record(previous, at, by, *events, routes=True, id=_next_id(previous), **changes)
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


def deadlines_from(record: Record, at: str, step: int, *, total: bool) -> Deadlines:
    """Return the deadlines of `step` when it begins at `at`; with `total` also that of the whole rollout."""
    planned = record.plan.steps[max(step, 0)]
    limit = record.plan.rules[planned.rule].strategy.deadline
    hold = planned.hold_seconds if step >= 0 else 0.0
    long = max(AUTO_FACTOR * hold, SHORTEST_STEP_DEADLINE) if limit.step == AUTO else seconds(limit.step)
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


def _fresh(plan: Plan) -> dict[str, Any]:
    """The fields of a rollout that has not started, but for what identifies it."""
    return {
        "plan": plan,
        "phase": Phase.PENDING,
        "stage": None,
        "step": NOT_STARTED,
        "wanted": plan.start,
        "started_at": None,
        "settled_at": None,
        "ended_at": None,
        "closed_at": None,
        "handed_back_at": None,
        "void_since": None,
        "holder": None,
        "paused": None,
        "held": None,
        "promotion": None,
        "approvals": (),
        "hooks_done": (),
        "deadlines": Deadlines(),
        "ended": None,
    }


def _next_id(record: Record) -> str:
    return f"{record.service}-{int(record.id.rpartition('-')[2]) + 1}"


def _numbers(annotation: str | None) -> tuple[int, int]:
    """The number of the rollout and the generation in the annotation of a VirtualService; 0 if there is none."""
    name, _, generation = (annotation or "").partition("/")
    number = name.rpartition("-")[2]
    return int(number) if number.isdecimal() else 0, int(generation) if generation.isdecimal() else 0


def _gives_way(previous: Record) -> bool:
    """Whether a new rollout may follow at once: nothing has moved yet, or all of it has."""
    not_started = previous.phase is Phase.PENDING and previous.started_at is None
    return not_started or previous.phase is Phase.COMPLETED


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
