"""The gates as facts: of the step that the record is at, never old, and kept in the cluster."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any, cast

from rollout.background import Background
from rollout.gate_reader import GateReading, key_of
from rollout.gates.decide import Answer
from rollout.gates.replay import Decisions
from rollout.gating_facts import GateFacts, ReadGates
from rollout.planned import PlannedCounters
from rollout.record import Record
from rollout.store import RolloutStore
from tests.unit.rollout.api_server import ApiServer
from tests.unit.rollout.records import GATES, START, aborting, fixed, gated, later, observing, record_of, verdict

SECONDS = 10.0


class Clock:
    """Seconds that a test sets; jobs run in threads, which it waits for."""

    def __init__(self, read: ReadGates | None) -> None:
        self.now = 0.0
        self.wake = threading.Event()
        self.background = Background(self.wake, lambda: self.now)
        self.facts = GateFacts(read, self.background, lambda: self.now)

    def look(self, record: Record) -> Any:
        """What is known once the reading that a look begins has ended."""
        self.wake.clear()
        found = self.facts.look(record, START)
        if self.background.runs("gates") or self.wake.is_set():
            assert self.wake.wait(SECONDS)
            found = self.facts.look(record, START)
        return found


def with_counters(record: Record, scrape: float = 15.0) -> Record:
    counters = PlannedCounters(source="envoy", scrape_seconds=scrape)
    return record.model_copy(update={"plan": record.plan.model_copy(update={"counters": counters})})


def answer_of(clock: Clock, record: Record) -> Answer | None:
    found = clock.facts.look(record, START).verdict
    return None if found is None else found.answer


def says(answer: Answer) -> ReadGates:
    return lambda record, now: GateReading(key=key_of(record), verdict=verdict(answer, 20.0, 1.0))


def test_a_rollout_without_gates_asks_nothing() -> None:
    def read(record: Record, now: str) -> GateReading | None:
        raise AssertionError("nobody asks")

    clock = Clock(read)
    for record in (observing(0), aborting(gates=GATES)):
        assert clock.look(record).verdict is None
    assert not clock.background.runs("gates")


def test_without_anybody_who_reads_them_nothing_is_known() -> None:
    seen = Clock(None).look(gated(0))
    assert seen.verdict.answer is Answer.NO_DATA
    assert seen.text


def test_a_verdict_is_that_of_the_step_of_the_record() -> None:
    clock = Clock(says(Answer.RISE))
    record = with_counters(gated(0))

    assert clock.look(record).verdict.answer is Answer.RISE
    settled_again = record.model_copy(update={"settled_at": later(5)})
    assert clock.facts.look(settled_again, START).verdict is None, "one on an earlier time of the step says nothing"


def test_an_answer_that_gets_old_is_none_and_harm_stays_harm() -> None:
    for answer, old in ((Answer.RISE, Answer.NO_DATA), (Answer.HARM, Answer.HARM)):
        gate = threading.Event()
        first = says(answer)

        asked: list[str] = []

        def read(
            record: Record, now: str, first: ReadGates = first, gate: threading.Event = gate, asked: list[str] = asked
        ) -> Any:
            if asked:
                gate.wait(SECONDS)  # a Prometheus that hangs
            asked.append(now)
            return first(record, now)

        clock = Clock(read)
        record = with_counters(gated(0))
        assert clock.look(record).verdict.answer is answer
        clock.now = 29.0
        assert answer_of(clock, record) is answer
        clock.now = 31.0
        assert answer_of(clock, record) is old
        gate.set()


def test_what_is_fixed_at_the_start_or_why_it_is_not() -> None:
    pending = with_counters(record_of(started_at=START, gates=GATES))
    known = Clock(lambda record, now: GateReading(key=key_of(record), fixed=fixed())).look(pending)
    unknown = Clock(lambda record, now: GateReading(key=key_of(record), text="no answer")).look(pending)

    assert (known.fixed, known.text) == (fixed(), "")
    assert (unknown.fixed, unknown.text) == (None, "no answer")


def test_evidence_and_decisions_are_kept_with_those_of_earlier_runs() -> None:
    server = ApiServer()
    store = RolloutStore(server.client, "website-istio-ns", "website")
    record = with_counters(gated(0))
    decisions = Decisions(plan=fixed().plan)
    for _ in range(2):  # two runners, one after the other
        clock = Clock(lambda one, now: replace(cast(Any, says(Answer.HOLD)(one, now)), decisions=decisions))
        clock.look(record)
        clock.wake.clear()
        clock.facts.keep(lambda: store)
        assert clock.wake.wait(SECONDS)

    found = store.read_gates()
    assert found is not None
    from rollout.gate_file import gate_file, unpacked

    assert found[0]["answer"] == "Hold"
    assert len(gate_file(unpacked(found[1])).runs) == 2


def test_what_the_log_has_of_it() -> None:
    clock = Clock(says(Answer.SUSPECT))
    assert clock.facts.words == ""
    clock.look(with_counters(gated(0)))
    assert clock.facts.words == "Suspect, e = 2.72: the gates say Suspect"
