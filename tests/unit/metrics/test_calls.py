"""Calls of gRPC: what counts as a failure is their own status."""

from __future__ import annotations

from pathlib import Path

from tests.unit.metrics.asked import V1, V2, of_both_sources, traffic
from tests.unit.metrics.promtool import evaluate
from tests.unit.metrics.recorded import record


def test_failed_calls_of_grpc_are_failures_though_http_says_200(tmp_path: Path) -> None:
    calls = traffic(V1, {"call answered": 30, "call for what is not there": 15})
    failed = traffic(V2, {"call answered": 15, "call failed": 30, "call without a healthy pod": 15})

    expected: dict[str, dict[str, float]] = {
        "requests": {V1: 3, V2: 4},
        "failures": {V1: 0, V2: 3},
        "success rate": {V1: 1, V2: 0.25},
    }
    evaluate(record([calls, failed]), of_both_sources(expected), tmp_path)
