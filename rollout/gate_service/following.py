"""A canary that another engine moves, as its weights tell: when it began, and in which times which step stood.

Pure: from one look at the weights to the next. What happens between two looks is not seen, so a time ends when its
weight was seen last, and begins when the API server says that the routes were written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from rollout.engines.target import EngineTarget
from rollout.observed_routes import full_host
from rollout.record import StepPeriod
from traffic.model import service_host

SETTLES = 2.0
"""Seconds after a write until every Envoy is taken to have the weights: nobody asks them here."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One look: the percent of the requests that the canary gets, and when the routes were written last.

    `weight` is None where the routes do not lead to the two versions, or not in the same shares.
    """

    at: str
    weight: float | None
    written: str | None = None


@dataclass(frozen=True, kw_only=True)
class Canary:
    """A canary that gets requests, or is about to get more. `step` is the index of its step, None between steps."""

    began: str
    weight: float | None
    seen: str
    step: int | None
    periods: tuple[StepPeriod, ...] = ()

    @property
    def settled_at(self) -> str | None:
        """When the weights of the step stood, None if it is no step."""
        return self.periods[-1].settled_at if self.step is not None and self.periods else None


def look(virtual_services: Sequence[Mapping[str, Any]], target: EngineTarget, now: str) -> Seen:
    """Return the weights in the VirtualServices of a target, as the API server returns them."""
    weights = {_share(route, target) for one in virtual_services for route in one["spec"].get("http") or ()} - {None}
    written = max((_written(one) for one in virtual_services), default="")
    weight = weights.pop() if len(weights) == 1 else None
    return Seen(at=now, weight=weight, written=written or None)


def follow(known: Canary | None, seen: Seen, steps: Sequence[float]) -> Canary | None:
    """Return the canary after a look, None if none gets requests; `steps` are the weights of its strategy."""
    if seen.weight is not None and seen.weight <= 0:
        return None
    if known is None:
        return None if seen.weight is None else _begun(seen, steps)
    if known.weight == seen.weight:
        return replace(known, seen=seen.at)
    closed = _closed(known)
    if seen.weight is None:
        return replace(known, weight=None, step=None, seen=seen.at, periods=closed)
    step = _step(seen.weight, steps)
    return replace(known, weight=seen.weight, step=step, seen=seen.at, periods=(*closed, *_opened(step, seen)))


def _begun(seen: Seen, steps: Sequence[float]) -> Canary:
    assert seen.weight is not None
    step = _step(seen.weight, steps)
    began = seen.written or seen.at
    return Canary(began=began, weight=seen.weight, seen=seen.at, step=step, periods=_opened(step, seen))


def _opened(step: int | None, seen: Seen) -> tuple[StepPeriod, ...]:
    if step is None:
        return ()
    return (StepPeriod(step=step, settled_at=_later(min(seen.written or seen.at, seen.at), SETTLES)),)


def _closed(known: Canary) -> tuple[StepPeriod, ...]:
    """The periods; the last one ends when it was seen last, and is none if it had not settled by then."""
    if not known.periods or known.periods[-1].until is not None:
        return known.periods
    *before, last = known.periods
    if known.seen <= last.settled_at:
        return tuple(before)
    return (*before, last.model_copy(update={"until": known.seen}))


def _step(weight: float, steps: Sequence[float]) -> int | None:
    return next((index for index, one in enumerate(steps) if one == weight), None)


def _share(route: Mapping[str, Any], target: EngineTarget) -> float | None:
    """The canary's percent of an http route, None if it does not lead to one of the two versions."""
    listed = route.get("route") or ()
    found = {_version(one, target): float(one.get("weight") or 0) for one in listed}
    if not found.keys() & {target.stable, target.canary}:
        return None
    if len(listed) == 1:
        return 100.0 if target.canary in found else 0.0
    total = sum(found.values())
    return 100 * found.get(target.canary, 0.0) / total if total else None


def _version(destination: Mapping[str, Any], target: EngineTarget) -> str:
    place = destination.get("destination") or {}
    host = full_host(str(place.get("host", "")), target.namespace)
    if target.by_host:
        name = host.partition(".")[0]
        return name if host == service_host(name, target.namespace) else ""
    own = host == service_host(target.service, target.namespace)
    return str(place.get("subset", "")) if own else ""


def _written(found: Mapping[str, Any]) -> str:
    """When the http routes were written last, as the API server says; empty if it does not."""
    times = [
        datetime.fromisoformat(str(one["time"])).isoformat(timespec="seconds")
        for one in found["metadata"].get("managedFields") or ()
        if "f:http" in ((one.get("fieldsV1") or {}).get("f:spec") or {}) and one.get("time")
    ]
    return max(times, default="")


def _later(at: str, seconds: float) -> str:
    return (datetime.fromisoformat(at) + timedelta(seconds=seconds)).isoformat()
