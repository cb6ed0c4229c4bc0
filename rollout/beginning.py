"""How a rollout begins: as the first one of its service, or after another one, whose bars it keeps."""

from __future__ import annotations

from typing import Any

from rollout.decision import Decision, Event, RefusedError, next_record, phase_text
from rollout.planned import Plan
from rollout.record import NOT_STARTED, Deadlines, EventType, Phase, Record, Release


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
        **fresh(plan), "vs_uids": vs_uids, "target": target, "from_": from_, "created_at": at, "handed_back_at": None,
    }  # fmt: skip
    if previous is None:
        number, generation = _numbers(annotation)
        given: dict[str, Any] = {
            "service": service, "namespace": namespace, "id": f"{service}-{number + 1}", "generation": generation,
            "vs_uids": vs_uids, "target": target, "from_": from_, "plan": plan, "wanted": plan.start, "created_at": at,
        }  # fmt: skip
        first = Record(**given)
        return Decision(why=text, record=next_record(first, at, by, event, routes=True))
    if previous.phase.active and previous.void_since is None and not gives_way(previous):
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
    written = next_record(previous, at, by, *events, routes=True, id=next_id(previous), **changes)
    return Decision(why=text, record=written)


def fresh(plan: Plan) -> dict[str, Any]:
    """The fields of a rollout that has not started, but for what identifies it."""
    return {
        "plan": plan,
        "phase": Phase.PENDING,
        "stage": None,
        "step": NOT_STARTED,
        "wanted": plan.start,
        "started_at": None,
        "settled_at": None,
        "periods": (),
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


def next_id(record: Record) -> str:
    return f"{record.service}-{int(record.id.rpartition('-')[2]) + 1}"


def _numbers(annotation: str | None) -> tuple[int, int]:
    """The number of the rollout and the generation in the annotation of a VirtualService; 0 if there is none."""
    name, _, generation = (annotation or "").partition("/")
    number = name.rpartition("-")[2]
    return int(number) if number.isdecimal() else 0, int(generation) if generation.isdecimal() else 0


def gives_way(previous: Record) -> bool:
    """Whether a new rollout may follow at once: nothing has moved yet, or all of it has."""
    not_started = previous.phase is Phase.PENDING and previous.started_at is None
    return not_started or previous.phase is Phase.COMPLETED
