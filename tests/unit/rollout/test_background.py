"""Jobs beside a runner's loop."""

from __future__ import annotations

import threading

import pytest

from rollout.background import Background

SECONDS = 10.0
"""How long a test waits for a thread that is broken."""


@pytest.fixture
def wake() -> threading.Event:
    return threading.Event()


def test_a_job_has_a_result_for_its_key_and_wakes_the_loop(wake: threading.Event) -> None:
    background = Background(wake)
    background.start("envoys", "a", lambda goes_on: 7)

    assert wake.wait(SECONDS)
    done = background.result("envoys", "a")
    assert done is not None
    assert done.value == 7
    assert background.result("envoys", "b") is None
    assert not background.runs("envoys")


def test_the_same_job_runs_once_at_a_time(wake: threading.Event) -> None:
    background, gate, started = Background(wake), threading.Event(), []

    def job(goes_on: object) -> bool:
        started.append(1)
        return gate.wait(SECONDS)

    for _ in range(3):
        background.start("envoys", "a", job)
    gate.set()

    assert wake.wait(SECONDS)
    assert started == [1]


def test_a_job_with_another_key_tells_the_one_before_to_end_and_drops_its_result(wake: threading.Event) -> None:
    background, gate, ended = Background(wake), threading.Event(), threading.Event()
    goes_on_in_the_first: list[bool] = []

    def first(goes_on: object) -> str:
        gate.wait(SECONDS)
        goes_on_in_the_first.append(goes_on())  # type: ignore[operator]
        ended.set()
        return "old"

    background.start("envoys", "a", first)
    background.start("envoys", "b", lambda goes_on: "new")
    assert wake.wait(SECONDS)
    wake.clear()
    gate.set()

    assert ended.wait(SECONDS)
    assert wake.wait(SECONDS)
    assert goes_on_in_the_first == [False]
    assert background.result("envoys", "a") is None
    done = background.result("envoys", "b")
    assert done is not None
    assert done.value == "new"


def test_a_job_that_fails_has_no_result_and_may_be_started_again(wake: threading.Event) -> None:
    background = Background(wake)

    def fails(goes_on: object) -> None:
        raise OSError("gone")

    background.start("envoys", "a", fails)
    assert wake.wait(SECONDS)
    assert background.result("envoys", "a") is None
    wake.clear()
    background.start("envoys", "a", lambda goes_on: 1)
    assert wake.wait(SECONDS)
    assert background.result("envoys", "a") is not None


def test_a_closed_background_starts_nothing(wake: threading.Event) -> None:
    background = Background(wake)
    background.close()
    background.start("envoys", "a", lambda goes_on: 1)
    assert not background.runs("envoys")
    assert background.result("envoys", "a") is None


@pytest.mark.parametrize(("closed", "told"), [(False, ["pins: OSError: cut off"]), (True, [])])
def test_what_fails_after_the_end_is_no_news(
    closed: bool, told: list[str], wake: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody waits for what still runs then."""
    background, gate = Background(wake), threading.Event()

    def job(goes_on: object) -> None:
        gate.wait(SECONDS)
        raise OSError("cut off")

    background.start("pins", "a", job)
    if closed:
        background.close()
    thread = next(one for one in threading.enumerate() if one.name == "pins")
    gate.set()
    thread.join(SECONDS)

    assert [one.getMessage() for one in caplog.records if one.levelname == "WARNING"] == told


def test_what_jobs_use_is_closed_only_when_none_of_them_runs_any_more() -> None:
    """A socket that is closed under a reader gives its number to the next connection of the process."""
    background, gate, closed = Background(threading.Event()), threading.Event(), threading.Event()
    background.start("slow", 1, lambda goes_on: gate.wait(SECONDS))
    background.close(closed.set)
    assert not closed.is_set()
    gate.set()
    assert closed.wait(SECONDS)


def test_without_jobs_what_they_use_is_closed_at_once() -> None:
    closed = threading.Event()
    Background(threading.Event()).close(closed.set)
    assert closed.is_set()
