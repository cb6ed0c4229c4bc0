"""Warnings about a rule's timeout beside its retries: the timeout is a deadline over all tries
(Istio: HTTPRoute.timeout, HTTPRetry; Envoy: RouteAction.timeout, RetryPolicy).
"""

from __future__ import annotations

from collections.abc import Iterator

from stacks.settings.problems import Finding, Location, shown
from traffic.fields import seconds
from traffic.model import Retries, Rule

LEAST_BACKOFF = 0.025
GROWTH_OF_BACKOFF = 10
"""Envoy's retry back-off: at most 25 ms before the first retry, doubled for each, up to ten times that."""


def warnings(rule: Rule, location: Location) -> Iterator[Finding]:
    """Yield a timeout that may end before the last try, and a limit for each try that never applies."""
    retries = rule.retries
    if rule.timeout is None or retries is None or retries.per_try_timeout is None:
        return
    total, once = seconds(rule.timeout), seconds(retries.per_try_timeout)
    needed = (retries.attempts + 1) * once + longest_backoff(retries)
    times = "1 retry" if retries.attempts == 1 else f"{retries.attempts} retries"
    if once >= total:
        yield Finding(
            (*location, "retries", "perTryTimeout"),
            f"no effect: the timeout of {rule.timeout} covers all tries together, and ends the first one before its "
            f"{retries.per_try_timeout} are over; only failures before that are retried",
            f"less than the rule's timeout, which is {rule.timeout}",
            "remove perTryTimeout, or lower it to leave time for retries of slow tries",
            shown(retries.per_try_timeout),
        )
    elif needed > total:
        yield Finding(
            (*location, "timeout"),
            f"the caller gets an answer after {rule.timeout} at the latest, whatever try is under way: fast failures "
            f"get up to {times}, but tries that each take their {retries.per_try_timeout} do not all fit, which would "
            f"take {_duration(needed)}",
            "a timeout is a deadline over all tries; perTryTimeout limits each of them",
            f"none needed if intended; for {times} of slow tries, too, raise timeout to {_duration(needed)}, or lower "
            "attempts or perTryTimeout",
            shown(rule.timeout),
        )


def longest_backoff(retries: Retries) -> float:
    """Return the maximum total back-off of all retries, in seconds."""
    base = seconds(retries.backoff) if retries.backoff else LEAST_BACKOFF
    return sum(base * min(1 << number, GROWTH_OF_BACKOFF) for number in range(retries.attempts))


def _duration(amount: float) -> str:
    milliseconds = round(amount * 1000)
    return f"{milliseconds}ms" if milliseconds % 1000 else f"{milliseconds // 1000}s"
