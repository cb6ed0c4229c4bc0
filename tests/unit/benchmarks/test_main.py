"""The names that `python -m benchmarks` measures, and what it runs without a sandbox."""

from __future__ import annotations

import pytest

from benchmarks import __main__ as main
from benchmarks import gates
from benchmarks.gate_streams import Case


def test_every_figure_of_rollouts_has_a_limit_and_needs_a_sandbox() -> None:
    assert set(main.ROLLOUTS) <= main.ON_A_SANDBOX
    assert main.GATES not in main.FIGURES
    assert "decision" not in main.ON_A_SANDBOX


def test_a_decision_of_the_gates_is_measured_in_a_process_of_its_own() -> None:
    found = main._json("benchmarks.decisions")
    assert found["decisions"] == 1920
    assert 0 < found["median"] <= found["worst"]


def test_the_comparison_is_printed_without_figures_when_it_alone_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = [Case(name="x10", rate=0.05, per_second=50, times=10)]
    monkeypatch.setattr(gates, "cases", lambda: few)
    monkeypatch.setattr(gates, "RUNS", 2)
    monkeypatch.setattr("sys.argv", ["benchmarks", main.GATES])
    assert main.main() == 0
    out = capsys.readouterr().out
    assert "canary rollout" in out
    assert "Flagger" in out
    assert "limit │" not in out
