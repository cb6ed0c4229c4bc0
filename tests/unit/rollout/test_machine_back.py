"""The machine of a rollout, back: what takes the requests back, and how an abort and an undo end."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.decision import HookResult, LimitResult, RoutesSeen, deciding
from rollout.machine import advance
from rollout.record import FIELD_MANAGER, Phase, Record, Stage
from tests.unit.rollout.machine_cases import BACK, HOOKS, events_of
from tests.unit.rollout.records import (
    START,
    aborted,
    aborting,
    completed,
    facts_of,
    later,
    observing,
    record_of,
    weights,
)


@pytest.mark.parametrize(("record", "facts", "events"), BACK.values(), ids=BACK)
def test_the_requests_go_back_and_the_release_is_barred(
    record: Record, facts: dict[str, Any], events: list[str]
) -> None:
    decision = advance(record, facts_of(record, **facts))

    assert decision.record is not None
    assert events_of(decision, record)[: len(events)] == events
    assert (decision.record.phase, decision.record.wanted) == (Phase.ABORTING, weights(0))
    assert decision.record.bar_of("hash-2") is not None
    assert (decision.write_routes, decision.annotation) == ("back", decision.record.annotation)


@pytest.mark.parametrize("holds", [True, False])
@pytest.mark.parametrize("name", ["no pod is ready for five seconds", "a limit is broken"])
def test_whoever_sees_harm_brings_the_requests_back(name: str, holds: bool) -> None:
    record, facts, _ = BACK[name]

    assert advance(record, facts_of(record, **(facts | {"lease_held": holds}))).write_routes == "back"


@pytest.mark.parametrize(
    ("record", "facts"),
    [
        (observing(1), {"ready_to": 0, "to_unready_seconds": 3.9}),
        (observing(1), {"ready_to": 0, "to_unready_seconds": 60.0, "ready_from": 0}),
        (record_of(started_at=START), {"ready_to": 0, "to_unready_seconds": 60.0}),
        (observing(1), {"limits": LimitResult(broken="errors 9 %"), "ready_from": 0}),
    ],
    ids=["not for long enough", "the old version has none either", "it has no weight", "harm, but no way back"],
)
def test_nothing_goes_back_unasked_without_a_reason_and_a_way_back(record: Record, facts: dict[str, Any]) -> None:
    decision = advance(record, facts_of(record, **facts))

    assert decision.write_routes is None
    assert decision.record is None or not decision.record.phase.goes_back


@pytest.mark.parametrize("seen", [{"route_weights": weights(50)}, {"route_annotation": "website-1/3"}])
def test_an_abort_is_not_over_before_its_routes_were_read_back(seen: dict[str, Any]) -> None:
    record = aborting()
    decision = advance(record, facts_of(record, lease_held=False, **seen))

    assert (decision.record, decision.write_routes) == (None, "back")
    assert advance(record, facts_of(record, envoys_follow=None)).barrier


def test_an_aborted_versions_late_step_is_taken_back() -> None:
    record = aborted()
    late = facts_of(record, route_weights=weights(50), route_annotation="website-1/3")

    assert advance(record, late).write_routes == "back"


def test_the_end_of_an_abort_and_of_an_undo() -> None:
    for phase, end in ((Phase.ABORTING, Phase.ABORTED), (Phase.UNDOING, Phase.UNDONE)):
        record = aborting(phase=phase)
        decision = advance(record, facts_of(record, lease_held=False))
        assert decision.record is not None
        assert (decision.record.phase, events_of(decision, record)) == (end, [end.value])


def test_an_undo_writes_once_the_old_versions_pods_are_ready() -> None:
    record = aborting(phase=Phase.UNDOING)
    seen = {"route_annotation": "website-1/4", "route_weights": weights(100)}

    waiting = advance(record, facts_of(record, ready_from=3, **seen))
    assert (waiting.write_routes, waiting.scale) == (None, {"version-1": 4})
    assert advance(record, facts_of(record, ready_from=4, **seen)).write_routes == "back"


def test_an_undo_that_an_abort_has_written_waits_for_no_pods() -> None:
    record = aborting(phase=Phase.UNDOING)
    decision = advance(record, facts_of(record, ready_from=0))

    assert decision.record is not None
    assert decision.record.phase is Phase.UNDONE


def test_an_abort_in_the_routes_of_one_virtual_service_decides_before_all_others() -> None:
    record = observing(1, stage=Stage.WRITING)
    as_wanted = RoutesSeen(weights=record.wanted, annotation=record.annotation, owner=FIELD_MANAGER)
    older = RoutesSeen(weights=weights(10), annotation="website-1/3", owner=FIELD_MANAGER)
    by_hand = RoutesSeen(weights=weights(10), annotation="website-1/4", owner="kubectl-edit")
    by_abort = RoutesSeen(weights=weights(0), annotation="website-1/abort", owner=FIELD_MANAGER)

    assert deciding(record, [as_wanted, older, by_hand, by_abort]) is by_abort
    assert deciding(record, [as_wanted, older, by_hand]) is by_hand
    assert deciding(record, [as_wanted, older]) is older
    assert deciding(record, [as_wanted]) is as_wanted


@pytest.mark.parametrize("ok", [True, False])
def test_hooks_after_an_abort_are_asked_once(ok: bool) -> None:
    plan = observing(0, hooks=HOOKS[3:]).plan
    record = aborted(plan=plan)
    assert advance(record, facts_of(record)).hook == "afterAbort"

    decision = advance(record, facts_of(record, hook_result=HookResult(at="afterAbort", ok=ok)))
    assert decision.record is not None
    assert events_of(decision, record) == ["HookPassed" if ok else "HookFailed"]
    assert advance(decision.record, facts_of(decision.record)).hook is None


def test_the_way_back_is_given_up_after_its_time_by_anybody() -> None:
    decision = advance(completed(), facts_of(completed(), lease_held=False, now=later(3600)))

    assert decision.record is not None
    assert (decision.record.phase, events_of(decision, completed())) == (Phase.CLOSED, ["Closed"])


def test_the_routes_go_back_to_pulumi_an_hour_after_the_end() -> None:
    for record in (aborted(), completed(phase=Phase.CLOSED, closed_at=START)):
        assert advance(record, facts_of(record, now=later(3600))).hand_over
        done = advance(record, facts_of(record, now=later(3600), route_owner="pulumi-kubernetes-1a2b"))
        assert done.record is not None
        assert (done.hand_over, events_of(done, record)) == (False, ["HandedBack"])
