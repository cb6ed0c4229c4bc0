"""The verbs without libraries do what those with them do, or nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout import lean, lean_verbs, verbs
from rollout.decision import Decision, Event, RefusedError, next_record
from rollout.lean import Api, NotSimpleError, barred_in
from rollout.lean_verbs import abort_at_once, abort_by, aborted, promoted, resumed, write_at_once
from rollout.observed_routes import ISTIO_API
from rollout.record import (
    ANNOTATION,
    FIELD_MANAGER,
    LONGEST_HISTORY,
    LONGEST_OUTBOX,
    NOT_STARTED,
    SCHEMA,
    Bar,
    Deadlines,
    EventType,
    Held,
    HoldReason,
    Paused,
    Phase,
    Promotion,
    Record,
    Stage,
)
from rollout.routes import BARRED_ANNOTATION
from rollout.store import LABEL, RolloutStore, barred_versions
from rollout.stored_routes import StoredRoutesError
from rollout.verbs import abort, pause, promote
from tests.unit.rollout.lean_connection import Served
from tests.unit.rollout.records import START, aborting, completed, gated, later, observing, record_of
from tests.unit.rollout.rollouts import AT_GATEWAY, IN_MESH, OneRunner, World
from tests.unit.rollout.sample_records import NAMESPACE
from tests.unit.rollout.test_machine_laws import ACTIONS, walk
from tests.unit.rollout.test_machine_laws import RECORDS as ANY_RECORDS
from traffic.model.rollout import AUTO_FACTOR, RolloutDeadline

RECORD = "istio-canary-rollout-website"
OTHER_BAR = Bar(version="version-0", hash="hash-0", reason="slow", by="bob", at=START)
SAME_BAR = OTHER_BAR.model_copy(update={"hash": "hash-2"})
PAUSED = Paused(by="bob", reason="lunch", at=START)

RECORDS: dict[str, Callable[[], Record]] = {
    "pending": record_of,
    "observing": lambda: observing(1),
    "completed": completed,
    "with bars": lambda: observing(1, bars=(OTHER_BAR, SAME_BAR)),
    "already aborted once": lambda: observing(1, outbox=aborting().outbox, history=aborting().history),
}
PERSONS: dict[str, Callable[[Record], Record | None]] = {
    "paused": lambda record: pause(record, "lunch", "bob", START).record,
    "promoted": lambda record: promote(record, "", "bob", START).record,
}


def as_json(record: Record) -> Any:
    return json.loads(record.to_json())


@pytest.mark.parametrize("make", RECORDS.values(), ids=RECORDS)
def test_the_record_is_the_one_that_the_machine_makes(make: Callable[[], Record]) -> None:
    record = make()
    expected = abort(record, "it fails", "ann", later(5)).record
    assert expected is not None

    found = aborted(as_json(record), "it fails", "ann", later(5))

    assert found == as_json(expected)
    assert Record.from_json(json.dumps(found)) == expected
    assert barred_in(found) == list(barred_versions(expected))


@settings(max_examples=300, deadline=None)
@given(record=ANY_RECORDS, actions=ACTIONS, reason=st.text(max_size=20), late=st.integers(0, 90000))
def test_whatever_has_happened_the_record_is_the_one_that_the_machine_makes(
    record: Record, actions: list[Any], reason: str, late: int
) -> None:
    """After any looks and verbs, from any strategy; where the machine refuses, or writes nothing, so does this."""
    record = walk(record, actions).record
    try:
        expected = abort(record, reason, "ann", later(late)).record
    except RefusedError:
        expected = None

    if expected is None:
        with pytest.raises(NotSimpleError):
            aborted(as_json(record), reason, "ann", later(late))
        return
    found = aborted(as_json(record), reason, "ann", later(late))
    assert found == as_json(expected)
    assert Record.from_json(json.dumps(found)) == expected
    assert barred_in(found) == list(barred_versions(expected))


@pytest.mark.parametrize("verb", PERSONS.values(), ids=PERSONS)
def test_what_persons_have_said_before_is_dropped(verb: Callable[[Record], Record | None]) -> None:
    record = verb(observing(1))
    assert record is not None
    expected = abort(record, "it fails", "ann", START).record
    assert expected is not None
    assert aborted(as_json(record), "it fails", "ann", START) == as_json(expected)


def test_long_lists_are_cut_as_the_machine_does() -> None:
    record = observing(1)
    for _ in range(LONGEST_OUTBOX):
        after = abort(record, "x", "ann", START).record
        assert after is not None
        record = record.model_copy(update={"outbox": after.outbox, "history": after.history})
    expected = abort(record, "it fails", "ann", START).record
    assert expected is not None
    assert aborted(as_json(record), "it fails", "ann", START) == as_json(expected)


@pytest.mark.parametrize(
    "record",
    [aborting(), record_of(phase=Phase.CLOSED), observing(1, void_since=START)],
    ids=["goes back already", "closed", "void"],
)
def test_what_the_machine_refuses_or_helps_with_is_left_to_it(record: Record) -> None:
    with pytest.raises(NotSimpleError):
        aborted(as_json(record), "it fails", "ann", START)


def test_names_and_limits_are_those_of_the_modules_that_own_them() -> None:
    assert (lean.MANAGER, lean_verbs.ANNOTATION, lean.LABEL) == (FIELD_MANAGER, ANNOTATION, LABEL)
    assert (lean.LONGEST_OUTBOX, lean.LONGEST_HISTORY) == (LONGEST_OUTBOX, LONGEST_HISTORY)
    assert (lean.SCHEMA, lean_verbs.BARRED_ANNOTATION) == (SCHEMA, BARRED_ANNOTATION)
    assert lean_verbs.ISTIO_API == ISTIO_API
    assert verbs.RUNNING == lean_verbs.RUNNING
    assert lean_verbs.AUTO_FACTOR == AUTO_FACTOR
    assert (NOT_STARTED, verbs.SHORTEST_STEP_DEADLINE) == (
        lean_verbs.NOT_STARTED,
        lean_verbs.SHORTEST_STEP_DEADLINE,
    )


@st.composite
def records(draw: st.DrawFn) -> Record:
    """Records of every phase, with and without what persons and the machine have noted."""
    phase = draw(st.sampled_from(Phase))
    step = draw(st.integers(-1, 2))
    deadline = RolloutDeadline(step=draw(st.sampled_from(["auto", "20m"])), total="1h")
    record = record_of(
        (10, 50, 100),
        hold_seconds=draw(st.sampled_from([0.0, 900.0])),
        deadline=deadline,
        phase=phase,
        stage=draw(st.sampled_from([None, *Stage])),
        step=step,
        started_at=draw(st.sampled_from([None, START])),
        ended_at=draw(st.sampled_from([None, START])),
        void_since=draw(st.sampled_from([None, None, None, START])),
        deadlines=draw(st.sampled_from([Deadlines(), Deadlines(step_at=later(9), total_at=later(3600))])),
        bars=draw(st.sampled_from([(), (OTHER_BAR,), (OTHER_BAR, SAME_BAR)])),
        paused=draw(st.sampled_from([None, PAUSED, PAUSED.model_copy(update={"kind": "harm"})])),
        promotion=draw(st.sampled_from([None, Promotion(step=max(step, 0), by="bob", at=START)])),
    )
    reason = draw(st.sampled_from([None, HoldReason.DRIFT, HoldReason.HAND]))
    held = None if reason is None else Held(reason=reason, text="it waits", since=START)
    events = (Event(type=EventType.STARTED, text="begun", data={"a": [1]}),) * draw(st.integers(0, 3))
    return next_record(record, START, "bob", *events, held=held)


SAME: dict[str, tuple[Callable[[Record, str], Decision], Callable[[Mapping[str, Any], str], dict[str, Any]]]] = {
    "abort": (
        lambda record, at: verbs.abort(record, "bad", "ann", at),
        lambda record, at: aborted(record, "bad", "ann", at),
    ),
    "promote": (
        lambda record, at: verbs.promote(record, "", "ann", at),
        lambda record, at: promoted(record, "", "ann", at),
    ),
    "promote to the end": (
        lambda record, at: verbs.promote(record, "well", "ann", at, full=True),
        lambda record, at: promoted(record, "well", "ann", at, full=True),
    ),
    "resume": (
        lambda record, at: verbs.resume(record, "ann", at),
        lambda record, at: resumed(record, "ann", at),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("verb", "without_libraries"), SAME.values(), ids=SAME)
@given(record=records(), at=st.sampled_from([later(60), later(3600)]))
def test_a_verb_without_libraries_writes_the_same_record_or_none(
    verb: Callable[[Record, str], Decision],
    without_libraries: Callable[[Mapping[str, Any], str], dict[str, Any]],
    record: Record,
    at: str,
) -> None:
    before = as_json(record)
    try:
        found = without_libraries(before, at)
    except NotSimpleError:
        found = None
    assert before == as_json(record)
    try:
        expected = verb(record, at).record
    except RefusedError:
        expected = None

    if expected is None:
        assert found is None
    elif found is not None:
        assert found == as_json(expected)
        assert found["phase"] == "Aborting" or found["history"][-1]["text"] == verb(record, at).why


@pytest.mark.parametrize(
    ("record", "verb"),
    [(observing(1), "promote"), (observing(1, paused=PAUSED), "resume"), (record_of(), "promote to the end")],
)
def test_what_persons_do_each_day_needs_no_libraries(record: Record, verb: str) -> None:
    _, without_libraries = SAME[verb]
    assert without_libraries(as_json(record), later(1))["generation"] == record.generation + 1


def test_a_resumption_has_the_deadline_that_leaves_time_for_the_proof() -> None:
    record = gated(1, paused=PAUSED)
    found = resumed(as_json(record), "ann", later(5))
    assert found["deadlines"]["stepAt"] == later(5 + 1200)
    assert found == as_json(verbs.resume(record, "ann", later(5)).record or record)


def test_a_promotion_with_gates_and_without_a_reason_is_left_to_who_can_read_the_evidence() -> None:
    with pytest.raises(NotSimpleError):
        promoted(as_json(gated(1)), "", "ann", START)
    expected = promote(gated(1), "urgent", "ann", START).record
    assert promoted(as_json(gated(1)), "urgent", "ann", START) == as_json(expected or gated(1))


def test_a_promotion_is_written_once_and_not_over_what_somebody_else_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.begin()
    OneRunner(world).until_step(1)
    monkeypatch.setattr(lean_verbs, "Api", lambda kubeconfig, context: Served(world))

    def promote_it() -> Any:
        return write_at_once(None, None, NAMESPACE, "website", SAME["promote"][1])

    written = promote_it()
    assert written == as_json(world.record)["history"][-1]
    assert world.record.promotion is not None
    assert world.weight() == 50

    def edit() -> None:
        label = {"labels": {"a": "b"}}
        world.update("configmaps", NAMESPACE, RECORD, "x", lambda item: item["metadata"].update(label))

    world.before = edit
    before = world.record.generation
    second = promote_it()
    assert second is not None
    assert second["generation"] == before + 1
    assert world.record.generation == before


@pytest.mark.parametrize("virtual_services", [1, 2])
def test_the_cluster_is_as_after_any_other_abort(virtual_services: int) -> None:
    world = World(virtual_services=virtual_services)
    world.begin()
    OneRunner(world).until_step(1)

    assert abort_by(Served(world), NAMESPACE, "website", "bad", "ann")

    assert (world.record.phase, world.weight()) == ("Aborting", 0)
    assert virtual_services == 1 or world.weight(IN_MESH) == 0
    assert world.annotation() == world.record.annotation
    annotations = world.get("virtualservices", NAMESPACE, AT_GATEWAY)["metadata"]["annotations"]
    assert annotations[BARRED_ANNOTATION] == "version-2"
    assert OneRunner(world, "host/2/b").to_the_end().phase == "Aborted"


def test_routes_that_somebody_writes_meanwhile_are_left_to_the_next_abort() -> None:
    world = World()
    world.begin()
    OneRunner(world).until_step(1)

    def edit() -> None:
        label = {"labels": {"a": "b"}}
        world.update("virtualservices", NAMESPACE, AT_GATEWAY, "x", lambda item: item["metadata"].update(label))

    world.before = edit
    assert not abort_by(Served(world), NAMESPACE, "website", "bad", "ann")
    assert (world.record.phase, world.weight()) == ("Aborting", 50)


@pytest.mark.parametrize("kept", ["record", "routes", "virtual service"])
def test_nothing_is_written_when_something_is_missing(kept: str) -> None:
    world = World()
    world.begin()
    if kept == "record":
        del world.objects["configmaps", NAMESPACE, RECORD]
    elif kept == "routes":
        RolloutStore(world.client, NAMESPACE, "website").delete_routes()
    else:
        del world.objects["virtualservices", NAMESPACE, AT_GATEWAY]
    writes = world.writes

    with pytest.raises((NotSimpleError, StoredRoutesError)):
        abort_by(Served(world), NAMESPACE, "website", "bad", "ann")
    assert world.writes == writes


def kubeconfig(path: Path, *, cluster: Any = None, user: Any = None) -> str:
    content = {
        "current-context": "a",
        "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"} | (cluster or {})}],
        "users": [{"name": "u", "user": user or {"token": "t"}}],
    }
    path.write_text(yaml.safe_dump(content))
    return str(path)


@pytest.mark.parametrize(
    ("cluster", "user"),
    [
        ({}, {"exec": {"command": "login"}}),
        ({"insecure-skip-tls-verify": True}, {}),
        ({"proxy-url": "http://p"}, {}),
        ({"server": "http://127.0.0.1:1"}, {}),
        ({}, {"client-certificate": "only-half.pem"}),
    ],
)
def test_a_kubeconfig_that_asks_for_more_is_left_to_the_libraries(tmp_path: Path, cluster: Any, user: Any) -> None:
    path = kubeconfig(tmp_path / "config", cluster=cluster, user=user)
    with pytest.raises((NotSimpleError, OSError)):
        Api(path, None)
    assert not abort_at_once(path, None, NAMESPACE, "website", "bad", "ann")


@pytest.mark.parametrize("text", ["", "a: [", "current-context: b\ncontexts: []\n"])
def test_a_kubeconfig_that_cannot_be_read_is_left_to_the_libraries(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    assert not abort_at_once(str(path), None, NAMESPACE, "website", "bad", "ann")


def test_an_api_server_that_is_not_there_is_left_to_the_libraries(tmp_path: Path) -> None:
    assert not abort_at_once(kubeconfig(tmp_path / "config"), None, NAMESPACE, "website", "bad", "ann")


def test_it_imports_no_library_that_takes_long() -> None:
    import subprocess
    import sys

    script = "import sys, rollout.lean_verbs; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pydantic", "lightkube", "httpx2", "traffic.model"} & set(loaded)
