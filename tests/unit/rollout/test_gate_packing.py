"""A run that grows is packed again and again: each time it is the whole file, with little new work."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from rollout import gate_packing
from rollout.gate_file import SCHEMA, gate_file, run_texts, unpacked
from rollout.gate_packing import Packing
from rollout.gates.blocks import Block
from rollout.gates.replay import Decisions, ReplayError, block_json, differing, to_json
from tests.unit.rollout.gates.test_replay import bad_rollout


def after(number: int) -> Decisions:
    """What was kept after so many decisions."""
    whole = bad_rollout()
    seen = whole.seen[:number]
    return replace(whole, seen=seen, blocks=whole.blocks[: seen[-1].blocks])


def runs_of(content: bytes) -> tuple[Decisions, ...]:
    return gate_file(unpacked(content)).runs


def test_each_time_it_is_all_of_the_run_after_the_earlier_ones() -> None:
    earlier = after(5)
    packing = Packing("website-1", [to_json(earlier)] * 2)

    assert runs_of(packing.packed(None)) == (earlier, earlier)
    for number in range(1, len(bad_rollout().seen) + 1):
        assert runs_of(packing.packed(after(number))) == (earlier, earlier, after(number))


def test_only_new_blocks_are_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Block] = []

    def counted(block: Block) -> str:
        written.append(block)
        return block_json(block)

    monkeypatch.setattr(gate_packing, "block_json", counted)
    packing = Packing("website-1")
    for number in range(1, len(bad_rollout().seen) + 1):
        packing.packed(after(number))

    assert tuple(written) == bad_rollout().blocks


def test_blocks_that_are_found_later_between_others_are_there() -> None:
    whole, packing = bad_rollout(), Packing("website-1")
    lacks = replace(whole, blocks=(*whole.blocks[:3], *whole.blocks[4:]), seen=())

    assert runs_of(packing.packed(lacks)) == (lacks,)
    assert runs_of(packing.packed(whole)) == (whole,)


def test_a_run_that_outgrows_the_place_has_its_beginning_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    most = len(Packing("website-1").packed(bad_rollout())) // 2
    monkeypatch.setattr(gate_packing, "MOST_BYTES", most)
    packing, number = Packing("website-1", [to_json(after(3))]), len(bad_rollout().seen)
    contents = [packing.packed(after(one)) for one in range(1, number + 1)]
    runs = [runs_of(content) for content in contents]

    assert max(map(len, contents)) <= most
    assert [len(one) for one in runs] == sorted((len(one) for one in runs), reverse=True), "the earlier one goes first"
    assert (len(runs[0]), len(runs[-1])) == (2, 1)
    assert all(differing(run) == () for of_content in runs for run in of_content)
    last = runs[-1][0]
    assert last.blocks == bad_rollout().blocks[: len(last.blocks)]
    assert 0 < len(last.blocks) < len(bad_rollout().blocks)
    assert len(last.seen) + gate_file(unpacked(contents[-1])).left_out == number


def test_the_next_runner_takes_the_runs_as_they_are() -> None:
    runs = [to_json(after(4)), to_json(after(9))]
    text = unpacked(Packing("website-1", runs[:1]).packed(after(9)))
    assert run_texts(text) == tuple(runs)


def test_a_file_of_an_older_version_has_all_in_one_line() -> None:
    runs = [to_json(after(4)), to_json(after(9))]
    data = {"schema": SCHEMA, "rollout": "website-1", "leftOut": 0, "runs": [json.loads(one) for one in runs]}
    assert run_texts(json.dumps(data, separators=(",", ":"))) == tuple(runs)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema":2,"rollout":"website-1","runs":[\n{}\n],"leftOut":0}'])
def test_what_is_no_file_of_this_version_has_no_runs(text: str) -> None:
    with pytest.raises(ReplayError):
        run_texts(text)
