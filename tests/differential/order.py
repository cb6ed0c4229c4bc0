"""How the version answers by the request's x-echo- headers (see apps/echo), and how often Envoy retries."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from tests.differential.wire import Header, WireRequest
from traffic.fields import seconds
from traffic.simulate import RetryPolicy

RETRIED = {"5xx": range(500, 600), "gateway-error": range(502, 505), "retriable-4xx": range(409, 410)}
"""Statuses for which Envoy retries (Envoy: router filter, x-envoy-retry-on)."""


@dataclass(frozen=True)
class Order:
    """How the version answers: the first `times` times with `status`, then with 200; without `times`, always so."""

    status: int = 200
    times: int | None = None
    delay: float = 0.0
    headers: tuple[Header, ...] = ()
    readable: bool = True

    @classmethod
    def of(cls, request: WireRequest) -> Order:
        """Return the request's order; an invalid one is answered with 400."""
        given: dict[str, list[str]] = {}
        for name, value in request.headers:
            given.setdefault(name.lower(), []).append(value.strip())
        try:
            status, times = _status(given.get("x-echo-status", [""])[0])
            delay = seconds(given["x-echo-delay"][0]) if "x-echo-delay" in given else 0.0
            pairs = [text.split(":", 1) for text in given.get("x-echo-header", ())]
            headers = tuple((name.strip().lower(), value.strip()) for name, value in pairs)
        except ValueError:
            return cls(400, readable=False)
        return cls(status, times, delay, headers)

    def tries(self, retries: RetryPolicy | None) -> tuple[int, int]:
        """Return how many requests Envoy sends, and the status of the last answer."""
        for number in itertools.count(1):
            status = self.status if self.times is None or number <= self.times else 200
            if retries is None or number > retries.attempts or not _is_retried(status, retries.retry_on):
                return number, status
        raise AssertionError("not reached")


def _status(text: str) -> tuple[int, int | None]:
    words = text.split()
    if not words:
        return 200, None
    named = dict(word.split("=", 1) for word in words[1:])
    status = int(words[0])
    if not 200 <= status <= 599 or set(named) not in (set(), {"times", "key"}):
        raise ValueError(text)
    return status, int(named["times"]) if named else None


def _is_retried(status: int, retry_on: str) -> bool:
    reasons = retry_on.split(",")
    return str(status) in reasons or any(status in RETRIED.get(reason, ()) for reason in reasons)
