"""Latency: which bound tells slow requests."""

from __future__ import annotations

from math import inf

import pytest

from rollout.gates.latency import choose_bound

BUCKETS = {5.0: 400.0, 10.0: 700.0, 25.0: 940.0, 50.0: 990.0, 100.0: 998.0, 250.0: 1000.0, inf: 1000.0}


@pytest.mark.parametrize(
    ("buckets", "tail", "bound", "share"),
    [
        (BUCKETS, 0.05, 25, 0.06),
        (BUCKETS, 0.01, 50, 0.01),
        (BUCKETS, 0.3, 10, 0.3),
        (BUCKETS, 0.001, 50, 0.01),  # 100 ms has 0.2 % above it, which is too little
        ({5.0: 0.0, inf: 10.0}, 0.05, 5, 1.0),
    ],
)
def test_the_bound_whose_tail_is_nearest_is_chosen(
    buckets: dict[float, float], tail: float, bound: float, share: float
) -> None:
    found = choose_bound(buckets, tail)
    assert found is not None
    assert found == pytest.approx((bound, share))


@pytest.mark.parametrize("buckets", [{}, {inf: 0.0}, {5.0: 0.0, inf: 0.0}, {5.0: 1000.0, inf: 1000.0}])
def test_without_slow_requests_there_is_no_bound(buckets: dict[float, float]) -> None:
    assert choose_bound(buckets) is None
