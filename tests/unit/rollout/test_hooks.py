"""What a hook is asked, what its answer means, and when it is asked again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from rollout.decision import HookPoint
from rollout.hooks import ask, hooks_at, pauses, question
from rollout.outgoing import SentRequest
from rollout.record import Phase, Promotion, Record
from tests.e2e.event_sink import EventSink, event_sink
from tests.unit.rollout.sample_records import NOW, record, strategy, weights


@pytest.fixture
def sink() -> Iterator[EventSink]:
    with event_sink() as opened:
        yield opened


def with_hooks(*hooks: dict[str, Any], **changes: Any) -> Record:
    given = [{"at": "beforeStep", "retries": 2, **hook} for hook in hooks]
    return record(strategy(hooks=given), **changes)


def no_sleep(seconds: float) -> None:
    """Return at once."""


@pytest.mark.parametrize(
    ("answers", "ok", "requests", "words"),
    [
        ([204], True, 1, ""),
        ([200], True, 1, ""),
        ([500, 204], True, 2, ""),
        ([0, 429, 204], True, 3, ""),
        ([500, 500, 503], False, 3, "HTTP 503: not now (3 tries)"),
        ([0, 0, 0], False, 3, "no answer: RemoteProtocolError (3 tries)"),
        ([403], False, 1, "HTTP 403: not now"),
        ([500, 409], False, 2, "HTTP 409: not now (2 tries)"),
        ([302], False, 1, "HTTP 302: not now"),
    ],
)
def test_a_hook_is_asked_again_only_if_it_may_answer_otherwise(
    sink: EventSink, answers: list[int], ok: bool, requests: int, words: str
) -> None:
    sink.answers.extend(answers)
    sink.says = "not now"
    result = ask(with_hooks({"url": f"{sink.url}/gate"}), "beforeStep", sleep=no_sleep)
    assert (result.at, result.ok, len(sink.requests)) == ("beforeStep", ok, requests)
    assert result.text == (f"{sink.url}: {words}" if words else "")


def test_a_hook_gets_the_same_question_with_the_same_key_each_time(sink: EventSink) -> None:
    sink.answers.extend([500, 500])
    ask(
        with_hooks({"url": sink.url}, step=0, phase=Phase.PROGRESSING, wanted=weights(10)), "beforeStep", sleep=no_sleep
    )
    assert [one.body for one in sink.requests] == [sink.requests[0].body] * 3
    assert {one.headers["idempotency-key"] for one in sink.requests} == {"website-7/beforeStep/1"}
    assert sink.requests[0].body == {
        "at": "beforeStep",
        "service": "website",
        "namespace": "website-istio-ns",
        "rollout": "website-7",
        "phase": "Progressing",
        "from": "version-1",
        "to": "version-2",
        "step": 2,
        "steps": 3,
        "weight": 50.0,
        "weights": weights(50),
        "started": True,
    }


@pytest.mark.parametrize(
    ("at", "changes", "step", "shown_weights"),
    [
        ("beforeStep", {}, 1, weights(10)),
        ("beforeStep", {"step": 0, "promotion": Promotion(step=0, by="a", at=NOW, full=True)}, 3, weights(100)),
        ("afterStep", {"step": 1, "wanted": weights(50)}, 2, weights(50)),
        ("beforeEnd", {"step": 2, "wanted": weights(100)}, 3, weights(100)),
        ("afterAbort", {"step": 1, "wanted": weights(0)}, 2, weights(0)),
    ],
)
def test_a_question_is_about_the_step_that_is_meant(
    at: HookPoint, changes: dict[str, Any], step: int, shown_weights: dict[str, dict[str, float]]
) -> None:
    asked = question(record(**changes), at)
    assert (asked["step"], asked["weights"]) == (step, shown_weights)


def test_the_first_hook_that_says_no_decides_and_no_further_one_is_asked(sink: EventSink) -> None:
    sink.answers.extend([204, 403, 403])
    first, second = {"url": f"{sink.url}/1"}, {"url": f"{sink.url}/2", "then": "abort"}
    result = ask(with_hooks(first, second, {"url": f"{sink.url}/3"}), "beforeStep", sleep=no_sleep)
    assert (result.ok, result.then) == (False, "abort")
    assert [one.path for one in sink.requests] == ["/1", "/2"]


def test_only_the_hooks_of_a_point_are_asked(sink: EventSink) -> None:
    given = with_hooks({"url": sink.url, "at": "afterStep"}, {"url": sink.url, "at": "beforeEnd"}, step=0)
    assert [hook.at for hook in hooks_at(given, "afterStep")] == ["afterStep"]
    assert ask(given, "beforeStep", sleep=no_sleep).ok
    assert sink.requests == []


def test_a_url_that_is_not_safe_is_not_asked_and_says_no() -> None:
    result = ask(with_hooks({"url": "http://gate.shop.svc/s3cret"}), "beforeStep", sleep=no_sleep)
    assert (result.ok, result.text) == (
        False,
        "http://gate.shop.svc: neither https, nor http to this machine; use https",
    )


def test_a_runner_that_ends_asks_no_further_time(sink: EventSink) -> None:
    sink.answers.extend([500] * 3)
    assert not ask(with_hooks({"url": sink.url}), "beforeStep", sleep=no_sleep, goes_on=lambda: False).ok
    assert len(sink.requests) == 1


def test_the_timeout_of_a_hook_is_that_of_each_try() -> None:
    timeouts: list[float] = []

    def send(url: str, body: bytes, headers: Any, timeout: float) -> SentRequest:
        timeouts.append(timeout)
        return SentRequest(status=None, text="no answer")

    slept: list[float] = []
    ask(with_hooks({"url": "https://a.example", "timeout": "1500ms"}), "beforeStep", send=send, sleep=slept.append)
    assert (timeouts, slept) == ([1.5] * 3, [1.0, 2.0])


def test_pauses_double_up_to_the_longest() -> None:
    assert pauses(6) == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
