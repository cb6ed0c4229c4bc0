"""The models of Argo Rollouts' and Flagger's analysis, and our gates beside them, on streams with known answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from benchmarks.gate_judges import (
    Action,
    ArgoRollouts,
    Flagger,
    Judge,
    Ours,
    judges,
    plan_of,
    too_slow_of,
    tuned_success,
)
from benchmarks.gate_streams import HOLD, SCRAPE, SLOW, TOO_SLOW, Seen
from rollout.gates.blocks import ATTEMPTS, ERRORS, LATENCY

Failures = Callable[[int], float]
"""Failures of the canary by the minute, which is 0 in the first one."""


def stream(failures: Failures, *, requests: float = 100.0, too_slow: float = 0.0, minutes: int = 30) -> Iterator[Seen]:
    """Four intervals a minute; a minute's failures are all in its last interval."""
    for number in range(4 * minutes):
        failed = failures(number // 4) if number % 4 == 3 else 0.0
        start = number * SCRAPE
        yield Seen(start, start + SCRAPE, 0, requests, 9 * requests, failed, 0.0, too_slow=too_slow)


def first(judge: Judge, seen: Iterator[Seen], action: Action) -> float | None:
    """Return after how many minutes the judge first answers so, None if never; nothing follows an abort."""
    for one in seen:
        answer = judge.after(one, 0.0)
        if answer is action:
            return one.end / 60
        if answer is Action.ABORT:
            return None
    return None


def always(failed: float) -> Failures:
    return lambda minute: failed


def in_minutes(failed: float, *minutes: int) -> Failures:
    return lambda minute: failed if minute in minutes else 0.0


@pytest.mark.parametrize(
    ("success", "limit", "failures", "aborted"),
    [
        pytest.param(0.95, 0, always(20), None, id="exactly 95 % is a success"),
        pytest.param(0.95, 0, always(21), 1, id="below it the first measurement fails"),
        pytest.param(0.95, 3, always(21), 4, id="three failed measurements are allowed, the fourth is not"),
        pytest.param(0.99, 3, always(5), 4, id="99 %"),
        pytest.param(0.99, 3, in_minutes(5, 0, 5, 9), None, id="three failed ones in all"),
        pytest.param(0.99, 3, in_minutes(5, 0, 5, 9, 20), 21, id="a failed one is never forgotten"),
        pytest.param(0.99, 0, in_minutes(5, 7), 8, id="one bad minute of half an hour"),
    ],
)
def test_argo_rollouts_aborts_when_more_measurements_fail_than_its_limit(
    success: float, limit: int, failures: Failures, aborted: float | None
) -> None:
    # 400 requests of the canary in a minute.
    assert first(ArgoRollouts(success, limit), stream(failures), Action.ABORT) == aborted


@pytest.mark.parametrize(("limit", "aborted"), [(0, 1), (3, 4)])
def test_a_minute_without_requests_is_a_failed_measurement_of_argo_rollouts(limit: int, aborted: float) -> None:
    judge = ArgoRollouts(0.95, limit)
    assert first(judge, stream(always(0), minutes=5), Action.ABORT) is None
    silent = (one._replace(start=one.start + 300, end=one.end + 300) for one in stream(always(0), requests=0))
    assert first(judge, silent, Action.ABORT) == 5 + aborted


@pytest.mark.parametrize("limit", [0, 3])
def test_argo_rollouts_aborts_at_the_fifth_error_where_the_canary_never_had_a_request(limit: int) -> None:
    assert first(ArgoRollouts(0.95, limit), stream(always(0), requests=0), Action.ABORT) == 5


def test_a_step_of_argo_rollouts_waits_for_its_time_alone() -> None:
    assert first(ArgoRollouts(0.99, 3), stream(in_minutes(400, 2, 9)), Action.RISE) == HOLD / 60


@pytest.mark.parametrize(
    ("failures", "too_slow", "requests", "aborted"),
    [
        pytest.param(always(4), 0, 100, None, id="exactly 99 % passes"),
        pytest.param(always(5), 0, 100, 6, id="five checks fail, and the next look goes back"),
        pytest.param(in_minutes(5, 0, 4, 8, 12), 0, 100, None, id="four failed checks in all"),
        pytest.param(in_minutes(5, 0, 4, 8, 12, 16), 0, 100, 18, id="a failed check is never forgotten"),
        pytest.param(always(0), 1, 100, None, id="1 % above half a second"),
        pytest.param(always(0), 2, 100, 6, id="more than 1 % above half a second"),
        pytest.param(always(0), 0, 0, 6, id="no values found"),
    ],
)
def test_flagger_goes_back_at_the_look_after_the_fifth_failed_check(
    failures: Failures, too_slow: float, requests: float, aborted: float | None
) -> None:
    assert first(Flagger(), stream(failures, requests=requests, too_slow=too_slow), Action.ABORT) == aborted


def test_a_failed_check_of_flagger_halts_the_step() -> None:
    assert first(Flagger(), stream(in_minutes(5, 3)), Action.RISE) == 10
    assert first(Flagger(), stream(in_minutes(5, 9, 10)), Action.RISE) == 12


def test_ours_is_the_gate_with_the_defaults_of_a_stack() -> None:
    plan = plan_of(0.005)
    assert (plan.alpha, plan.beta, plan.promote, plan.tolerance) == (0.01, 0.05, "proof", 0.0025)
    assert {one.name: (one.share, one.tolerated) for one in plan.metrics} == {
        ERRORS: (0.5, 1.0),
        ATTEMPTS: (0.25, 1.5),
        LATENCY: (0.25, 1.5),
    }
    assert [step.weight for step in plan.steps] == [10, 30, 50, 100]


@pytest.mark.parametrize(
    ("requests", "failures", "action", "minutes"),
    [
        pytest.param(100.0, always(12), Action.ABORT, 2, id="3 % fail, of stable none"),
        pytest.param(0.0, always(0), Action.ABORT, None, id="no requests are no harm"),
        pytest.param(0.0, always(0), Action.RISE, None, id="and no proof"),
        pytest.param(100.0, always(0), Action.RISE, 10, id="nothing fails"),
    ],
)
def test_ours_needs_evidence_for_both_ways(
    requests: float, failures: Failures, action: Action, minutes: float | None
) -> None:
    assert first(Ours(0.005), stream(failures, requests=requests), action) == minutes


def test_every_judge_begins_anew_with_each_rollout() -> None:
    names = [one.name for one in judges()]
    assert len(names) == len(set(names)) == 6
    assert all(one.create(0.01) is not one.create(0.01) for one in judges())


@pytest.mark.parametrize(("rate", "success"), [(0.0, 0.99), (0.001, 0.99), (0.005, 0.99), (0.01, 0.98), (0.05, 0.9)])
def test_a_tuned_condition_allows_twice_the_usual_failures_and_at_least_one_percent(
    rate: float, success: float
) -> None:
    assert tuned_success(rate) == pytest.approx(success)
    assert len(judges(tuned=True)) == 4


@pytest.mark.parametrize(
    ("bound", "slow", "known"),
    [
        pytest.param(TOO_SLOW, 7.0, 7.0, id="the bound itself"),
        pytest.param(SLOW, 1.0, 0.0, id="the percentile is below a lower bound"),
        pytest.param(SLOW, 5.0, None, id="above a lower bound it may be anywhere"),
        pytest.param(1000.0, 5.0, None, id="a higher bound says too little"),
        pytest.param(None, 0.0, None, id="latency was not compared"),
    ],
)
def test_what_is_above_half_a_second_is_known_only_where_it_follows(
    bound: float | None, slow: float, known: float | None
) -> None:
    assert too_slow_of(bound, slow, 100.0) == known
