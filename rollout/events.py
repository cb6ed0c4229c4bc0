"""The outbox of a record: its events go to each receiver in their order, at least once.

They are written with the record and sent afterwards; a holder that is killed in between leaves them to the next one.
What was delivered is written into the record after that, so that a receiver may get an event twice, by the same id.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rollout.event_receivers import DeliveryError, Receiver, RefusedEventError
from rollout.record import OutboxEvent, Record

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""Seconds for which a receiver that failed is left alone: doubled with each failure, up to the longest."""

METRIC = "canary_rollout_events_total"


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """What one round has delivered, for `rollout.decision.delivered`: receivers by event id, and what went wrong.

    `receivers` are the names of all receivers: an event that all of them have leaves the outbox.
    """

    by_event: Mapping[str, tuple[str, ...]]
    receivers: tuple[str, ...]
    problems: tuple[str, ...] = ()

    def changes(self, record: Record) -> bool:
        """Whether the record has to be written: something was delivered, or an event has no receiver left to get it."""
        wanted = set(self.receivers)
        return bool(self.by_event) or any(wanted <= set(event.delivered) for event in record.outbox)


def undelivered(record: Record, receiver: str) -> tuple[OutboxEvent, ...]:
    """Return the events that a receiver does not have yet, in their order."""
    return tuple(event for event in record.outbox if receiver not in event.delivered)


@dataclass
class Outbox:
    """Delivers the events of records. A receiver that fails is asked again after a pause, and holds up no other.

    `clock` returns seconds that only grow.
    """

    clock: Callable[[], float] = time.monotonic
    _failures: dict[str, int] = field(default_factory=dict)
    _next_try: dict[str, float] = field(default_factory=dict)

    def deliver(
        self, record: Record, receivers: Sequence[Receiver], goes_on: Callable[[], bool] = lambda: True
    ) -> Delivered:
        """Deliver what each receiver lacks and is ready to take; no receiver gets an event before an earlier one.

        It may take as long as the receivers' timeouts: a runner calls it outside of the thread that renews the Lease,
        and ends it with `goes_on`.
        """
        found: dict[str, tuple[str, ...]] = {}
        problems: list[str] = []
        for receiver in receivers:
            if self.clock() < self._next_try.get(receiver.name, 0.0):
                continue
            for event in undelivered(record, receiver.name):
                if not goes_on():
                    break
                try:
                    receiver.deliver(record, event)
                except RefusedEventError as error:
                    problems.append(str(error))  # counts as delivered: it must not hold up those after it
                except DeliveryError as error:
                    problems.append(str(error))
                    self._failed(receiver.name)
                    break
                self._failures.pop(receiver.name, None)
                found[event.id] = (*found.get(event.id, ()), receiver.name)
        names = tuple(receiver.name for receiver in receivers)
        return Delivered(by_event=found, receivers=names, problems=tuple(problems))

    def wait_seconds(self, record: Record, receivers: Iterable[str]) -> float | None:
        """Return the seconds until the next useful try, None if nothing is left to deliver."""
        waits = [
            max(self._next_try.get(name, 0.0) - self.clock(), 0.0) for name in receivers if undelivered(record, name)
        ]
        return min(waits, default=None)

    def _failed(self, name: str) -> None:
        failures = self._failures.get(name, 0)
        self._failures[name] = failures + 1
        self._next_try[name] = self.clock() + min(FIRST_PAUSE * 2.0**failures, LONGEST_PAUSE)


class EventCounter:
    """Counts events by service and type since this process began, each once, as text for Prometheus to scrape."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._counted: set[tuple[str, str, str, str]] = set()

    def count(self, record: Record) -> None:
        """Count the events of a record that was written or read."""
        place = (record.namespace, record.service)
        for event in record.outbox:
            # A record that was deleted and made again counts from 1 again: the time tells its events apart.
            identity = (*place, event.id, event.at)
            if identity not in self._counted:
                self._counted.add(identity)
                self._counts[(*place, event.type.value)] += 1

    def text(self) -> str:
        """Return the counter in Prometheus' text format (Prometheus: "Exposition formats")."""
        lines = [f"# HELP {METRIC} Events of rollouts, by service and type.", f"# TYPE {METRIC} counter"]
        lines += [
            f'{METRIC}{{namespace="{namespace}",service="{service}",type="{kind}"}} {count}'
            for (namespace, service, kind), count in sorted(self._counts.items())
        ]
        return "\n".join([*lines, ""])
