"""The times in which the weights of a rollout's steps stood: what counted outside of them says nothing of a step."""

from __future__ import annotations

from rollout.record import Record, StepPeriod

MOST = 200
"""Periods that a record keeps: a step has another one each time that its routes are written again."""


def begun(record: Record, at: str) -> tuple[StepPeriod, ...]:
    """Return the periods with one more: every Envoy has the weights of the step since `at`."""
    return (*ended(record, at), StepPeriod(step=record.step, settled_at=at))[-MOST:]


def ended(record: Record, at: str) -> tuple[StepPeriod, ...]:
    """Return the periods of which the last one, if it still runs, ends at `at`."""
    if not record.periods or record.periods[-1].until is not None:
        return record.periods
    return (*record.periods[:-1], record.periods[-1].model_copy(update={"until": at}))
