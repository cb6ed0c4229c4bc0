"""Absolute limits: broken, kept, or nothing is known, which is never kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics.prometheus import PrometheusError, Sample
from metrics.queries import Queries, Source
from rollout.decision import LimitResult
from rollout.limits import (
    LONGEST_WINDOW,
    Counted,
    LimitReading,
    judge,
    read_limits,
    window_since,
)
from rollout.record import Phase, Record
from tests.unit.rollout.sample_records import record, strategy, weights
from traffic.model.rollout_limits import RolloutLimits

SETTLED, NOW = "2026-01-05T10:00:00Z", "2026-01-05T10:02:00Z"
SCRAPE = 15.0
TIME = datetime.fromisoformat(NOW).timestamp()
LIMITS = RolloutLimits(errors="2%")


def vector(value: float, version: str = "version-2", time: float = TIME) -> tuple[Sample, ...]:
    return (Sample({"version": version}, time, value), Sample({"version": "version-1"}, time, 100.0))


class FakePrometheus:
    """Answers the newest requests, those of the window, and the failures of the window."""

    def __init__(self, *answers: Sequence[Sample] | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def instant(self, query: str) -> tuple[Sample, ...]:
        self.asked.append(query)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return tuple(answer)


def observing(errors: str | None = "2%", settled: str | None = SETTLED, **changes: Any) -> Record:
    limits = {"limits": {"errors": errors}} if errors else {}
    given = {"phase": Phase.PROGRESSING, "step": 0, "wanted": weights(10), "settled_at": settled, **changes}
    return record(strategy(**limits), **given)


def reading(prometheus: FakePrometheus, given: Record | None = None, now: str = NOW) -> LimitReading:
    found = read_limits(given or observing(), now, prometheus, Queries(Source.ISTIO), SCRAPE)  # type: ignore[arg-type]
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("requests", "failures", "broken"),
    [(10.0, 0.0, False), (10.0, 0.19, False), (10.0, 0.2, False), (10.0, 0.21, True), (10.0, 10.0, True),
     (0.1, 0.1, True), (0.1, 0.01, False), (10.0, -0.1, False), (10.0, 11.0, True)],
)  # fmt: skip
def test_a_limit_is_broken_by_a_higher_share_of_failures(requests: float, failures: float, broken: bool) -> None:
    found = reading(FakePrometheus(vector(requests), vector(requests), vector(failures)))
    assert found.result.no_data is False
    assert (found.result.broken is not None) is broken
    assert "the limit is 2 %" in found.text


def test_a_broken_limit_is_told_with_its_numbers() -> None:
    found = reading(FakePrometheus(vector(10.0), vector(10.0), vector(0.5)))
    assert found.result.broken == ("5.00 % of 1200 requests to version-2 failed in the last 120 s; the limit is 2 %")


@pytest.mark.parametrize("failures", [1, 2])
def test_one_or_two_failed_requests_break_no_limit(failures: int) -> None:
    counted = Counted(seconds=60, requests=float(failures), failures=float(failures))
    assert judge(LIMITS, "version-2", counted).result == LimitResult()


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([PrometheusError("http://p", "it took longer than 5 s", "")], "it took longer than 5 s"),
        ([vector(1.0), PrometheusError("http://p", "refused", "")], "refused"),
        ([vector(1.0), vector(1.0), PrometheusError("http://p", "refused", "")], "refused"),
        ([[]], "Prometheus has no numbers of version-2 in the last 31 s"),
        ([vector(1.0, "version-1")], "no numbers of version-2"),
        ([vector(1.0, time=TIME - 60)], "the clocks of Prometheus and of the API server differ by 60 s"),
        ([vector(1.0, time=TIME + 60)], "differ by 60 s"),
        ([vector(math.nan)], "no numbers of version-2"),
        ([vector(0.0), vector(0.0), vector(0.0)], "version-2 had no requests in the last 120 s"),
        ([vector(1.0), [], []], "version-2 had no requests"),
        ([vector(1.0), vector(1.0), []], "version-2 had no requests"),
        ([vector(1.0), vector(math.inf), vector(0.0)], "version-2 had no requests"),
        ([vector(1.0), vector(1.0), vector(math.nan)], "version-2 had no requests"),
        ([(*vector(1.0), *vector(2.0))], "no numbers of version-2"),
    ],
)
def test_what_is_not_known_is_no_data_and_never_a_kept_limit(answers: list[Any], words: str) -> None:
    found = reading(FakePrometheus(*answers))
    assert found.result == LimitResult(no_data=True)
    assert words in found.text


@pytest.mark.parametrize("hold", [0.0, 10.0, 31.0, 600.0])
def test_a_step_holds_without_a_word_until_there_can_be_numbers_of_it(hold: float) -> None:
    given = observing()
    steps = tuple(step.model_copy(update={"hold_seconds": hold}) for step in given.plan.steps)
    given = given.model_copy(update={"plan": given.plan.model_copy(update={"steps": steps})})
    prometheus = FakePrometheus()
    found = reading(prometheus, given, now="2026-01-05T10:00:20Z")
    assert found.result == LimitResult()
    assert found.observed_seconds is not None
    assert hold - found.observed_seconds == max(hold, 31.0) - 20.0, "the seconds that are left"
    assert prometheus.asked == []
    later = reading(FakePrometheus(vector(1.0), vector(1.0), vector(0.0)), given, now="2026-01-05T10:00:31Z")
    assert later.observed_seconds is None


@pytest.mark.parametrize(
    "given",
    [
        observing(errors=None),
        observing(settled=None),
        observing(phase=Phase.ABORTING, wanted=weights(0)),
        record(strategy(limits={"errors": "2%"})),
    ],
    ids=["no limits", "not settled", "no weight", "not started"],
)
def test_nothing_is_asked_where_nothing_can_be_judged(given: Record) -> None:
    prometheus = FakePrometheus()
    assert read_limits(given, NOW, prometheus, Queries(Source.ISTIO), SCRAPE) is None  # type: ignore[arg-type]
    assert prometheus.asked == []


def test_a_completed_rollout_is_still_looked_at() -> None:
    found = reading(FakePrometheus(vector(9.0), vector(9.0), vector(9.0)), observing(phase=Phase.COMPLETED, step=2))
    assert found.result.broken is not None


def test_the_queries_are_about_the_time_since_the_step_has_settled() -> None:
    prometheus = FakePrometheus(vector(1.0), vector(1.0), vector(0.0))
    reading(prometheus)
    assert "[31s]" in prometheus.asked[0]
    assert all("[120s]" in query and "[31s]" not in query for query in prometheus.asked[1:])
    assert all('destination_service_name="website"' in query for query in prometheus.asked)


@pytest.mark.parametrize(
    ("now", "seconds"),
    [("2026-01-05T10:01:00Z", 60.0), ("2026-01-05T12:00:00+00:00", LONGEST_WINDOW), ("2026-01-05T09:59:00Z", 0.0)],
)
def test_a_long_step_is_judged_by_its_last_minutes(now: str, seconds: float) -> None:
    assert window_since(SETTLED, now) == seconds


COUNTS = st.floats(0, 1e9)


@settings(deadline=None)
@given(COUNTS, COUNTS, COUNTS)
def test_more_failures_never_repair_a_broken_limit(requests: float, one: float, other: float) -> None:
    fewer, more = sorted((one, other))
    few, many = (
        judge(LIMITS, "version-2", Counted(seconds=60, requests=requests, failures=count)).result
        for count in (fewer, more)
    )
    assert few.broken is None or many.broken is not None


@settings(deadline=None)
@given(st.none() | st.floats(), st.none() | st.floats())
def test_a_limit_is_either_judged_or_without_data(requests: float | None, failures: float | None) -> None:
    found = judge(LIMITS, "version-2", Counted(seconds=60, requests=requests, failures=failures)).result
    known = requests is not None and failures is not None and math.isfinite(requests + failures) and requests > 0
    assert found.no_data is not known
    assert not (found.no_data and found.broken)
