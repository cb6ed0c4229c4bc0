"""The documents of `--json`: what `start` and the verbs print, and the longer one of `status`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from canary.rollout.place import Place
from canary.rollout.words import step_of, waits_for

if TYPE_CHECKING:
    from pydantic import BaseModel

    from canary.rollout.reading import RolloutSeen
    from rollout.record import Record


def document(place: Place, record: Record, said: str = "", *, durable: bool = True) -> dict[str, Any]:
    """Return the document of `start` and of the verbs.

    `step` counts from 1, and is 0 before the first one. `durable` is False if an abort could not be written into the
    record. `said` is what the command says to people.
    """
    return {
        "stack": place.stack,
        "service": record.service,
        "namespace": record.namespace,
        "id": record.id,
        "group": None if record.plan.group is None else record.plan.group.name,
        "phase": record.phase.value,
        "stage": record.stage.value if record.stage else None,
        "step": step_of(record),
        "steps": len(record.plan.steps),
        "weights": _weights(record.wanted),
        "target": record.target.version,
        "from": record.from_.version,
        "held": _optional(record.held),
        "paused": _optional(record.paused),
        "ended": _optional(record.ended),
        "durable": durable,
        "said": said,
    }


def status_document(stack: str | None, services: Sequence[tuple[Place, RolloutSeen]]) -> dict[str, Any]:
    """Return the document of `status`."""
    return {"stack": stack, "services": [service_document(place, seen) for place, seen in services]}


def service_document(place: Place, seen: RolloutSeen) -> dict[str, Any]:
    """Return what `status` tells of one rollout."""
    record = seen.record
    holder = None if seen.holder is None else {"name": seen.holder.name, "renewed": seen.holder.renewed}
    return {
        **document(place, record, waits_for(seen, place)),
        "now": seen.now,
        "written": None if seen.written is None else _weights(seen.written),
        "owner": seen.owner,
        "holder": holder,
        "createdAt": record.created_at,
        "startedAt": record.started_at,
        "settledAt": record.settled_at,
        "endedAt": record.ended_at,
        "closedAt": record.closed_at,
        "voidSince": record.void_since,
        "deadlines": _given(record.deadlines),
        "approvals": [counted(_given(one)) for one in record.approvals],
        "bars": [_given(one) for one in record.bars],
        "undelivered": [{**_given(one), "data": counted(one.data)} for one in record.outbox],
        "history": [counted(_given(one)) for one in record.history],
        "waitsFor": waits_for(seen, place),
        "gates": None if seen.evidence is None else dict(seen.evidence),
    }


def counted(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part of a record or of its log with its step as people count: from 1, and 0 before the first one."""
    step = part.get("step")
    return {**part, "step": step + 1} if isinstance(step, int) else dict(part)


def _weights(weights: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    return {rule: dict(one) for rule, one in weights.items()}


def _given(part: BaseModel) -> dict[str, Any]:
    return part.model_dump(mode="json", by_alias=True)


def _optional(part: BaseModel | None) -> dict[str, Any] | None:
    return None if part is None else _given(part)
