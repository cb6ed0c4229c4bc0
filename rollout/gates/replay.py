"""A rollout's decisions as JSON, and the same decisions again from it: on any machine, without its metrics' store.

The file has the plan, all blocks, and for each decision how many of them were known, how much of the step was seen and
when it was. A verdict follows from these alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

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
    return begin_json(decisions.plan) + ",".join(map(block_json, decisions.blocks)) + end_json(decisions.seen)


def begin_json(plan: GatePlan) -> str:
    """Return the beginning of that JSON: the blocks come next, with commas between them, and then `end_json`."""
    return f'{{"schema":{SCHEMA},"plan":{_json(plan.model_dump(mode="json", by_alias=True))},"blocks":['


def block_json(block: Block) -> str:
    """Return one block in it."""
    return _json(_block_data(block))


def end_json(seen: Sequence[Seen]) -> str:
    """Return its end: the decisions."""
    return f'],"decisions":{_json(_SEEN.dump_python(tuple(seen), mode="json"))}}}'


def from_json(text: str) -> Decisions:
    """Return the decisions that `to_json` wrote. Raises ReplayError if it did not, or a newer version of it did."""
    data = parsed(text)
    schema = data.get("schema") if isinstance(data, dict) else None
    if type(schema) is not int:
        raise ReplayError("the decisions cannot be read: they do not say their schema")
    if schema != SCHEMA:
        raise ReplayError(f"the decisions are of schema {schema}, and this version reads {SCHEMA}")
    try:
        run = _Run.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        raise ReplayError(f"the decisions cannot be read: {_words(error)}") from None
    found = Decisions(plan=run.plan, blocks=tuple(map(_block, run.blocks)), seen=run.decisions)
    for place, number, least, most in _numbers(found):
        if not least <= number <= most:  # a NaN, too
            raise ReplayError(f"the decisions cannot be read: {place} is {number}, and can be {least:g} to {most:g}")
    return found


def parsed(text: str) -> Any:
    """Return what a text in JSON says; raises ReplayError."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ReplayError(f"it is not JSON: {error}") from None


Row = tuple[float, float, int, int, dict[str, list[tuple[str, str, float, float, float, float]]]]
"""A block in the file: start, end, step, cells, and by metric the rule, the caller and the counts."""


class _Run(BaseModel):
    """The form of the file."""

    model_config = ConfigDict(extra="forbid")

    schema_: int = Field(alias="schema")
    plan: GatePlan
    blocks: tuple[Row, ...]
    decisions: tuple[Seen, ...]


LAST = 253_402_300_799.0
"""The end of the year 9999, in seconds since 1970."""
MANY = 1e15
"""More than any counter counts in a rollout."""


def _numbers(found: Decisions) -> Iterator[tuple[str, float, float, float]]:
    """Each number that the form alone does not bound: its place, and the least and the greatest that it can be."""
    steps = len(found.plan.steps) - 1
    for index, block in enumerate(found.blocks):
        place = f"blocks[{index}]"
        yield f"the start of {place}", block.start, 0, LAST
        yield f"the end of {place}", block.end, block.start, LAST
        yield f"the step of {place}", block.step, 0, steps
        yield f"the cells of {place}", block.cells, 0, MANY
        for metric, strata in block.metrics.items():
            for counts in strata.values():
                for name, value in zip(Counts._fields, counts, strict=True):
                    yield f"{name} of {metric} in {place}", value, 0, MANY
    for index, one in enumerate(found.seen):
        place = f"decisions[{index}]"
        yield f"the step of {place}", one.moment.step, 0, steps
        yield f"settled in {place}", one.moment.settled, 0, LAST
        yield f"now in {place}", one.moment.now, 0, LAST
        yield f"blocks in {place}", one.blocks, 0, len(found.blocks)
        yield f"seen in {place}", one.coverage.seen, 0, MANY
        yield f"expected in {place}", one.coverage.expected, 0, MANY
        yield f"pending in {place}", one.coverage.pending, 0, MANY
        yield f"newest in {place}", 0 if one.coverage.newest is None else one.coverage.newest, 0, LAST


def _words(error: ValidationError) -> str:
    """The first thing that has another form, in words."""
    first = error.errors(include_url=False)[0]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).removeprefix(".")
    kind = first["type"]
    if kind == "missing":
        return f"{place} is missing"
    if kind == "extra_forbidden":
        return f"{place} is not known to this version"
    if kind in ("literal_error", "enum"):
        return f"{place} is {first['input']!r}, which is none of {first.get('ctx', {}).get('expected', 'the answers')}"
    bounds = ("greater_than", "less_than", "finite_number")
    if kind.startswith(bounds):
        return f"{place} is {first['input']!r}, which is out of bounds"
    return f"{place} has another form"


_SEEN = TypeAdapter(tuple[Seen, ...])
_json = json.JSONEncoder(separators=(",", ":")).encode


def _block_data(block: Block) -> list[Any]:
    metrics = {
        metric: [[*stratum, *counts] for stratum, counts in strata.items()] for metric, strata in block.metrics.items()
    }
    return [block.start, block.end, block.step, block.cells, metrics]


def _block(row: Row) -> Block:
    start, end, step, cells, metrics = row
    return Block(start=start, end=end, step=step, cells=cells, metrics=_metrics(metrics))


def _metrics(
    data: Mapping[str, Sequence[tuple[str, str, float, float, float, float]]],
) -> dict[str, dict[Stratum, Counts]]:
    return {
        metric: {Stratum(rule, caller): Counts(*map(float, counts)) for rule, caller, *counts in strata}
        for metric, strata in data.items()
    }
