"""The same canaries judged by this project's gates, and by Argo Rollouts' and Flagger's own analysis, in one table.

`python -m benchmarks.gates` draws rollouts (10, 30 and 50 % for ten minutes each) from seeds. A cell has the percent of
them that were aborted, the median of the minutes to it, and how many requests failed until the rollout's end that would
not have failed with the stable version. `python -m benchmarks.gates --decisions FILE …` judges what was sampled in real
rollouts: files of `canary rollout report --decisions`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

from rich.console import Console
from rich.table import Table

from benchmarks.gate_judges import MINUTE, Action, Judge, Named, judges, others, too_slow_of
from benchmarks.gate_streams import DEADLINE, WEIGHTS, Case, Event, Seen, Stream, grid
from rollout.gate_file import gate_file
from rollout.gates.blocks import ERRORS, LATENCY, Block, total
from rollout.gates.decide import Answer
from rollout.gates.replay import Decisions, ReplayError, replay

RUNS = 100
WIDTH = 200
"""Columns of the table on a screen."""
RATES, PER_SECOND, TIMES = (0.001, 0.005, 0.01, 0.05), (5.0, 50.0, 500.0), (1.0, 2.0, 5.0, 10.0)
PROMOTED, ABORTED, HELD = "promoted", "aborted", "held"


def cases() -> list[Case]:
    """Return all canaries of the table."""
    usual = {"rate": 0.001, "per_second": 50.0}
    ever = DEADLINE + 1
    return [
        *grid(RATES, PER_SECOND, TIMES),
        Case(name="1 min of 20 % failures of both", event=Event(start=900, end=960, failing=0.2), **usual),
        Case(name="5 min of 5 % failures of both", event=Event(start=900, end=1200, failing=0.05), **usual),
        Case(name="both fail x5 for 10 min", event=Event(start=900, end=1500, times=5), **usual),
        Case(name="no requests at all", event=Event(start=0, end=ever, traffic=0), **usual),
        Case(name="no more requests after 15 min", event=Event(start=900, end=ever, traffic=0), **usual),
        Case(name="2 times as slow", slower=2, **usual),
        Case(name="8 times as slow", slower=8, **usual),
    ]


@dataclass(frozen=True)
class Ending:
    """How a rollout ended, after how many minutes, and the requests that failed because of the canary."""

    what: str
    minutes: float
    extra: float


def follow(judge: Judge, stream: Stream) -> Ending:
    """Return how a rollout ends whose weights are what the judge says."""
    step, settled, extra = 0, 0.0, 0.0
    for number in range(len(stream)):
        seen = stream.at(number, step)
        extra += stream.caused(number, step)
        action = judge.after(seen, settled)
        if action is Action.ABORT:
            return Ending(ABORTED, seen.end / 60, extra)
        if action is Action.RISE:
            step, settled = step + 1, seen.end
            if step == len(WEIGHTS):
                return Ending(PROMOTED, seen.end / 60, extra)
    return Ending(HELD, DEADLINE / 60, extra)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What one judge did with all runs of a case: parts of 1, minutes of the aborted, mean of the extra failures."""

    aborted: float
    held: float
    minutes: float | None
    extra: float

    @classmethod
    def of(cls, endings: Sequence[Ending]) -> Figures:
        """Return the figures of these runs."""
        times = [one.minutes for one in endings if one.what == ABORTED]
        return cls(
            aborted=len(times) / len(endings),
            held=sum(one.what == HELD for one in endings) / len(endings),
            minutes=median(times) if times else None,
            extra=fmean(one.extra for one in endings),
        )


def measured(case: Case, runs: int, tuned: bool = False) -> list[Figures]:
    """Return the figures of each judge, in the order of `judges`."""
    named_judges = judges(tuned=tuned)
    endings: list[list[Ending]] = [[] for _ in named_judges]
    for seed in range(runs):
        stream = Stream(case, seed)
        for named, found in zip(named_judges, endings, strict=True):
            found.append(follow(named.create(case.rate), stream))
    return [Figures.of(found) for found in endings]


def compared(chosen: Sequence[Case], runs: int, processes: int, tuned: bool) -> Iterable[tuple[Case, list[Figures]]]:
    """Yield each case with its figures, measured in several processes."""
    with ProcessPoolExecutor(processes) as pool:
        found = pool.map(measured, chosen, [runs] * len(chosen), [tuned] * len(chosen))
        yield from zip(chosen, found, strict=True)


def table(rows: Iterable[tuple[Case, list[Figures]]], runs: int, named: Sequence[Named]) -> Table:
    """The comparison: a row for each canary, a column for each judge."""
    title = f"aborted, median of the minutes, extra failed requests; {runs} rollouts in each cell"
    shown = Table("success", "requests/s", "canary", *(one.name for one in named), title=title)
    before: tuple[float, float] | None = None
    for case, figures in rows:
        key = (case.rate, case.per_second)
        shown.add_section() if before not in (None, key) else None
        before = key
        about = (f"{100 * (1 - case.rate):g} %", f"{case.per_second:g}", case.name)
        shown.add_row(*about, *(cell(case, one) for one in figures))
    return shown


def measured_table(runs: int, processes: int, names: Sequence[str] | None = None, *, tuned: bool = False) -> Table:
    """Return the comparison of all canaries, or of those with these names."""
    chosen = [case for case in cases() if not names or case.name in names]
    return table(compared(chosen, runs, processes, tuned), runs, judges(tuned=tuned))


def cell(case: Case, one: Figures) -> str:
    """One judge's figures in words; an abort is wrong where the canary is as good as stable."""
    text = f"{100 * one.aborted:.3g} %" + (" wrongly" if case.good and one.aborted else "")
    if one.minutes is not None:
        text += f" @ {one.minutes:.1f} min"
    if case.times != 1:
        text += f", +{one.extra:.0f}"
    return text + (f", {100 * one.held:.3g} % held" if one.held else "")


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A real rollout: what was sampled, and when our gates found harm, in seconds since its first block."""

    name: str
    seen: tuple[Seen, ...]
    harm: float | None

    @classmethod
    def of(cls, name: str, decisions: Decisions) -> Recorded:
        """Return the rollout of these decisions; the gates decide again, from the same blocks."""
        bound, blocks = decisions.plan.latency_bound, decisions.blocks
        first = blocks[0].start if blocks else 0.0
        pairs = zip(decisions.seen, replay(decisions), strict=True)
        harm = next((one.moment.now - first for one, verdict in pairs if verdict.answer is Answer.HARM), None)
        return cls(name=name, seen=tuple(_seen(block, first, bound) for block in blocks), harm=harm)


def _seen(block: Block, first: float, bound: float | None) -> Seen:
    """A block as the judges read it, with times since the first one."""
    errors = total(block.metrics.get(ERRORS, {}).values())
    slow = total(block.metrics.get(LATENCY, {}).values())
    too_slow = too_slow_of(bound, slow.f_c, slow.n_c)
    return Seen(block.start - first, block.end - first, block.step, *errors, slow.f_c, slow.f_s, too_slow)


def first_abort(judge: Judge, seen: Sequence[Seen]) -> float | None:
    """Return after how many seconds a judge aborts a rollout whose weights were not its own; None if it does not."""
    settled, step = 0.0, -1
    for one in seen:
        if one.step != step:
            step, settled = one.step, one.start
        if judge.after(one, settled) is Action.ABORT:
            return one.end
    return None


def recorded_table(rollouts: Sequence[Recorded], named: Sequence[Named]) -> Table:
    """The real rollouts: when each judge aborts, in seconds, and in the last row how often and the median."""
    shown = Table("rollout", "seconds", "canary's requests", "failed", "canary rollout", *(one.name for one in named))
    columns: list[list[float | None]] = [[] for _ in range(1 + len(named))]
    for one in rollouts:
        found = [one.harm, *(first_abort(judge.create(0.0), one.seen) for judge in named)]
        for column, value in zip(columns, found, strict=True):
            column.append(value)
        n_c, f_c = (sum(getattr(seen, name) for seen in one.seen) for name in ("n_c", "f_c"))
        long = one.seen[-1].end if one.seen else 0.0
        shown.add_row(one.name, f"{long:.0f}", f"{n_c:.0f}", f"{f_c:.0f}", *(_abort(value) for value in found))
    shown.add_section()
    shown.add_row("aborted, median", "", "", "", *(_aborts(column) for column in columns))
    return shown


def _abort(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.0f} s"


def _aborts(column: Sequence[float | None]) -> str:
    times = [one for one in column if one is not None]
    return f"{len(times)} of {len(column)}" + (f", {median(times):.0f} s" if times else "")


def read(path: Path) -> Recorded:
    """Return the rollout in a file of decisions: its last run has all blocks. Raises ReplayError and OSError."""
    runs = gate_file(path.read_text()).runs
    if not runs:
        raise ReplayError("the file has no decisions")
    return Recorded.of(path.stem, runs[-1])


def main() -> int:
    """Print the table of drawn rollouts, or that of real ones."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gates", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=RUNS, help="rollouts in each cell")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--case", action="append", metavar="NAME", help="these canaries only: identical, x5, …")
    parser.add_argument(
        "--tuned", action="store_true", help="others' conditions at twice each service's usual failures"
    )
    parser.add_argument("--decisions", nargs="+", type=Path, metavar="FILE", help="real rollouts instead")
    parser.add_argument("--every", type=float, default=MINUTE, help="seconds between the others' looks at real ones")
    asked = parser.parse_args()
    console = Console(width=WIDTH)
    if asked.decisions:
        try:
            rollouts = [read(path) for path in asked.decisions]
        except (OSError, ReplayError) as error:
            print(f"{error}; fix: give files of `canary rollout report --decisions FILE`", file=sys.stderr)
            return 2
        console.print(recorded_table(rollouts, others(asked.every)))
        return 0
    console.print(measured_table(asked.runs, asked.processes, asked.case, tuned=asked.tuned))
    return 0


if __name__ == "__main__":
    sys.exit(main())
