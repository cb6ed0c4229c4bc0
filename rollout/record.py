"""The record of a service's rollout, as it is kept in the cluster: where it is, what it wants, and what is barred.

It is written before the routes (write-ahead), by compare-and-swap, and never by this module. Times are RFC 3339 texts
of the API server's clock, so that all machines speak of the same time. Weights are percentages by rule and version.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError

from rollout.planned import Plan
from traffic.fields import Model
from traffic.model.rollout import RolloutStrategy

SCHEMA: Literal[1] = 1
"""Version of the record's form; a newer one is not read."""

FIELD_MANAGER = "istio-canary-rollout"
"""Field manager of every write of a rollout: to spec.http, and to the numbers of pods."""

ANNOTATION = "istio-canary/rollout"
"""Annotation of a VirtualService: which decision wrote its routes (`Record.annotation`)."""

NOT_STARTED = -1
"""The step of a record that has not written its first one yet."""

LONGEST_HISTORY = 50
LONGEST_OUTBOX = 200

DECIMALS = 4
"""Of a weight in percent: Envoy counts in millionths."""

Weights = Mapping[str, Mapping[str, float]]
"""Percent of a rule's requests by rule key and version."""


PauseKind = Literal["person", "deadline", "harm", "drift"]


class RecordError(Exception):
    """The record in the cluster cannot be read: damaged, or written by a newer version of this project."""


class Phase(StrEnum):
    """Where a rollout is."""

    PENDING = "Pending"
    PROGRESSING = "Progressing"
    COMPLETED = "Completed"
    CLOSED = "Closed"
    ABORTING = "Aborting"
    ABORTED = "Aborted"
    UNDOING = "Undoing"
    UNDONE = "Undone"

    @property
    def active(self) -> bool:
        """Whether the route is frozen: until Closed, Aborted or Undone."""
        return self not in (Phase.CLOSED, Phase.ABORTED, Phase.UNDONE)

    @property
    def goes_back(self) -> bool:
        """Whether the record wants all requests at `from`, now and until a retry."""
        return self in (Phase.ABORTING, Phase.ABORTED, Phase.UNDOING, Phase.UNDONE)


class Stage(StrEnum):
    """Where a step is: its routes are to be written, the Envoys are to follow, its time runs."""

    WRITING = "Writing"
    SETTLING = "Settling"
    OBSERVING = "Observing"


class EventType(StrEnum):
    """Every kind of event that a rollout sends."""

    STARTED = "Started"
    STEP_WRITTEN = "StepWritten"
    SETTLED = "Settled"
    STEP_HELD = "StepHeld"
    SUSPECT = "Suspect"
    PAUSED = "Paused"
    RESUMED = "Resumed"
    APPROVAL_NEEDED = "ApprovalNeeded"
    APPROVED = "Approved"
    PROMOTED = "Promoted"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    NO_DATA = "NoData"
    NO_CAPACITY = "NoCapacity"
    SPLIT_WRONG = "SplitWrong"
    HOOK_FAILED = "HookFailed"
    HOOK_PASSED = "HookPassed"
    DRIFT = "Drift"
    ROUTES_CHANGED = "RoutesChanged"
    HOLDER_LOST = "HolderLost"
    HOLDER_TAKEN = "HolderTaken"
    HARM_FOUND = "HarmFound"
    ABORTING = "Aborting"
    ABORTED = "Aborted"
    ABORT_INCOMPLETE = "AbortIncomplete"
    COMPLETED = "Completed"
    UNDOING = "Undoing"
    UNDONE = "Undone"
    SUPERSEDED = "Superseded"
    CLOSED = "Closed"
    HANDED_BACK = "HandedBack"
    PENDING = "Pending"
    RETRIED = "Retried"
    RECORD_VOID = "RecordVoid"
    GATES_FIXED = "GatesFixed"
    HOLD_ENDED = "HoldEnded"
    POD_STARTED = "PodStarted"


class HoldReason(StrEnum):
    """Why a step does not rise although its time is over, or why a step or an abort does not get on."""

    APPROVAL = "Approval"
    HAND = "Hand"
    WINDOW = "Window"
    CAPACITY = "NoCapacity"
    HOOK = "HookFailed"
    NO_DATA = "NoData"
    SETTLING = "Settling"
    DRIFT = "Drift"
    HARM = "HarmFound"
    INCOMPLETE = "AbortIncomplete"
    SPLIT = "SplitWrong"
    SUSPECT = "Suspect"
    PROOF = "Unproved"
    GROUP = "Group"


class Release(Model):
    """One version of the service, as its pods are: `hash` is that of the pod template without replicas."""

    version: str
    hash: str
    image_ids: tuple[str, ...] = ()
    ready_pods: int = 0
    """Ready pods when the rollout was planned; those of `from` are counted again at its start, and measure capacity."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Of `from`: its keys in the stack's file, for people, without anything that is secret."""

    def with_ready_pods(self, pods: int) -> Release:
        return self.model_copy(update={"ready_pods": pods})


class StepPeriod(Model):
    """A time in which the weights of a step stood at every Envoy; `until` is None while they do."""

    step: int
    settled_at: str
    until: str | None = None


class WarmUp(Model):
    """A time in which pods are new, since the first of them was ready: it counts in no latency (`rollout.warm_ups`).

    `pod`, of `version`, was the last of them to become ready.
    """

    since: str
    until: str
    version: str
    pod: str


class Bar(Model):
    """A release that must not get requests again, until a retry lifts it."""

    version: str
    hash: str
    reason: str
    by: str
    at: str


class OutboxEvent(Model):
    """An event that is written with the record and sent afterwards; `id` lets receivers drop a second copy.

    `delivered` are the names of the receivers that have it.
    """

    id: str
    type: EventType
    at: str
    text: str
    data: dict[str, Any] = Field(default_factory=dict)
    delivered: tuple[str, ...] = ()


class HistoryEntry(Model):
    """One change of the record, for people."""

    generation: int
    id: str
    at: str
    by: str
    type: EventType
    step: int
    text: str


class Paused(Model):
    """The weight stays; harm still aborts. `kind` tells a person's pause from one by the rollout itself."""

    by: str
    reason: str
    at: str
    until: str | None = None
    kind: PauseKind = "person"


class Held(Model):
    """What the rollout waits for besides time."""

    reason: HoldReason
    text: str
    since: str


class Promotion(Model):
    """A person ended the hold of a step; `full` goes to the last step at once."""

    step: int
    by: str
    at: str
    reason: str = ""
    full: bool = False
    despite_harm: bool = False


class Approval(Model):
    """A person approved to go on after a step."""

    step: int
    by: str
    at: str


class Deadlines(Model):
    """When the step and the rollout must be over; None before they begin."""

    step_at: str | None = None
    total_at: str | None = None


class Ended(Model):
    """How a rollout goes back, or went: `kind` decides between Aborted and Undone."""

    kind: Literal["aborted", "superseded", "undone"]
    reason: str
    by: str
    at: str


class KeptRecord(Model):
    """A record as a ConfigMap keeps it."""

    def to_json(self) -> str:
        """Return the record as compact JSON with camelCase keys."""
        return self.model_dump_json(exclude_none=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the record that `to_json` wrote. Raises `RecordError` if it is damaged or from a newer version."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise RecordError(f"the record cannot be read: {place or 'JSON'}: {first['msg']}") from None


class Record(KeptRecord):
    """The state of a service's rollout.

    `generation` counts every write of the record. `route_generation` is the one that last decided on the routes:
    `annotation`, which every write of a VirtualService has, changes with each decision and with nothing else.
    `vs_uids` are the uids of the service's VirtualServices by name; if they are others, the record is void.
    """

    schema_version: Literal[1] = Field(default=SCHEMA, alias="schema")
    service: str
    namespace: str
    id: str
    generation: Annotated[int, Field(ge=0)] = 1
    route_generation: Annotated[int, Field(ge=0)] = 1
    vs_uids: dict[str, str] = Field(default_factory=dict)
    target: Release
    from_: Release = Field(alias="from")
    plan: Plan
    phase: Phase = Phase.PENDING
    stage: Stage | None = None
    step: int = NOT_STARTED
    wanted: dict[str, dict[str, float]]
    created_at: str
    started_at: str | None = None
    settled_at: str | None = None
    periods: tuple[StepPeriod, ...] = ()
    warm_ups: tuple[WarmUp, ...] = ()
    ended_at: str | None = None
    """When Completed, Aborted or Undone was reached."""
    closed_at: str | None = None
    handed_back_at: str | None = None
    void_since: str | None = None
    holder: str | None = None
    paused: Paused | None = None
    held: Held | None = None
    promotion: Promotion | None = None
    approvals: tuple[Approval, ...] = ()
    hooks_done: tuple[str, ...] = ()
    """Hooks that are asked once: `afterStep/2`, `afterAbort`."""
    deadlines: Deadlines = Deadlines()
    ended: Ended | None = None
    outbox: tuple[OutboxEvent, ...] = ()
    history: tuple[HistoryEntry, ...] = ()
    bars: tuple[Bar, ...] = ()

    @property
    def annotation(self) -> str:
        """The value of the annotation of all writes of the routes that the record wants: `website-7/12`."""
        return f"{self.id}/{self.route_generation}"

    @property
    def abort_annotation(self) -> str:
        """The annotation of an abort that could write the routes but not the record; the next holder makes it one."""
        return f"{self.id}/abort"

    @property
    def routes_key(self) -> str:
        """The key of the wanted routes in the ConfigMap `plan.routes`: a step, `back`, or empty: as they are."""
        if self.phase.goes_back:
            return "back"
        return "" if self.step == NOT_STARTED else str(self.step)

    @property
    def strategy(self) -> RolloutStrategy:
        """The strategy of the rule that the current step, or else the first one, raises."""
        return self.plan.rules[self.plan.steps[max(self.step, 0)].rule].strategy

    @property
    def is_last_step(self) -> bool:
        return self.step == len(self.plan.steps) - 1

    def bar_of(self, release_hash: str) -> Bar | None:
        """Return the bar on a release, None if it may get requests."""
        return next((bar for bar in self.bars if bar.hash == release_hash), None)

    def target_weight(self, weights: Weights | None = None) -> float:
        """Return the new version's highest weight in the rollout's rules: the wanted one, or that in `weights`.

        Other rules may lead to it, such as one for testers.
        """
        chosen = self.wanted if weights is None else weights
        return max(
            (rule.get(self.target.version, 0.0) for key, rule in chosen.items() if key in self.wanted), default=0.0
        )

    def stands(self, seen: Weights | None) -> bool:
        """Whether the wanted weights are those that were seen; other rules, and weights of 0, do not count."""
        if seen is None:
            return False
        return all(key in seen and _bare(seen[key]) == _bare(rule) for key, rule in self.wanted.items())


def _bare(weights: Mapping[str, float]) -> dict[str, float]:
    return {version: round(weight, DECIMALS) for version, weight in weights.items() if round(weight, DECIMALS)}


def seconds_between(start: str, end: str) -> float:
    """Return the seconds from one RFC 3339 time to another, negative if `end` is earlier."""
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
