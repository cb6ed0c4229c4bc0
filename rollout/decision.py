"""What a rollout is decided from, and what a decision asks for: plain data, without a clock and without a cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from rollout.record import (
    FIELD_MANAGER,
    LONGEST_HISTORY,
    LONGEST_OUTBOX,
    EventType,
    HistoryEntry,
    OutboxEvent,
    Phase,
    Record,
    Weights,
)

if TYPE_CHECKING:
    from rollout.gates.decide import Verdict
    from rollout.gates.plan import GatePlan

HookPoint = Literal["beforeStep", "afterStep", "beforeEnd", "afterAbort"]


PULUMI = "pulumi-kubernetes"
"""How the names of the field managers of Pulumi's provider begin."""


class RefusedError(Exception):
    """A person's command that the rollout's state does not allow: what is wrong, and the fix."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(f"{what}; fix: {fix}")
        self.what = what
        self.fix = fix


@dataclass(frozen=True, kw_only=True)
class HookResult:
    """The answer to `Decision.hook`, of all the hooks at that point together."""

    at: HookPoint
    ok: bool
    text: str = ""
    then: Literal["hold", "abort"] = "hold"


@dataclass(frozen=True, kw_only=True)
class LimitResult:
    """What the absolute limits say: `broken` is the broken one in words, `no_data` if there are no numbers.

    `awaited`: they are asked for the first time in this step, and the answer comes soon.
    """

    broken: str | None = None
    no_data: bool = False
    awaited: bool = False


@dataclass(frozen=True, kw_only=True)
class PodStart:
    """A ready pod of one of the two versions, and since when it is ready."""

    version: str
    pod: str
    ready_at: str


@dataclass(frozen=True, kw_only=True)
class GatesFixed:
    """What the gates are to compare with, for the record: `deadline_seconds` is the automatic deadline of each step."""

    plan: GatePlan
    deadline_seconds: tuple[float, ...]
    text: str


@dataclass(frozen=True, kw_only=True)
class RoutesSeen:
    """One VirtualService as it was read; `owner` is the field manager of spec.http."""

    weights: Weights
    annotation: str | None = None
    owner: str | None = None


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What was seen of the world. Whoever collects them reads the VirtualServices first and the record after them.

    The order matters: a record that was read before the VirtualServices may be older than an abort whose routes have
    been read, and its step would then be written over them.

    `route_weights`, `route_annotation` and `route_owner` are of the VirtualService that decides (`deciding`), None
    if one could not be read. `envoys_follow` says whether every Envoy has the routes as they are in `route_weights`;
    None if nobody has asked. `to_unready_seconds` is for how long no pod of `to` has been ready. None as a number of
    pods: unknown. `observed_seconds` replaces the time since the step settled, where only time with numbers counts.
    `group_step` is the step that the group of the service has decided on, and that this service may go to; None: it is
    not known, or there is no group.
    `verdict` is that of the gates on the current step, None until there is a first one; `gates_fixed` is there as long
    as the record has no plan of the gates and what it needs is known, and `gates_text` says why it is not.
    """

    now: str
    lease_held: bool = False
    holder: str | None = None
    ready_to: int | None = None
    ready_from: int | None = None
    to_unready_seconds: float = 0.0
    pods_started: tuple[PodStart, ...] = ()
    pods_text: str = ""
    """Why pods of `to` are not ready, in their own words."""
    envoys_follow: bool | None = None
    envoys_text: str = ""
    """Which Envoys do not follow."""
    route_weights: Weights | None = None
    route_annotation: str | None = None
    route_owner: str | None = None
    vs_uids: Mapping[str, str] | None = None
    """Uids of the service's VirtualServices by name; None if they could not be read."""
    window_open: bool = True
    hook_result: HookResult | None = None
    limits: LimitResult | None = None
    observed_seconds: float | None = None
    verdict: Verdict | None = None
    gates_fixed: GatesFixed | None = None
    gates_text: str = ""
    group_step: int | None = None


def deciding(record: Record, seen: Sequence[RoutesSeen]) -> RoutesSeen:
    """Return that of the service's VirtualServices that decides: the first that is not as the record wants it.

    An abort that could not write the record goes first, then what somebody else owns.
    """
    by_abort = [one for one in seen if one.annotation == record.abort_annotation]
    others = [one for one in seen if is_foreign(one.owner)]
    differing = [one for one in seen if not record.stands(one.weights) or one.annotation != record.annotation]
    return [*by_abort, *others, *differing, *seen][0]


def is_foreign(owner: str | None) -> bool:
    """Whether a field manager is neither the rollout's nor Pulumi's; nobody is not."""
    return owner is not None and owner != FIELD_MANAGER and not owner.startswith(PULUMI)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What to do, in this order: `record`, then `write_routes`, then `scale` and `barrier`; then decide again.

    `record` is written by compare-and-swap; if that fails nothing else of the decision may be done. `write_routes` is
    "step" (the wanted one) or "back", both with the resourceVersion that was read before the record; an abort that
    cannot write the record, or that others are faster than each time, overwrites. Both carry `annotation`. `barrier`
    asks the Envoys whether they follow. `hook` is a point whose hooks are to be asked; the answer is in the next facts.
    `scale` has the least number of pods by version. `hand_over` gives spec.http back to Pulumi. `numbers` says that
    nothing can be decided before the first answer to what the gates ask. `wait_seconds` is the
    longest useful wait until the next look, None if nothing is left to do. `ready` is the step that the rollout of a
    group's member would go to, if the group did; one after the last is its end.
    """

    why: str
    record: Record | None = None
    write_routes: Literal["step", "back"] | None = None
    annotation: str | None = None
    barrier: bool = False
    hook: HookPoint | None = None
    scale: Mapping[str, int] = field(default_factory=dict)
    hand_over: bool = False
    numbers: bool = False
    ready: int | None = None
    wait_seconds: float | None = 0.0


@dataclass(frozen=True, kw_only=True)
class Event:
    """An event to be written with a record."""

    type: EventType
    text: str
    data: Mapping[str, Any] = field(default_factory=dict)


def next_record(record: Record, at: str, by: str, *events: Event, routes: bool = False, **changes: Any) -> Record:
    """Return the record after one more write, with `events` in its outbox and history.

    `routes` says that the write decides on the routes, so that their annotation changes.
    """
    changed = record.model_copy(update=changes)
    group = {"group": changed.plan.group.name} if changed.plan.group is not None else {}
    generation = record.generation + 1
    written = [
        OutboxEvent(
            id=f"{changed.id}/{generation}/{index}",
            type=event.type,
            at=at,
            text=event.text,
            data={"service": record.service, "phase": changed.phase.value, "step": changed.step, **group, **event.data},
        )
        for index, event in enumerate(events)
    ]
    entries = [
        HistoryEntry(
            generation=generation, id=changed.id, at=at, by=by, type=event.type, step=changed.step, text=event.text
        )
        for event in events
    ]
    return changed.model_copy(
        update={
            "generation": generation,
            "route_generation": generation if routes else record.route_generation,
            "outbox": (*changed.outbox, *written)[-LONGEST_OUTBOX:],
            "history": (*changed.history, *entries)[-LONGEST_HISTORY:],
        }
    )


def delivered(record: Record, event_ids: Mapping[str, tuple[str, ...]], receivers: tuple[str, ...]) -> Record:
    """Return the record after `event_ids` (receivers by event id) were sent; what all `receivers` have is dropped."""
    marked = [
        event.model_copy(update={"delivered": (*event.delivered, *event_ids.get(event.id, ()))})
        for event in record.outbox
    ]
    left = tuple(event for event in marked if not set(receivers) <= set(event.delivered))
    return record.model_copy(update={"generation": record.generation + 1, "outbox": left})


def phase_text(record: Record) -> str:
    """Return where the rollout is, in words: `step 2 of 5`."""
    if record.phase is Phase.PROGRESSING:
        return f"step {record.step + 1} of {len(record.plan.steps)}"
    return record.phase.value
