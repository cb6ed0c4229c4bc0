"""What the gates' decisions cost: a rollout of 8 hours with a scrape each 15 s and three metrics, decided after each.

`python -m benchmarks.decisions` prints milliseconds as JSON: of the decisions as a runner takes them, which keeps
what it has computed; of the first one in each step, which is for another weight; and of one from nothing, after a kill.
"""

from __future__ import annotations

import json
import statistics
import sys
import time

from benchmarks.gate_judges import block_of, plan_of
from benchmarks.gate_streams import SCRAPE, Case, Stream
from rollout.gates.blocks import Block, Coverage, Observation
from rollout.gates.decide import Gate, Moment, decide
from rollout.gates.plan import GatePlan

HOURS, HOUR = 8, 3600.0
WEIGHTS = (1.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 95.0)
"""Percent by step, each of which is kept for an hour."""

BAD = Case(name="x1.5", rate=0.005, per_second=50, times=1.5, slower=1.3)
"""A canary that is worse by all metrics: where there is evidence, it is also told since when."""


def main() -> int:
    """Measure, and print the figures."""
    plan, blocks = plan_of(BAD.rate, WEIGHTS), _blocks()
    gate, milliseconds, first = Gate(plan), [], []
    for number, block in enumerate(blocks):
        observation, moment = _seen(blocks[: number + 1])
        began = time.thread_time()
        gate.judge(observation, moment)
        milliseconds.append(1000 * (time.thread_time() - began))
        if not number or block.step != blocks[number - 1].step:
            first.append(milliseconds[-1])
    found = {
        "decisions": len(blocks),
        "median": round(statistics.median(milliseconds), 2),
        "worst": round(max(milliseconds), 2),
        "worst_first_of_a_step": round(max(first), 2),
        "from_nothing": round(_from_nothing(plan, blocks), 1),
    }
    print(json.dumps(found))
    return 0


def _blocks() -> list[Block]:
    """The blocks of all hours, each at the weight of its step."""
    stream = Stream(BAD, 0, WEIGHTS, seconds=HOURS * HOUR)
    each = round(HOUR / SCRAPE)
    return [block_of(stream.at(number, number // each)) for number in range(len(stream))]


def _seen(blocks: list[Block]) -> tuple[Observation, Moment]:
    """What is known after the last one of `blocks`, and when that is."""
    last = blocks[-1]
    settled = last.step * HOUR
    number = round((last.end - settled) / SCRAPE)
    coverage = Coverage(seen=number, expected=number, newest=last.end)
    moment = Moment(step=last.step, settled=settled, now=last.end)
    return Observation(blocks=blocks, coverage={last.step: coverage}), moment


def _from_nothing(plan: GatePlan, blocks: list[Block]) -> float:
    """Milliseconds of a decision on all blocks by a gate that knows none of them."""
    observation, moment = _seen(blocks)
    began = time.thread_time()
    decide(plan, observation, moment)
    return 1000 * (time.thread_time() - began)


if __name__ == "__main__":
    sys.exit(main())
