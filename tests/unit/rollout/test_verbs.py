"""What persons, and `up`, make of a rollout, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rollout.beginning import begin
from rollout.decision import Decision, RefusedError, delivered
from rollout.machine import advance
from rollout.record import (
    LONGEST_HISTORY,
    LONGEST_OUTBOX,
    Approval,
    Deadlines,
    Held,
    HoldReason,
    Paused,
    Phase,
    Promotion,
    Record,
    Release,
    Stage,
)
from rollout.verbs import (
    abort,
    approve,
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

BY_HAND = Paused(by="ann", reason="lunch", at=START)
NEXT = Release(version="version-3", hash="hash-3")


def _written(decision: Decision) -> Record:
    assert decision.record is not None
    return decision.record


def _types(record: Record) -> list[str]:
    return [event.type.value for event in record.outbox]


def _begin(previous: Record | None, target: Release = NEXT, annotation: str | None = None) -> Decision:
    fresh = record_of()
    return begin(
        previous, service="website", namespace="website-istio-ns", vs_uids={"website": "uid-2"}, target=target,
        from_=fresh.target, plan=fresh.plan, by="up", at=later(9), annotation=annotation,
    )  # fmt: skip


@pytest.mark.parametrize("record", [record_of(), observing(0), observing(1, stage=Stage.WRITING), completed()])
def test_an_abort_brings_all_requests_back_at_once_and_bars_the_release(record: Record) -> None:
    decision = abort(record, "errors in the log", "ann", later(1))
    after = _written(decision)

    assert (after.phase, after.wanted) == (Phase.ABORTING, weights(0))
    assert (decision.write_routes, decision.annotation) == ("back", after.annotation)
    bar = after.bar_of("hash-2")
    assert bar is not None
    assert (bar.reason, bar.by, bar.at) == ("errors in the log", "ann", later(1))
    assert after.annotation != record.annotation, "the abort's write must move resourceVersion"


@pytest.mark.parametrize("verb", [abort, undo])
def test_what_goes_back_already_is_helped_without_a_record(verb: Callable[..., Decision]) -> None:
    for record in (aborting(), aborting(phase=Phase.UNDOING)):
        decision = verb(record, "again", "ben", START)
        assert (decision.record, decision.write_routes, decision.annotation) == (None, "back", record.annotation)
    done = verb(aborted(), "again", "ben", START)
    assert (done.record, done.write_routes, done.wait_seconds) == (None, None, None)


def test_an_undo_waits_for_the_pods_before_it_writes() -> None:
    decision = undo(completed(), "sales are down", "ann", START)

    assert (_written(decision).phase, decision.write_routes) == (Phase.UNDOING, None)
    assert _written(decision).bar_of("hash-2") is not None


@pytest.mark.parametrize(
    ("act", "what", "fix"),
    [
        (lambda: abort(completed(phase=Phase.CLOSED), "", "ann", START), "closed", "canary up"),
        (lambda: undo(completed(phase=Phase.CLOSED), "", "ann", START), "closed", "canary up"),
        (lambda: undo(observing(1), "", "ann", START), "step 2 of 3", "canary rollout abort"),
        (lambda: pause(completed(), "", "ann", START), "nothing to pause", "status"),
        (lambda: pause(aborting(), "", "ann", START), "Aborting: nothing to pause", "status"),
        (lambda: resume(observing(0), "ann", START), "not paused", "status"),
        (lambda: promote(record_of(), "", "ann", START), "first step", "canary rollout start"),
        (lambda: promote(observing(0, paused=BY_HAND), "", "ann", START), "paused by ann", "resume"),
        (
            lambda: promote(
                observing(0, paused=BY_HAND.model_copy(update={"kind": "harm"})), "", "ann", START
            ),
            "paused by ann",
            "--despite-harm",
        ),
        (lambda: approve(observing(0), "ann", START), "no approval", "plan"),
        (lambda: retry(observing(0), "fixed", "ann", START), "step 1 of 3", "canary rollout start"),
        (lambda: retry(aborted(), " ", "ann", START), "no reason", "say what has changed"),
        (lambda: retry(aborted(void_since=START), "fixed", "ann", START), "void", "canary up"),
        (lambda: abort(observing(0, void_since=START), "", "ann", START), "void", "canary up"),
        (lambda: supersede(observing(0), "version-3", "up", START), "version-3", "onSupersede: abort"),
        (lambda: _begin(observing(0)), "step 1 of 3", "abort it"),
        (lambda: _begin(record_of(started_at=START)), "Pending", "abort it"),
        (lambda: _begin(aborting()), "Aborting", "wait"),
        (lambda: _begin(aborted(), record_of().target), "it fails", "canary rollout retry website"),
    ],
)  # fmt: skip
def test_what_the_state_does_not_allow_is_refused_with_the_fix(
    act: Callable[[], Decision], what: str, fix: str
) -> None:
    with pytest.raises(RefusedError) as refused:
        act()

    assert what in refused.value.what
    assert fix in refused.value.fix


def test_a_pause_keeps_what_is_wanted_and_resume_lets_it_go_on() -> None:
    paused = _written(pause(observing(0), "lunch", "ann", START, seconds_long=1800))
    assert paused.paused is not None
    assert (paused.paused.until, paused.wanted) == (later(1800), weights(10))

    resumed = _written(resume(paused, "ann", later(60)))
    assert (resumed.paused, resumed.annotation) == (None, paused.annotation)
    assert _types(resumed) == ["Paused", "Resumed"]


def test_deadlines_that_have_passed_begin_again_at_resume() -> None:
    late = Deadlines(step_at=later(600), total_at=later(86400))
    record = observing(0, deadlines=late, paused=BY_HAND)

    assert _written(resume(record, "ann", later(700))).deadlines == Deadlines(
        step_at=later(1300), total_at=later(86400)
    )
    assert _written(resume(record, "ann", later(90000))).deadlines.total_at == later(90000 + 86400)


def test_resuming_after_a_drift_writes_the_routes_again_over_the_other_owner() -> None:
    drift = Held(reason=HoldReason.DRIFT, text="", since=START)
    record = observing(1, paused=BY_HAND.model_copy(update={"kind": "drift"}), held=drift)
    resumed = _written(resume(record, "ann", START))
    assert resumed.annotation != record.annotation

    seen = facts_of(resumed, route_weights=weights(70), route_annotation=None, route_owner="kubectl-edit")
    decision = advance(resumed, seen)
    assert (decision.write_routes, decision.record) == ("step", None)


def test_a_promotion_is_for_one_step_and_a_promotion_despite_harm_ends_its_pause() -> None:
    harmed = observing(1, paused=BY_HAND.model_copy(update={"kind": "harm"}))
    promoted = _written(promote(harmed, "known fault", "ann", START, despite_harm=True))

    assert promoted.paused is None
    assert promoted.promotion is not None
    assert (promoted.promotion.step, promoted.promotion.despite_harm) == (1, True)


def test_a_promotion_to_the_end_may_come_before_the_first_step() -> None:
    assert _written(promote(record_of(), "urgent", "ann", START, full=True)).promotion is not None


def test_an_approval_counts_once() -> None:
    approved = _written(approve(observing(0, approve=True), "ann", START))

    assert [approval.by for approval in approved.approvals] == ["ann"]
    assert approve(approved, "ben", START).record is None


@pytest.mark.parametrize(("target", "by"), [(NEXT, NEXT.version), (record_of().target, "another plan")])
def test_what_was_not_started_is_superseded_by_another_release_or_plan(target: Release, by: str) -> None:
    written = _written(_begin(record_of(), target))
    assert [event.text for event in written.outbox][:1] == [f"superseded by {by} before it started"]


def test_a_retry_lifts_the_bar_and_begins_under_a_new_id() -> None:
    before = aborted(hooks_done=("afterAbort",))
    after = _written(retry(before, "the database is back", "ann", later(5)))

    assert (after.id, after.phase, after.step, after.bars) == ("website-2", Phase.PENDING, -1, ())
    assert (after.ended, after.hooks_done, after.wanted) == (None, (), weights(0))
    assert after.generation == before.generation + 1, "generations go on, so that no annotation is used twice"


def test_a_retry_begins_where_the_requests_are() -> None:
    plan = observing(1).plan.model_copy(update={"start": weights(50)})

    assert _written(retry(aborted(plan=plan), "fixed", "ann", START)).wanted == weights(0)


def test_a_third_version_aborts_the_rollout_if_the_strategy_says_so() -> None:
    after = _written(supersede(observing(0, on_supersede="abort"), "version-3", "up", START))

    assert (after.phase, _types(after)) == (Phase.ABORTING, ["Superseded", "Aborting"])
    assert after.ended is not None
    assert after.ended.kind == "superseded"
    assert supersede(after, "version-3", "up", START).record is None


@pytest.mark.parametrize("record", [record_of(), completed(), completed(phase=Phase.CLOSED)])
def test_a_third_version_aborts_nothing_that_has_not_begun_or_has_ended(record: Record) -> None:
    decision = supersede(record, "version-3", "up", START)

    assert (decision.record, decision.write_routes) == (None, None)
    assert _written(_begin(record)).phase is Phase.PENDING


def test_the_first_rollout_of_a_service() -> None:
    first = _written(_begin(None))

    assert (first.id, first.generation, first.phase, first.annotation) == ("website-1", 1, Phase.PENDING, "website-1/1")
    assert _types(first) == ["Pending"]


@pytest.mark.parametrize(
    ("annotation", "id_", "generation"),
    [("website-7/41", "website-8", 42), ("website-7/abort", "website-8", 1), ("by hand", "website-1", 1)],
)
def test_the_numbers_go_on_after_those_of_a_lost_record(annotation: str, id_: str, generation: int) -> None:
    first = _written(_begin(None, annotation=annotation))

    assert (first.id, first.generation, first.annotation) == (id_, generation, f"{id_}/{generation}")


@pytest.mark.parametrize(
    ("previous", "events"),
    [
        (aborted(), ["Pending"]),
        (completed(phase=Phase.CLOSED), ["Pending"]),
        (completed(), ["Closed", "Pending"]),
        (record_of(), ["Superseded", "Pending"]),
        (observing(1, void_since=START), ["Pending"]),
    ],
    ids=["aborted", "closed", "completed", "not started", "void"],
)
def test_the_next_rollout_of_a_service_keeps_bars_and_unsent_events(previous: Record, events: list[str]) -> None:
    after = _written(_begin(previous))

    assert (after.id, after.phase, after.target) == ("website-2", Phase.PENDING, NEXT)
    assert (after.bars, _types(after)) == (previous.bars, events)
    assert (after.vs_uids, after.void_since, after.step) == ({"website": "uid-2"}, None, -1)


def test_nothing_of_the_rollout_before_is_left_in_the_next_one() -> None:
    before = completed(
        promotion=Promotion(step=2, by="ann", at=START, full=True),
        approvals=(Approval(step=0, by="ann", at=START),),
        held=Held(reason=HoldReason.DRIFT, text="", since=START),
        hooks_done=("afterStep/0",),
        holder="ci/1/a",
    )
    fresh = _written(_begin(None))
    kept = {"id", "generation", "route_generation", "outbox", "history", "bars"}

    assert _written(_begin(before)).model_dump(exclude=kept) == fresh.model_dump(exclude=kept)


def test_a_holder_that_stops_says_so_if_it_still_is_the_holder() -> None:
    record = observing(0, holder="ci/1/a")

    assert _types(_written(release_holder(record, "ci/1/a", START))) == ["HolderLost"]
    assert release_holder(record, "laptop/2/b", START).record is None


def test_the_routes_are_noted_as_pulumis_once_and_only_after_the_end() -> None:
    noted = _written(handed_back(aborted(), "up", START))

    assert noted.handed_back_at == START
    assert handed_back(noted, "up", START).record is None
    assert handed_back(observing(0), "up", START).record is None


def test_an_event_stays_until_every_receiver_has_it() -> None:
    record = _written(pause(observing(0), "lunch", "ann", START))
    (event,) = record.outbox

    once = delivered(record, {event.id: ("kubernetes",)}, ("kubernetes", "chat"))
    assert [one.delivered for one in once.outbox] == [("kubernetes",)]
    assert delivered(once, {event.id: ("chat",)}, ("kubernetes", "chat")).outbox == ()


def test_history_and_outbox_do_not_grow_for_ever() -> None:
    record = observing(0)
    for _ in range(LONGEST_OUTBOX + 5):
        record = _written(pause(record, "again", "ann", START))

    assert (len(record.history), len(record.outbox)) == (LONGEST_HISTORY, LONGEST_OUTBOX)
    assert len(record.to_json()) < 100_000


def test_decisions_of_a_verb_are_told_with_who_and_where() -> None:
    for verb in (pause, abort):
        entry = _written(verb(observing(1), "why", "ann", START)).history[-1]
        assert (entry.by, entry.step, entry.id) == ("ann", 1, "website-1")


def test_a_rollout_that_was_withdrawn_bars_nothing_and_the_next_one_may_follow() -> None:
    after = _written(withdraw(record_of(), "up", later(1)))

    assert (after.phase, after.bars, after.wanted) == (Phase.ABORTED, (), record_of().wanted)
    assert _types(after) == ["Superseded"]
    assert _written(_begin(after, after.target)).phase is Phase.PENDING


@pytest.mark.parametrize("record", [record_of(started_at=START), observing(0), completed(), aborted()])
def test_a_rollout_that_has_started_is_not_withdrawn(record: Record) -> None:
    with pytest.raises(RefusedError, match="meanwhile"):
        withdraw(record, "up", later(1))
