"""What the gates and the limits of a rollout say, by the stack's Prometheus; without one there are no numbers."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from canary.command_error import CommandError
from canary.rollout.place import Place

if TYPE_CHECKING:
    from canary.engine.session import Session
    from canary.ui import Ui
    from metrics.prometheus import Prometheus
    from rollout.gate_reader import GateReader, GateReading
    from rollout.limits import LimitReading
    from rollout.record import Record

RETRY_SECONDS = 5.0
"""How often a connection that gives no numbers is made anew: the pod at its other end may be gone."""


NO_STACK = "without --stack there is no Prometheus to ask: start it with --stack"


class PrometheusReadings:
    """Reads limits and gates for the runner. The connection to Prometheus stays open from one reading to the next."""

    def __init__(self, ui: Ui, place: Place) -> None:
        self._session = session_of(ui, place)
        self._connection = ExitStack()
        self._prometheus: Prometheus | None = None
        self._next_try = 0.0
        self._missing = ""
        self._lock = threading.Lock()
        self._reader: GateReader | None = None

    def gates(self, record: Record, now: str) -> GateReading | None:
        """Return what the gates say of the current step, or what they compare with; None if it has none."""
        from rollout.gate_reader import GateReader, GateReading, key_of

        if record.strategy.gates is None:
            return None
        if self._session is None:
            return GateReading(key=key_of(record), text=NO_STACK)
        with self._lock:
            prometheus = self._open(self._session)
            if prometheus is None:
                return GateReading(key=key_of(record), text=self._missing)
            self._reader = self._reader or GateReader()
            found = self._reader.read(record, now, prometheus)
            if found is not None and _says_nothing(found) and time.monotonic() >= self._next_try:
                self.close()
            return found

    def limits(self, record: Record, now: str) -> LimitReading | None:
        """Return what the limits of the current step say; None if it has none."""
        from canary.telemetry import queries_of, scrape_interval
        from rollout.limits import read_limits

        limits = record.strategy.limits
        if limits is None or limits.error_percent is None:
            return None
        if self._session is None:
            return _no_numbers(NO_STACK)
        with self._lock:
            prometheus = self._open(self._session)
            if prometheus is None:
                return _no_numbers(self._missing)
            settings = self._session.settings
            found = read_limits(record, now, prometheus, queries_of(settings), scrape_interval(settings))
            if found is not None and found.result.no_data and time.monotonic() >= self._next_try:
                self.close()
            return found

    def close(self) -> None:
        """Close the connection; the next reading opens another."""
        self._prometheus = None
        self._connection.close()

    def _open(self, session: Session) -> Prometheus | None:
        from canary import telemetry

        if self._prometheus is None and time.monotonic() >= self._next_try:
            self._next_try = time.monotonic() + RETRY_SECONDS
            try:
                self._prometheus = self._connection.enter_context(telemetry.open_prometheus(session))
            except CommandError as error:
                self._missing = " ".join(str(error).split())
        return self._prometheus


def session_of(ui: Ui, place: Place) -> Session | None:
    """Return how the stack's Prometheus is reached; None without a stack."""
    from canary.engine.session import Session
    from canary.project import find_project

    if place.loaded is None or place.stack is None:
        return None
    return Session(ui, find_project(), place.stack, place.loaded)


def _says_nothing(found: GateReading) -> bool:
    """Whether there is no answer: the connection may be to a pod that is gone."""
    from rollout.gates.decide import Answer

    return bool(found.text) or (found.verdict is not None and found.verdict.answer is Answer.NO_DATA)


def _no_numbers(text: str) -> LimitReading:
    from rollout.decision import LimitResult
    from rollout.limits import LimitReading

    return LimitReading(result=LimitResult(no_data=True), text=text)
