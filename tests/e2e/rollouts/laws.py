"""What must hold of every rollout, whoever is killed: each law takes what was seen, and returns what breaks it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise

from rollout.holding import needed_pods
from rollout.record import EventType, Phase, Record
from tests.e2e.event_sink import EventSink
from tests.e2e.load import Answer
from tests.e2e.rollouts.journal import PodsWrite, RecordWrite, RouteWrite, Weights, Write

ONCE_A_ROLLOUT = (
    EventType.PENDING,
    EventType.STARTED,
    EventType.COMPLETED,
    EventType.ABORTING,
    EventType.ABORTED,
    EventType.CLOSED,
)
ONCE_A_STEP = (EventType.STEP_WRITTEN, EventType.SETTLED)


def wanted(record: Record) -> Weights:
    """Return the weights that a record wants for its last rule, without those of 0."""
    rule = list(record.wanted.values())[-1]
    return {version: weight for version, weight in rule.items() if weight}


def strayed(writes: Sequence[Write]) -> list[str]:
    """Return the looks at which the route was neither as the record wanted it nor as it had wanted it before.

    A rollout that goes back may find the routes one decision behind: it does not wait for a step to be written.
    """
    decided: list[tuple[str, Weights]] = []
    route: RouteWrite | None = None
    goes_back = False
    found: list[str] = []
    for write in writes:
        if isinstance(write, RecordWrite):
            decision = (write.record.annotation, wanted(write.record))
            if not decided or decided[-1] != decision:
                decided.append(decision)
            goes_back = write.record.phase.goes_back
        elif isinstance(write, RouteWrite):
            route = write
        if route is None or not decided:
            continue
        allowed = [weights for _, weights in decided[-3 if goes_back else -2 :]]
        if route.weights not in allowed:
            found.append(
                f"{route.service} at revision {write.revision}: the route is {route.weights} ({route.annotation}), "
                f"the record wanted {allowed}"
            )
    return found


def came_back(writes: Sequence[Write]) -> list[str]:
    """Return the writes that gave an aborted version requests again, after the abort's routes and before a retry."""
    aborted: Record | None = None
    written = False
    found: list[str] = []
    for write in writes:
        if isinstance(write, RecordWrite):
            if not write.record.phase.goes_back:
                aborted, written = None, False
            elif aborted is None:
                aborted = write.record
        elif aborted is not None and isinstance(write, RouteWrite):
            weight = write.weights.get(aborted.target.version, 0.0)
            if weight and written:
                who = f"{write.annotation} by {write.owner}"
                found.append(f"{write.service} at revision {write.revision}: {who}: {weight:g} %")
            written = written or not weight  # any write moves the resourceVersion, which those before it rely on
    return found


def served_after_the_end(writes: Sequence[Write], answers: Iterable[Answer]) -> list[str]:
    """Return the answers of an aborted version to requests that were sent after the rollout was Aborted.

    Until the next record of the service that gives it requests.
    """
    spans = list(_aborted_spans(writes))
    return [
        f"{answer.target}: {answer.said_by or answer.version} answered {answer.status} at {answer.sent:%H:%M:%S.%f}, "
        f"Aborted at {since:%H:%M:%S.%f}"
        for answer in answers
        for version, since, until in spans
        if version in (answer.said_by, answer.version) and since <= answer.sent
        if until is None or answer.sent < until
    ]


def _aborted_spans(writes: Sequence[Write]) -> Iterable[tuple[str, datetime, datetime | None]]:
    begun: tuple[str, datetime] | None = None
    for write in writes:
        if not isinstance(write, RecordWrite):
            continue
        record = write.record
        if begun is not None and record.target_weight():
            yield (*begun, write.at)
            begun = None
        if begun is None and record.phase is Phase.ABORTED:
            begun = record.target.version, write.at
    if begun is not None:
        yield (*begun, None)


def not_of_a_version(answers: Iterable[Answer], bad: Mapping[str, str]) -> list[str]:
    """Return the failed requests that no bad version answered itself; `bad` is the one of each target."""
    return [
        f"{answer.target} at {answer.sent:%H:%M:%S.%f}: {answer.status} {answer.error} of {answer.version}"
        for answer in answers
        if not answer.ok and (answer.said_by is None or answer.said_by != bad.get(answer.target))
    ]


def without_pods(writes: Sequence[Write]) -> list[str]:
    """Return the steps that were decided while too few pods of the new version were ready."""
    before: Record | None = None
    pods: PodsWrite | None = None
    found: list[str] = []
    for write in writes:
        if isinstance(write, PodsWrite):
            pods = write
        elif isinstance(write, RecordWrite):
            record = write.record
            if before is not None and record.id == before.id and record.step > before.step:
                needed, ready = needed_pods(record, record.step), pods.of(record.target.version) if pods else 0
                if ready < needed:
                    found.append(f"{record.id}, step {record.step}: {ready} of {needed} pods were ready")
            before = record
    return found


def skipped(records: Sequence[Record]) -> list[str]:
    """Return the steps that were not written one after the other."""
    found: list[str] = []
    for before, after in pairwise(records):
        if before.id == after.id and after.step not in (before.step, before.step + 1):
            found.append(f"{after.id}: step {before.step} to {after.step}")
    return found


def untold(records: Sequence[Record], sink: EventSink) -> list[str]:
    """Return what is wrong with the events that came out: one is missing, unknown, or there under two ids."""
    source = {event.id: event for record in records for event in record.outbox}
    ids = {record.id for record in records}
    came = {str(event["id"]) for event in sink.events if str(event["id"]).rsplit("/", 2)[0] in ids}
    found = [f"{one} ({source[one].type.value}) did not come" for one in sorted(source.keys() - came)]
    found += [f"{one} came, and no record has it" for one in sorted(came - source.keys())]
    found += [f"{one} says the same as another one" for one in sink.under_two_ids() if one in came]
    rollouts = {one: one.rsplit("/", 2)[0] for one in source}
    counted = Counter(
        (rollouts[one], event.type, event.data.get("step") if event.type in ONCE_A_STEP else None)
        for one, event in source.items()
        if event.type in (*ONCE_A_ROLLOUT, *ONCE_A_STEP)
    )
    found += [
        f"{rollout}: {kind.value} {'' if step is None else f'of step {step} '}{count} times"
        for (rollout, kind, step), count in counted.items()
        if count > 1
    ]
    return found


def without_an_event(records: Sequence[Record]) -> list[str]:
    """Return the changes of phase, step and stage of which no event tells."""
    found: list[str] = []
    for before, after in pairwise(records):
        stands = [(one.id, one.phase, one.step, one.stage) for one in (before, after)]
        told = any(event.id.startswith(f"{after.id}/{after.generation}/") for event in after.outbox)
        if stands[0] != stands[1] and not told:
            found.append(f"{after.id} generation {after.generation}: {before.phase} {before.step} {before.stage} to "
                         f"{after.phase} {after.step} {after.stage}")  # fmt: skip
    return found
