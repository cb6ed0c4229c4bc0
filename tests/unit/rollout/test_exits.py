"""Every exit of the state machine has an event: each place that writes a record is found in the source, and taken."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from rollout import (
    beginning,
    decision,
    forward,
    gating,
    going_back,
    group_machine,
    group_members,
    group_record,
    group_verbs,
    holding,
    lean,
    lean_verbs,
    lifting,
    machine,
    periods,
    planned,
    verbs,
    warm_ups,
)
from rollout import record as record_module
from rollout.beginning import begin
from rollout.decision import Decision, HookResult, PodStart
from rollout.gates.decide import Answer
from rollout.lifting import lift
from rollout.machine import advance
from rollout.record import EventType, Held, HoldReason, Phase, Record, Stage
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
    withdraw,
)
from tests.unit.rollout.machine_cases import BACK, BY_HAND, HELD, HOOKS, PAUSED
from tests.unit.rollout.records import (
    GATES,
    START,
    aborted,
    aborting,
    completed,
    facts_of,
    fixed,
    gated,
    later,
    observing,
    record_of,
    verdict,
    with_latency,
)

MODULES = (beginning, forward, gating, going_back, holding, machine, verbs, lifting, warm_ups)
OF_GROUPS = (group_machine, group_members, group_record, group_verbs)
PURE = (*MODULES, *OF_GROUPS, decision, planned, record_module)
NEW_PODS = (PodStart(version="version-2", pod="website-x", ready_at=START),)


def _look(record: Record, **facts: Any) -> Callable[[], Decision]:
    return lambda: advance(record, facts_of(record, **facts))


def _begin(previous: Record | None) -> Decision:
    fresh = record_of()
    target = fresh.target.model_copy(update={"hash": "hash-3"})
    return begin(
        previous, service="website", namespace="ns", vs_uids={}, target=target, from_=fresh.from_, plan=fresh.plan,
        by="up", at=START,
    )  # fmt: skip


EXITS: dict[str, Callable[[], Decision]] = {
    **{name: _look(record, **facts) for name, (record, facts, *_) in (HELD | BACK | PAUSED).items()},
    "start": _look(record_of()),
    "start after a change by hand": _look(record_of(), route_owner="kubectl-edit"),
    "step": _look(observing(0)),
    "the gates are fixed": _look(record_of(started_at=START, gates=GATES), gates_fixed=fixed()),
    "numbers are back": _look(
        gated(0, hold_seconds=60, held=Held(reason=HoldReason.NO_DATA, text="no numbers", since=START)),
        verdict=verdict(Answer.HOLD, 10.0),
    ),
    "there are no numbers for two minutes": _look(
        gated(0, held=Held(reason=HoldReason.NO_DATA, text="no numbers", since=START)),
        verdict=verdict(Answer.NO_DATA, 10.0),
        now=later(120),
    ),
    "a pod is new": _look(with_latency(gated(0)), pods_started=NEW_PODS),
    "settled": _look(observing(0, stage=Stage.WRITING)),
    "completed": _look(observing(2)),
    "closed": _look(completed(), now=later(3600)),
    "aborted": _look(aborting()),
    "undone": _look(aborting(phase=Phase.UNDOING)),
    "handed back": _look(aborted(), now=later(3600), route_owner="pulumi-kubernetes-1"),
    "void": _look(observing(0), vs_uids={}),
    "another holder": _look(observing(0), holder="ci/1/a"),
    "end of a pause": _look(observing(0, paused=BY_HAND.model_copy(update={"until": START}))),
    "hook after a step": _look(observing(0, hooks=HOOKS[1:2]), hook_result=HookResult(at="afterStep", ok=True)),
    "hook after an abort": _look(
        aborted(plan=observing(0, hooks=HOOKS[3:]).plan), hook_result=HookResult(at="afterAbort", ok=False)
    ),
    "abort": lambda: abort(observing(0), "it fails", "ann", START),
    "undo": lambda: undo(completed(), "it fails", "ann", START),
    "supersede": lambda: supersede(observing(0, on_supersede="abort"), "version-3", "up", START),
    "pause": lambda: pause(observing(0), "lunch", "ann", START),
    "resume": lambda: resume(observing(0, paused=BY_HAND), "ann", START),
    "promote": lambda: promote(observing(0), "urgent", "ann", START),
    "approve": lambda: approve(observing(0, approve=True), "ann", START),
    "retry": lambda: retry(aborted(), "fixed", "ann", START),
    "lift": lambda: lift(aborted(), aborted().bars, "fixed", "ann", START),
    "withdraw": lambda: withdraw(record_of(), "up", START),
    "first": lambda: _begin(None),
    "next": lambda: _begin(completed()),
    "noted": lambda: handed_back(aborted(), "up", START),
    "routes changed": lambda: change_routes(observing(0), observing(0).plan, "ann", START),
    "holder stops": lambda: release_holder(observing(0, holder="a"), "a", START),
}


def _sites(module: ModuleType) -> set[tuple[str, int]]:
    """The lines of a module that write a record."""
    calls = [node for node in ast.walk(ast.parse(inspect.getsource(module))) if isinstance(node, ast.Call)]
    named = [node for node in calls if isinstance(node.func, ast.Name) and node.func.id == "next_record"]
    return {(module.__name__, node.lineno) for node in named}


def test_every_place_that_writes_a_record_writes_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: set[tuple[str, int]] = set()

    def next_record(record: Record, at: str, by: str, *events: decision.Event, **changes: Any) -> Record:
        caller = sys._getframe(1)
        taken.add((caller.f_globals["__name__"], caller.f_lineno))
        assert events, f"an exit without an event: {caller.f_globals['__name__']}:{caller.f_lineno}"
        return decision.next_record(record, at, by, *events, **changes)

    for module in MODULES:
        if hasattr(module, "next_record"):
            monkeypatch.setattr(module, "next_record", next_record)
    for name, leave in EXITS.items():
        assert leave().record is not None, name

    missing = set().union(*map(_sites, MODULES)) - taken
    assert not missing, "exits that no case takes: add them to EXITS"


def test_no_other_module_writes_a_record_of_its_own() -> None:
    """What the machine and the verbs do not know has no case here; the lean verbs are held against the verbs."""
    root = Path(decision.__file__).parents[1]
    own = {Path(str(module.__file__)) for module in (*MODULES, decision, lean, lean_verbs)}
    others = [path for folder in ("rollout", "stacks", "canary") for path in (root / folder).rglob("*.py")]
    assert [path for path in others if path not in own and "next_record" in path.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize(
    "module", [forward, gating, going_back, holding, machine, warm_ups], ids=lambda module: str(module.__name__)
)
def test_no_rule_writes_a_record_without_an_event(module: ModuleType) -> None:
    assert "model_copy" not in inspect.getsource(module)


@pytest.mark.parametrize("leave", EXITS.values(), ids=EXITS)
def test_each_exit_has_events_with_ids_of_its_own(leave: Callable[[], Decision]) -> None:
    record = leave().record
    assert record is not None

    ids = [event.id for event in record.outbox]
    assert ids
    assert len(set(ids)) == len(ids)
    assert {entry.generation for entry in record.history} == {record.generation}, "one write, one generation"


def test_all_events_and_all_reasons_to_hold_occur() -> None:
    records = [record for leave in EXITS.values() if (record := leave().record) is not None]

    assert {event.type for record in records for event in record.outbox} == set(EventType)
    assert {record.held.reason for record in records if record.held is not None} == set(HoldReason)


GATES_ARE_PURE = "rollout.gates."
KNOWN = {"__future__", "collections", "dataclasses", "datetime", "enum", "math", "pydantic", "typing", "traffic"}


@pytest.mark.parametrize("module", PURE, ids=lambda module: str(module.__name__))
def test_the_machine_knows_neither_the_cluster_nor_a_clock(module: ModuleType) -> None:
    source = inspect.getsource(module)
    names = {node.module or "" for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)}
    pure = {one.__name__ for one in (*PURE, periods)} | {"rollout"}

    assert {
        name
        for name in names
        if name not in pure and not name.startswith(GATES_ARE_PURE) and name.split(".")[0] not in KNOWN
    } == set()
    assert ".now(" not in source
    assert "utcnow" not in source
