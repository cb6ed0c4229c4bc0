"""The table of judges: streams that all judges share, how rollouts end, and real rollouts from a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.gate_judges import Action, block_of, others, plan_of
from benchmarks.gate_streams import DEADLINE, SCRAPE, SLOW, WEIGHTS, Case, Event, Seen, Stream, above
from benchmarks.gates import (
    ABORTED,
    HELD,
    PROMOTED,
    Ending,
    Figures,
    cases,
    cell,
    first_abort,
    follow,
    main,
    measured,
    read,
    recorded_table,
)
from rollout.gates.blocks import Coverage, Observation
from rollout.gates.decide import Gate, Moment
from rollout.gates.replay import Decisions, to_json

GOOD = Case(name="identical", rate=0.01, per_second=50)
BAD = Case(name="x5", rate=0.01, per_second=50, times=5)


def test_a_seed_gives_the_same_stream_and_another_one_another() -> None:
    rows = [[Stream(BAD, seed).at(number, 1) for number in range(50)] for seed in (1, 1, 2)]
    assert rows[0] == rows[1] != rows[2]


def test_a_stream_has_the_rates_and_weights_of_its_case() -> None:
    stream = Stream(BAD, 3)
    for step, weight in enumerate(WEIGHTS):
        rows = [stream.at(number, step) for number in range(len(stream))]
        n_c, n_s, f_c, f_s = (sum(column) for column in list(zip(*rows, strict=True))[3:7])
        assert n_c + n_s == pytest.approx(50 * DEADLINE, rel=0.01)
        assert n_c / (n_c + n_s) == pytest.approx(weight / 100, rel=0.02)
        assert (f_c / n_c, f_s / n_s) == (pytest.approx(0.05, rel=0.1), pytest.approx(0.01, rel=0.1))
        slow = sum(row.slow_c for row in rows) / n_c
        assert slow == pytest.approx(above(SLOW), rel=0.1)
        extra = sum(stream.caused(number, step) for number in range(len(stream)))
        assert extra == pytest.approx(0.04 * n_c)


def test_an_event_hits_both_versions_and_costs_nothing_extra() -> None:
    outage = Case(name="outage", rate=0.0, per_second=100, event=Event(start=60, end=120, failing=0.5))
    rows = [Stream(outage, 1).at(number, 2) for number in range(12)]
    failing = {row.start for row in rows if row.f_c > 0 and row.f_s > 0}
    assert failing == {60.0, 75.0, 90.0, 105.0}
    assert sum(Stream(outage, 1).caused(number, 2) for number in range(12)) == 0
    silent = Case(name="silent", rate=0.0, per_second=100, event=Event(start=30, end=60, traffic=0))
    assert [Stream(silent, 1).at(number, 0).n_s > 0 for number in range(5)] == [True, True, False, False, True]


class Scripted:
    """A judge that answers by the step and by the time since it began."""

    def __init__(self, answers: dict[tuple[int, float], Action]) -> None:
        self.answers = answers

    def after(self, seen: Seen, settled: float) -> Action:
        return self.answers.get((seen.step, seen.end - settled), Action.HOLD)


@pytest.mark.parametrize(
    ("answers", "what", "minutes"),
    [
        pytest.param({}, HELD, 120, id="a judge that never decides"),
        pytest.param({(0, 60.0): Action.ABORT}, ABORTED, 1, id="an abort in the first step"),
        pytest.param({(0, 60.0): Action.RISE, (1, 30.0): Action.ABORT}, ABORTED, 1.5, id="in the second one"),
        pytest.param({(step, 60.0): Action.RISE for step in range(3)}, PROMOTED, 3, id="three steps"),
    ],
)
def test_a_rollout_follows_its_judge(answers: dict[tuple[int, float], Action], what: str, minutes: float) -> None:
    ending = follow(Scripted(answers), Stream(BAD, 1))
    assert (ending.what, ending.minutes) == (what, minutes)
    assert ending.extra > 0


def test_figures_are_of_all_runs_and_the_minutes_of_the_aborted() -> None:
    endings = [Ending(ABORTED, 1, 10), Ending(ABORTED, 3, 10), Ending(PROMOTED, 30, 0), Ending(HELD, 120, 100)]
    assert Figures.of(endings) == Figures(aborted=0.5, held=0.25, minutes=2, extra=30)


@pytest.mark.parametrize(
    ("case", "figures", "text"),
    [
        (GOOD, Figures(aborted=0, held=0, minutes=None, extra=0), "0 %"),
        (GOOD, Figures(aborted=0.5, held=0.1, minutes=2, extra=0), "50 % wrongly @ 2.0 min, 10 % held"),
        (BAD, Figures(aborted=1, held=0, minutes=1, extra=12.4), "100 % @ 1.0 min, +12"),
        (BAD, Figures(aborted=0, held=0, minutes=None, extra=540), "0 %, +540"),
    ],
)
def test_a_cell_says_whether_an_abort_was_wrong(case: Case, figures: Figures, text: str) -> None:
    assert cell(case, figures) == text


def test_cases_cover_good_and_bad_ones_by_different_names() -> None:
    found = cases()
    assert len({(one.name, one.rate, one.per_second) for one in found}) == len(found)
    assert any(one.good for one in found)
    assert any(one.slower > 1 and one.times == 1 for one in found)


def test_ours_finds_a_fivefold_error_rate_that_argo_rollouts_at_95_percent_does_not() -> None:
    bad = Case(name="x5", rate=0.005, per_second=50, times=5)
    ours, argo, *_ = measured(bad, runs=3)
    assert (ours.aborted, argo.aborted) == (1.0, 0.0)
    assert ours.minutes is not None
    assert ours.minutes < 6
    assert ours.extra < argo.extra


def test_at_little_traffic_a_fixed_limit_aborts_a_good_version_and_ours_does_not() -> None:
    ours, *_, argo, _, _ = measured(Case(name="identical", rate=0.01, per_second=5), runs=2)
    assert ours.aborted == 0
    assert argo.aborted == 1


def real(tmp_path: Path, failing: float, blocks: int = 24) -> Path:
    """A file of decisions as `canary rollout report --decisions` writes it: one step, a second for each block."""
    plan = plan_of(0.005).model_copy(update={"block_seconds": 1.0})
    gate, decisions, known = Gate(plan), Decisions(plan=plan), []
    for number in range(blocks):
        start = 1_000.0 + number
        known.append(block_of(Seen(start, start + 1, 0, 100, 900, failing, 0)))
        coverage = {0: Coverage(seen=number + 1, expected=number + 1, newest=start + 1)}
        observation = Observation(blocks=known, coverage=coverage)
        moment = Moment(step=0, settled=1_000.0, now=start + 1)
        decisions = decisions.and_then(observation, moment, gate.judge(observation, moment))
    path = tmp_path / f"failing-{failing:g}.json"
    path.write_text(json.dumps({"schema": 1, "rollout": "shop-1", "runs": [json.loads(to_json(decisions))]}))
    return path


def test_a_real_rollout_is_judged_by_all_from_the_same_samples(tmp_path: Path) -> None:
    good, bad = (read(real(tmp_path, failing)) for failing in (0.0, 10.0))

    assert good.harm is None
    assert bad.harm == 2.0, "two blocks must agree"
    assert len(bad.seen) == 24
    assert (bad.seen[0].start, bad.seen[-1].end) == (0.0, 24.0)
    assert bad.seen[0].n_c == 100
    named = others(every=5.0)
    assert [first_abort(one.create(0.0), good.seen) for one in named] == [None] * 5
    # 10 % fail: measured after each 5 s, at most 0 or 3 times, and by Flagger not more than four times in 24 s.
    assert [first_abort(one.create(0.0), bad.seen) for one in named] == [5.0, 20.0, 5.0, 20.0, None]
    console = Console(width=200, record=True)
    console.print(recorded_table([good, bad], named))
    assert "1 of 2, 5 s" in console.export_text()


@pytest.mark.parametrize("content", [None, "", "{}", '{"schema": 1, "rollout": "shop-1", "runs": []}'])
def test_a_file_without_decisions_is_refused(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "shop.json"
    if content is not None:
        path.write_text(content)
    monkeypatch.setattr("sys.argv", ["gates", "--decisions", str(path)])
    assert main() == 2
    assert "canary rollout report --decisions" in capsys.readouterr().err


def test_intervals_are_as_long_as_a_scrape() -> None:
    assert Stream(GOOD, 0).at(4, 0)[:3] == (4 * SCRAPE, 5 * SCRAPE, 0)
