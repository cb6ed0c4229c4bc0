"""How long the gates of a rollout take, at the traffic of the last hour: what `plan` shows, and `start` refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from canary.command_error import CommandError
from canary.exit_codes import ExitCode
from canary.rollout.place import Place
from traffic.fields import seconds
from traffic.model.rollout_fields import AUTO

if TYPE_CHECKING:
    from canary.ui import Ui
    from rollout.gate_history import Past
    from rollout.gates.plan import GatePlan
    from rollout.gates.planner import Refusal, StepForecast
    from rollout.planned import Plan
    from rollout.record import Record

TIMEOUT = 30.0
"""Seconds for one query: hours of samples are read."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What each step can decide at `per_second` requests of both versions; `missing` says why nothing is known."""

    per_second: float = 0.0
    plan: GatePlan | None = None
    steps: tuple[StepForecast, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    missing: str = ""


def forecast(ui: Ui, place: Place, plan: Plan, origin: str, target: str, record: Record | None) -> Forecast | None:
    """Return how long the gates of a plan take; None if the first step's rule has none.

    `record` is that of the rollout in the cluster: what it has fixed is taken, instead of what would be fixed now.
    """
    strategy = plan.rules[plan.steps[0].rule].strategy
    if strategy.gates is None:
        return None
    from rollout.gate_history import gate_plan_of
    from rollout.gates.planner import forecast as forecast_of
    from rollout.gates.planner import refusals

    imagined = _imagined(place, plan, origin, target)
    past = _past(ui, place, imagined)
    if isinstance(past, str):
        return Forecast(missing=past)
    fixed = record.plan.gates if record is not None and record.phase.active else None
    if fixed is not None and len(fixed.steps) != len(plan.steps):
        fixed = None  # the file has other steps by now
    gates = fixed or gate_plan_of(imagined, strategy.gates, past)
    if not past.per_second:
        return Forecast(plan=gates, missing=f"Prometheus knows of no requests to {origin} in the last hour")
    given = [plan.rules[step.rule].strategy.deadline.step for step in plan.steps]
    deadlines = [None if one == AUTO else seconds(one) for one in given]
    total = seconds(strategy.deadline.total)
    return Forecast(
        per_second=past.per_second,
        plan=gates,
        steps=forecast_of(gates, past.per_second, deadlines),
        refusals=refusals(gates, past.per_second, deadlines, total),
    )


def refused(place: Place, found: Forecast | None) -> CommandError | None:
    """Return the error for steps that cannot decide before their deadline; None if all can, or if nothing is known."""
    if found is None or not found.refusals:
        return None
    details = tuple(one.what for one in found.refusals[1:])
    ways = "; or ".join(found.refusals[0].ways_out)
    return CommandError(found.refusals[0].what, ExitCode.CONFIG, f"one of these: {ways}", details)


def as_json(found: Forecast | None) -> dict[str, Any] | None:
    """Return the part of the document of `plan --json`; times are minutes, None where it takes for ever."""
    if found is None:
        return None
    gates = found.plan
    return {
        "requestsPerSecond": round(found.per_second, 3),
        "missing": found.missing,
        "tolerance": None if gates is None else gates.tolerance,
        "latencyBound": None if gates is None else gates.latency_bound,
        "steps": [
            {
                "step": one.step + 1,
                "found": {f"x{ratio:g}": _finite(minutes) for ratio, minutes in one.found.items()},
                "proof": _finite(one.proof),
                "minutes": _finite(one.minutes),
                "deadline": _finite(one.deadline),
            }
            for one in found.steps
        ],
        "refused": [{"step": one.step + 1, "what": one.what, "waysOut": list(one.ways_out)} for one in found.refusals],
    }


def minutes_words(minutes: float | None) -> str:
    """Return a time in a table: `0.5 min`, `2.1 h`, `never`, and `-` where nothing is asked for."""
    if minutes is None:
        return "-"
    if minutes == float("inf"):
        return "never"
    if minutes < 120:
        return f"{minutes:.1f} min" if minutes < 10 else f"{minutes:.0f} min"
    return f"{minutes / 60:.1f} h" if minutes < 48 * 60 else f"{minutes / 1440:.0f} days"


def _finite(minutes: float | None) -> float | None:
    return None if minutes is None or minutes == float("inf") else round(minutes, 2)


def _past(ui: Ui, place: Place, record: Record) -> Past | str:
    """The past of the version that the requests go to now, or why it is not known."""
    from canary.rollout.prometheus_readings import prometheus_of
    from metrics.prometheus import PrometheusError
    from rollout.gate_history import read_past
    from rollout.gate_samples import NotComparableError, seconds_of
    from rollout.prometheus_readings import NoPrometheusError

    gates = record.strategy.gates
    assert gates is not None
    try:
        with prometheus_of(ui, place, TIMEOUT)() as prometheus:
            return read_past(record, gates, prometheus, seconds_of(record.created_at))
    except (NoPrometheusError, PrometheusError, NotComparableError) as error:
        return " ".join(str(error).split())


def _imagined(place: Place, plan: Plan, origin: str, target: str) -> Record:
    """A record as `up` would write it now, which is never written: what gates compare is read from one."""
    from rollout.record import Record, Release

    given: dict[str, Any] = {
        "service": place.service,
        "namespace": place.namespace,
        "id": f"{place.service}-0",
        "target": Release(version=target, hash=""),
        "from_": Release(version=origin, hash=""),
        "plan": plan,
        "wanted": plan.start,
        "created_at": _now(),
    }
    return Record(**given)


def _now() -> str:
    """This machine's time; what is read reaches hours back."""
    from datetime import UTC, datetime

    return datetime.now(UTC).isoformat()
