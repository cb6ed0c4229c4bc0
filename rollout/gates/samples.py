"""From raw samples of the callers' Envoys to what each counter grew by between two scrapes of its Envoy.

Raw samples, since rate() and increase() extrapolate. All counters of one Envoy come from one scrape, so there is no
skew between the versions. A counter begins again with its Envoy, and with it those of both versions.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from metrics.prometheus import Series

Key = TypeVar("Key")

Points = Mapping[float, float]
"""Values by time."""

_POD = re.compile(r"(-[0-9]+|(-[a-z0-9]{6,10})?-[a-z0-9]{5})$")
"""The end of a pod's name that tells it from others of its workload."""


@dataclass(frozen=True)
class Increment(Generic[Key]):
    """What one Envoy's counters grew by between two of its scrapes, from `start` to `end`, by key.

    `first` says that there was no scrape before: it is all that was counted since the Envoy started.
    """

    start: float
    end: float
    caller: str
    by_key: Mapping[Key, float]
    first: bool = False


def instance_of(labels: Mapping[str, str]) -> tuple[str, str]:
    """Return which scrape target a series is of: its instance, and the job, of which there may be two for one pod."""
    return labels.get("instance", ""), labels.get("job", "")


def caller_of(labels: Mapping[str, str]) -> str:
    """Return the calling workload: by Istio's canonical name of its pods, else by the name of the pod."""
    name = labels.get("source_workload") or labels.get("service_istio_io_canonical_name")
    name = name or _POD.sub("", labels.get("pod", "")) or labels.get("instance", "")
    namespace = labels.get("source_workload_namespace") or labels.get("namespace", "")
    return f"{namespace}/{name}" if namespace else name


def increments(
    counters: Iterable[Series],
    keys_of: Callable[[Mapping[str, str]], Sequence[Key]],
    *,
    gauges: frozenset[Key],
    scrapes: Iterable[Series] = (),
    uptimes: Iterable[Series] = (),
) -> Iterator[Increment[Key]]:
    """Yield the growth of all counters between the scrapes of each Envoy.

    `keys_of` gives what a series counts for; the keys in `gauges` may fall. `scrapes` are the samples of `up`, and
    `uptimes` those of the Envoys' uptime in seconds: with it, the first value is yielded as the growth since the start
    of the Envoy; without, it is only the base of the next one.
    """
    by_instance: dict[tuple[str, str], list[tuple[Series, Sequence[Key]]]] = defaultdict(list)
    for series in counters:
        keys = keys_of(series.labels)
        if keys and series.points:
            by_instance[instance_of(series.labels)].append((series, keys))
    up, uptime = _points(scrapes), _points(uptimes)
    known: set[str] = set()
    for target in sorted(by_instance):
        instance, _ = target
        if instance and instance in known:
            continue  # the same pod, found by two jobs
        known.add(instance)
        yield from _of_target(by_instance[target], gauges, up.get(target, {}), uptime.get(target, {}))


def _points(series: Iterable[Series]) -> dict[tuple[str, str], dict[float, float]]:
    found: dict[tuple[str, str], dict[float, float]] = defaultdict(dict)
    for one in series:
        found[instance_of(one.labels)].update(one.points)
    return dict(found)


def _of_target(
    counters: Sequence[tuple[Series, Sequence[Key]]], gauges: frozenset[Key], up: Points, uptime: Points
) -> Iterator[Increment[Key]]:
    caller = min(caller_of(series.labels) for series, _ in counters)
    values = [(dict(series.points), keys) for series, keys in counters]
    # A scrape that found none of the counters was one, too: what appears after it has begun.
    times = {time for points, _ in values for time in points}
    times |= {time for time, is_up in up.items() if is_up} | set(uptime)
    last: list[float | None] = [None] * len(values)
    start: float | None = None
    for end in sorted(times):
        found = [(keys, before, points.get(end)) for (points, keys), before in zip(values, last, strict=True)]
        restarted = None if start is None else _restarted(uptime, start, end)
        if start is not None:
            grown = _grown(found, gauges, restarted)
            if grown is not None:
                yield Increment(start, end, caller, grown)
        elif end in uptime:
            grown = _sum((keys, now or 0.0) for keys, _, now in found)
            yield Increment(end - uptime[end], end, caller, grown, first=True)
        # A counter that is not there after a restart begins at 0 when it appears.
        last = [(None if restarted else before) if now is None else now for _, before, now in found]
        start = end


def _restarted(uptime: Points, start: float, end: float) -> bool | None:
    """Whether the Envoy started between two scrapes; None if nothing is known of it."""
    if end not in uptime:
        return None
    if start in uptime:
        return uptime[end] < uptime[start]
    return end - uptime[end] > start


def _grown(
    found: Sequence[tuple[Sequence[Key], float | None, float | None]], gauges: frozenset[Key], restarted: bool | None
) -> dict[Key, float] | None:
    """The growth by key from values before and now; None if it cannot be told which counters began again.

    A counter that is not there now has not grown; one that was never there before has begun at 0.
    """
    if restarted is None:
        lower = [
            now < before for keys, before, now in found if before and now is not None and not gauges.issuperset(keys)
        ]
        if any(lower) and not all(lower):
            return None
        restarted = any(lower)
    grown: list[tuple[Sequence[Key], float]] = []
    for keys, before, now in found:
        if now is None:
            continue
        fell = before is not None and now < before and not gauges.issuperset(keys)
        grown.append((keys, now if before is None or restarted or fell else now - before))
    return _sum(grown)


def _sum(parts: Iterable[tuple[Sequence[Key], float]]) -> dict[Key, float]:
    found: dict[Key, float] = defaultdict(float)
    for keys, value in parts:
        for key in keys:
            found[key] += value
    return dict(found)
