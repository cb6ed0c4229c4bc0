"""Warm-up: what is left out of latency while pods are new, how much at most, and what it does to whole steps."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.gates.blocks import ERRORS, LATENCY, Block, Coverage, Observation
from rollout.gates.decide import Answer, Gate, Moment
from rollout.gates.plan import GateMetric, GatePlan, GateStep, latency_margin
from rollout.gates.warm_up import MOST_WARM_UPS, WARM_UP, Span, is_used_up, left_out
from tests.unit.rollout.gates.drawn import strata

SECONDS = 15.0
SLOW = 0.05
"""Share of stable's requests that are slow."""


@pytest.mark.parametrize(
    ("warm_ups", "stood", "expected"),
    [
        ([], [(0, Span(0, inf))], {0: ()}),
        ([Span(100, 160)], [(0, Span(0, inf))], {0: (Span(100, 160),)}),
        ([Span(100, 160)], [(0, Span(120, inf))], {0: (Span(120, 160),)}),
        ([Span(100, 160)], [(0, Span(0, 130)), (1, Span(140, inf))], {0: (Span(100, 130),), 1: (Span(140, 160),)}),
        ([Span(100, 160), Span(130, 190)], [(0, Span(0, inf))], {0: (Span(100, 190),)}),
        ([Span(100, 160), Span(300, 360)], [(0, Span(0, inf))], {0: (Span(100, 160), Span(300, 360))}),
        ([Span(0, 1000)], [(0, Span(50, inf))], {0: (Span(50, 230),)}),
        ([Span(0, 1000)], [(0, Span(0, 500)), (1, Span(510, inf))], {0: (Span(0, 180),), 1: (Span(510, 690),)}),
        ([Span(0, 1000)], [(0, Span(0, 100)), (0, Span(200, inf))], {0: (Span(0, 100), Span(200, 280))}),
        ([Span(0, 170), Span(300, 360)], [(0, Span(0, inf))], {0: (Span(0, 170), Span(300, 310))}),
    ],
    ids=[
        "no new pod", "one in a step", "one older than the step", "one in two steps", "one after the other as one",
        "two apart", "always a new pod", "always a new pod, in two steps", "a step that was written again",
        "the last one in part",
    ],
)  # fmt: skip
def test_new_pods_are_left_out_of_each_step_for_three_minutes_at_most(
    warm_ups: list[Span], stood: list[tuple[int, Span]], expected: dict[int, tuple[Span, ...]]
) -> None:
    assert left_out(warm_ups, stood, WARM_UP) == expected


TIMES = st.integers(0, 2000).map(float)
WARM_UPS = st.lists(st.builds(lambda at: Span(at, at + WARM_UP), TIMES), max_size=30)


@given(WARM_UPS, st.lists(TIMES, min_size=1, max_size=6, unique=True))
def test_whatever_pods_do_the_rest_of_each_step_counts(warm_ups: list[Span], begun: list[float]) -> None:
    times = [*sorted(begun), inf]
    stood = [(step, Span(*times[step : step + 2])) for step in range(len(begun))]
    for step, spans in left_out(warm_ups, stood, WARM_UP).items():
        assert sum(one.seconds for one in spans) <= MOST_WARM_UPS * WARM_UP
        for one in spans:
            assert stood[step][1].start <= one.start < one.end <= stood[step][1].end
            assert any(new.overlaps(one.start, one.end) for new in warm_ups)


@given(WARM_UPS, TIMES)
def test_a_pod_that_starts_later_changes_nothing_of_what_was_before(warm_ups: list[Span], later: float) -> None:
    stood = [(0, Span(0, inf))]
    before = left_out([one for one in warm_ups if one.start < later], stood, WARM_UP)[0]
    after = left_out(warm_ups, stood, WARM_UP)[0]
    assert _until(after, later) == _until(before, later)


def _until(spans: Sequence[Span], end: float) -> list[Span]:
    return [Span(one.start, min(one.end, end)) for one in spans if one.start < end]


def test_a_step_has_used_up_its_warm_ups_after_three() -> None:
    assert not is_used_up([Span(0, 179)], WARM_UP)
    assert is_used_up([Span(0, 100), Span(200, 280)], WARM_UP)


# Whole steps, at 50 requests a second of which the new version has 10 %

PLAN = GatePlan(
    promote="time",
    metrics=(
        GateMetric(name=ERRORS, share=0.5, stable_rate=0.001, margin=0.001, least=0.001),
        GateMetric(name=LATENCY, share=0.25, tolerated=1.5, stable_rate=SLOW, margin=latency_margin(SLOW, 1.5)),
    ),
    steps=(
        GateStep(rule="default", weight=10, weights={"default": 10}, hold_seconds=1800),
        GateStep(rule="default", weight=100, weights={"default": 100}),
    ),
)


def judged(seed: int, warm_ups: Sequence[Span], *, cold: float, warm: float, failing: float = 0.001) -> float | None:
    """The seconds until harm is found in 30 minutes, None if it is not.

    Of the new version's requests the share `cold` is slow in the first minute, and `warm` afterwards.
    """
    rng = np.random.default_rng(seed)
    left = left_out(warm_ups, [(0, Span(0, inf))], WARM_UP)[0]
    gate, blocks = Gate(PLAN), []
    for number in range(120):
        start, end = number * SECONDS, (number + 1) * SECONDS
        requests = int(rng.poisson(50 * SECONDS))
        n_c = int(rng.binomial(requests, 0.1))
        n_s = requests - n_c
        slow = (n_c, n_s, rng.binomial(n_c, cold if start < WARM_UP else warm), rng.binomial(n_s, SLOW))
        failed = (n_c, n_s, rng.binomial(n_c, failing), rng.binomial(n_s, 0.001))
        metrics = {ERRORS: strata(failed)}
        if not any(one.overlaps(start, end) for one in left):
            metrics[LATENCY] = strata(slow)
        blocks.append(Block(start=start, end=end, step=0, metrics=metrics))
        coverage = Coverage(seen=number + 1, expected=number + 1, newest=end)
        verdict = gate.judge(Observation(blocks=blocks, coverage={0: coverage}), Moment(step=0, settled=0, now=end))
        if verdict.answer is Answer.HARM:
            return end
    return None


FIRST = [Span(0, WARM_UP)]
RUNS = range(60)


def test_a_version_with_a_cold_minute_is_not_taken_back() -> None:
    cold = [judged(seed, FIRST, cold=0.6, warm=SLOW) for seed in RUNS]
    assert cold == [None] * len(RUNS)


def test_without_a_warm_up_a_cold_minute_takes_a_good_version_back() -> None:
    assert sum(judged(seed, [], cold=0.6, warm=SLOW) is not None for seed in RUNS) == len(RUNS)


def test_a_slow_version_is_found_within_a_minute_after_its_warm_up() -> None:
    found = [judged(seed, FIRST, cold=0.6, warm=0.3) for seed in RUNS]
    assert all(one is not None and WARM_UP < one <= 2 * WARM_UP for one in found), found


def test_a_slow_version_whose_pods_always_start_is_found_within_a_minute_after_three_warm_ups() -> None:
    always = [Span(at, at + WARM_UP) for at in range(0, 1800, 20)]
    found = [judged(seed, always, cold=0.3, warm=0.3) for seed in RUNS]
    last = MOST_WARM_UPS * WARM_UP
    assert all(one is not None and last < one <= last + WARM_UP for one in found), found


def test_failures_count_while_pods_warm_up() -> None:
    found = [judged(seed, FIRST, cold=0.6, warm=SLOW, failing=0.3) for seed in RUNS]
    assert all(one is not None and one <= WARM_UP for one in found), found
