"""The gates as facts of a runner's loop: asked for beside it, never old, and kept in the cluster."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import exp
from typing import TYPE_CHECKING, Any

from rollout.background import Background
from rollout.decision import GatesFixed
from rollout.gates.decide import OLD, Answer, Verdict
from rollout.record import Record

if TYPE_CHECKING:
    from rollout.gate_packing import Packing
    from rollout.gate_reader import GateReading
    from rollout.store import RolloutStore

logger = logging.getLogger(__name__)

ReadGates = Callable[[Record, str], "GateReading | None"]
"""What the gates say, from the record and the API server's time: `rollout.gate_reader.GateReader.read`."""

SOONEST, LATEST = 1.0, 5.0
"""Seconds between two readings: a third of a scrape interval, within these."""
SLOW = 10.0
"""Seconds for which an answer counts at least: one that takes long is not missed at once."""
FAILED_EVERY = 5.0
"""Seconds after which it is asked again what the old version was like, if that could not be read."""
KEPT_EVERY = 15.0
"""Seconds after which the evidence is kept in the cluster again, if the answer is the same."""


@dataclass(frozen=True, kw_only=True)
class GatesSeen:
    """For the fields of `Facts` with these names."""

    verdict: Verdict | None = None
    fixed: GatesFixed | None = None
    text: str = ""


class GateFacts:
    """Asks for the gates of one service's rollout, again and again."""

    def __init__(
        self, read: ReadGates | None, background: Background, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._background = background
        self._clock = clock
        self._last: tuple[Record, str, GateReading] | None = None
        self._kept: tuple[Any, float] | None = None
        self._packing: Packing | None = None

    def look(self, record: Record, now: str) -> GatesSeen:
        """Return what is known now, and start what is due."""
        if record.strategy.gates is None or record.phase.goes_back or not record.phase.active:
            return GatesSeen()
        if self._read is None:
            return GatesSeen(
                verdict=_unknown("nobody reads the gates' numbers"), text="nobody reads the gates' numbers"
            )
        from rollout.gate_reader import key_of

        read, key = self._read, key_of(record)
        done = self._background.result("gates", record.id)
        age = None if done is None else self._clock() - done.at
        if (age is None or age >= self._every(record)) and not self._background.runs("gates"):
            self._background.start("gates", record.id, lambda goes_on: (_safely(read, record, now),))
        found: GateReading | None = None if done is None else done.value[0]
        if found is None or age is None or found.key != key:
            return GatesSeen()
        self._last = (record, now, found)
        if age >= max(OLD * _scrape(record), SLOW):
            text = f"Prometheus has not answered for {age:.0f} s"
            return GatesSeen(verdict=self._without(found.verdict, text), text=text)
        if found.verdict is None and found.text:
            return GatesSeen(verdict=_unknown(found.text), text=found.text)
        return GatesSeen(verdict=found.verdict, fixed=found.fixed, text=found.text)

    @property
    def words(self) -> str:
        """What the gates said last, for the log."""
        verdict = None if self._last is None else self._last[2].verdict
        if verdict is None:
            return ""
        return f"{verdict.answer.value}, e = {exp(min(verdict.log_e, 20.0)):.3g}: {verdict.reason}"

    def keep(self, store: Callable[[], RolloutStore], *, last: bool = False) -> None:
        """Keep evidence and decisions in the cluster: every so often, when the answer changes, and at the end."""
        if self._last is None or self._background.runs("gates kept"):
            return
        record, now, reading = self._last
        answer = (record.id, record.step, None if reading.verdict is None else reading.verdict.answer)
        at = self._clock()
        same = self._kept is not None and self._kept[0] == answer
        if same and (last or (self._kept is not None and at - self._kept[1] < KEPT_EVERY)):
            return
        self._kept = (answer, at)
        chosen = store()
        self._background.start("gates kept", at, lambda goes_on: self._write(chosen, record, now, reading))

    def _write(self, store: RolloutStore, record: Record, now: str, reading: GateReading) -> None:
        from rollout.gate_file import evidence_of
        from rollout.gate_packing import Packing

        if self._packing is None or self._packing.rollout != record.id:
            self._packing = Packing(record.id, _runs_before(store, record))
        store.write_gates(evidence_of(record, reading, now), self._packing.packed(reading.decisions))

    def _every(self, record: Record) -> float:
        if record.plan.gates is None:
            return FAILED_EVERY
        return min(max(_scrape(record) / 3, SOONEST), LATEST)

    def _without(self, verdict: Verdict | None, text: str) -> Verdict:
        if verdict is None or verdict.answer is Answer.HARM:
            return verdict or _unknown(text)
        return replace(verdict, answer=Answer.NO_DATA, reason=text)


def _safely(read: ReadGates, record: Record, now: str) -> GateReading | None:
    """A reading that fails in a way that nobody has thought of is no data: nothing may rise, or wait for ever."""
    from rollout.gate_reader import GateReading, key_of

    try:
        return read(record, now)
    except Exception as error:  # noqa: BLE001 - a thread's error would be lost, and the step would wait for ever
        logger.warning("gates: %s: %s", type(error).__name__, error)
        return GateReading(key=key_of(record), text=f"the numbers cannot be read: {type(error).__name__}: {error}")


def _runs_before(store: RolloutStore, record: Record) -> tuple[str, ...]:
    """The decisions of runners that had this rollout before."""
    from rollout.gate_file import run_texts, unpacked
    from rollout.gates.replay import ReplayError

    found = store.read_gates()
    if found is None or not found[1] or not isinstance(found[0], dict) or found[0].get("rollout") != record.id:
        return ()
    try:
        return run_texts(unpacked(found[1]))
    except ReplayError:
        return ()


def _scrape(record: Record) -> float:
    return record.plan.counters.scrape_seconds if record.plan.counters is not None else LATEST


def _unknown(text: str) -> Verdict:
    """Nothing is known of a step."""
    return Verdict(answer=Answer.NO_DATA, reason=text, log_e=0.0, observed_seconds=0.0)
