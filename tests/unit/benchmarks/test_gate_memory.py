"""What is measured is what a runner does: it fixes the past, judges each block, and keeps what can be replayed."""

from __future__ import annotations

import re

import pytest

from benchmarks.gate_memory import BLOCK, BOUND, CALLERS, HOUR, Run
from rollout import gate_history
from rollout.gate_file import gate_file, unpacked
from rollout.gates.replay import differing


@pytest.fixture(autouse=True)
def _a_short_past(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_history, "LONGEST", HOUR / 4)


def test_the_hours_are_judged_by_all_metrics_of_all_callers_and_kept_block_by_block() -> None:
    run, number = Run(BLOCK), 20
    assert run.fix() > 10
    run.go(number * BLOCK / HOUR, at_once=False)
    (decisions,) = gate_file(unpacked(run.store.verdicts)).runs

    assert run.answer == "Hold"
    assert run.blocks == len(decisions.blocks) == number - 1, "the first scrapes only have the base"
    assert len(run.kept) == number
    assert decisions.plan.latency_bound == BOUND
    assert [one.name for one in decisions.plan.metrics] == ["errors", "attempts", "latency"]
    strata = [strata for block in decisions.blocks for name, strata in block.metrics.items() if name == "errors"]
    assert {len(one) for one in strata} == {CALLERS}
    assert all(0 <= counts.f_s < counts.n_s for one in strata for counts in one.values())
    assert any(counts.f_s for one in strata for counts in one.values())
    assert differing(decisions) == ()


def test_all_hours_in_one_reading_have_the_same_blocks() -> None:
    runs = [Run(BLOCK) for _ in range(2)]
    for run, at_once in zip(runs, (False, True), strict=True):
        run.fix()
        run.go(0.2, at_once=at_once)
    one, other = (gate_file(unpacked(run.store.verdicts)).runs[0] for run in runs)

    assert one.blocks == other.blocks
    assert len(runs[1].kept) == 1
    assert re.fullmatch("[0-9.]+ of 86400 s have numbers", other.seen[-1].reason)
