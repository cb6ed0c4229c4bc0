"""Warm-up: the times that are left out of latency while pods are new. Errors and attempts count from the first request.

Envoy's counters are those of a version's cluster at its caller, not of a pod. So a new pod's requests cannot be told
from those of its neighbours, and the whole interval is left out, for both versions alike. A version that always has a
new pod would never be judged: hence at most three warm-ups are left out of one step, the first ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

WARM_UP = 60.0
"""Seconds that a new pod is left out of latency, unless the strategy says otherwise."""

MOST_WARM_UPS = 3
"""How many warm-ups, one after the other, may be left out of a step."""


class Span(NamedTuple):
    """A time, in seconds since 1970."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start

    def overlaps(self, start: float, end: float) -> bool:
        """Return whether any of it is between two times."""
        return start < self.end and self.start < end


def left_out(
    warm_ups: Iterable[Span], stood: Iterable[tuple[int, Span]], warm_up: float
) -> dict[int, tuple[Span, ...]]:
    """Return by step the times that are left out of latency: of each step at most three times `warm_up` seconds.

    `warm_ups` are the times in which pods are new, `stood` are those in which the weights of a step stood.
    """
    united = _united(warm_ups)
    found: dict[int, tuple[Span, ...]] = {}
    for step, time in sorted(stood, key=lambda one: one[1].start):
        known = found.get(step, ())
        left = MOST_WARM_UPS * warm_up - sum(one.seconds for one in known)
        for one in united:
            start = max(one.start, time.start)
            end = min(one.end, time.end, start + left)
            if end > start:
                known = (*known, Span(start, end))
                left -= end - start
        found[step] = known
    return found


def is_used_up(spans: Iterable[Span], warm_up: float) -> bool:
    """Return whether a step with these times left out has no more to leave out."""
    return sum(one.seconds for one in spans) >= MOST_WARM_UPS * warm_up


def _united(spans: Iterable[Span]) -> list[Span]:
    """Times that overlap or touch, as one."""
    found: list[Span] = []
    for one in sorted(spans):
        if found and one.start <= found[-1].end:
            found[-1] = Span(found[-1].start, max(found[-1].end, one.end))
        else:
            found.append(one)
    return found
