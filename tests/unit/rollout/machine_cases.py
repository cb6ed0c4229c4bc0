"""Cases of the machine: what a rollout waits for, what brings it back, what pauses it; and what a decision says."""

from __future__ import annotations

from typing import Any

from rollout.decision import Decision, HookResult, LimitResult
from rollout.gates.decide import Answer
from rollout.record import Deadlines, EventType, Held, HoldReason, Paused, Phase, Record, Stage
from tests.unit.rollout.records import (
    GATES,
    START,
    aborted,
    aborting,
    completed,
    gated,
    later,
    observing,
    record_of,
    verdict,
    weights,
)
from tests.unit.rollout.sample_groups import in_group
from traffic.model.rollout import RolloutDeadline, RolloutHook

HOOKS = tuple(RolloutHook(at=at, url="https://ci") for at in ("beforeStep", "afterStep", "beforeEnd", "afterAbort"))
NO: dict[str, Any] = {"ok": False, "text": "smoke test failed"}
BY_HAND = Paused(by="ann", reason="lunch", at=START)

HELD: dict[str, tuple[Record, dict[str, Any], HoldReason, EventType]] = {
    "pods are missing": (observing(0), {"ready_to": 1}, HoldReason.CAPACITY, EventType.NO_CAPACITY),
    "the pods are not known": (observing(0), {"ready_to": None}, HoldReason.CAPACITY, EventType.NO_CAPACITY),
    "the window is closed": (observing(0), {"window_open": False}, HoldReason.WINDOW, EventType.STEP_HELD),
    "a person has to approve": (observing(0, approve=True), {}, HoldReason.APPROVAL, EventType.APPROVAL_NEEDED),
    "the other services of its group are awaited": (
        in_group(observing(0)), {"group_step": 0}, HoldReason.GROUP, EventType.STEP_HELD,
    ),
    "the other services of its group are awaited at the end": (
        in_group(observing(2)), {"group_step": 2}, HoldReason.GROUP, EventType.STEP_HELD,
    ),
    "a person has to promote": (observing(0, promote="hand"), {}, HoldReason.HAND, EventType.STEP_HELD),
    "there are no numbers": (
        observing(0), {"limits": LimitResult(no_data=True)}, HoldReason.NO_DATA, EventType.STEP_HELD,
    ),
    "there are no numbers yet": (
        observing(0, on_no_data="abort"), {"limits": LimitResult(no_data=True), "now": later(59)},
        HoldReason.NO_DATA, EventType.STEP_HELD,
    ),
    "a hook says no": (
        observing(0, hooks=HOOKS[:1]), {"hook_result": HookResult(at="beforeStep", **NO)},
        HoldReason.HOOK, EventType.HOOK_FAILED,
    ),
    "a hook after the step says no": (
        observing(0, hooks=HOOKS[1:2]), {"hook_result": HookResult(at="afterStep", **NO)},
        HoldReason.HOOK, EventType.HOOK_FAILED,
    ),
    "a hook before the end says no": (
        observing(2, hooks=HOOKS[2:3]), {"hook_result": HookResult(at="beforeEnd", **NO)},
        HoldReason.HOOK, EventType.HOOK_FAILED,
    ),
    "an Envoy does not follow": (
        observing(0, stage=Stage.WRITING), {"envoys_follow": False}, HoldReason.SETTLING, EventType.STEP_HELD,
    ),
    "an Envoy does not follow an abort": (
        aborting(), {"envoys_follow": False}, HoldReason.INCOMPLETE, EventType.ABORT_INCOMPLETE,
    ),
    "the routes are changed by hand while somebody paused": (
        observing(0, paused=BY_HAND), {"route_owner": "kubectl-edit"}, HoldReason.DRIFT, EventType.DRIFT,
    ),
    "the routes are changed after the end": (
        completed(), {"route_weights": weights(70)}, HoldReason.DRIFT, EventType.DRIFT,
    ),
    "somebody gives an aborted version requests": (
        aborted(), {"route_weights": weights(70), "route_owner": "kubectl-edit"}, HoldReason.DRIFT, EventType.DRIFT,
    ),
    "the routes are not those that the record was made for": (
        record_of(), {"route_weights": weights(70)}, HoldReason.DRIFT, EventType.DRIFT,
    ),
    "harm after the end, that only pauses": (
        completed(on_harm="pause"), {"limits": LimitResult(broken="errors 9 %")},
        HoldReason.HARM, EventType.HARM_FOUND,
    ),
    "the split is wrong": (
        gated(0), {"verdict": verdict(Answer.SPLIT_WRONG)}, HoldReason.SPLIT, EventType.SPLIT_WRONG,
    ),
    "the new version may be worse": (
        gated(0), {"verdict": verdict(Answer.SUSPECT, 99.0)}, HoldReason.SUSPECT, EventType.SUSPECT,
    ),
    "the next weight is not proved": (
        gated(0), {"verdict": verdict(Answer.HOLD, 99.0)}, HoldReason.PROOF, EventType.STEP_HELD,
    ),
    "a person has to promote, and the gates say nothing against it": (
        gated(0, gates=GATES.model_copy(update={"promote": "hand"})), {"verdict": verdict(Answer.HOLD, 99.0)},
        HoldReason.HAND, EventType.STEP_HELD,
    ),
    "the gates had numbers and have none": (
        gated(0), {"verdict": verdict(Answer.NO_DATA, 20.0)}, HoldReason.NO_DATA, EventType.STEP_HELD,
    ),
    "the gates have had no numbers for a minute": (
        gated(0), {"verdict": verdict(Answer.NO_DATA), "now": later(60)}, HoldReason.NO_DATA, EventType.STEP_HELD,
    ),
    "the old version's past is not known": (
        record_of(started_at=START, gates=GATES), {"gates_text": "no answer from Prometheus"},
        HoldReason.NO_DATA, EventType.STEP_HELD,
    ),
    "an approval, and the gates let it rise": (
        gated(0, approve=True), {"verdict": verdict(Answer.RISE, 99.0)},
        HoldReason.APPROVAL, EventType.APPROVAL_NEEDED,
    ),
    "the old version's pods for an undo": (
        aborting(phase=Phase.UNDOING), {"ready_from": 1, "route_annotation": "website-1/4"},
        HoldReason.CAPACITY, EventType.NO_CAPACITY,
    ),
}  # fmt: skip


BACK: dict[str, tuple[Record, dict[str, Any], list[str]]] = {
    "no pod is ready for five seconds": (
        observing(1), {"ready_to": 0, "to_unready_seconds": 4.0}, ["NoCapacity", "Aborting"],
    ),
    "no pod is ready after the end": (completed(), {"ready_to": 0, "to_unready_seconds": 9.0}, ["NoCapacity"]),
    "a limit is broken": (observing(1), {"limits": LimitResult(broken="errors 9 % > 2 %")}, ["HarmFound", "Aborting"]),
    "a limit is broken and the old pods are not known": (
        observing(1), {"limits": LimitResult(broken="errors 9 %"), "ready_from": None}, ["HarmFound"],
    ),
    "a limit is broken while paused": (
        observing(1, paused=BY_HAND), {"limits": LimitResult(broken="errors 9 % > 2 %")}, ["HarmFound", "Aborting"],
    ),
    "the deadline of a step": (
        observing(1, hold_seconds=999, deadline=RolloutDeadline(then="abort")), {"now": later(600)},
        ["DeadlineExceeded", "Aborting"],
    ),
    "the deadline of the whole, paused": (
        observing(1, paused=BY_HAND, deadline=RolloutDeadline(then="abort")), {"now": later(86400)},
        ["DeadlineExceeded", "Aborting"],
    ),
    "no numbers for the whole step": (
        observing(0, on_no_data="abort", hold_seconds=90), {"limits": LimitResult(no_data=True), "now": later(90)},
        ["NoData", "Aborting"],
    ),
    "the gates find harm": (gated(1), {"verdict": verdict(Answer.HARM)}, ["HarmFound", "Aborting"]),
    "the gates find harm while paused": (
        gated(1, paused=BY_HAND), {"verdict": verdict(Answer.HARM), "lease_held": False}, ["HarmFound", "Aborting"],
    ),
    "the gates have no numbers for the whole step": (
        gated(0, on_no_data="abort", hold_seconds=90), {"verdict": verdict(Answer.NO_DATA), "now": later(90)},
        ["NoData", "Aborting"],
    ),
    "a hook that aborts": (
        observing(1, hooks=HOOKS[:1]), {"hook_result": HookResult(at="beforeStep", then="abort", **NO)},
        ["HookFailed", "Aborting"],
    ),
    "an abort that could only write the routes": (
        observing(1), {"route_annotation": "website-1/abort", "route_weights": weights(0)}, ["Aborting"],
    ),
}  # fmt: skip


PAUSED: dict[str, tuple[Record, dict[str, Any], str, str]] = {
    "the deadline of a step": (observing(1, hold_seconds=999), {"now": later(600)}, "deadline", "DeadlineExceeded"),
    "the deadline of the whole": (
        observing(1, approve=True, held=Held(reason=HoldReason.APPROVAL, text="", since=START)), {"now": later(86400)},
        "deadline", "DeadlineExceeded",
    ),
    "the deadline of the start": (
        record_of(started_at=START, deadlines=Deadlines(step_at=later(600))), {"now": later(601), "ready_to": 0},
        "deadline", "DeadlineExceeded",
    ),
    "a broken limit": (
        observing(1, on_harm="pause"), {"limits": LimitResult(broken="errors 9 %")}, "harm", "HarmFound",
    ),
    "harm that the gates find": (
        gated(1, on_harm="pause"), {"verdict": verdict(Answer.HARM)}, "harm", "HarmFound",
    ),
    "the deadline of a step that is never proved": (
        gated(1), {"verdict": verdict(Answer.HOLD, 600.0), "now": later(600)}, "deadline", "DeadlineExceeded",
    ),
    "weights changed by somebody": (observing(1), {"route_weights": weights(70)}, "drift", "Drift"),
    "routes changed by hand": (observing(1), {"route_owner": "kubectl-edit"}, "drift", "Drift"),
    "routes changed by hand while they are written": (
        observing(1, stage=Stage.WRITING), {"route_owner": "kubectl-edit"}, "drift", "Drift",
    ),
}  # fmt: skip


def events_of(decision: Decision, before: Record) -> list[EventType]:
    """The events that a decision adds to the record."""
    assert decision.record is not None
    return [event.type for event in decision.record.outbox[len(before.outbox) :]]
