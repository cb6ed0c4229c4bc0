"""Which bar a retry lifts: that of the rollout that was aborted last, or an earlier one that the file runs into."""

from __future__ import annotations

from collections.abc import Iterator

from canary.rollout.place import Place
from rollout.decision import Decision
from rollout.lifting import lift
from rollout.record import Bar, Record
from rollout.verbs import retry


def retried(place: Place, record: Record, reason: str, by: str, now: str) -> Decision:
    """Return the decision of a retry. Raises RefusedError."""
    led_to = list(_led_to(place, record))
    own = record.bar_of(record.target.hash)
    if led_to and own not in led_to:
        return lift(record, led_to, reason, by, now)
    if own is not None and record.void_since is not None:
        return lift(record, [own], reason, by, now)  # nothing of a void record can begin again
    return retry(record, reason, by, now)


def _led_to(place: Place, record: Record) -> Iterator[Bar]:
    """The bars on releases that the file's route gives requests; none without a file."""
    settings = place.settings
    if settings is None:
        return
    from stacks.template_hash import template_hash

    service = settings.services[place.service]
    named = {version for rule in service.route for version, weight in rule.weights.items() if weight > 0}
    for version in service.deployed:
        if version in named and version != record.from_.version:
            bar = record.bar_of(template_hash(settings, place.service, version))
            if bar is not None:
                yield bar
