"""A rollout's decisions as JSON, and the same decisions again from it: on any machine, without its metrics' store.

The file has the plan, all blocks, and for each decision how many of them were known, how much of the step was seen and
when it was. A verdict follows from these alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rollout.gates.blocks import Block, Counts, Coverage, Observation, Stratum
from rollout.gates.decide import Answer, Gate, Moment, Verdict
from rollout.gates.plan import GatePlan

SCHEMA = 1
"""Version of the file's form; a newer one is not read."""


class ReplayError(Exception):
    """The file holds no decisions that can be replayed. Says why."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One decision: what was known when it was taken, and its answer. `blocks` are the first ones of all."""

    moment: Moment
    blocks: int
    coverage: Coverage
    answer: Answer
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """All decisions of one rollout in their order."""

    plan: GatePlan
    blocks: tuple[Block, ...] = ()
    seen: tuple[Seen, ...] = ()

    def and_then(self, observation: Observation, moment: Moment, verdict: Verdict) -> Decisions:
        """Return the decisions with one more."""
        coverage = replace(observation.coverage.get(moment.step, Coverage()), spans=())
        one = Seen(
            moment=moment,
            blocks=len(observation.blocks),
            coverage=coverage,
            answer=verdict.answer,
            reason=verdict.reason,
        )
        return replace(self, blocks=tuple(observation.blocks), seen=(*self.seen, one))


def replay(decisions: Decisions) -> tuple[Verdict, ...]:
    """Return the verdict of each decision anew."""
    gate = Gate(decisions.plan)
    return tuple(
        gate.judge(
            Observation(blocks=decisions.blocks[: one.blocks], coverage={one.moment.step: one.coverage}), one.moment
        )
        for one in decisions.seen
    )


def differing(decisions: Decisions) -> tuple[tuple[Seen, Verdict], ...]:
    """Return the decisions whose replay has another answer: none, unless the file or the statistics were changed."""
    pairs = zip(decisions.seen, replay(decisions), strict=True)
    return tuple((one, verdict) for one, verdict in pairs if one.answer is not verdict.answer)


def to_json(decisions: Decisions) -> str:
    """Return the decisions as compact JSON."""
    data = {
        "schema": SCHEMA,
        "plan": decisions.plan.model_dump(mode="json", by_alias=True),
        "blocks": [_block_data(block) for block in decisions.blocks],
        "decisions": _SEEN.dump_python(decisions.seen, mode="json"),
    }
    return json.dumps(data, separators=(",", ":"))


def from_json(text: str) -> Decisions:
    """Return the decisions that `to_json` wrote. Raises ReplayError if it did not, or a newer version of it did."""
    try:
        data = json.loads(text)
        if data["schema"] != SCHEMA:
            raise ReplayError(f"the decisions are of schema {data['schema']}, and this version reads {SCHEMA}")
        return Decisions(
            plan=GatePlan.model_validate_json(json.dumps(data["plan"])),
            blocks=tuple(_block(one) for one in data["blocks"]),
            seen=_SEEN.validate_python(data["decisions"]),
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ReplayError(f"the decisions cannot be read: {place}: {first['msg']}") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ReplayError(f"the decisions cannot be read: {error}") from None


_SEEN = TypeAdapter(tuple[Seen, ...])


def _block_data(block: Block) -> list[Any]:
    metrics = {
        metric: [[*stratum, *counts] for stratum, counts in strata.items()] for metric, strata in block.metrics.items()
    }
    return [block.start, block.end, block.step, block.cells, metrics]


def _block(data: Sequence[Any]) -> Block:
    start, end, step, cells, metrics = data
    return Block(start=start, end=end, step=step, cells=cells, metrics=_metrics(metrics))


def _metrics(data: Mapping[str, Sequence[Sequence[Any]]]) -> dict[str, dict[Stratum, Counts]]:
    return {
        metric: {Stratum(rule, caller): Counts(*map(float, counts)) for rule, caller, *counts in strata}
        for metric, strata in data.items()
    }
