"""The laws by which rollouts on the sandbox are judged: each holds where it should, and finds what breaks it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from rollout.decision import Decision, Event, next_record
from rollout.record import EventType, Phase, Record, Stage
from rollout.verbs import abort, retry
from tests.e2e.event_sink import EventSink
from tests.e2e.load import Answer
from tests.e2e.rollouts import laws
from tests.e2e.rollouts.journal import Journal, PodsWrite, RecordWrite, RouteWrite, Write, weights_of_last_rule
from tests.unit.rollout.records import START, aborted, observing, record_of, weights

BEGAN = datetime.fromisoformat(START)
OLD = {"version-1": 100.0}


def split(weight: float) -> dict[str, float]:
    return {"version-1": 100 - weight, "version-2": weight}


def history(*written: Record | tuple[Mapping[str, float], str]) -> list[Write]:
    """Writes in this order, one a second: records, and routes with their annotation."""
    found: list[Write] = []
    for number, one in enumerate(written):
        place: dict[str, Any] = {"revision": 100 + number, "at": BEGAN + timedelta(seconds=number)}
        if isinstance(one, Record):
            found.append(RecordWrite(record=one, **place))
        else:
            found.append(RouteWrite(service="website", weights=one[0], annotation=one[1], owner="rollout", **place))
    return found


def step(number: int, stage: Stage = Stage.WRITING) -> Record:
    """A record whose step was decided by its generation."""
    return observing(number, stage=stage, generation=10 + number, route_generation=10 + number)


PENDING = record_of((10, 50, 100))
FIRST, SECOND = step(0), step(1)


def decided(decision: Decision) -> Record:
    assert decision.record is not None
    return decision.record


BACK = decided(abort(SECOND, "it fails", "ann", START))
ENDED = next_record(BACK, START, "ann", Event(type=EventType.ABORTED, text="it fails"), phase=Phase.ABORTED)
AGAIN = decided(retry(ENDED, "fixed", "ann", START))
ROUTE_1, ROUTE_2 = (split(10), FIRST.annotation), (split(50), SECOND.annotation)
ROUTE_BACK = (OLD, BACK.annotation)


@pytest.mark.parametrize(
    "written",
    [
        (PENDING, (OLD, ""), FIRST, ROUTE_1, SECOND, ROUTE_2, BACK, ROUTE_BACK, ENDED),
        ((OLD, ""), PENDING, FIRST, BACK, ROUTE_BACK),
        (PENDING, (OLD, ""), FIRST, ROUTE_1, SECOND, BACK, ROUTE_2, ROUTE_BACK),  # a sleeper, before the abort's routes
        ((split(50), ""),),
    ],
)
def test_routes_that_follow_the_record_do_not_stray(written: Any) -> None:
    assert laws.strayed(history(*written)) == []
    assert laws.came_back(history(*written)) == []


@pytest.mark.parametrize(
    "written",
    [
        (PENDING, ROUTE_1),
        (PENDING, (OLD, ""), FIRST, SECOND),
        (PENDING, (OLD, ""), FIRST, (split(11), FIRST.annotation)),
        (PENDING, FIRST, ROUTE_1, SECOND, ROUTE_2, ROUTE_BACK),
    ],
)
def test_routes_that_nobody_wanted_or_that_are_two_decisions_behind_stray(written: Any) -> None:
    assert len(laws.strayed(history(*written))) == 1


@pytest.mark.parametrize("late", [ROUTE_1, ROUTE_2, (split(50), "")])
@pytest.mark.parametrize("at_the_end", [True, False])
def test_a_version_that_gets_requests_after_the_routes_of_its_abort_came_back(late: Any, at_the_end: bool) -> None:
    written = (SECOND, ROUTE_2, BACK, ROUTE_BACK, *((ENDED,) if at_the_end else ()), late)
    (found,) = laws.came_back(history(*written))
    assert "website at revision" in found


def test_after_a_retry_it_may_get_requests_again() -> None:
    written = (SECOND, ROUTE_2, BACK, ROUTE_BACK, ENDED, AGAIN, (split(10), "website-2/1"))
    assert laws.came_back(history(*written)) == []


def answer(second: float, status: int = 200, said_by: str | None = None, version: str | None = None) -> Answer:
    sent = BEGAN + timedelta(seconds=second)
    return Answer(target="website", sent=sent, answered=sent, status=status, version=version, said_by=said_by)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (answer(1.5, said_by="version-2"), 0),
        (answer(2.5, said_by="version-1"), 0),
        (answer(2.5, said_by="version-2"), 1),
        (answer(2.5, 503, version="version-2"), 1),
        (answer(9.0, said_by="version-2"), 1),
    ],
)
def test_an_answer_of_a_version_to_a_request_that_was_sent_after_its_end_is_found(given: Answer, found: int) -> None:
    writes = history(BACK, ROUTE_BACK, ENDED)  # Aborted in the second 2
    assert len(laws.served_after_the_end(writes, [given])) == found


def test_answers_after_the_first_step_of_a_retry_are_no_fault() -> None:
    stepped = next_record(AGAIN, START, "ann", phase=Phase.PROGRESSING, step=0, wanted=weights(10))
    writes = history(BACK, ROUTE_BACK, ENDED, AGAIN, stepped)
    given = [answer(second, said_by="version-2") for second in (3.5, 4.5)]
    assert len(laws.served_after_the_end(writes, given)) == 1


@pytest.mark.parametrize(
    ("given", "is_lost"),
    [
        (answer(0, 200, "version-1"), False),
        (answer(0, 503, "version-2", "version-2"), False),
        (answer(0, 503, "version-1", "version-1"), True),
        (answer(0, 503, None, "version-2"), True),
        (answer(0, 0), True),
    ],
)
def test_a_failure_is_a_versions_own_only_if_the_bad_version_answered_it(given: Answer, is_lost: bool) -> None:
    assert bool(laws.not_of_a_version([given], {"website": "version-2"})) is is_lost
    assert bool(laws.not_of_a_version([given], {})) is not given.ok


def pods(ready: int, revision: int) -> PodsWrite:
    names = frozenset({"website-version-1-a", *(f"website-version-2-{number}" for number in range(ready))})
    return PodsWrite(revision=revision, at=BEGAN, service="website", ready=names)


@pytest.mark.parametrize(("ready", "found"), [(2, 0), (1, 1), (0, 1)])
def test_a_step_that_is_decided_without_enough_pods_is_found(ready: int, found: int) -> None:
    """Half of four pods are needed, and only once the step is decided."""
    first, second, later = history(step(0), step(1), step(1, Stage.OBSERVING))
    assert len(laws.without_pods([first, pods(ready, 100), second, pods(0, 101), later])) == found


def test_the_first_step_of_a_record_is_no_rise() -> None:
    assert laws.without_pods(history(step(1), PENDING)) == []


def test_steps_follow_each_other() -> None:
    assert laws.skipped([PENDING, step(0), step(0), step(1), BACK, AGAIN]) == []
    assert laws.skipped([PENDING, step(0), step(2)]) == ["website-1: step 0 to 2"]
    assert laws.skipped([step(1), step(0)]) == ["website-1: step 1 to 0"]


def told(record: Record, kind: EventType = EventType.STEP_WRITTEN, **changes: Any) -> Record:
    return next_record(record, START, "ann", Event(type=kind, text=kind.value), **changes)


def sink_with(*ids: str) -> EventSink:
    """A sink that has accepted events of these ids, each of which says something else."""
    sink = EventSink()
    for number, one in enumerate(ids):
        body = f'{{"specversion": "1.0", "id": "{one}", "type": "x.{number}", "data": {{}}}}'
        sink.answer("/", {}, body.encode())
    return sink


def test_events_that_all_came_are_told() -> None:
    record = told(told(observing()), EventType.SETTLED)
    assert laws.untold([record], sink_with(*(event.id for event in record.outbox))) == []


def test_an_event_that_is_missing_or_unknown_is_found_and_other_services_are_left_out() -> None:
    record = told(observing())
    (event,) = record.outbox
    assert laws.untold([record], sink_with()) == [f"{event.id} (StepWritten) did not come"]
    found = laws.untold([record], sink_with(event.id, "website-1/99/0", "shop-1/99/0"))
    assert found == ["website-1/99/0 came, and no record has it"]


def test_an_exit_that_is_told_under_two_ids_is_found() -> None:
    record = told(told(observing()))
    ids = [event.id for event in record.outbox]
    assert laws.untold([record], sink_with(*ids)) == ["website-1: StepWritten of step 0 2 times"]
    sink = sink_with(*ids[:1])
    same = dict(sink.events[0]) | {"id": ids[1]}
    sink.answer("/", {}, str(same).replace("'", '"').encode())
    assert len(laws.untold([record], sink)) == 3


def test_two_steps_have_two_events() -> None:
    record = told(told(observing(0)), step=1)
    assert laws.untold([record], sink_with(*(event.id for event in record.outbox))) == []


def test_a_change_without_an_event_is_found() -> None:
    before = observing(0)
    silent = next_record(before, START, "ann", phase=Phase.COMPLETED)
    assert laws.without_an_event([before, told(before, phase=Phase.COMPLETED)]) == []
    assert laws.without_an_event([before, next_record(before, START, "ann", holder="other")]) == []
    assert len(laws.without_an_event([before, silent])) == 1


def test_a_journal_is_in_the_order_of_the_api_server_however_it_was_heard() -> None:
    writes = history(PENDING, (OLD, ""), FIRST, ROUTE_1, aborted(service="other"))
    for order in itertools.permutations(writes):
        kept = Journal()
        for write in order:
            kept.add(write)
        assert kept.of("website") == writes[:4]
        assert kept.last("website") == FIRST
        assert kept.records("website") == [PENDING, FIRST]


def test_a_journal_tells_when_a_record_is_as_asked() -> None:
    kept = Journal()
    for write in history(PENDING, FIRST):
        kept.add(write)
    assert kept.wait_for("website", lambda record: record.step == 0, 0) == FIRST
    assert kept.wait_for("website", lambda record: record.step == 1, 0) is None
    assert kept.wait_for("other", lambda record: True, 0) is None


@pytest.mark.parametrize(
    ("http", "expected"),
    [
        ([{"route": [{"destination": {"subset": "v1"}}]}], {"v1": 100.0}),
        ([{"route": [{"destination": {"subset": "v2"}, "weight": 100}]}], {"v2": 100.0}),
        ([{"match": [{}], "route": []}, {"route": [{"destination": {"subset": "v1"}, "weight": 90},
                                                   {"destination": {"subset": "v2"}, "weight": 10}]}],
         {"v1": 90.0, "v2": 10.0}),
        ([{"route": [{"destination": {"subset": "v1"}, "weight": 100}, {"destination": {"subset": "v2"}}]}],
         {"v1": 100.0}),
        ([], {}),
    ],
)  # fmt: skip
def test_the_weights_of_a_route_are_those_of_its_last_rule(http: Any, expected: dict[str, float]) -> None:
    assert weights_of_last_rule({"spec": {"http": http}}) == expected
