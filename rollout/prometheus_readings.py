"""What the gates and the limits of a rollout say, by a Prometheus; without one there are no numbers.

Which counters are read, and how often they are collected, is in the record: whoever runs a rollout needs no stack file.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metrics.prometheus import Prometheus
    from rollout.gate_reader import GateReader, GateReading
    from rollout.limits import LimitReading
    from rollout.record import Record

RETRY_SECONDS = 5.0
"""How often a connection that gives no numbers is made anew: the pod at its other end may be gone."""
USUAL_SCRAPE_SECONDS = 15.0
"""Istio's and this project's default, for a record that an older version wrote: it does not tell."""

Connect = Callable[[], AbstractContextManager["Prometheus"]]
"""Opens a Prometheus; raises NoPrometheusError."""


class NoPrometheusError(Exception):
    """There is no Prometheus to ask. `str()` is one sentence with the reason and the fix."""


class PrometheusReadings:
    """Reads limits and gates of one rollout for its runner.

    The connection to Prometheus stays open from one reading to the next.
    """

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
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
        with self._lock:
            prometheus = self._open()
            if prometheus is None:
                return GateReading(key=key_of(record), text=self._missing)
            self._reader = self._reader or GateReader()
            found = self._reader.read(record, now, prometheus)
            if found is not None and _says_nothing(found) and time.monotonic() >= self._next_try:
                self._disconnect()
            return found

    def limits(self, record: Record, now: str) -> LimitReading | None:
        """Return what the limits of the current step say; None if it has none."""
        from metrics.queries import Queries, Source
        from rollout.limits import read_limits

        limits, counters = record.strategy.limits, record.plan.counters
        if limits is None or limits.error_percent is None:
            return None
        with self._lock:
            prometheus = self._open()
            if prometheus is None:
                return _no_numbers(self._missing)
            queries = Queries(Source(counters.source) if counters else Source.ISTIO)
            every = counters.scrape_seconds if counters else USUAL_SCRAPE_SECONDS
            found = read_limits(record, now, prometheus, queries, every)
            if found is not None and found.result.no_data and time.monotonic() >= self._next_try:
                self._disconnect()
            return found

    def close(self) -> None:
        """Close the connection, once nobody reads from it; the next reading opens another."""
        with self._lock:
            self._disconnect()

    def _disconnect(self) -> None:
        self._prometheus = None
        self._connection.close()

    def _open(self) -> Prometheus | None:
        if self._prometheus is None and time.monotonic() >= self._next_try:
            self._next_try = time.monotonic() + RETRY_SECONDS
            try:
                self._prometheus = self._connection.enter_context(self._connect())
            except NoPrometheusError as error:
                self._missing = str(error)
        return self._prometheus


def at_url(url: str | None, missing: str, timeout: float = 5.0) -> Connect:
    """Return what opens the Prometheus at a URL; without a URL it fails with `missing`."""

    def connect() -> Prometheus:
        from metrics.prometheus import Prometheus

        if url is None:
            raise NoPrometheusError(missing)
        return Prometheus(url, timeout)

    return connect


def _says_nothing(found: GateReading) -> bool:
    """Whether there is no answer: the connection may be to a pod that is gone."""
    from rollout.gates.decide import Answer

    return bool(found.text) or (found.verdict is not None and found.verdict.answer is Answer.NO_DATA)


def _no_numbers(text: str) -> LimitReading:
    from rollout.decision import LimitResult
    from rollout.limits import LimitReading

    return LimitReading(result=LimitResult(no_data=True), text=text)
