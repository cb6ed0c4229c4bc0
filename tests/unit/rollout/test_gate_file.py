"""What the gates decided fits into a ConfigMap, and says what did not fit."""

from __future__ import annotations

import pytest

from rollout import gate_packing
from rollout.gate_file import gate_file, unpacked
from rollout.gate_packing import Packing
from rollout.gates.replay import ReplayError, differing, to_json
from tests.unit.rollout.gates.test_replay import bad_rollout


def test_decisions_that_fit_are_all_kept() -> None:
    found = gate_file(unpacked(Packing("website-1", [to_json(bad_rollout())]).packed(bad_rollout())))
    assert (found.rollout, found.left_out, found.runs) == ("website-1", 0, (bad_rollout(),) * 2)


def test_earlier_runs_are_dropped_first(monkeypatch: pytest.MonkeyPatch) -> None:
    text = to_json(bad_rollout())
    monkeypatch.setattr(gate_packing, "MOST_BYTES", len(Packing("website-1").packed(bad_rollout())))
    found = gate_file(unpacked(Packing("website-1", [text.replace("canary", "other")] * 3).packed(bad_rollout())))
    assert found.runs == (bad_rollout(),)
    assert found.left_out == 0


def test_of_a_run_that_does_not_fit_the_changes_of_the_answer_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bad_rollout()
    monkeypatch.setattr(gate_packing, "MOST_BYTES", len(Packing("website-1").packed(bad_rollout())) - 1)
    found = gate_file(unpacked(Packing("website-1").packed(whole)))
    (run,) = found.runs

    assert run.blocks == whole.blocks
    assert (run.seen[0], run.seen[-1]) == (whole.seen[0], whole.seen[-1])
    assert len(run.seen) + found.left_out == len(whole.seen)
    changes = [one for one, after in zip(whole.seen, whole.seen[1:], strict=False) if one.answer is not after.answer]
    assert set(changes) <= set(run.seen)
    assert differing(run) == (), "what is left has the same answers again"


@pytest.mark.parametrize("part", [2, 4, 20])
def test_of_a_run_that_does_not_fit_even_so_its_beginning_is_kept(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bad_rollout()
    most = max(len(Packing("website-1").packed(bad_rollout())) // part, 600)
    monkeypatch.setattr(gate_packing, "MOST_BYTES", most)
    content = Packing("website-1").packed(whole)
    found = gate_file(unpacked(content))
    (run,) = found.runs

    assert len(content) <= most
    assert run.blocks == whole.blocks[: len(run.blocks)]
    assert 0 < len(run.blocks) < len(whole.blocks)
    assert len(run.seen) + found.left_out == len(whole.seen)
    assert differing(run) == ()


def test_without_a_run_nothing_is_kept() -> None:
    assert Packing("website-1").packed(None) == b""
    with pytest.raises(ReplayError, match="it is not JSON"):
        gate_file(unpacked(b""))
