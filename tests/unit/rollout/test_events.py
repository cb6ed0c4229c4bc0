"""The outbox: every event to every receiver, in order, at least once, and none that fails holds up another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.decision import delivered
from rollout.event_receivers import DeliveryError, RefusedEventError, Sink
from rollout.events import LONGEST_PAUSE, EventCounter, Outbox, undelivered
from rollout.record import OutboxEvent, Record
from tests.e2e.event_sink import EventSink, event_sink
from tests.unit.rollout.api_server import ApiServer
from tests.unit.rollout.sample_records import event, record
from traffic.model.rollout import RolloutNotify


@dataclass
class FakeReceiver:
    """Takes events; `outcomes` are the next errors, None for none."""

    name: str
    outcomes: list[Exception | None] = field(default_factory=list)
    got: list[str] = field(default_factory=list)

    def deliver(self, record: Record, event: OutboxEvent) -> None:
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if outcome is not None:
            raise outcome
        self.got.append(event.id)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def events(count: int, **keys: Any) -> tuple[OutboxEvent, ...]:
    return tuple(event(number, **keys) for number in range(1, count + 1))


def ids(count: int) -> list[str]:
    return [one.id for one in events(count)]


@pytest.fixture
def sink() -> Iterator[EventSink]:
    with event_sink() as opened:
        yield opened


def after(given: Record, outbox: Outbox, receivers: list[FakeReceiver]) -> Record:
    """The record after one round."""
    sent = outbox.deliver(given, receivers)
    return delivered(given, sent.by_event, sent.receivers)


def test_every_receiver_gets_every_event_in_order_and_the_outbox_is_empty_afterwards() -> None:
    receivers = [FakeReceiver("a"), FakeReceiver("b")]
    left = after(record(outbox=events(3)), Outbox(), receivers)
    assert [one.got for one in receivers] == [ids(3), ids(3)]
    assert left.outbox == ()


def test_a_receiver_that_fails_gets_the_rest_later_and_holds_up_no_other() -> None:
    clock = Clock()
    outbox = Outbox(clock)
    failing, other = FakeReceiver("a", [None, DeliveryError("down")]), FakeReceiver("b")
    sent = outbox.deliver(record(outbox=events(3)), [failing, other])
    assert sent.problems == ("down",)
    assert (failing.got, other.got) == (ids(1), ids(3))
    left = delivered(record(outbox=events(3)), sent.by_event, sent.receivers)
    assert [one.id for one in left.outbox] == ids(3)[1:]

    assert after(left, outbox, [failing, other]).outbox == left.outbox, "it is left alone for a while"
    assert outbox.wait_seconds(left, ["a", "b"]) == 1.0
    clock.now = 1.0
    assert after(left, outbox, [failing, other]).outbox == ()
    assert (failing.got, other.got) == (ids(3), ids(3))


def test_a_pause_doubles_with_each_failure_and_ends_with_a_success() -> None:
    clock = Clock()
    outbox = Outbox(clock)
    failing = FakeReceiver("a", [DeliveryError("down")] * 8 + [None])
    given = record(outbox=events(1))
    waits = []
    for _ in range(8):
        outbox.deliver(given, [failing])
        waits.append(outbox.wait_seconds(given, ["a"]))
        clock.now += waits[-1] or 0.0
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, LONGEST_PAUSE, LONGEST_PAUSE]
    outbox.deliver(given, [failing])
    failing.outcomes = [DeliveryError("down")]
    outbox.deliver(given, [failing])
    assert outbox.wait_seconds(given, ["a"]) == 1.0


def test_an_event_that_is_refused_for_ever_does_not_hold_up_those_after_it() -> None:
    receiver = FakeReceiver("a", [RefusedEventError("not this one")])
    given = record(outbox=events(2))
    sent = Outbox().deliver(given, [receiver])
    assert (receiver.got, sent.problems) == (ids(2)[1:], ("not this one",))
    assert delivered(given, sent.by_event, sent.receivers).outbox == ()


def test_what_a_receiver_has_is_not_sent_again() -> None:
    receiver = FakeReceiver("a")
    given = record(outbox=(event(1, delivered=["a"]), event(2)))
    assert [one.id for one in undelivered(given, "a")] == ids(2)[1:]
    Outbox().deliver(given, [receiver])
    assert receiver.got == ids(2)[1:]


def test_nothing_is_written_without_a_reason() -> None:
    given = record(outbox=events(1))
    failing = FakeReceiver("a", [DeliveryError("down")])
    assert not Outbox().deliver(given, [failing]).changes(given)
    assert Outbox().deliver(given, [FakeReceiver("a")]).changes(given)
    assert not Outbox().deliver(record(), [FakeReceiver("a")]).changes(record())
    of_a_former_sink = record(outbox=(event(1, delivered=["a", "gone"]),))
    assert Outbox().deliver(of_a_former_sink, [FakeReceiver("a")]).changes(of_a_former_sink)


def test_a_runner_that_ends_delivers_no_further_event() -> None:
    receiver = FakeReceiver("a")
    Outbox().deliver(record(outbox=events(3)), [receiver], goes_on=lambda: len(receiver.got) < 2)
    assert receiver.got == ids(2)


def test_there_is_nothing_to_wait_for_when_all_is_delivered() -> None:
    assert Outbox().wait_seconds(record(outbox=(event(1, delivered=["a"]),)), ["a"]) is None


OUTCOMES = st.lists(st.sampled_from(["taken", "down", "killed"]), max_size=30)


@settings(deadline=None)
@given(st.integers(1, 6), OUTCOMES)
def test_whoever_is_killed_when_each_event_arrives_in_order_and_only_repeats_what_was_not_written(
    count: int, outcomes: list[str]
) -> None:
    """A holder is killed after the receiver has an event and before the record says so: the next one begins anew."""
    receiver = FakeReceiver("a")
    stored = record(outbox=events(count))
    clock = Clock()
    outbox = Outbox(clock)
    for outcome in [*outcomes, "taken"]:
        clock.now += LONGEST_PAUSE
        receiver.outcomes = [DeliveryError("down")] if outcome == "down" else []
        sent = outbox.deliver(stored, [receiver])
        if outcome == "killed":
            outbox = Outbox(clock)
        else:
            stored = delivered(stored, sent.by_event, sent.receivers)
    first_seen = list(dict.fromkeys(receiver.got))
    assert first_seen == ids(count)
    assert stored.outbox == ()


def test_an_answer_that_is_lost_means_a_second_delivery_with_the_same_id(sink: EventSink) -> None:
    clock = Clock()
    outbox, given = Outbox(clock), record(outbox=events(3))
    receiver = Sink(ApiServer().client, RolloutNotify(url=sink.url))
    sink.loses_answers = 1
    while given.outbox:
        sent = outbox.deliver(given, [receiver])
        given = delivered(given, sent.by_event, sent.receivers)
        clock.now += LONGEST_PAUSE
    assert sink.deliveries == {"website-7/1/0": 2, "website-7/2/0": 1, "website-7/3/0": 1}
    assert [one["id"] for one in sink.events] == ids(3)


def test_an_exit_that_is_told_under_two_ids_is_found_by_the_sink(sink: EventSink) -> None:
    receiver = Sink(ApiServer().client, RolloutNotify(url=sink.url))
    for one in (event(1), event(2, text="other"), event(3)):
        receiver.deliver(record(), one)
    assert sink.under_two_ids() == ["website-7/1/0", "website-7/3/0"]


def test_events_are_counted_once_however_often_their_record_is_read() -> None:
    counter = EventCounter()
    assert counter.text() == (
        "# HELP canary_rollout_events_total Events of rollouts, by service and type.\n"
        "# TYPE canary_rollout_events_total counter\n"
    )
    given = record(outbox=(event(1, "Started"), event(2), event(3)))
    for _ in range(2):
        counter.count(given)
    counter.count(record(outbox=()))
    counter.count(given.model_copy(update={"outbox": (event(3), event(4))}))
    counter.count(record(service="shop", outbox=(event(1, "Aborted"),)))
    assert counter.text().splitlines()[2:] == [
        'canary_rollout_events_total{namespace="website-istio-ns",service="shop",type="Aborted"} 1',
        'canary_rollout_events_total{namespace="website-istio-ns",service="website",type="Started"} 1',
        'canary_rollout_events_total{namespace="website-istio-ns",service="website",type="StepWritten"} 3',
    ]


def test_the_events_of_a_record_that_was_made_again_are_counted_as_well() -> None:
    counter = EventCounter()
    for at in ("2026-01-05T10:00:00Z", "2026-02-05T10:00:00Z"):
        counter.count(record(outbox=(event(1, at=at),)))
    assert counter.text().endswith('type="StepWritten"} 2\n')
